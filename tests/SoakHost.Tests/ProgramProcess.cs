using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using SoakHost.Shared;

namespace SoakHost.Tests;

/// <summary>What a finished program left behind.</summary>
internal sealed record ProgramResult(int ExitCode, string Output, string Error);

/// <summary>
/// The program as a process of its own, as a user starts it. Services listen on loopback, on a port that the system chooses.
/// </summary>
internal sealed class ProgramProcess : IAsyncDisposable
{
    private const int SigHup = 1;
    private const int SigInt = 2;
    private const int SigTerm = 15;
    private const int SigCont = 18;
    private const int SigStop = 19;
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(180);
    private static readonly ProcessGuard Guard = new("soakhost.dll");

    private readonly Process _process;
    private readonly string _data = Directory.CreateTempSubdirectory("soakhost-data-").FullName;
    private readonly StringBuilder _output = new();
    private readonly StringBuilder _error = new();
    private readonly TaskCompletionSource<Uri> _listening = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _printed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly string? _awaited;

    private ProgramProcess(
        IEnumerable<string> arguments,
        IReadOnlyDictionary<string, string>? environment,
        string? awaited = null)
    {
        _awaited = awaited;
        string program = Path.Combine(AppContext.BaseDirectory, "soakhost.dll");

        // A job in the background ignores SIGINT, and so would everything it starts: the program is given back the default.
        var start = new ProcessStartInfo("env", ["--default-signal=INT", "dotnet", program, .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Path.GetTempPath(),
        };
        foreach (string key in start.Environment.Keys.Where(key => key.StartsWith("Soak", StringComparison.Ordinal)).ToList())
            start.Environment.Remove(key);
        start.Environment["Soak__DataDirectory"] = _data;
        foreach ((string key, string value) in environment ?? new Dictionary<string, string>())
            start.Environment[key] = value;

        _process = new Process { StartInfo = start, EnableRaisingEvents = true };
        _process.Exited += (_, _) =>
            _listening.TrySetException(new InvalidOperationException($"the service ended:\n{_output}{_error}"));
        _process.OutputDataReceived += (_, line) => Take(_output, line.Data);
        _process.ErrorDataReceived += (_, line) => Take(_error, line.Data);
        _process.Start();
        Guard.Watch(_process);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>The process's number.</summary>
    public int Id => _process.Id;

    /// <summary>Asks the service; only for services.</summary>
    public HttpClient Http { get; } = LoopbackClient.Create(TimeSpan.FromMinutes(2));

    /// <summary>The log so far, an object a line.</summary>
    public IReadOnlyList<JsonElement> Log => [.. Lines(_output).Where(IsEvent).Select(Parse)];

    /// <summary>Runs a command to its end.</summary>
    public static async Task<ProgramResult> RunAsync(
        IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null, TimeSpan? timeout = null)
    {
        await using var program = new ProgramProcess(arguments, environment);
        return await program.EndAsync(timeout);
    }

    /// <summary>Starts a command, and returns once it has printed a line that begins so, on either stream.</summary>
    public static async Task<ProgramProcess> StartAsync(IEnumerable<string> arguments, string awaited)
    {
        var program = new ProgramProcess(arguments, null, awaited);
        _ = program._process.WaitForExitAsync(TestContext.Current.CancellationToken).ContinueWith(
            _ => program._printed.TrySetException(new InvalidOperationException($"it ended:\n{program._output}{program._error}")),
            TaskScheduler.Default);
        return await program.OnceAsync(program._printed.Task);
    }

    /// <summary>Starts the service, and returns once it listens.</summary>
    public static async Task<ProgramProcess> ServeAsync(
        IReadOnlyDictionary<string, string>? environment = null, string urls = "http://127.0.0.1:0")
    {
        var program = new ProgramProcess(["serve", $"--urls={urls}"], environment);
        await program.OnceAsync(program._listening.Task);
        program.Http.BaseAddress = await program._listening.Task;
        return program;
    }

    /// <summary>Starts the service, which may end or hang before it listens.</summary>
    /// <param name="environment">Its settings.</param>
    /// <param name="giveUp">Ends when it is not waited for any longer.</param>
    /// <returns>The process, and whether it listens; if not, it has ended or is still starting.</returns>
    public static async Task<(ProgramProcess Program, bool Listens)> TryServeAsync(
        IReadOnlyDictionary<string, string> environment, Task giveUp)
    {
        var program = new ProgramProcess(["serve", "--urls=http://127.0.0.1:0"], environment);
        await Task.WhenAny(program._listening.Task, giveUp);
        if (!program._listening.Task.IsCompletedSuccessfully)
            return (program, false);
        program.Http.BaseAddress = await program._listening.Task;
        return (program, true);
    }

    /// <summary>Whether the process has ended.</summary>
    public bool HasEnded => _process.HasExited;

    /// <summary>Asks the process to stop, as a container's runtime does.</summary>
    public void Terminate() => Signal(SigTerm);

    /// <summary>Asks it as a terminal that closes does.</summary>
    public void HangUp() => Signal(SigHup);

    /// <summary>Asks it as Ctrl+C does.</summary>
    public void Interrupt() => Signal(SigInt);

    /// <summary>Stops every thread of it, as a suspended machine does.</summary>
    public void Suspend() => Signal(SigStop);

    /// <summary>Has it go on.</summary>
    public void Continue() => Signal(SigCont);

    /// <summary>This program, once it has come so far; one that does not is ended.</summary>
    private async Task<ProgramProcess> OnceAsync(Task started)
    {
        try
        {
            await started.WaitAsync(StartTimeout, TestContext.Current.CancellationToken);
            return this;
        }
        catch
        {
            await DisposeAsync();
            throw;
        }
    }

    private void Signal(int signal)
    {
        if (Kill(_process.Id, signal) != 0)
            throw new InvalidOperationException($"kill: {Marshal.GetLastPInvokeErrorMessage()}");
    }

    /// <summary>Ends the process as a power cut would: it has no say in it.</summary>
    public void Kill() => _process.Kill();

    /// <summary>Waits for the end.</summary>
    public async Task<ProgramResult> EndAsync(TimeSpan? timeout = null)
    {
        await _process
            .WaitForExitAsync(TestContext.Current.CancellationToken)
            .WaitAsync(timeout ?? StartTimeout, TestContext.Current.CancellationToken);
        return new ProgramResult(_process.ExitCode, _output.ToString(), _error.ToString());
    }

    /// <summary>The value of one series of <c>/metrics</c>, or null if there is none.</summary>
    public async Task<double?> MetricAsync(string series)
    {
        string text = await Http.GetStringAsync("/metrics", TestContext.Current.CancellationToken);
        string? line = text.Split('\n').FirstOrDefault(line => line.StartsWith(series + " ", StringComparison.Ordinal));
        return line is null ? null : double.Parse(line.AsSpan(series.Length + 1), CultureInfo.InvariantCulture);
    }

    /// <summary>Asks for the fleet's report again and again until it is as wanted.</summary>
    public async Task<JsonElement> UntilAsync(Func<JsonElement, bool> isWanted, TimeSpan timeout)
    {
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(200));
        long waited = Stopwatch.GetTimestamp();
        while (true)
        {
            JsonElement fleet = Parse(await Http.GetStringAsync("/api/v1/fleet", TestContext.Current.CancellationToken));
            if (isWanted(fleet))
                return fleet;
            if (Stopwatch.GetElapsedTime(waited) > timeout)
                throw new TimeoutException($"not as wanted within {timeout}:\n{fleet}");
            await pace.WaitForNextTickAsync(TestContext.Current.CancellationToken);
        }
    }

    /// <summary>Asks whether the service is ready again and again until it is.</summary>
    public async Task UntilReadyAsync(TimeSpan timeout)
    {
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        long waited = Stopwatch.GetTimestamp();
        while (true)
        {
            using HttpResponseMessage response = await Http.GetAsync("/health/ready", TestContext.Current.CancellationToken);
            if (response.IsSuccessStatusCode)
                return;
            if (Stopwatch.GetElapsedTime(waited) > timeout)
            {
                string why = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
                throw new TimeoutException($"not ready within {timeout}: {why}");
            }

            await pace.WaitForNextTickAsync(TestContext.Current.CancellationToken);
        }
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync(CancellationToken.None);
        }

        _process.Dispose();
        Directory.Delete(_data, recursive: true);
    }

    private void Take(StringBuilder text, string? line)
    {
        if (line is null)
            return;
        lock (text)
            text.AppendLine(line);
        if (_awaited is not null && line.StartsWith(_awaited, StringComparison.Ordinal))
            _printed.TrySetResult();
        if (
            text == _output
            && IsEvent(line)
            && line.Contains("\"Addresses\"", StringComparison.Ordinal)
            && Parse(line).TryGetProperty("Addresses", out JsonElement addresses))
            _listening.TrySetResult(new Uri(addresses.GetString()!.Split(',')[0]));
    }

    // Whoever is killed may have been in the middle of a line.
    private static bool IsEvent(string line) => line.StartsWith('{') && line.TrimEnd().EndsWith('}');

    private static string[] Lines(StringBuilder text)
    {
        lock (text)
            return text.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    private static JsonElement Parse(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return document.RootElement.Clone();
    }

    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static extern int Kill(int processId, int signal);
}
