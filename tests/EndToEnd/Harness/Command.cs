using System.Diagnostics;

namespace SoakHost.EndToEnd.Harness;

/// <summary>Runs a program to its end.</summary>
public static class Command
{
    /// <summary>What a program printed, on both streams, and its exit code.</summary>
    public readonly record struct Outcome(int ExitCode, string Output);

    /// <summary>Runs a program at the root of the repository.</summary>
    public static Task<Outcome> RunAsync(string program, IEnumerable<string> arguments, CancellationToken cancellationToken) =>
        RunAsync(new ProcessStartInfo(program, arguments) { WorkingDirectory = Repository.Root }, cancellationToken);

    /// <summary>Runs a program as described.</summary>
    public static async Task<Outcome> RunAsync(ProcessStartInfo start, CancellationToken cancellationToken)
    {
        start.RedirectStandardOutput = true;
        start.RedirectStandardError = true;
        using Process process = Process.Start(start)!;
        try
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(cancellationToken);
            Task<string> error = process.StandardError.ReadToEndAsync(cancellationToken);
            await process.WaitForExitAsync(cancellationToken);
            return new(process.ExitCode, await output + await error);
        }
        catch
        {
            process.Kill(entireProcessTree: true);
            throw;
        }
    }
}
