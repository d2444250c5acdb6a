using System.Runtime.InteropServices;
using System.Text;

namespace SoakHost.Storage;

/// <summary>
/// Whether a file or directory could be opened for writing now. A file that is already open takes writes after its permissions
/// are gone, and the service could not open it again. Asked without opening it: closing it would release SQLite's locks on it.
/// </summary>
internal static partial class WriteAccess
{
    private const int CurrentDirectory = -100;
    private const int Write = 2;
    private const int EffectiveIds = 0x200;
    private const int NoSuchFile = 2;

    /// <summary>Why it cannot be written to, as a sentence that names it; null where it can, or is not there.</summary>
    public static string? WhyNot(string path)
    {
        if (!OperatingSystem.IsLinux())
            return File.Exists(path) && File.GetAttributes(path).HasFlag(FileAttributes.ReadOnly) ? Refusal(path, "") : null;
        if (Access(CurrentDirectory, Encoding.UTF8.GetBytes(path + '\0'), Write, EffectiveIds) == 0)
            return null;
        int error = Marshal.GetLastPInvokeError();
        return error == NoSuchFile ? null : Refusal(path, $": {Marshal.GetPInvokeErrorMessage(error)}");
    }

    private static string Refusal(string path, string why) =>
        $"{Path.GetFullPath(path)} was made read-only while the service was using it{why}";

    [LibraryImport("libc", EntryPoint = "faccessat", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Access(int directory, ReadOnlySpan<byte> path, int mode, int flags);
}
