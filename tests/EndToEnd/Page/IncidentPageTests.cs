using System.Text.RegularExpressions;
using Microsoft.Playwright;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd.Page;

/// <summary>Incidents on the live page, in a real browser with the real service, used as a person would.</summary>
public sealed partial class IncidentPageTests(Browser browser)
{
    // Some reports of the watchdog, on a machine that others use too.
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan HungWithin = TimeSpan.FromSeconds(90);

    [Fact]
    public async Task The_control_hangs_and_its_incident_opens_by_mouse_and_by_keyboard_and_its_command_reproduces_it()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await browser.ReadyAsync();
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            PageFleet.Settings(start: "2^31-3_000_000", ("Soak__DutyCycle", "0.4")),
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
        await page.OpenGroupAsync("control");
        await page.Incidents.First.GetByRole(AriaRole.Link).ClickAsync();
        (string? conclusion, string? command) = await page.ReadTimelineAsync();
        await Assertions
            .Expect(page.Timeline.GetByRole(AriaRole.Heading, new() { Name = "Reproduce on any machine with:" }))
            .ToBeVisibleAsync();
        await page.Timeline.GetByRole(AriaRole.Button, new() { Name = "Close" }).ClickAsync();
        await Assertions.Expect(page.Timeline).ToBeHiddenAsync();

        // By keyboard, from the heat map: the first hung vCPU, and back.
        await page.HeatMap("control").FocusAsync();
        await page.Page.Keyboard.PressAsync("Home");
        await page.Page.Keyboard.PressAsync("Enter");
        await page.ReadTimelineAsync();
        await Assertions
            .Expect(page.Timeline.GetByRole(AriaRole.Heading, new() { Name = "Hang in control: VM 0, vCPU 0" }))
            .ToBeVisibleAsync();
        await page.Page.Keyboard.PressAsync("Escape");
        await Assertions.Expect(page.Timeline).ToBeHiddenAsync();

        // And from the list.
        await page.Incidents.Last.GetByRole(AriaRole.Link).FocusAsync();
        await page.Page.Keyboard.PressAsync("Enter");
        await page.ReadTimelineAsync();
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
    public async Task A_cohort_that_is_added_and_removed_appears_and_disappears_and_its_incidents_stay()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            PageFleet.Settings(start: "2^31-100", ("Soak__CheckpointInterval", "500ms")),
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
        await ExpectGroupAsync("late", "16 hung in late", "unexpected");

        // What nobody expected is open by itself, a little.
        await Assertions.Expect(page.Incidents).ToHaveCountAsync(5);
        await page.Group("late").GetByRole(AriaRole.Button, new() { Name = "Show older" }).ClickAsync();
        await Assertions.Expect(page.Incidents).ToHaveCountAsync(16);

        await soakHost.InterveneAsync("/late/remove", new { }, stop);
        await Assertions.Expect(page.Card("late")).ToHaveCountAsync(0, new() { Timeout = LivePage.Ms(Soon) });
        await Assertions
            .Expect(page.Page.Locator("#verdict [data-part=sentence]"))
            .ToHaveTextAsync("late (linux-6.1, removed): 16 vCPUs hung");
        await Assertions
            .Expect(page.Incidents.First.Locator("[data-part=state]"))
            .ToContainTextAsync("by remove at tick", new() { Timeout = LivePage.Ms(Soon) });
        await Assertions.Expect(page.Filter).ToHaveValueAsync("late");
        await ExpectGroupAsync("late", "16 hung in late", "unexpected");
        await page.Filter.SelectOptionAsync("control");
        await ExpectGroupAsync("control", "64 hung in control", "expected");
        await Assertions.Expect(page.Group("late")).ToHaveCountAsync(0);
        await page.Filter.SelectOptionAsync("");
        await ExpectGroupAsync("late", "16 hung in late", "unexpected");
        await ExpectGroupAsync("control", "64 hung in control", "expected");
        await Assertions
            .Expect(page.Groups.Locator("summary [data-part=title]"))
            .ToHaveTextAsync(["16 hung in late", "64 hung in control"]);
        await page.OpenGroupAsync("control");
        await Assertions.Expect(page.Group("control").Locator("li")).ToHaveCountAsync(20);
        await page.Group("control").GetByRole(AriaRole.Button, new() { Name = "Show older" }).ClickAsync();
        await Assertions.Expect(page.Group("control").Locator("li")).ToHaveCountAsync(64);
        await Assertions
            .Expect(page.Filter.GetByRole(AriaRole.Option))
            .ToHaveTextAsync(["all", "control", "healthy"], new() { Timeout = LivePage.Ms(Soon) });
        await page.ExpectVerdictAsync("VIOLATION", Soon);
        page.AssertNoFaults();

        async Task ExpectGroupAsync(string cohort, string title, string expected)
        {
            ILocator summary = page.Group(cohort).Locator("summary");
            await Assertions
                .Expect(summary.Locator("[data-part=title]"))
                .ToHaveTextAsync(title, new() { Timeout = LivePage.Ms(Soon) });
            await Assertions.Expect(summary.Locator("[data-part=expected]")).ToHaveTextAsync(expected);
        }
    }

    [Fact]
    public async Task Incidents_of_an_earlier_run_are_not_mistaken_for_those_of_the_present_one()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        (string, string) data = ("Soak__DataDirectory", Server.NewFolder()),
            vms = ("Soak__Fleet__0__Vms", "2");
        await using (
            SoakHostServer earlier = await SoakHostServer.StartAsync(
                PageFleet.Settings(start: "2^31-100", data, vms, ("Soak__CheckpointInterval", "200ms")),
                stop))
        {
            await using LivePage seen = await browser.OpenAsync(earlier.Address);
            await seen.ExpectHungAsync("control", 8, HungWithin);
            await seen.Group("control").WaitForAsync();
            await seen.OpenGroupAsync("control");
            await Assertions.Expect(seen.Incidents.Locator("[data-part=state]")).ToHaveTextAsync(
                [.. Enumerable.Repeat("hung", 8)], new() { Timeout = LivePage.Ms(Soon) });
        }

        // Another fleet, and so another run; its control is the same, and so are the ids. Nothing of it is recorded yet.
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            PageFleet.Settings(
                start: "2^31-100", data, vms, ("Soak__Fleet__1__Vms", "17"), ("Soak__CheckpointInterval", "1h")),
            stop);
        await using LivePage page = await browser.OpenAsync(soakHost.Address);
        await page.ExpectHungAsync("control", 8, HungWithin);
        await Assertions.Expect(page.Groups).ToHaveCountAsync(2, new() { Timeout = LivePage.Ms(Soon) });
        await Assertions
            .Expect(page.Groups.Locator("summary [data-part=state]"))
            .ToHaveTextAsync(["8 hung now", "in run 1"]);
        foreach (ILocator group in await page.Groups.AllAsync())
            await group.Locator("summary").ClickAsync();
        await Assertions
            .Expect(page.Incidents.Locator("[data-part=state]"))
            .ToHaveTextAsync(
                [.. Enumerable.Repeat("hung, not recorded yet", 8), .. Enumerable.Repeat("hung when run 1 ended", 8)],
                new() { Timeout = LivePage.Ms(Soon) });
        await Assertions.Expect(page.Groups.Locator("summary [data-part=expected]")).ToHaveTextAsync(["expected", "expected"]);
        await Assertions.Expect(page.Page.Locator("#incidents li[data-state=hung]")).ToHaveCountAsync(8);

        // The cell's incident is the present one.
        await page.HeatMap("control").FocusAsync();
        await page.Page.Keyboard.PressAsync("Home");
        await page.Page.Keyboard.PressAsync("Enter");
        await page.ReadTimelineAsync();
        Assert.DoesNotContain("run=", page.Page.Url, StringComparison.Ordinal);
        page.AssertNoFaults();
    }

    [GeneratedRegex(@"\s+")]
    private static partial Regex Space();
}
