using System.Globalization;
using System.Text.Json;

namespace SoakHost.EndToEnd.Harness;

/// <summary>A real Prometheus with deploy/prometheus's own files, in which only addresses and intervals are replaced.</summary>
public sealed class PrometheusServer : IAsyncDisposable
{
    private readonly Server _server;
    private readonly HttpClient _http;

    private PrometheusServer(Server server, Uri address)
    {
        _server = server;
        Address = address;
        _http = new() { BaseAddress = address };
    }

    public Uri Address { get; }

    /// <summary>One element of an instant vector; a scalar has no labels.</summary>
    public sealed record Sample(IReadOnlyDictionary<string, string> Labels, double Value);

    /// <summary>A rule as Prometheus sees it; <see cref="Health"/> is <c>ok</c> once it was evaluated without error.</summary>
    public sealed record Rule(string Name, string Type, string Query, string Health, string LastError);

    /// <summary>Starts it, scraping <paramref name="soakHost"/> once a second, and waits until it is ready.</summary>
    public static async Task<PrometheusServer> StartAsync(Uri soakHost, Uri alertmanager, CancellationToken cancellationToken)
    {
        string folder = Server.NewFolder();
        string deployed = Path.Combine(Repository.Deploy, "prometheus");
        Directory.CreateDirectory(Path.Combine(folder, "rules"));
        foreach (string file in Directory.GetFiles(Path.Combine(deployed, "rules")))
            File.Copy(file, Path.Combine(folder, "rules", Path.GetFileName(file)));
        Replacement configuration = new Replacement(
            await File.ReadAllTextAsync(Path.Combine(deployed, "prometheus.yml"), cancellationToken))
            .Replace("soakhost:8081", soakHost.Authority)
            .Replace("alertmanager:9093", alertmanager.Authority)
            .Replace("scrape_interval: 5s", "scrape_interval: 1s")
            .Replace("scrape_timeout: 4s", "scrape_timeout: 1s")
            .Replace("evaluation_interval: 5s", "evaluation_interval: 1s");
        await File.WriteAllTextAsync(Path.Combine(folder, "prometheus.yml"), configuration.Text, cancellationToken);

        Uri address = new($"http://127.0.0.1:{Server.FreePort()}");
        var server = Server.Start(
            "prometheus",
            [
                $"--config.file={folder}/prometheus.yml",
                $"--storage.tsdb.path={folder}/data",
                $"--web.listen-address={address.Authority}",
                // What fires before Alertmanager is discovered, which takes seconds, is dropped until it is sent again.
                "--rules.alert.resend-delay=1s",
                "--log.level=warn",
            ],
            folder);
        PrometheusServer prometheus = new(server, address);
        try
        {
            await server.WaitUntilReadyAsync(prometheus._http, new(address, "/-/ready"), cancellationToken);
            return prometheus;
        }
        catch
        {
            await prometheus.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs an instant query.</summary>
    /// <exception cref="InvalidOperationException">Prometheus refused the query; the message has its reason.</exception>
    public async Task<IReadOnlyList<Sample>> QueryAsync(string expression, CancellationToken cancellationToken)
    {
        using FormUrlEncodedContent form = new([new("query", expression)]);
        using HttpResponseMessage response = await _http.PostAsync(
            new Uri("/api/v1/query", UriKind.Relative),
            form,
            cancellationToken);
        using JsonDocument answer = await JsonDocument.ParseAsync(
            await response.Content.ReadAsStreamAsync(cancellationToken), cancellationToken: cancellationToken);
        if (answer.RootElement.GetProperty("status").GetString() != "success")
            throw new InvalidOperationException($"{answer.RootElement.GetProperty("error").GetString()}\nin {expression}");
        JsonElement data = answer.RootElement.GetProperty("data");
        return data.GetProperty("resultType").GetString() == "scalar"
            ? [new(new Dictionary<string, string>(), Number(data.GetProperty("result")))]
            : [.. data.GetProperty("result").EnumerateArray().Select(Element)];

        static Sample Element(JsonElement element) =>
            new(element.GetProperty("metric").Deserialize<Dictionary<string, string>>()!, Number(element.GetProperty("value")));

        static double Number(JsonElement timeAndValue) => timeAndValue[1].GetString() switch
        {
            "+Inf" => double.PositiveInfinity,
            "-Inf" => double.NegativeInfinity,
            var number => double.Parse(number!, CultureInfo.InvariantCulture),
        };
    }

    /// <summary>Every rule of every group, in the order of the files.</summary>
    public async Task<IReadOnlyList<Rule>> RulesAsync(CancellationToken cancellationToken)
    {
        await using Stream body = await _http.GetStreamAsync(new Uri("/api/v1/rules", UriKind.Relative), cancellationToken);
        using JsonDocument answer = await JsonDocument.ParseAsync(body, cancellationToken: cancellationToken);
        return
        [
            .. from rules in answer.RootElement.GetProperty("data").GetProperty("groups").EnumerateArray()
               from rule in rules.GetProperty("rules").EnumerateArray()
               select new Rule(
                   rule.GetProperty("name").GetString()!,
                   rule.GetProperty("type").GetString()!,
                   rule.GetProperty("query").GetString()!,
                   rule.GetProperty("health").GetString()!,
                   rule.TryGetProperty("lastError", out JsonElement error) ? error.GetString()! : ""),
        ];
    }

    /// <summary>Waits until <paramref name="expression"/> returns at least one element.</summary>
    public Task WaitForAsync(string expression, TimeSpan limit, CancellationToken cancellationToken) =>
        Poll.UntilAsync(
            async () => (await QueryAsync(expression, cancellationToken)).Count > 0,
            limit,
            () => $"{expression} returned nothing within {limit.TotalSeconds} s; Prometheus said:\n{_server.Output}",
            cancellationToken);

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _server.DisposeAsync();
    }
}
