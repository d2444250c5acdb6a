using System.Diagnostics;
using System.Globalization;

namespace SoakHost.Tests;

/// <summary>
/// Ends programs that are still there when the tests are not: a test run that is killed disposes of nothing, nor is a fixture
/// disposed of whose start failed. A shell waits for its standard input to close, which the operating system sees to.
/// </summary>
internal sealed class ProcessGuard : IDisposable
{
    // Numbers of processes are given again: only what still is that program is ended.
    private const string Script =
        """
        while read -r process; do processes="$processes $process"; done
        for process in $processes; do
          grep -q -- "$1" /proc/$process/cmdline 2>/dev/null && kill -KILL $process
        done
        """;

    private readonly Process _shell;

    /// <summary>A guard of programs with these words in their command line.</summary>
    public ProcessGuard(string words)
    {
        _shell = Process.Start(new ProcessStartInfo("setsid", ["sh", "-c", Script, "sh", words])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        _shell.StandardInput.AutoFlush = true;
    }

    /// <summary>Has a process ended with the tests.</summary>
    public void Watch(Process process)
    {
        lock (_shell)
            _shell.StandardInput.WriteLine(process.Id.ToString(CultureInfo.InvariantCulture));
    }

    /// <summary>Ends what is still there, as the end of the tests does.</summary>
    public void Dispose()
    {
        _shell.StandardInput.Close();
        _shell.WaitForExit();
        _shell.Dispose();
    }
}
