using System.Text.Json.Nodes;

namespace SoakHost.EndToEnd.Harness;

/// <summary>
/// The real service's page, which is told the reports that a test makes up instead of the service's: states that take a real
/// fleet hours, or a defect, are a report away. Everything else that the page asks for comes from the service, unless the test
/// answers it.
/// </summary>
public sealed class ReportedPage : IAsyncDisposable
{
    // In the place of the browser's connection to /api/v1/fleet/stream.
    private const string Stub =
        """
        window.EventSource = class extends EventTarget {
          static CLOSED = 2;
          readyState = 1;
          constructor() { super(); window.stubbedStream = this; }
          close() { this.readyState = 2; }
          tell(report) { this.dispatchEvent(new MessageEvent('fleet', { data: report })); }
        };
        """;

    private ReportedPage(LivePage live) => Live = live;

    /// <summary>The page.</summary>
    public LivePage Live { get; }

    /// <summary>Opens it, with no report yet.</summary>
    /// <param name="browser">The browser.</param>
    /// <param name="service">The service's address.</param>
    /// <param name="width">Of the window, in pixels.</param>
    public static async Task<ReportedPage> OpenAsync(Browser browser, Uri service, int width = 1280)
    {
        ReportedPage page = new(await browser.OpenAsync(
            service,
            new() { ViewportSize = new() { Width = width, Height = 850 }, TimezoneId = "UTC", Locale = "en-GB" },
            script: Stub));
        await page.Live.Page.WaitForFunctionAsync("() => window.stubbedStream");
        return page;
    }

    /// <summary>Tells the page a report, and waits until it is drawn.</summary>
    public Task TellAsync(JsonNode report) => Live.Page.EvaluateAsync(
        """
        async report => {
          stubbedStream.tell(report);
          for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
        }
        """,
        report.ToJsonString());

    /// <summary>The connection breaks.</summary>
    public Task LoseAsync() => Live.Page.EvaluateAsync("stubbedStream.dispatchEvent(new Event('error'))");

    /// <summary>Answers one of the page's questions, in the service's place.</summary>
    public Task AnswerAsync(string path, string body) => Live.Page.RouteAsync(
        $"**/api/v1/{path}", route => route.FulfillAsync(new() { ContentType = "application/json", Body = body }));

    public ValueTask DisposeAsync() => Live.DisposeAsync();
}
