using Microsoft.Playwright;
using Xunit;

namespace SoakHost.EndToEnd.Harness;

/// <summary>
/// Debian's chromium, headless, with a temporary profile. Playwright's driver comes with its package; no browser is downloaded.
/// Both end with the tests, even if those are killed: the driver when its standard input closes, the browser with the driver.
/// </summary>
public sealed class Browser : IAsyncLifetime
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

    private IPlaywright _playwright = null!;
    private IBrowser _browser = null!;

    public async ValueTask InitializeAsync()
    {
        _playwright = await Playwright.CreateAsync();
        _browser = await _playwright.Chromium.LaunchAsync(new() { ExecutablePath = Program, Args = Arguments, Headless = true });
    }

    /// <summary>Opens a service's page with an empty profile.</summary>
    /// <param name="service">Its address.</param>
    /// <param name="options">The device.</param>
    /// <param name="isHidden">
    /// Whether the tab is hidden behind another one, which a headless browser has to be made to believe.
    /// </param>
    public async Task<LivePage> OpenAsync(Uri service, BrowserNewContextOptions? options = null, bool isHidden = false)
    {
        var context = await _browser.NewContextAsync(options);
        if (isHidden)
            await context.AddInitScriptAsync(
                "Object.defineProperty(Document.prototype, 'hidden', { get: () => true }); requestAnimationFrame = () => 1;");
        var page = new LivePage(service, context, await context.NewPageAsync());
        await page.Page.GotoAsync(service.ToString());
        return page;
    }

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null)
            await _browser.DisposeAsync();
        _playwright?.Dispose();
    }
}
