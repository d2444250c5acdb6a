using System.Text.RegularExpressions;
using Microsoft.Playwright;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd.Page;

/// <summary>What the live page makes of a fleet, a service and answers that are not as they were.</summary>
public sealed partial class ChangePageTests(Browser browser)
{
    // Some reports of the watchdog, on a machine that others use too.
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan HungWithin = TimeSpan.FromSeconds(90);

    [Fact]
    public async Task The_keyboard_stays_on_the_map_of_a_cohort_that_shrinks_and_a_cohort_without_cells_has_none()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(PageFleet.Settings(start: "2^31-100"), stop);
        await using LivePage page = await browser.OpenAsync(soakHost.Address);
        ILocator readout = page.Page.Locator("#heatmap [data-part=readout]");
        await page.ExpectHungAsync("control", 64, HungWithin);
        await page.HeatMap("healthy").FocusAsync();
        await page.Page.Keyboard.PressAsync("End");
        await Assertions.Expect(readout).ToContainTextAsync("healthy: VM 15, vCPU 3");
        await soakHost.InterveneAsync("/healthy/resize", new { vms = 2 }, stop);
        await Assertions
            .Expect(page.Card("healthy").Locator("[data-part=size]"))
            .ToHaveTextAsync("2 VMs, 8 vCPUs", new() { Timeout = LivePage.Ms(Soon) });
        await page.Page.Keyboard.PressAsync("ArrowLeft");
        await Assertions.Expect(readout).ToContainTextAsync("healthy: VM 0, vCPU 3");
        page.AssertNoFaults();

        // The report outside the stream has no cells, like a report in the stream that does not know the state of every vCPU.
        string report = await page.Page.EvaluateAsync<string>(
            "async () => JSON.stringify(await (await fetch('api/v1/fleet')).json())");
        await page.Page.RouteAsync(
            "**/api/v1/fleet/stream",
            route => route.FulfillAsync(new() { ContentType = "text/event-stream", Body = $"event: fleet\ndata: {report}\n\n" }));
        await page.Page.ReloadAsync();
        await Assertions
            .Expect(page.Page.GetByText("No map: the state of some vCPUs is unknown"))
            .ToHaveCountAsync(2, new() { Timeout = LivePage.Ms(Soon) });
        await Assertions.Expect(page.Page.GetByText("No map: the state of some vCPUs is unknown").First).ToBeVisibleAsync();
        await Assertions.Expect(page.HeatMap("healthy")).ToBeHiddenAsync();
    }

    [Fact]
    public async Task A_page_whose_service_goes_away_says_so_and_reconnects_by_itself()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        int port = Server.FreePort();
        await using SoakHostServer first = await SoakHostServer.StartAsync(PageFleet.Settings(start: "2^31-100"), stop, port);
        await using LivePage page = await browser.OpenAsync(first.Address);
        await page.ExpectVerdictAsync("PASS", HungWithin);
        await page.Filter.SelectOptionAsync("control");
        await using LivePage hidden = await browser.OpenAsync(first.Address, isHidden: true);
        await Assertions.Expect(hidden.Page).ToHaveTitleAsync(Passes(), new() { Timeout = LivePage.Ms(Soon) });

        await first.DisposeAsync();
        await page.ExpectVerdictAsync("DISCONNECTED", Soon);
        await Assertions.Expect(page.Page.Locator("#verdict")).ToContainTextAsync("No report since");
        await Assertions.Expect(page.Page.Locator("#connection")).ToContainTextAsync("Disconnected");
        await Assertions.Expect(page.Page.Locator("#cohorts article button:enabled")).ToHaveCountAsync(0);
        await Assertions.Expect(hidden.Page).ToHaveTitleAsync(IsDisconnected(), new() { Timeout = LivePage.Ms(Soon) });

        await using SoakHostServer second = await SoakHostServer.StartAsync(PageFleet.Settings(start: "2^31-100"), stop, port);
        await page.ExpectVerdictAsync("PASS", HungWithin);
        await Assertions.Expect(page.Page.Locator("#connection")).ToContainTextAsync("the service was restarted");
        await Assertions.Expect(page.Page.Locator("#cohorts article button:disabled")).ToHaveCountAsync(0);
        page.AssertNoFaults(tolerated: Absence);

        // What one had chosen is as it was, and a tab that nobody looks at has it in its title.
        await Assertions.Expect(page.Filter).ToHaveValueAsync("control");
        await Assertions.Expect(hidden.Page).ToHaveTitleAsync(Passes(), new() { Timeout = LivePage.Ms(Soon) });
        hidden.AssertNoFaults(tolerated: Absence);
    }

    [Fact]
    public async Task An_overtaken_answer_is_not_shown_and_the_list_is_requested_again_even_if_nothing_happens()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            PageFleet.Settings(start: "2^31-100", ("Soak__Fleet__0__Vms", "4"), ("Soak__CheckpointInterval", "200ms")),
            stop);
        await using LivePage page = await browser.OpenAsync(soakHost.Address);
        await page.ExpectHungAsync("control", 16, HungWithin);
        await page.Group("control").WaitForAsync();
        await page.OpenGroupAsync("control");
        ILocator states = page.Incidents.Locator("[data-part=state]");
        string[] hung = [.. Enumerable.Repeat("hung", 16)];
        await Assertions.Expect(states).ToHaveTextAsync(hung, new() { Timeout = LivePage.Ms(Soon) });

        // The first question about the control waits for its answer until after the second one.
        TaskCompletionSource<IRoute> held = new();
        await page.Page.RouteAsync(
            "**/api/v1/incidents/groups?cohort=control",
            route => held.TrySetResult(route) ? Task.CompletedTask : route.ContinueAsync());
        await page.Filter.SelectOptionAsync("control");
        IRoute first = await held.Task.WaitAsync(Soon, stop);
        await page.Filter.SelectOptionAsync("");
        await page.Page.RunAndWaitForResponseAsync(
            () => page.Filter.SelectOptionAsync("control"),
            "**/api/v1/incidents/groups?cohort=control");
        await Assertions.Expect(states).ToHaveTextAsync(hung);
        await page.Page.RunAndWaitForResponseAsync(
            () => first.FulfillAsync(new() { ContentType = "application/json", Body = """{"groups":[]}""" }),
            response => response.Request == first.Request);
        await page.Page.EvaluateAsync("() => new Promise(resolve => setTimeout(resolve))");
        Assert.Equal(hung, await states.AllInnerTextsAsync());

        // Twice, since once it is asked again after a while because something had happened.
        for (int i = 0; i < 2; i++)
            await page.Page.WaitForResponseAsync("**/api/v1/incidents/groups*", new() { Timeout = LivePage.Ms(HungWithin) });
        page.AssertNoFaults();
    }

    [Fact]
    public async Task A_group_that_somebody_opens_stays_open_though_the_list_changes_at_that_moment()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            PageFleet.Settings(
                start: "2^31-100",
                ("Soak__Fleet__0__Vms", "4"),
                ("Soak__Fleet__1__Kernel", "linux-6.1"),
                ("Soak__Fleet__1__Expect", "hang"),
                ("Soak__Fleet__1__Vms", "4")),
            stop);
        await using LivePage page = await browser.OpenAsync(soakHost.Address);
        await page.Group("control").WaitForAsync(new() { Timeout = LivePage.Ms(HungWithin) });
        await page.Group("healthy").WaitForAsync(new() { Timeout = LivePage.Ms(HungWithin) });

        // The browser tells of a click on a summary later; what happens to another group shows the list anew before that.
        await page.Page.EvaluateAsync(
            """
            () => {
              const details = cohort => document.querySelector(`#incidents .group[data-cohort=${cohort}] details`);
              details('control').querySelector('summary').click();
              details('healthy').open = true;
              details('healthy').dispatchEvent(new Event('toggle'));
            }
            """);
        await Assertions
            .Expect(page.Incidents.And(page.Page.Locator("[data-cohort=control]")))
            .ToHaveCountAsync(16, new() { Timeout = LivePage.Ms(Soon) });
        await Assertions.Expect(page.Group("control").Locator("details")).ToHaveAttributeAsync("open", "");
        await Assertions.Expect(page.Group("healthy").Locator("details")).ToHaveAttributeAsync("open", "");
        page.AssertNoFaults();
    }

    // What the console says where there is no service.
    private static string[] Absence { get; } =
    [
        "net::ERR_CONNECTION_REFUSED",
        "net::ERR_INCOMPLETE_CHUNKED_ENCODING",
        "net::ERR_CONNECTION_RESET",
        "net::ERR_EMPTY_RESPONSE",
    ];

    [GeneratedRegex("^PASS")]
    private static partial Regex Passes();

    [GeneratedRegex("^DISCONNECTED")]
    private static partial Regex IsDisconnected();
}
