using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace SoakHost.EndToEnd.Harness;

/// <summary>A program that runs until it is stopped, in a process group and a temporary folder of its own.</summary>
public sealed class Server : IAsyncDisposable
{
    // The program must not outlive the tests, however they end, and a killed test run runs no clean-up code. So a shell in the
    // program's own group waits for its standard input to close, which the operating system sees to, and then ends the whole
    // group.
    private const string Guard =
        """
        trap : TERM
        exec 3<&0
        "$@" </dev/null 3<&- & program=$!
        { cat <&3 >/dev/null; kill -TERM 0; } &
        while kill -0 $program 2>/dev/null; do wait $program; code=$?; done
        exit $code
        """;

    // Long enough for a machine that others use too; nobody waits for it unless something is wrong.
    private static readonly TimeSpan ReadyLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(10);

    private readonly Process _process;
    private readonly string _name;
    private readonly string _folder;
    private readonly ConcurrentQueue<string> _output = new();
    private bool _isDisposed;

    private Server(string name, string folder, Process process)
    {
        (_name, _folder, _process) = (name, folder, process);
        process.OutputDataReceived += (_, line) => Keep(line.Data);
        process.ErrorDataReceived += (_, line) => Keep(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    /// <summary>What the program printed so far, on both streams.</summary>
    public string Output => string.Join('\n', _output);

    /// <summary>
    /// Starts <paramref name="program"/>. <paramref name="folder"/> becomes the server's own, and is deleted with it.
    /// </summary>
    public static Server Start(
        string program, IEnumerable<string> arguments, string folder, IReadOnlyDictionary<string, string>? environment = null)
    {
        ProcessStartInfo start = new("setsid", ["sh", "-c", Guard, "sh", program, .. arguments])
        {
            WorkingDirectory = folder,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        return new(Path.GetFileName(program), folder, Process.Start(start)!);
    }

    /// <summary>A port of the loopback interface that nothing listens on now.</summary>
    public static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>A new temporary folder for <see cref="Start"/>.</summary>
    public static string NewFolder() => Directory.CreateTempSubdirectory("soakhost-").FullName;

    /// <summary>Waits until <paramref name="readiness"/> answers with success.</summary>
    /// <exception cref="InvalidOperationException">The program ended first.</exception>
    public Task WaitUntilReadyAsync(HttpClient http, Uri readiness, CancellationToken cancellationToken) =>
        Poll.UntilAsync(
            async () =>
            {
                if (_process.HasExited)
                    throw new InvalidOperationException($"{_name} ended with {_process.ExitCode} before it was ready:\n{Output}");
                try
                {
                    using var response = await http.GetAsync(readiness, cancellationToken);
                    return response.IsSuccessStatusCode;
                }
                catch (HttpRequestException)
                {
                    return false;
                }
            },
            ReadyLimit,
            () => $"{_name} was not ready in time:\n{Output}",
            cancellationToken);

    public async ValueTask DisposeAsync()
    {
        if (_isDisposed)
            return;
        _isDisposed = true;
        _process.StandardInput.Close();
        using (CancellationTokenSource limit = new(StopLimit))
        {
            try
            {
                await _process.WaitForExitAsync(limit.Token);
            }
            catch (OperationCanceledException)
            {
                _process.Kill(entireProcessTree: true);
            }
        }

        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private void Keep(string? line)
    {
        if (line is not null)
            _output.Enqueue(line);
    }
}
