using System.Net.Http.Json;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace SoakHost.EndToEnd.Harness;

/// <summary>
/// A real Alertmanager with deploy/alertmanager's own file, in which only addresses and intervals are replaced.
/// </summary>
public sealed partial class AlertmanagerServer : IAsyncDisposable
{
    private readonly Server _server;
    private readonly HttpClient _http;

    private AlertmanagerServer(Server server, Uri address)
    {
        _server = server;
        Address = address;
        _http = new() { BaseAddress = address };
    }

    public Uri Address { get; }

    /// <summary>An alert that Alertmanager holds; <see cref="State"/> is <c>active</c> or <c>suppressed</c>.</summary>
    public sealed record Alert(
        string Name,
        IReadOnlyDictionary<string, string> Labels,
        string State,
        IReadOnlyList<string> Receivers);

    /// <summary>
    /// Starts it, delivering every page to <paramref name="webhook"/> within a second, and waits until it is ready.
    /// </summary>
    public static async Task<AlertmanagerServer> StartAsync(Uri webhook, CancellationToken cancellationToken)
    {
        var folder = Server.NewFolder();
        var deployed = await File.ReadAllTextAsync(
            Path.Combine(Repository.Deploy, "alertmanager", "alertmanager.yml"), cancellationToken);
        var configuration = new Replacement(GroupInterval().Replace(deployed, "$1: 1s"))
            .Replace("http://soakhost:8080/api/v1/alerts", webhook.ToString());
        await File.WriteAllTextAsync(Path.Combine(folder, "alertmanager.yml"), configuration.Text, cancellationToken);

        Uri address = new($"http://127.0.0.1:{Server.FreePort()}");
        var server = Server.Start(
            "prometheus-alertmanager",
            [
                $"--config.file={folder}/alertmanager.yml",
                $"--storage.path={folder}/data",
                $"--web.listen-address={address.Authority}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ],
            folder);
        AlertmanagerServer alertmanager = new(server, address);
        try
        {
            await server.WaitUntilReadyAsync(alertmanager._http, new(address, "/-/ready"), cancellationToken);
            return alertmanager;
        }
        catch
        {
            await alertmanager.DisposeAsync();
            throw;
        }
    }

    /// <summary>Hands in alerts as Prometheus would, each given by its labels.</summary>
    public async Task PostAsync(IEnumerable<IReadOnlyDictionary<string, string>> alerts, CancellationToken cancellationToken)
    {
        using var response = await _http.PostAsJsonAsync(
            new Uri("/api/v2/alerts", UriKind.Relative), alerts.Select(labels => new { labels }), cancellationToken);
        response.EnsureSuccessStatusCode();
    }

    /// <summary>The alerts it holds, inhibited ones too.</summary>
    public async Task<IReadOnlyList<Alert>> AlertsAsync(CancellationToken cancellationToken)
    {
        await using var body = await _http.GetStreamAsync(new Uri("/api/v2/alerts", UriKind.Relative), cancellationToken);
        using var answer = await JsonDocument.ParseAsync(body, cancellationToken: cancellationToken);
        return [.. answer.RootElement.EnumerateArray().Select(Read)];

        static Alert Read(JsonElement alert)
        {
            var labels = alert.GetProperty("labels").Deserialize<Dictionary<string, string>>()!;
            return new(
                labels["alertname"],
                labels,
                alert.GetProperty("status").GetProperty("state").GetString()!,
                [.. alert.GetProperty("receivers").EnumerateArray().Select(receiver => receiver.GetProperty("name").GetString()!)]
            );
        }
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _server.DisposeAsync();
    }

    [GeneratedRegex(@"(group_wait|group_interval): \d+[sm]")]
    private static partial Regex GroupInterval();
}
