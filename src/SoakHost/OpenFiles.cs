using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace SoakHost;

/// <summary>
/// The limit on open files (<c>ulimit -n</c>), checked before anything else. Each assembly of the program and each connection
/// takes one. Without one more the runtime cannot load the next assembly, and ends the process with a core dump instead of a
/// sentence. This class needs no assembly but the runtime's first.
/// </summary>
internal static class OpenFiles
{
    /// <summary>
    /// What a command needs: about 200 assemblies and files, and a few connections.
    /// </summary>
    public const long CommandMin = 256;

    /// <summary>What the service needs: the same, its database, and a socket for each connection of both listeners.</summary>
    public const long ServiceMin = 1024;

    private const string LimitName = "Max open files";
    private const int StandardError = 2;

    /// <summary>Writes a sentence on standard error where the limit is too low.</summary>
    /// <param name="arguments">The program's arguments.</param>
    /// <returns>Whether the program can run.</returns>
    public static bool AreEnough(string[] arguments)
    {
        if (!OperatingSystem.IsLinux() || WhyNot(ReadLimits(), arguments) is not { } why)
            return true;
        try
        {
            using var error = new FileStream(
                new SafeFileHandle(StandardError, ownsHandle: false), FileAccess.Write, bufferSize: 0);
            error.Write(Encoding.UTF8.GetBytes($"{why}\n"));
        }
        catch (IOException)
        {
            // Nobody reads standard error; the exit code says it too.
        }

        return false;
    }

    /// <summary>Why the limit is too low; null where it is not, or is not known.</summary>
    /// <param name="limits">The text of <c>/proc/self/limits</c>.</param>
    /// <param name="arguments">The program's arguments.</param>
    public static string? WhyNot(string limits, string[] arguments)
    {
        bool isService =
            arguments.Length == 0 || arguments[0] == "serve" || arguments[0].StartsWith("--", StringComparison.Ordinal);
        long min = isService ? ServiceMin : CommandMin;
        return HardLimit(limits) is { } limit && limit < min
            ? string.Create(
                CultureInfo.InvariantCulture,
                $"the limit of open files is {limit}; it must be at least {min}: raise it with \"ulimit -n {min}\"")
            : null;
    }

    /// <summary>The hard limit: the runtime raises the soft one to it.</summary>
    private static long? HardLimit(string limits)
    {
        int begin = limits.IndexOf(LimitName, StringComparison.Ordinal);
        if (begin < 0)
            return null;
        int end = limits.IndexOf('\n', begin);
        string line = end < 0 ? limits[begin..] : limits[begin..end];
        string[] columns = line[LimitName.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return columns.Length > 1 && long.TryParse(columns[1], NumberStyles.None, CultureInfo.InvariantCulture, out long limit)
            ? limit
            : null;
    }

    private static string ReadLimits()
    {
        try
        {
            return File.ReadAllText("/proc/self/limits");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }
}
