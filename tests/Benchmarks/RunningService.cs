using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;

/// <summary>The service as a user starts it.</summary>
internal sealed class RunningService : IAsyncDisposable
{
    private readonly Process _process;
    private readonly HttpClient _http;

    private readonly string _dataDirectory;

    private RunningService(Process process, Uri address, string dataDirectory) =>
        (_process, _http, _dataDirectory) = (process, new() { BaseAddress = address }, dataDirectory);

    public double ResidentMb
    {
        get
        {
            _process.Refresh();
            return _process.WorkingSet64 / 1e6;
        }
    }

    /// <summary>Everything in the data directory: the database and its write-ahead log.</summary>
    public double DatabaseMb => new DirectoryInfo(_dataDirectory).EnumerateFiles().Sum(file => file.Length) / 1e6;

    /// <summary>Open file descriptors.</summary>
    public int Handles => Directory.GetFileSystemEntries($"/proc/{_process.Id}/fd").Length;

    public int ThreadCount => Threads().Length;

    /// <summary>Processor time of the process, that of threads which ended too, in steps of 10 ms.</summary>
    public TimeSpan TotalCpu
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    /// <summary>Processor time of all threads that there are.</summary>
    public TimeSpan Cpu => Sum(Threads());

    public static async Task<RunningService> StartAsync(Dictionary<string, string> settings)
    {
        using var free = new TcpListener(IPAddress.Loopback, 0);
        free.Start();
        var address = new Uri($"http://127.0.0.1:{((IPEndPoint)free.LocalEndpoint).Port}");
        free.Stop();
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "soakhost.dll"), $"--urls={address}"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        string dataDirectory = Directory.CreateTempSubdirectory("soakhost-bench-").FullName;
        start.Environment["Soak__DataDirectory"] = dataDirectory;
        foreach ((string key, string value) in settings)
            start.Environment[key] = value;
        Process process = Process.Start(start)!;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        var service = new RunningService(process, address, dataDirectory);
        while (!await service.IsReadyAsync())
        {
            if (process.HasExited)
                throw new InvalidOperationException($"the service ended with exit code {process.ExitCode} before it was ready");
            await Task.Delay(100);
        }

        return service;
    }

    public async Task<string[]> ScrapeAsync() =>
        (await _http.GetStringAsync(new Uri("/metrics", UriKind.Relative))).Split('\n');

    public Task<JsonElement> FleetAsync() => ReadAsync("/api/v1/fleet");

    /// <summary>How many incidents are kept.</summary>
    public async Task<long> IncidentsAsync() =>
        (await ReadAsync("/api/v1/incidents/groups")).GetProperty("groups").EnumerateArray()
            .Sum(group => group.GetProperty("count").GetInt64());

    /// <summary>The ids of all incidents that are kept.</summary>
    public async Task<List<string>> IncidentIdsAsync()
    {
        List<string> ids = [];
        string page = "/api/v1/incidents?limit=1000";
        while (true)
        {
            JsonElement answer = await ReadAsync(page);
            ids.AddRange(
                answer.GetProperty("incidents").EnumerateArray().Select(incident => incident.GetProperty("id").GetString()!));
            if (answer.GetProperty("next") is not { ValueKind: JsonValueKind.Number } next)
                return ids;
            page = $"/api/v1/incidents?limit=1000&before={next.GetRawText()}";
        }
    }

    /// <summary>The steps of an incident; null where it is not kept any more.</summary>
    public async Task<JsonElement?> TimelineAsync(string id)
    {
        try
        {
            return await ReadAsync($"/api/v1/timeline?incident={Uri.EscapeDataString(id)}");
        }
        catch (HttpRequestException exception) when (exception.StatusCode == HttpStatusCode.NotFound)
        {
            return null;
        }
    }

    /// <summary>Operations as of the latest report; the watchdog makes one a second.</summary>
    public async Task<double> OperationsAsync() => (await FleetAsync()).GetProperty("operations").GetDouble();

    /// <summary>Follows the fleet as an open page does, until it is told to stop. Returns the bytes that came.</summary>
    public async Task<long> FollowAsync(CancellationToken stop)
    {
        long bytes = 0;
        byte[] buffer = new byte[64 * 1024];
        try
        {
            await using Stream stream = await _http.GetStreamAsync(new Uri("/api/v1/fleet/stream", UriKind.Relative), stop);
            while (await stream.ReadAsync(buffer, stop) is > 0 and int read)
                bytes += read;
        }
        catch (OperationCanceledException)
        {
            // As somebody closes a page.
        }

        return bytes;
    }

    /// <summary>Processor time of the threads whose names start so.</summary>
    public TimeSpan CpuOf(string name) => Sum(Threads().Where(thread => Name(thread).StartsWith(name, StringComparison.Ordinal)));

    /// <summary>Processor time of all other threads.</summary>
    public TimeSpan CpuOfOthers(string name) => Cpu - CpuOf(name);

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    private async Task<JsonElement> ReadAsync(string path) =>
        JsonElement.Parse(await _http.GetStringAsync(new Uri(path, UriKind.Relative)));

    private string[] Threads() => Directory.GetDirectories($"/proc/{_process.Id}/task");

    private static string Name(string thread) => Read(thread, "comm") ?? "";

    private static TimeSpan Sum(IEnumerable<string> threads) => TimeSpan.FromMicroseconds(
        threads.Select(thread => Read(thread, "schedstat")).OfType<string>()
            .Sum(text => double.Parse(text.Split(' ')[0], CultureInfo.InvariantCulture)) / 1000);

    private static string? Read(string thread, string file)
    {
        try
        {
            return File.ReadAllText(Path.Combine(thread, file));
        }
        catch (IOException)
        {
            // A thread of the pool that ended in between.
            return null;
        }
    }

    private async Task<bool> IsReadyAsync()
    {
        try
        {
            using HttpResponseMessage response = await _http.GetAsync(new Uri("/health/ready", UriKind.Relative));
            return response.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }
}
