using Microsoft.Playwright;
using SoakHost.EndToEnd.Harness;
using Xunit;

[assembly: AssemblyFixture(typeof(Browser))]

namespace SoakHost.EndToEnd.Harness;

/// <summary>
/// Debian's chromium, headless, one for all tests, each with an empty profile; started when the first test opens a page.
/// Playwright's driver comes with its package; no browser is downloaded. Both end with the tests, even if those are killed: the
/// driver when its standard input closes, the browser with the driver.
/// </summary>
public sealed class Browser : IAsyncDisposable
{
    private const string Program = "/usr/bin/chromium";

    // The sandbox needs what a container does not give, and the rest keeps it from asking anybody but the service for anything.
    private static readonly string[] Arguments =
    [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ];

    // Playwright's own 5 s are few where other tests and other users run beside this.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly Lazy<Task<(IPlaywright Playwright, IBrowser Browser)>> _started = new(StartAsync);

    /// <summary>Starts it, where seconds count afterwards.</summary>
    public Task ReadyAsync() => _started.Value;

    /// <summary>Opens a service's page with an empty profile.</summary>
    /// <param name="service">Its address.</param>
    /// <param name="options">The device.</param>
    /// <param name="isHidden">
    /// Whether the tab is hidden behind another one, which a headless browser has to be made to believe.
    /// </param>
    /// <param name="script">Runs before the page's own scripts.</param>
    public async Task<LivePage> OpenAsync(
        Uri service, BrowserNewContextOptions? options = null, bool isHidden = false, string? script = null)
    {
        IBrowserContext context = await (await _started.Value).Browser.NewContextAsync(options);
        if (script is not null)
            await context.AddInitScriptAsync(script);
        if (isHidden)
            await context.AddInitScriptAsync(
                "Object.defineProperty(Document.prototype, 'hidden', { get: () => true }); requestAnimationFrame = () => 1;");
        var page = new LivePage(service, context, await context.NewPageAsync());
        await page.Page.GotoAsync(service.ToString());
        return page;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_started.IsValueCreated)
            return;
        (IPlaywright playwright, IBrowser browser) = await _started.Value;
        await browser.DisposeAsync();
        playwright.Dispose();
    }

    private static async Task<(IPlaywright Playwright, IBrowser Browser)> StartAsync()
    {
        Assertions.SetDefaultExpectTimeout(LivePage.Ms(Patience));
        IPlaywright playwright = await Playwright.CreateAsync();
        try
        {
            return (
                playwright,
                await playwright.Chromium.LaunchAsync(new() { ExecutablePath = Program, Args = Arguments, Headless = true }));
        }
        catch
        {
            playwright.Dispose();
            throw;
        }
    }
}
