using System.Diagnostics;

namespace SoakHost.Tests;

/// <summary>The program as a script in a shell starts it: with limits, pipes and files for its output.</summary>
internal static class Shell
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    /// <summary>
    /// Runs a script of bash in a folder of its own. In it <c>soakhost</c> is the program, and <c>dotnet "$soakhost"</c> is the
    /// program as a job that can be killed.
    /// </summary>
    public static async Task<ProgramResult> RunAsync(string script)
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        string folder = Directory.CreateTempSubdirectory("soakhost-shell-").FullName;
        string program = Path.Combine(AppContext.BaseDirectory, "soakhost.dll");
        string whole = $"soakhost='{program}'\nsoakhost() {{ dotnet \"$soakhost\" \"$@\"; }}\n{script}";
        var start = new ProcessStartInfo("bash", ["-c", whole])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder,
        };
        start.Environment["Soak__DataDirectory"] = folder;
        try
        {
            using Process shell = Process.Start(start)!;
            Task<string> output = shell.StandardOutput.ReadToEndAsync(stop), error = shell.StandardError.ReadToEndAsync(stop);
            try
            {
                await shell.WaitForExitAsync(stop).WaitAsync(Patience, stop);
                return new ProgramResult(shell.ExitCode, await output, await error);
            }
            finally
            {
                shell.Kill(entireProcessTree: true);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
