using System.Text.Json;
using Deque.AxeCore.Commons;
using Deque.AxeCore.Playwright;
using Microsoft.Playwright;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd.Page;

/// <summary>
/// The page and its dialogs checked by axe, in light, in dark and at phone width, with a picture of each in artifacts/.
/// <c>SOAKHOST_WRITE_SCREENSHOT=1</c> also writes the README's picture.
/// </summary>
public sealed class AccessibilityTests(Browser browser)
{
    // A README's picture needs more of a history than a test.
    private const int SamplesInPicture = 20;
    private const int Samples = 2;
    private const int Margin = 16;
    private static readonly string ReadmePicture = Path.Combine(Repository.Root, "tests/EndToEnd/Page/live-page.png");
    private static readonly TimeSpan Shown = TimeSpan.FromSeconds(120);

    private static bool WritesPicture => Environment.GetEnvironmentVariable("SOAKHOST_WRITE_SCREENSHOT") == "1";

    [Fact]
    public async Task The_default_fleets_page_is_accessible_in_light_in_dark_and_on_a_phone()
    {
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            WritesPicture ? new Dictionary<string, string>() : SoonAtTheBoundary(),
            TestContext.Current.CancellationToken);
        await CheckAsync(
            soakHost.Address,
            "light",
            new()
            {
                ColorScheme = ColorScheme.Light,
                ViewportSize = new() { Width = 1280, Height = 900 },
            });
        await CheckAsync(
            soakHost.Address,
            "dark",
            new()
            {
                ColorScheme = ColorScheme.Dark,
                ViewportSize = new() { Width = 1280, Height = 900 },
            });
        await CheckAsync(
            soakHost.Address,
            "phone",
            new()
            {
                ColorScheme = ColorScheme.Light,
                ReducedMotion = ReducedMotion.Reduce,
                IsMobile = true,
                HasTouch = true,
                DeviceScaleFactor = 2,
                ViewportSize = new() { Width = 360, Height = 740 },
            });
    }

    /// <summary>The default fleet near its boundary, at a speed that leaves the processors to the browser.</summary>
    private static Dictionary<string, string> SoonAtTheBoundary()
    {
        string file = Path.Combine(Repository.Root, "src/SoakHost/appsettings.json");
        using var settings = JsonDocument.Parse(File.ReadAllText(file));
        int cohorts = settings.RootElement.GetProperty("Soak").GetProperty("Fleet").GetArrayLength();
        return Enumerable.Range(0, cohorts).Select(cohort => ($"Soak__Fleet__{cohort}__InvalidateSeqStart", "2^31-100"))
            .Append(("Soak__DutyCycle", "0.1")).ToDictionary();
    }

    private async Task CheckAsync(Uri service, string name, BrowserNewContextOptions options)
    {
        await using LivePage page = await browser.OpenAsync(service, options);
        await page.ExpectVerdictAsync("PASS", Shown);
        await page.Group("control").WaitForAsync(new() { Timeout = LivePage.Ms(Shown) });
        await page.Page.WaitForFunctionAsync(
            "count => document.querySelector('[data-part=sparkline] polyline').points.numberOfItems >= count",
            name == "light" && WritesPicture ? SamplesInPicture : Samples,
            new() { Timeout = LivePage.Ms(Shown) });
        if (name == "light" && WritesPicture)
            await WriteReadmePictureAsync(page);

        // The default fleet's cohorts are rows of a table, each of which opens a card.
        await page.Row("control").GetByRole(AriaRole.Button, new() { Name = "control" }).ClickAsync();
        await page.OpenGroupAsync("control");
        await Assertions.Expect(page.Incidents.First).ToBeVisibleAsync();
        await AssertAccessibleAsync(page, name);
        await AssertNoWiderThanTheScreenAsync(page, name);
        Directory.CreateDirectory(Repository.Artifacts);
        await page.WritePictureAsync($"page-{name}.png");
        await page.Incidents.First.GetByRole(AriaRole.Link).ClickAsync();
        await Assertions
            .Expect(page.Timeline.Locator("[data-part=conclusion]"))
            .ToBeVisibleAsync(new() { Timeout = LivePage.Ms(Shown) });
        await AssertAccessibleAsync(page, $"{name}, with a timeline");
        await AssertNoWiderThanTheScreenAsync(page, $"{name}, with a timeline");
        await page.WritePictureAsync($"page-{name}-timeline.png", isWhole: false);
        await page.Page.Keyboard.PressAsync("Escape");
        await Assertions.Expect(page.Timeline).ToBeHiddenAsync();

        await page.Card("control").GetByRole(AriaRole.Button, new() { Name = "Live-migrate" }).ClickAsync();
        await Assertions.Expect(page.Page.GetByRole(AriaRole.Dialog, new() { Name = "Live-migrate control" })).ToBeVisibleAsync();
        await AssertAccessibleAsync(page, $"{name}, with an intervention");
        await page.WritePictureAsync($"page-{name}-intervention.png", isWhole: false);
        page.AssertNoFaults();
    }

    /// <summary>From the top to the end of the heat map.</summary>
    private static async Task WriteReadmePictureAsync(LivePage page)
    {
        LocatorBoundingBoxResult map = (await page.Page.Locator("#heatmap").BoundingBoxAsync())!;
        await page.Page.ScreenshotAsync(new()
        {
            Path = ReadmePicture,
            FullPage = true,
            Clip = new() { X = 0, Y = 0, Width = page.Page.ViewportSize!.Width, Height = map.Y + map.Height + Margin },
        });
    }

    private static async Task AssertAccessibleAsync(LivePage page, string what)
    {
        AxeResult found = await page.Page.RunAxe();
        Assert.True(
            found.Violations.Length == 0,
            $"{what}:\n{string.Join('\n', found.Violations.Select(Describe))}");
    }

    private static string Describe(AxeResultItem violation) =>
        $"{violation.Id} ({violation.Impact}): {violation.Help}\n  "
        + string.Join("\n  ", violation.Nodes.Select(node =>
            $"{node.Html} {string.Join(' ', node.Any.Select(check => check.Message))}"));

    private static async Task AssertNoWiderThanTheScreenAsync(LivePage page, string what)
    {
        int[] widths = await page.Page.EvaluateAsync<int[]>(
            "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]");
        Assert.True(widths[0] <= widths[1], $"{what}: {widths[0]} px wide on a screen of {widths[1]}");
    }
}
