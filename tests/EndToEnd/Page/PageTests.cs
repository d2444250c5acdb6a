using System.Text.RegularExpressions;
using Microsoft.Playwright;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd.Page;

/// <summary>The browser and its fleet share the machine with no other test.</summary>
[CollectionDefinition(nameof(InABrowser), DisableParallelization = true)]
public sealed class InABrowser : ICollectionFixture<Browser>;

/// <summary>The live page in a real browser with the real service, used as a person would.</summary>
[Collection(nameof(InABrowser))]
public sealed partial class PageTests(Browser browser)
{
    // Some reports of the watchdog, on a machine that others use too.
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan HungWithin = TimeSpan.FromSeconds(90);

    [Fact]
    public async Task The_control_hangs_and_its_incident_opens_by_mouse_and_by_keyboard_and_its_command_reproduces_it()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            Fleet(start: "2^31-4_000_000", ("Soak__DutyCycle", "0.4")),
            stop);
        await using LivePage page = await browser.OpenAsync(soakHost.Address);

        // The page is there before the hang, and the hang comes to the page.
        await page.ExpectHungAsync("control", 0, Soon);
        await page.ExpectVerdictAsync("INCONCLUSIVE", Soon);
        await Assertions.Expect(page.HeatMap("control")).ToHaveAttributeAsync("data-hung", "0");
        await Assertions.Expect(page.Page.GetByText("No incidents yet.")).ToBeVisibleAsync();
        int[] healthy = await page.FirstCellAsync("control");
        await page.ExpectHungAsync("control", 64, HungWithin);
        await page.ExpectVerdictAsync("PASS", Soon);
        Assert.StartsWith("PASS", await page.Page.TitleAsync(), StringComparison.Ordinal);
        Assert.NotEqual(healthy, await page.FirstCellAsync("control"));
        Assert.Equal(healthy, await page.FirstCellAsync("healthy"));
        await page.HeatMap("control")
            .HoverAsync(
                new()
                {
                    Position = new() { X = 3, Y = 3 },
                });
        await Assertions
            .Expect(page.Page.GetByRole(AriaRole.Tooltip).Filter(new() { HasText = "control: VM 0, vCPU 0: hung" }))
            .ToBeVisibleAsync();

        // By mouse.
        await page.Incidents.First.GetByRole(AriaRole.Link).ClickAsync();
        (string? conclusion, string? command) = await ReadTimelineAsync(page);
        await Assertions
            .Expect(page.Timeline.GetByRole(AriaRole.Heading, new() { Name = "Reproduce on any machine with:" }))
            .ToBeVisibleAsync();
        await page.Timeline.GetByRole(AriaRole.Button, new() { Name = "Close" }).ClickAsync();
        await Assertions.Expect(page.Timeline).ToBeHiddenAsync();

        // By keyboard, from the heat map: the first hung vCPU, and back.
        await page.HeatMap("control").FocusAsync();
        await page.Page.Keyboard.PressAsync("Home");
        await page.Page.Keyboard.PressAsync("Enter");
        await ReadTimelineAsync(page);
        await Assertions
            .Expect(page.Timeline.GetByRole(AriaRole.Heading, new() { Name = "Hang in control: VM 0, vCPU 0" }))
            .ToBeVisibleAsync();
        await page.Page.Keyboard.PressAsync("Escape");
        await Assertions.Expect(page.Timeline).ToBeHiddenAsync();

        // And from the list.
        await page.Incidents.Last.GetByRole(AriaRole.Link).FocusAsync();
        await page.Page.Keyboard.PressAsync("Enter");
        await ReadTimelineAsync(page);
        page.AssertNoFaults();

        // The command needs neither the service nor its data.
        string[] words = command.Split(' ');
        Assert.Equal("soakhost", words[0]);
        Command.Outcome replayed = await Command.RunAsync(
            "dotnet",
            [Path.Combine(AppContext.BaseDirectory, "soakhost.dll"), .. words[1..]],
            stop);
        Assert.Equal(0, replayed.ExitCode);
        Assert.Contains(conclusion.TrimEnd('.'), Space().Replace(replayed.Output, " "), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_live_patch_in_the_page_recovers_every_vCPU_and_the_page_says_so()
    {
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            Fleet(start: "2^31-100", ("Soak__CheckpointInterval", "500ms")),
            TestContext.Current.CancellationToken);
        await using LivePage page = await browser.OpenAsync(soakHost.Address);
        await page.ExpectHungAsync("control", 64, HungWithin);
        int[] hung = await page.FirstCellAsync("control");

        // Nothing is done without a confirmation.
        ILocator patch = page
            .Page.GetByRole(AriaRole.Group, new() { Name = "Interventions on control" })
            .GetByRole(AriaRole.Button, new() { Name = "Patch kernel" });
        await patch.ClickAsync();
        ILocator dialog = page.Page.GetByRole(AriaRole.Dialog, new() { Name = "Patch the kernel of control" });
        await dialog.GetByRole(AriaRole.Button, new() { Name = "Cancel" }).ClickAsync();
        await Assertions.Expect(dialog).ToBeHiddenAsync();
        await patch.ClickAsync();
        await dialog.GetByLabel("Kernel", new() { Exact = true }).SelectOptionAsync("linux-6.1.y");
        await dialog.GetByRole(AriaRole.Button, new() { Name = "Patch kernel" }).ClickAsync();

        await page.ExpectHungAsync("control", 0, Soon);
        await Assertions.Expect(page.Card("control")).ToHaveAttributeAsync("data-kernel", "linux-6.1.y");
        await Assertions.Expect(page.HeatMap("control")).ToHaveAttributeAsync("data-hung", "0");
        await Assertions
            .Expect(page.Page.Locator("#status"))
            .ToContainTextAsync("64 hung vCPUs recovered", new() { Timeout = LivePage.Ms(Soon) });
        Assert.NotEqual(hung, await page.FirstCellAsync("control"));
        Assert.Equal(await page.FirstCellAsync("healthy"), await page.FirstCellAsync("control"));
        await Assertions
            .Expect(page.Incidents.First)
            .ToHaveAttributeAsync("data-state", "recovered", new() { Timeout = LivePage.Ms(Soon) });

        // The intervention is recorded in this machine's data directory only.
        await page.Incidents.First.GetByRole(AriaRole.Link).ClickAsync();
        await ReadTimelineAsync(page);
        await Assertions
            .Expect(page.Timeline.GetByRole(AriaRole.Heading, new() { Name = "Reproduce on this machine with:" }))
            .ToBeVisibleAsync();
        page.AssertNoFaults();
    }

    [Fact]
    public async Task Invalidations_are_paused_and_resumed_in_the_page_and_vms_are_migrated()
    {
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            Fleet(start: "2^31-100", ("Soak__Seed", "18446744073709551615")), TestContext.Current.CancellationToken);
        await using LivePage page = await browser.OpenAsync(soakHost.Address);
        await page.ExpectHungAsync("control", 64, HungWithin);
        await Assertions.Expect(page.Page.Locator("#run [data-part=seed]")).ToHaveTextAsync("18446744073709551615");
        await InterveneAsync("healthy", "Pause", "Pause invalidations");
        await Assertions
            .Expect(page.Card("healthy"))
            .ToHaveAttributeAsync("data-paused", "true", new() { Timeout = LivePage.Ms(Soon) });
        await InterveneAsync("healthy", "Resume", "Resume invalidations");
        await Assertions
            .Expect(page.Card("healthy"))
            .ToHaveAttributeAsync("data-paused", "false", new() { Timeout = LivePage.Ms(Soon) });
        await InterveneAsync("control", "Live-migrate", "Live-migrate");
        await page.ExpectHungAsync("control", 0, Soon);
        page.AssertNoFaults();

        async Task InterveneAsync(string cohort, string button, string confirmation)
        {
            await page.Card(cohort).GetByRole(AriaRole.Button, new() { Name = button }).ClickAsync();
            await page.Page.GetByRole(AriaRole.Dialog).GetByRole(AriaRole.Button, new() { Name = confirmation }).ClickAsync();
        }
    }

    [Fact]
    public async Task A_late_answer_to_an_intervention_does_not_touch_the_dialog_that_is_open_by_then()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(Fleet(start: "2^31-100"), stop);
        await using LivePage page = await browser.OpenAsync(soakHost.Address);
        await page.ExpectHungAsync("control", 64, HungWithin);
        ILocator dialog = page.Page.GetByRole(AriaRole.Dialog);
        ILocator status = page.Page.Locator("#status");
        await AnswerLateAsync(route =>
            route.FulfillAsync(
                new()
                {
                    Status = 409,
                    ContentType = "application/problem+json",
                    Body = """{"detail":"it has begun already"}""",
                }));
        await Assertions.Expect(status).ToContainTextAsync("Pause invalidations, healthy: it has begun already");
        await ExpectUntouchedAsync();
        await AnswerLateAsync(route => route.ContinueAsync());
        await Assertions
            .Expect(status)
            .ToContainTextAsync("Pause invalidations, healthy: takes effect at tick", new() { Timeout = LivePage.Ms(Soon) });
        await ExpectUntouchedAsync();
        page.AssertNoFaults(tolerated: ["409"]);

        async Task AnswerLateAsync(Func<IRoute, Task> answer)
        {
            TaskCompletionSource<IRoute> held = new();
            await page.Page.RouteAsync("**/api/v1/cohorts/healthy/pause", held.SetResult, new() { Times = 1 });
            await page.Card("healthy").GetByRole(AriaRole.Button, new() { Name = "Pause" }).ClickAsync();
            await dialog.GetByRole(AriaRole.Button, new() { Name = "Pause invalidations" }).ClickAsync();
            IRoute route = await held.Task.WaitAsync(Soon, stop);
            await dialog.GetByRole(AriaRole.Button, new() { Name = "Cancel" }).ClickAsync();
            await page.Card("control").GetByRole(AriaRole.Button, new() { Name = "Live-migrate" }).ClickAsync();
            await answer(route);
        }

        async Task ExpectUntouchedAsync()
        {
            await Assertions
                .Expect(dialog.GetByRole(AriaRole.Heading, new() { Name = "Live-migrate control" }))
                .ToBeVisibleAsync();
            await Assertions.Expect(dialog.GetByRole(AriaRole.Alert)).ToBeHiddenAsync();
            await Assertions.Expect(dialog.GetByRole(AriaRole.Button, new() { Name = "Live-migrate" })).ToBeEnabledAsync();
            await dialog.GetByRole(AriaRole.Button, new() { Name = "Cancel" }).ClickAsync();
        }
    }

    [Fact]
    public async Task The_keyboard_stays_on_the_map_of_a_cohort_that_shrinks_and_a_cohort_without_cells_has_none()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(Fleet(start: "2^31-100"), stop);
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
        await using SoakHostServer first = await SoakHostServer.StartAsync(Fleet(start: "2^31-100"), stop, port);
        await using LivePage page = await browser.OpenAsync(first.Address);
        await page.ExpectVerdictAsync("PASS", HungWithin);
        await page.Filter.SelectOptionAsync("control");
        await using LivePage hidden = await browser.OpenAsync(first.Address, isHidden: true);
        await Assertions.Expect(hidden.Page).ToHaveTitleAsync(Passes(), new() { Timeout = LivePage.Ms(Soon) });

        await first.DisposeAsync();
        await page.ExpectVerdictAsync("DISCONNECTED", Soon);
        await Assertions.Expect(page.Page.Locator("#verdict")).ToContainTextAsync("No report since");
        await Assertions.Expect(page.Page.Locator("#connection")).ToContainTextAsync("Disconnected");
        await Assertions.Expect(hidden.Page).ToHaveTitleAsync(IsDisconnected(), new() { Timeout = LivePage.Ms(Soon) });

        await using SoakHostServer second = await SoakHostServer.StartAsync(Fleet(start: "2^31-100"), stop, port);
        await page.ExpectVerdictAsync("PASS", HungWithin);
        await Assertions.Expect(page.Page.Locator("#connection")).ToContainTextAsync("the service was restarted");
        page.AssertNoFaults(tolerated: Absence);

        // What one had chosen is as it was, and a tab that nobody looks at has it in its title.
        await Assertions.Expect(page.Filter).ToHaveValueAsync("control");
        await Assertions.Expect(hidden.Page).ToHaveTitleAsync(Passes(), new() { Timeout = LivePage.Ms(Soon) });
        hidden.AssertNoFaults(tolerated: Absence);
    }

    [Fact]
    public async Task Interventions_require_the_right_token_and_the_page_asks_for_it_once()
    {
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            Fleet(start: "2^31-100", ("Soak__ApiToken", "correct-horse-battery")), TestContext.Current.CancellationToken);
        await using LivePage page = await browser.OpenAsync(soakHost.Address);
        await page.ExpectHungAsync("control", 64, HungWithin);
        ILocator pause = page.Card("control").GetByRole(AriaRole.Button, new() { Name = "Pause" });
        await page.Card("control").GetByRole(AriaRole.Button, new() { Name = "Live-migrate" }).ClickAsync();
        ILocator dialog = page.Page.GetByRole(AriaRole.Dialog);
        ILocator token = dialog.GetByLabel("Token");
        ILocator confirm = dialog.GetByRole(AriaRole.Button, new() { Name = "Live-migrate" });
        foreach (string wrong in (string[])["", "correct-horse-batteri"])
        {
            await token.FillAsync(wrong);
            await confirm.ClickAsync();
            await Assertions
                .Expect(dialog.GetByRole(AriaRole.Alert))
                .ToContainTextAsync("interventions need a token of Soak:ApiToken");
            await Assertions.Expect(token).ToBeFocusedAsync();
            await Assertions.Expect(token).ToHaveValueAsync("");
        }

        await token.FillAsync("correct-horse-battery");
        await confirm.ClickAsync();
        await Assertions.Expect(dialog).ToBeHiddenAsync();
        await page.ExpectHungAsync("control", 0, Soon);
        await pause.ClickAsync();
        await Assertions.Expect(token).ToBeHiddenAsync();
        await dialog.GetByRole(AriaRole.Button, new() { Name = "Pause invalidations" }).ClickAsync();
        await Assertions
            .Expect(page.Card("control"))
            .ToHaveAttributeAsync("data-paused", "true", new() { Timeout = LivePage.Ms(Soon) });
        page.AssertNoFaults(tolerated: ["401"]);
    }

    [Fact]
    public async Task A_cohort_that_is_added_and_removed_appears_and_disappears_and_its_incidents_stay()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            Fleet(start: "2^31-100", ("Soak__CheckpointInterval", "500ms")),
            stop);
        await using LivePage page = await browser.OpenAsync(soakHost.Address);
        await page.ExpectVerdictAsync("PASS", HungWithin);
        await soakHost.InterveneAsync(
            "",
            new
            {
                name = "late",
                kernel = "linux-6.1",
                vms = 4,
                invalidate_seq_start = "2^31-100",
            },
            stop);
        await page.ExpectHungAsync("late", 16, HungWithin);
        await page.ExpectVerdictAsync("VIOLATION", Soon);
        await page.Filter.SelectOptionAsync("late");
        await ExpectRowsAsync("late", 16, "unexpected");

        await soakHost.InterveneAsync("/late/remove", new { }, stop);
        await Assertions.Expect(page.Card("late")).ToHaveCountAsync(0, new() { Timeout = LivePage.Ms(Soon) });
        await Assertions
            .Expect(page.Page.Locator("#verdict [data-part=sentence]"))
            .ToHaveTextAsync("late (linux-6.1, removed): 16 vCPUs hung");
        await Assertions
            .Expect(page.Incidents.First.Locator("[data-part=state]"))
            .ToContainTextAsync("by remove at tick", new() { Timeout = LivePage.Ms(Soon) });
        await Assertions.Expect(page.Filter).ToHaveValueAsync("late");
        await ExpectRowsAsync("late", 16, "unexpected");
        await page.Filter.SelectOptionAsync("control");
        await ExpectRowsAsync("control", 20, "as expected");
        await page.Filter.SelectOptionAsync("");
        await ExpectRowsAsync("late", 16, "unexpected");
        await ExpectRowsAsync("control", 4, "as expected");
        await Assertions
            .Expect(page.Filter.GetByRole(AriaRole.Option))
            .ToHaveTextAsync(["all", "control", "healthy"], new() { Timeout = LivePage.Ms(Soon) });
        await page.ExpectVerdictAsync("VIOLATION", Soon);
        page.AssertNoFaults();

        Task ExpectRowsAsync(string cohort, int count, string expected) => Assertions.Expect(
            page.Page.Locator($"#incidents li[data-cohort={cohort}] [data-part=expected]"))
            .ToHaveTextAsync([.. Enumerable.Repeat(expected, count)], new() { Timeout = LivePage.Ms(Soon) });
    }

    [Fact]
    public async Task Incidents_of_an_earlier_run_are_not_mistaken_for_those_of_the_present_one()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        (string, string) data = ("Soak__DataDirectory", Server.NewFolder()),
            vms = ("Soak__Fleet__0__Vms", "2");
        await using (
            SoakHostServer earlier = await SoakHostServer.StartAsync(
                Fleet(start: "2^31-100", data, vms, ("Soak__CheckpointInterval", "200ms")),
                stop))
        {
            await using LivePage seen = await browser.OpenAsync(earlier.Address);
            await seen.ExpectHungAsync("control", 8, HungWithin);
            await Assertions.Expect(seen.Incidents.Locator("[data-part=state]")).ToHaveTextAsync(
                [.. Enumerable.Repeat("hung", 8)], new() { Timeout = LivePage.Ms(Soon) });
        }

        // Another fleet, and so another run; its control is the same, and so are the ids. Nothing of it is recorded yet.
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            Fleet(start: "2^31-100", data, vms, ("Soak__Fleet__1__Vms", "17"), ("Soak__CheckpointInterval", "1h")), stop);
        await using LivePage page = await browser.OpenAsync(soakHost.Address);
        await page.ExpectHungAsync("control", 8, HungWithin);
        await Assertions
            .Expect(page.Incidents.Locator("[data-part=state]"))
            .ToHaveTextAsync(
                [.. Enumerable.Repeat("hung, not recorded yet", 8), .. Enumerable.Repeat("hung when run 1 ended", 8)],
                new() { Timeout = LivePage.Ms(Soon) });
        await Assertions
            .Expect(page.Incidents.Locator("[data-part=expected]"))
            .ToHaveTextAsync([.. Enumerable.Repeat("as expected", 8), .. Enumerable.Repeat("", 8)]);
        await Assertions.Expect(page.Page.Locator("#incidents li[data-state=hung]")).ToHaveCountAsync(8);

        // The cell's incident is the present one.
        await page.HeatMap("control").FocusAsync();
        await page.Page.Keyboard.PressAsync("Home");
        await page.Page.Keyboard.PressAsync("Enter");
        await ReadTimelineAsync(page);
        Assert.DoesNotContain("run=", page.Page.Url, StringComparison.Ordinal);
        page.AssertNoFaults();
    }

    [Fact]
    public async Task An_overtaken_answer_is_not_shown_and_the_list_is_requested_again_even_if_nothing_happens()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            Fleet(start: "2^31-100", ("Soak__Fleet__0__Vms", "4"), ("Soak__CheckpointInterval", "200ms")),
            stop);
        await using LivePage page = await browser.OpenAsync(soakHost.Address);
        await page.ExpectHungAsync("control", 16, HungWithin);
        ILocator states = page.Incidents.Locator("[data-part=state]");
        string[] hung = [.. Enumerable.Repeat("hung", 16)];
        await Assertions.Expect(states).ToHaveTextAsync(hung, new() { Timeout = LivePage.Ms(Soon) });

        // The first question about the control waits for its answer until after the second one.
        TaskCompletionSource<IRoute> held = new();
        await page.Page.RouteAsync(
            "**/api/v1/incidents?*cohort=control*",
            route => held.TrySetResult(route) ? Task.CompletedTask : route.ContinueAsync());
        await page.Filter.SelectOptionAsync("control");
        IRoute first = await held.Task.WaitAsync(Soon, stop);
        await page.Filter.SelectOptionAsync("");
        await page.Page.RunAndWaitForResponseAsync(
            () => page.Filter.SelectOptionAsync("control"),
            "**/api/v1/incidents?*cohort=control*");
        await Assertions.Expect(states).ToHaveTextAsync(hung);
        await page.Page.RunAndWaitForResponseAsync(
            () => first.FulfillAsync(new() { ContentType = "application/json", Body = """{"incidents":[],"next":null}""" }),
            response => response.Request == first.Request);
        await page.Page.EvaluateAsync("() => new Promise(resolve => setTimeout(resolve))");
        Assert.Equal(hung, await states.AllInnerTextsAsync());

        // Twice, since once it is asked again after a while because something had happened.
        for (int i = 0; i < 2; i++)
            await page.Page.WaitForResponseAsync("**/api/v1/incidents?*", new() { Timeout = LivePage.Ms(HungWithin) });
        page.AssertNoFaults();
    }

    /// <summary>The open timeline's sentence and command, once they are told.</summary>
    private static async Task<(string Conclusion, string Command)> ReadTimelineAsync(LivePage page)
    {
        ILocator conclusion = page.Timeline.Locator("[data-part=conclusion]");
        await Assertions
            .Expect(conclusion)
            .ToContainTextAsync("was kept as an int and came back as", new() { Timeout = LivePage.Ms(Soon) });
        await Assertions
            .Expect(page.Timeline.Locator("tr[data-defect=unjustified_retry]").First)
            .ToContainTextAsync("no invalidation is in progress, and none has ended since the fault was taken");

        // The defect that is pointed out is the one of the vCPU that the sentence is about, and not another one's.
        string sentence = await conclusion.InnerTextAsync();
        await Assertions
            .Expect(page.Timeline.Locator("[data-part=facts]"))
            .ToContainTextAsync($", {sentence[..sentence.IndexOf(" hangs", StringComparison.Ordinal)]}");
        return (sentence, await page.Timeline.Locator("[data-part=command]").InnerTextAsync());
    }

    /// <summary>A control and a healthy cohort, 16 VMs of 4 vCPUs each.</summary>
    internal static Dictionary<string, string> Fleet(string start, params (string Key, string Value)[] more)
    {
        var settings = new Dictionary<string, string>
        {
            ["DOTNET_CONTENTROOT"] = EmptyContentRoot,
            ["Soak__Workers"] = "1",
            ["Soak__Fleet__0__Name"] = "control",
            ["Soak__Fleet__0__Kernel"] = "linux-6.1",
            ["Soak__Fleet__0__Vms"] = "16",
            ["Soak__Fleet__0__InvalidateSeqStart"] = start,
            ["Soak__Fleet__0__Expect"] = "hang",
            ["Soak__Fleet__1__Name"] = "healthy",
            ["Soak__Fleet__1__Kernel"] = "linux-6.1.y",
            ["Soak__Fleet__1__Vms"] = "16",
            ["Soak__Fleet__1__InvalidateSeqStart"] = start,
        };
        foreach ((string? key, string? value) in more)
            settings[key] = value;
        return settings;
    }

    // What the console says where there is no service.
    private static string[] Absence { get; } =
    [
        "net::ERR_CONNECTION_REFUSED",
        "net::ERR_INCOMPLETE_CHUNKED_ENCODING",
        "net::ERR_CONNECTION_RESET",
        "net::ERR_EMPTY_RESPONSE",
    ];

    // Without files, so that nothing of the default fleet is there.
    private static string EmptyContentRoot { get; } = Server.NewFolder();

    [GeneratedRegex("^PASS")]
    private static partial Regex Passes();

    [GeneratedRegex("^DISCONNECTED")]
    private static partial Regex IsDisconnected();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Space();
}
