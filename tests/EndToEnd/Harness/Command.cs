using System.Diagnostics;

namespace SoakHost.EndToEnd.Harness;

/// <summary>Runs a program to its end.</summary>
public static class Command
{
    /// <summary>What a program printed, on both streams, and its exit code.</summary>
    public readonly record struct Outcome(int ExitCode, string Output);

    public static async Task<Outcome> RunAsync(string program, IEnumerable<string> arguments, CancellationToken cancellationToken)
    {
        ProcessStartInfo start = new(program, arguments)
        {
            WorkingDirectory = Repository.Root,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(cancellationToken);
            var error = process.StandardError.ReadToEndAsync(cancellationToken);
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
