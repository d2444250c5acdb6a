using System.Net.Http.Json;
using System.Text.Json;
using SoakHost.Shared;
using Xunit;

namespace SoakHost.EndToEnd.Harness;

/// <summary>The real service, as it was built beside the tests, on a loopback port of its own.</summary>
public sealed class SoakHostServer : IAsyncDisposable
{
    private readonly Server _server;
    private readonly HttpClient _http = LoopbackClient.Create();

    private SoakHostServer(Server server, Uri address) => (_server, Address) = (server, address);

    /// <summary>Base address, for <see cref="Monitoring.StartAsync"/>.</summary>
    public Uri Address { get; }

    /// <summary>Where Alertmanager is to deliver when the service itself is to log the pages.</summary>
    public Uri Webhook => new(Address, "/api/v1/alerts");

    /// <summary>What it printed so far, on both streams; after it was disposed, all of it.</summary>
    public string Output => _server.Output;

    /// <summary>Its log so far, an object a line.</summary>
    public IReadOnlyList<JsonElement> Log =>
        [.. Output.Split('\n').Where(line => line.StartsWith('{')).Select(line => JsonElement.Parse(line))];

    /// <summary>The events of the log with this id.</summary>
    public IEnumerable<JsonElement> Events(int id) =>
        Log.Where(line => line.TryGetProperty("@i", out JsonElement found) && found.GetInt32() == id);

    /// <summary>
    /// Starts it and waits until <c>/health/ready</c> says yes. <paramref name="settings"/> are environment variables, such as
    /// <c>Soak__Fleet__1__Kernel</c> = <c>linux-6.1</c>. A <paramref name="port"/> of an earlier one makes this its restart.
    /// </summary>
    public static async Task<SoakHostServer> StartAsync(
        IReadOnlyDictionary<string, string> settings, CancellationToken cancellationToken, int? port = null)
    {
        Uri address = new($"http://127.0.0.1:{port ?? Server.FreePort()}");
        var environment = settings.ToDictionary();
        environment["Kestrel__Endpoints__Http__Url"] = address.ToString();
        SoakHostServer soakHost = new(
            Server.Start("dotnet", [Path.Combine(AppContext.BaseDirectory, "soakhost.dll")], Server.NewFolder(), environment),
            address);
        try
        {
            await soakHost._server.WaitUntilReadyAsync(soakHost._http, new(address, "/health/ready"), cancellationToken);
            return soakHost;
        }
        catch
        {
            await soakHost.DisposeAsync();
            throw;
        }
    }

    /// <summary>Its <c>/metrics</c>, for <see cref="MetricTable.DifferencesFrom"/>.</summary>
    public Task<string> MetricsAsync(CancellationToken cancellationToken) =>
        _http.GetStringAsync(new Uri(Address, "/metrics"), cancellationToken);

    /// <summary>Live-patches a cohort's kernel.</summary>
    public Task PatchAsync(string cohort, string kernel, CancellationToken cancellationToken) =>
        InterveneAsync($"/{cohort}/kernel", new { kernel }, cancellationToken);

    /// <summary>Does something to a cohort, or adds one, over the API.</summary>
    /// <param name="path">Below <c>/api/v1/cohorts</c>.</param>
    /// <param name="body">What is asked for.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async Task InterveneAsync(string path, object body, CancellationToken cancellationToken)
    {
        using HttpResponseMessage answer = await _http.PostAsJsonAsync(
            new Uri(Address, $"/api/v1/cohorts{path}"),
            body,
            cancellationToken);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync(cancellationToken));
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _server.DisposeAsync();
    }
}
