using System.Globalization;
using System.Text.Json;
using Microsoft.Playwright;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd.Page;

/// <summary>
/// The page of a fleet of 100,000 VMs of 8 vCPUs, one fifth of them hung: how much it receives, and whether it keeps up.
/// </summary>
[Collection(nameof(Alone))]
public sealed class LargeFleetTests(Browser browser)
{
    private const int Reports = 10;
    private const double BytesPerSecondMax = 1e6;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(180);

    [Fact]
    public async Task A_hundred_thousand_vms_stay_below_a_megabyte_a_second_and_the_page_answers()
    {
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            PageFleet.Settings(
                start: "2^31",
                ("Soak__Fleet__0__Vms", "20000"),
                ("Soak__Fleet__0__Vcpus", "8"),
                ("Soak__Fleet__1__Vms", "80000"),
                ("Soak__Fleet__1__Vcpus", "8"),
                ("Soak__DutyCycle", "1"),
                ("Soak__SliceTicks", "4096"),
                ("Soak__IncidentsMax", "1000000")),
            TestContext.Current.CancellationToken);
        await using LivePage page = await browser.OpenAsync(soakHost.Address);
        await page.ExpectHungAsync("control", 160_000, Patience);

        // Every byte that the tab receives, as the browser's network layer counts them, over some reports.
        ICDPSession network = await page.Page.Context.NewCDPSessionAsync(page.Page);
        double bytes = 0;
        network.Event("Network.dataReceived").OnEvent += (_, data) => bytes += Number(data, "dataLength");
        network.Event("Network.responseReceived").OnEvent += (_, data) =>
            bytes += data is { } given ? Number(given.GetProperty("response"), "encodedDataLength") : 0;
        await network.SendAsync("Network.enable");
        long start = TimeProvider.System.GetTimestamp();
        double longest = await page.Page.EvaluateAsync<double>(
            """
            async reports => {
              let longest = 0;
              const observer = new PerformanceObserver(list => list.getEntries().forEach(task => longest = Math.max(longest, task.duration)));
              observer.observe({ type: 'longtask' });
              const time = document.querySelector('#run [data-part=uptime]');
              for (let seen = 0; seen < reports; seen++)
                await new Promise(resolve => new MutationObserver((_, watch) => (watch.disconnect(), resolve())).observe(time, { subtree: true, childList: true, characterData: true }));
              return longest;
            }
            """,
            Reports);
        double seconds = TimeProvider.System.GetElapsedTime(start).TotalSeconds;
        TestContext.Current.TestOutputHelper?.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{bytes / seconds:N0} bytes a second over {seconds:N1} s; longest task of the page {longest:N0} ms"));
        Assert.InRange(bytes / seconds, 1, BytesPerSecondMax);

        // It still answers: the heat map by keyboard and the newest incident by mouse.
        await page.HeatMap("healthy").FocusAsync();
        await page.Page.Keyboard.PressAsync("End");
        await Assertions.Expect(page.Page.Locator("#heatmap [data-part=readout]")).ToContainTextAsync("79,999");
        await page.HeatMap("control").FocusAsync();
        await page.Page.Keyboard.PressAsync("h");
        await Assertions.Expect(page.Page.Locator("#heatmap [data-part=readout]")).ToContainTextAsync("hung");
        await page.OpenGroupAsync("control");
        await page.Incidents.First.GetByRole(AriaRole.Link).ClickAsync();
        await Assertions
            .Expect(page.Timeline.Locator("[data-part=conclusion]"))
            .ToBeVisibleAsync(new() { Timeout = LivePage.Ms(Patience) });
        await page.Page.Keyboard.PressAsync("Escape");
        await Assertions.Expect(page.Timeline).ToBeHiddenAsync();

        // And any hung cell's incident, once it is recorded: the first ones are in each report, and of those at the end some may
        // be among the newest, but not a whole row of cells away from there.
        foreach (string place in (string[])["End", "PageUp", "Home", "PageDown"])
        {
            await page.HeatMap("control").FocusAsync();
            await page.Page.Keyboard.PressAsync(place);
            await Poll.UntilAsync(
                async () =>
                {
                    await page.Page.Keyboard.PressAsync("Enter");
                    return await page.Timeline.IsVisibleAsync();
                },
                Patience,
                () => $"{place}: no timeline",
                TestContext.Current.CancellationToken);
            await Assertions
                .Expect(page.Timeline.Locator("[data-part=conclusion]"))
                .ToBeVisibleAsync(new() { Timeout = LivePage.Ms(Patience) });
            await page.Page.Keyboard.PressAsync("Escape");
            await Assertions.Expect(page.Timeline).ToBeHiddenAsync();
        }

        Directory.CreateDirectory(Repository.Artifacts);
        await page.WritePictureAsync("page-100000-vms.png");
        page.AssertNoFaults();
    }

    private static double Number(JsonElement? data, string key) => data?.GetProperty(key).GetDouble() ?? 0;
}
