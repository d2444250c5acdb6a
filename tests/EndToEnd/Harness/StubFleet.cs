using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using SoakHost.Shared;

namespace SoakHost.EndToEnd.Harness;

/// <summary>
/// Stands in for the service: answers <c>/metrics</c> with a text that a test may change, and receives pages. Beside a real
/// service it is the webhook alone.
/// </summary>
public sealed partial class StubFleet : IAsyncDisposable
{
    private readonly WebApplication _application;
    private readonly ConcurrentQueue<Page> _pages = new();
    private readonly HttpClient _http = LoopbackClient.Create();
    private int _scrapes;

    private StubFleet(WebApplication application) => _application = application;

    /// <summary>One alert of one notification, as Alertmanager delivered it.</summary>
    public sealed record Page(
        string Receiver,
        string Status,
        IReadOnlyDictionary<string, string> Labels,
        IReadOnlyDictionary<string, string> Annotations)
    {
        public string Name => Labels["alertname"];
    }

    /// <summary>Base address, to be scraped.</summary>
    public Uri Address => new(_application.Urls.Single());

    /// <summary>Where Alertmanager is to deliver.</summary>
    public Uri Webhook => new(Address, "/api/v1/alerts");

    /// <summary>
    /// What the next scrape gets, in Prometheus's text format. <c>7*n</c> stands for 7 times the number of the scrape, so that
    /// counters count, and <c>now-7</c> for the time 7 seconds ago.
    /// </summary>
    public string Exposition { get; set; } = "";

    /// <summary>
    /// Who is to receive each notification too, as it came: the service's own webhook. One that this receiver does not take is
    /// refused here as well, so that Alertmanager sends it again.
    /// </summary>
    public Uri? RelayTo { get; set; }

    /// <summary>Every alert delivered so far, in order, repeated ones too.</summary>
    public IReadOnlyList<Page> Pages => [.. _pages];

    public static async Task<StubFleet> StartAsync(CancellationToken cancellationToken)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        WebApplication application = builder.Build();
        StubFleet fleet = new(application);
        application.MapGet("/metrics", () => Results.Text(fleet.NextScrape(), "text/plain; version=0.0.4"));
        application.MapPost("/api/v1/alerts", fleet.ReceiveAsync);
        await application.StartAsync(cancellationToken);
        return fleet;
    }

    /// <summary>What a scrape would get now, without counting as one.</summary>
    public string Render(int scrape)
    {
        long now = TimeProvider.System.GetUtcNow().ToUnixTimeSeconds();
        string counted = Counting().Replace(Exposition, number => Text(Number(number) * scrape));
        return Ago().Replace(counted, seconds => Text(now - Number(seconds)));

        static long Number(Match match) => long.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture);

        static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>Waits for an alert to be delivered, and returns it. Rules that share a name differ in <paramref name="scope"/>;
    /// the first <paramref name="after"/> of <see cref="Pages"/> do not count.</summary>
    public async Task<Page> WaitForPageAsync(
        string name, string status, TimeSpan limit, CancellationToken cancellationToken, string? scope = null, int after = 0)
    {
        Page? found = null;
        await Poll.UntilAsync(
            () => Task.FromResult((found = _pages.Skip(after).FirstOrDefault(IsMeant)) is not null),
            limit,
            () =>
                $"no {name} was delivered as {status} within {limit.TotalSeconds} s; delivered were:\n"
                    + $"{string.Join('\n', _pages)}",
            cancellationToken);
        return found!;

        bool IsMeant(Page page) =>
            page.Name == name && page.Status == status && (scope is null || page.Labels.GetValueOrDefault("scope") == scope);
    }

    public async ValueTask DisposeAsync()
    {
        await _application.DisposeAsync();
        _http.Dispose();
    }

    private string NextScrape() => Render(Interlocked.Increment(ref _scrapes));

    private async Task<IResult> ReceiveAsync(HttpRequest request)
    {
        CancellationToken cancellationToken = request.HttpContext.RequestAborted;
        using StreamContent body = new(request.Body);
        byte[] bytes = await body.ReadAsByteArrayAsync(cancellationToken);
        if (RelayTo is { } next && !await IsTakenAsync(next, bytes, request.ContentType!, cancellationToken))
            return Results.StatusCode(StatusCodes.Status502BadGateway);
        using var notification = JsonDocument.Parse(bytes);
        string receiver = notification.RootElement.GetProperty("receiver").GetString()!;
        foreach (JsonElement alert in notification.RootElement.GetProperty("alerts").EnumerateArray())
            _pages.Enqueue(
                new(receiver, alert.GetProperty("status").GetString()!, Map(alert, "labels"), Map(alert, "annotations")));
        return Results.Ok();

        static Dictionary<string, string> Map(JsonElement alert, string part) =>
            alert.GetProperty(part).Deserialize<Dictionary<string, string>>()!;
    }

    private async Task<bool> IsTakenAsync(Uri next, byte[] notification, string type, CancellationToken cancellationToken)
    {
        using ByteArrayContent content = new(notification);
        content.Headers.ContentType = MediaTypeHeaderValue.Parse(type);
        try
        {
            using HttpResponseMessage response = await _http.PostAsync(next, content, cancellationToken);
            return response.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    [GeneratedRegex(@"\b(\d+)\*n\b")]
    private static partial Regex Counting();

    [GeneratedRegex(@"\bnow-(\d+)\b")]
    private static partial Regex Ago();
}
