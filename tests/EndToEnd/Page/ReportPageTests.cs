using System.Text.Json.Nodes;
using Microsoft.Playwright;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd.Page;

/// <summary>What the page says of a report, so that a tired reader cannot mistake it: each test makes its report up.</summary>
public sealed class ReportPageTests(Browser browser, ReportSource source) : IClassFixture<ReportSource>
{
    [Fact]
    public async Task A_cohort_that_only_retries_has_operations_and_no_progress()
    {
        ReportedPage page = await SharedAsync();
        (JsonNode before, JsonNode now) = (source.Report(), source.Report(second: 1));
        Add(now, "control", operations: 9_000_000, accesses: 0);
        Add(now, "healthy", operations: 5_000_000, accesses: 4_000_000);
        await page.TellAsync(before);
        await page.TellAsync(now);

        await ExpectRatesAsync("control", "0", "9.00 M");
        await ExpectRatesAsync("healthy", "4.00 M", "5.00 M");
        await Assertions.Expect(page.Live.Page.Locator("#run [data-part=progress]")).ToHaveTextAsync("4.00 M");
        await Assertions.Expect(page.Live.Page.Locator("#run [data-part=rate]")).ToHaveTextAsync("14.0 M");
        await Assertions
            .Expect(page.Live.Card("control").GetByRole(AriaRole.Img))
            .ToHaveAttributeAsync("aria-label", "Guest accesses per second: not enough reports yet");
        page.Live.AssertNoFaults();

        static void Add(JsonNode report, string name, long operations, long accesses)
        {
            JsonNode cohort = ReportSource.Cohort(report, name);
            cohort["operations"] = (long)cohort["operations"]! + operations;
            cohort["guest_accesses"] = (long)cohort["guest_accesses"]! + accesses;
        }

        async Task ExpectRatesAsync(string cohort, string progress, string operations)
        {
            await Assertions.Expect(page.Live.Card(cohort).Locator("[data-part=progress]")).ToHaveTextAsync(progress);
            await Assertions.Expect(page.Live.Card(cohort).Locator("[data-part=rate]")).ToHaveTextAsync(operations);
        }
    }

    [Fact]
    public async Task How_many_VMs_crossed_a_boundary_is_told_beside_how_often_they_did_in_all_lives()
    {
        ReportedPage page = await SharedAsync();
        JsonNode report = source.Report();
        JsonNode healthy = ReportSource.Cohort(report, "healthy");
        (healthy["crossings"]!["2^31"], healthy["vms_crossed"]!["2^31"], healthy["lives_started"]) = (41_200, 15, 7);
        JsonNode control = ReportSource.Cohort(report, "control");
        foreach (string boundary in (string[])["2^15", "2^16", "2^32", "2^63", "2^64"])
            (control["crossings"]![boundary], control["vms_crossed"]![boundary]) = (20, boundary == "2^63" ? 14 : 16);
        await page.TellAsync(report);

        ILocator card = page.Live.Card("healthy");
        await Assertions.Expect(card.Locator("[data-part=crossed]")).ToHaveTextAsync("15 of 16 VMs crossed 2^31");
        await Assertions.Expect(card.Locator("[data-part=crossings]")).ToHaveTextAsync("41,200 in all lives");
        await Assertions
            .Expect(page.Live.Card("control").Locator("[data-part=crossed] li"))
            .ToHaveTextAsync(["16 of 16 VMs crossed 2^31", "14 to 16 crossed each of 2^15, 2^16, 2^32, 2^63, 2^64"]);
        page.Live.AssertNoFaults();
    }

    [Fact]
    public async Task An_expected_hang_is_calm_and_tagged_and_only_an_unexpected_one_is_red()
    {
        ReportedPage page = await SharedAsync();
        JsonNode report = source.Report();
        ReportSource.Hang(ReportSource.Cohort(report, "control"));
        ReportSource.Hang(ReportSource.Cohort(report, "healthy"));
        await page.TellAsync(report);

        foreach ((string cohort, bool isExpected) in ((string, bool)[])[("control", true), ("healthy", false)])
        {
            ILocator hung = page.Live.Card(cohort).Locator("li[data-state=hung]");
            await Assertions.Expect(hung).ToContainTextAsync(isExpected ? "64 hung expected" : "64 hung");
            await Assertions
                .Expect(hung.GetByText("expected", new() { Exact = true }))
                .ToBeVisibleAsync(new() { Visible = isExpected });
            ILocator figure = page.Live.Page.Locator($"figure[data-cohort={cohort}] figcaption");
            await Assertions
                .Expect(figure.GetByText("expected", new() { Exact = true }))
                .ToBeVisibleAsync(new() { Visible = isExpected });
            Assert.Equal(!isExpected, IsRed(await page.Live.FirstCellAsync(cohort)));
            Assert.Equal(!isExpected, IsRed(await ColourAsync(hung)));
            Assert.Equal(!isExpected, IsRed(await ColourAsync(hung.Locator("svg"))));
            ILocator segment = page.Live.Card(cohort).Locator("[data-part=bar] [data-state=hung]");
            Assert.Equal(!isExpected, IsRed(await ColourAsync(segment)));
            Assert.Equal(!isExpected, IsRed(await ColourAsync(figure.Locator("[data-part=counts]"))));
        }

        page.Live.AssertNoFaults();

        static bool IsRed(int[] colour) => colour[0] > colour[1] + 60 && colour[0] > colour[2] + 60;

        static Task<int[]> ColourAsync(ILocator element) => element.EvaluateAsync<int[]>(
            "element => getComputedStyle(element).color.match(/\\d+/g).map(Number)");
    }

    [Fact]
    public async Task Before_the_first_boundary_there_is_a_countdown_and_not_a_hang_that_did_not_come()
    {
        ReportedPage page = await SharedAsync();
        (JsonNode before, JsonNode now) = (source.Report(), source.Report(second: 1));
        foreach (JsonNode report in (JsonNode[])[before, now])
        {
            report["verdict"] = "inconclusive";
            report["reasons"] = new JsonArray(
                Reason("control", "expected at least one hang, and no vCPU hung"),
                Reason("healthy", "no VM has crossed a boundary with a fault in flight yet"));
            foreach ((string name, string left) in ((string, string)[])[("control", "0x3e80"), ("healthy", "0x3e8")])
            {
                JsonNode cohort = ReportSource.Cohort(report, name);
                (cohort["verdict"], cohort["crossings"]!["2^31"], cohort["vms_crossed"]!["2^31"]) = ("inconclusive", 0, 0);
                cohort["reason"] = "expected at least one hang, and no vCPU hung";
                cohort["counters"]![0]!["nearest_before"] = left;
                cohort["invalidations"] = (long)cohort["invalidations"]! + (report == now ? 1600 : 0);
            }
        }

        await page.TellAsync(before);
        await page.TellAsync(now);
        ILocator band = page.Live.Page.Locator("#verdict");
        await Assertions
            .Expect(band.Locator("[data-part=sentence]"))
            .ToHaveTextAsync("First boundary ahead: healthy crosses 2^31 in about 11 s (1,000 invalidations to go)");
        await Assertions
            .Expect(page.Live.Card("control").Locator("[data-part=reason]"))
            .ToHaveTextAsync("Crosses 2^31 in about 2 min 41 s (16,000 invalidations to go).");
        await Assertions.Expect(page.Live.Page.GetByText("no vCPU hung")).ToHaveCountAsync(0);
        await Assertions
            .Expect(page.Live.Card("healthy").Locator("[data-part=crossed]"))
            .ToHaveTextAsync("0 of 16 VMs crossed a boundary yet");
        page.Live.AssertNoFaults();

        static JsonNode Reason(string cohort, string sentence) => new JsonObject
        {
            ["kind"] = "cohort",
            ["verdict"] = "inconclusive",
            ["sentence"] = sentence,
            ["cohort"] = cohort,
            ["kernel"] = "linux-6.1",
        };
    }

    [Fact]
    public async Task The_page_says_what_is_simulated_and_what_a_pass_means()
    {
        ReportedPage page = await SharedAsync();
        JsonNode report = source.Report();
        await page.TellAsync(report);
        ILocator about = page.Live.Page.Locator("#about");
        await Assertions
            .Expect(about)
            .ToContainTextAsync("These VMs are simulated: SoakHost runs its model of KVM’s page-fault code");
        await Assertions.Expect(about).ToContainTextAsync("A pass means that every cohort crossed a counter boundary");

        ReportSource.Cohort(report, "healthy")["kind"] = "host";
        report["time"] = source.Report(second: 1)["time"]!.DeepClone();
        await page.TellAsync(report);
        await Assertions
            .Expect(about)
            .ToContainTextAsync("The VMs of healthy are real and run on this machine’s kernel. All other VMs are simulated");
        page.Live.AssertNoFaults();
    }

    [Fact]
    public async Task One_VM_far_away_does_not_stretch_the_axis_and_VMs_at_several_boundaries_share_it()
    {
        ReportedPage page = await SharedAsync();
        JsonNode report = source.Report();
        int[] farAway = new int[32];
        farAway[^1] = 1;
        ReportSource.Cohort(report, "control")["counters"] = new JsonArray(
            ReportSource.Places("2^15", farAway, past: [], nearestBefore: "0x40000000"),
            ReportSource.Places("2^31", before: [], past: [0, 0, 0, 0, 0, 0, 0, 15]));
        await page.TellAsync(report);

        foreach (string cohort in (string[])["control", "healthy"])
            await Assertions.Expect(page.Live.Card(cohort).Locator("[data-part=scale-past]")).ToHaveTextAsync("+10 k");
        Assert.Equal(await BarsAsync("healthy"), await BarsAsync("control"));
        await Assertions
            .Expect(page.Live.Card("control").Locator("[data-part=outliers]"))
            .ToHaveTextAsync("1 VM further away than this axis shows.");
        await Assertions
            .Expect(page.Live.Card("control").Locator("[data-part=distance]"))
            .ToHaveTextAsync("VMs near 2^15: 1, 2^31: 15");
        await Assertions.Expect(page.Live.Card("healthy").Locator("[data-part=outliers]")).ToBeHiddenAsync();
        page.Live.AssertNoFaults();

        Task<string?> BarsAsync(string cohort) => page.Live.Card(cohort).Locator("[data-part=bars]").GetAttributeAsync("d");
    }

    [Fact]
    public async Task More_than_four_cohorts_are_a_table_whose_rows_open_and_incidents_stand_above_the_vCPUs()
    {
        ReportedPage page = await SharedAsync();
        JsonNode report = source.Report();
        JsonNode healthy = ReportSource.Cohort(report, "healthy");
        foreach (string name in (string[])["third", "fourth"])
            report["cohorts"]!.AsArray().Add(ReportSource.Copy(healthy, name));
        await page.TellAsync(report);
        await Assertions.Expect(page.Live.Card("fourth")).ToBeVisibleAsync();
        await Assertions.Expect(page.Live.Page.Locator("#cohorts table")).ToBeHiddenAsync();
        Assert.Equal(["watch", "cohorts", "heatmap", "incidents"], await OrderAsync());

        report = source.Report(second: 1);
        foreach (string name in (string[])["third", "fourth", "fifth"])
            report["cohorts"]!.AsArray().Add(ReportSource.Copy(healthy, name));
        ReportSource.Hang(ReportSource.Cohort(report, "control"));
        ReportSource.Hang(ReportSource.Cohort(report, "fifth"));
        await page.TellAsync(report);
        await Assertions.Expect(page.Live.Page.Locator("#cohorts tbody")).ToHaveCountAsync(5);
        await Assertions.Expect(page.Live.Page.Locator("#cohorts article:visible")).ToHaveCountAsync(0);
        Assert.Equal(["watch", "cohorts", "incidents", "heatmap"], await OrderAsync());
        await Assertions.Expect(page.Live.Row("control").Locator("[data-part=defects]")).ToHaveTextAsync("none");
        await Assertions.Expect(page.Live.Row("fifth").Locator("[data-part=defects]")).ToHaveTextAsync("64 hung vCPUs");
        ILocator toggle = page.Live.Row("fifth").GetByRole(AriaRole.Button, new() { Name = "fifth" });
        await toggle.ClickAsync();
        await Assertions.Expect(toggle).ToHaveAttributeAsync("aria-expanded", "true");
        await Assertions.Expect(page.Live.Card("fifth").GetByRole(AriaRole.Button, new() { Name = "Pause" })).ToBeVisibleAsync();
        page.Live.AssertNoFaults();

        Task<string[]> OrderAsync() => page.Live.Page.EvaluateAsync<string[]>(
            "() => [...document.querySelectorAll('main > section')].map(section => section.id).slice(1)");
    }

    [Fact]
    public async Task On_a_phone_two_cohorts_are_a_table_too_and_nothing_is_wider_than_the_screen()
    {
        await using ReportedPage page = await OpenAsync(width: 390);
        await page.TellAsync(source.Report());
        await Assertions.Expect(page.Live.Page.Locator("#cohorts tbody")).ToHaveCountAsync(2);
        foreach (string part in (string[])["progress", "rate", "crossed", "running"])
            await Assertions.Expect(page.Live.Row("healthy").Locator($"tr:first-child [data-part={part}]")).ToBeVisibleAsync();
        await AssertNotTooWideAsync(page);

        // Turned, and on a larger screen, they are cards again.
        await page.Live.Page.SetViewportSizeAsync(1280, 850);
        await Assertions.Expect(page.Live.Card("healthy")).ToBeVisibleAsync();
        page.Live.AssertNoFaults();
    }

    [Fact]
    public async Task Incidents_are_groups_with_dates_and_the_unexpected_one_is_first_and_open()
    {
        await using ReportedPage page = await OpenAsync();
        await page.AnswerAsync(
            "incidents/groups",
            $$"""{"groups":[{{Group("control", 256, expected: true)}},{{Group("healthy", 4000)}}]}""");
        await page.AnswerAsync(
            "incidents?*",
            """
            {"incidents":[{"id":"hang:healthy/3/1@1024","run":1,"kind":"hang","cohort":"healthy","vm":3,"vcpu":1,
            "tick":1024,"page":7,"invalidate_seq":"0x80000010","snapshot":"0x8000000f",
            "first_seen":"2001-11-26T18:53:18Z","recovered":null,"recovered_by":null}],"refused":[],"next":1}
            """);
        JsonNode report = source.Report();
        report["run"] = 1;
        ReportSource.Hang(ReportSource.Cohort(report, "control"));
        await page.TellAsync(report);

        await Assertions
            .Expect(page.Live.Groups.Locator("summary [data-part=title]"))
            .ToHaveTextAsync(["4,000 hung in healthy", "256 hung in control"]);
        await Assertions
            .Expect(page.Live.Groups.Locator("summary [data-part=expected]"))
            .ToHaveTextAsync(["unexpected", "expected"]);
        await Assertions
            .Expect(page.Live.Group("healthy").Locator("summary [data-part=span]"))
            .ToHaveTextAsync("26 Nov 2001, 18:53:03 to 18:53:18");
        await Assertions
            .Expect(page.Live.Groups.Locator("summary [data-part=state]"))
            .ToHaveTextAsync(["none hung now", "64 hung now"]);
        await Assertions.Expect(page.Live.Incidents).ToHaveCountAsync(1);
        await Assertions.Expect(page.Live.Incidents.Locator("time")).ToHaveTextAsync("26 Nov 2001 18:53:18");
        await Assertions.Expect(page.Live.Group("control").Locator("details")).Not.ToHaveAttributeAsync("open", "");
        page.Live.AssertNoFaults();

        static string Group(string cohort, int count, bool expected = false) =>
            $$"""
            {"run":1,"cohort":"{{cohort}}","kind":"hang","count":{{count}},"first_seen":"2001-11-26T18:53:03Z",
            "newest_seen":"2001-11-26T18:53:18Z","kernel":"linux-6.1","expected":{{(expected ? "true" : "false")}}}
            """;
    }

    [Theory]
    [InlineData(1280)]
    [InlineData(390)]
    public async Task A_timeline_opens_at_the_chosen_vCPU_names_kernel_functions_and_shows_it_alone(int width)
    {
        await using ReportedPage page = await OpenAsync(width);
        JsonArray steps = [.. Enumerable.Range(0, 90).Select(Step)];
        await page.AnswerAsync(
            "timeline?*",
            new JsonObject
            {
                ["incident"] = "hang:control/3/2@90",
                ["run"] = 1,
                ["kernel"] = "linux-6.1",
                ["conclusion"] = "vCPU 2 hangs",
                ["command"] = "soakhost replay hang:control/3/2@90",
                ["steps"] = steps,
            }.ToJsonString());
        await page.TellAsync(source.Report());
        await page.Live.Page.EvaluateAsync("location.hash = '#incident=hang:control/3/2@90'");

        // vCPU 0 has a defective step too, before that of vCPU 2, which is the one that was chosen.
        ILocator chosen = page.Live.Timeline.Locator("tr[aria-current]");
        await Assertions.Expect(chosen).ToContainTextAsync("vCPU 2");
        await Assertions.Expect(chosen).ToContainTextAsync("unjustified retry");
        await Assertions.Expect(chosen.Locator("code.function")).ToHaveTextAsync("is_page_fault_stale()");
        await Assertions.Expect(chosen.Locator("code.function")).ToBeVisibleAsync();
        if (width > 600)
            await Assertions.Expect(chosen).ToBeInViewportAsync();
        ILocator alone = page.Live.Timeline.GetByRole(AriaRole.Button, new() { Name = "Only vCPU 2" });
        ILocator shown = page.Live.Timeline.Locator("tbody tr:visible");
        if (width < 600)
        {
            // A phone begins with the one, because there is no room for all.
            await Assertions.Expect(shown).ToHaveCountAsync(30);
            await alone.ClickAsync();
        }

        await Assertions.Expect(shown).ToHaveCountAsync(90);
        await alone.ClickAsync();
        await Assertions.Expect(shown).ToHaveCountAsync(30);
        await Assertions.Expect(alone).ToHaveAttributeAsync("aria-pressed", "true");
        if (width < 600)
        {
            Assert.True(await page.Live.Timeline.EvaluateAsync<bool>(
                "dialog => [...dialog.querySelectorAll('*')].every(each => each.getBoundingClientRect().right <= innerWidth)"));
        }

        page.Live.AssertNoFaults();

        static JsonNode Step(int tick) => new JsonObject
        {
            ["tick"] = tick,
            ["actor"] = $"vCPU {tick % 3}",
            ["action"] = "checks under mmu_lock: stale, so it retries page 7",
            ["function"] = "is_page_fault_stale()",
            ["invalidate_seq"] = "0x80000000",
            ["snapshot"] = "0xffffffff80000000",
            ["in_progress"] = 0,
            ["range"] = new JsonArray(0, 1),
            ["mapped"] = "0x0",
            ["verdict"] = tick is 42 or 50 ? "unjustified_retry" : "justified_retry",
            ["truth"] = "",
            ["explanation"] = "",
        };
    }

    [Fact]
    public async Task Without_a_connection_nothing_can_be_pressed_and_with_the_next_report_it_can()
    {
        await using ReportedPage page = await OpenAsync();
        await page.TellAsync(source.Report());
        ILocator pause = page.Live.Card("healthy").GetByRole(AriaRole.Button, new() { Name = "Pause" });
        await Assertions.Expect(pause).ToBeEnabledAsync();
        await pause.ClickAsync();
        ILocator confirm = page.Live.Page.GetByRole(AriaRole.Button, new() { Name = "Pause invalidations" });
        await Assertions.Expect(confirm).ToBeEnabledAsync();

        await page.LoseAsync();
        await Assertions.Expect(confirm).ToBeDisabledAsync();
        await Assertions
            .Expect(page.Live.Page.GetByText("Disconnected: nothing can be done until the service is back."))
            .ToBeVisibleAsync();
        await page.Live.Page.GetByRole(AriaRole.Button, new() { Name = "Cancel" }).ClickAsync();
        await Assertions.Expect(page.Live.Page.Locator("#cohorts article button:enabled")).ToHaveCountAsync(0);
        await Assertions.Expect(page.Live.Filter).ToBeDisabledAsync();

        await page.TellAsync(source.Report(second: 1));
        await Assertions.Expect(pause).ToBeEnabledAsync();
        await Assertions.Expect(page.Live.Filter).ToBeEnabledAsync();
        page.Live.AssertNoFaults();
    }

    [Fact]
    public async Task A_toy_run_is_marked_whatever_its_verdict_and_a_control_with_a_boundary_of_its_own_is_none()
    {
        ReportedPage page = await SharedAsync();
        JsonNode report = source.Report();
        ReportSource.Cohort(report, "control")["toy_boundary"] = "2^15";
        await page.TellAsync(report);
        await Assertions.Expect(page.Live.Page.Locator("#toy")).ToBeHiddenAsync();
        await Assertions.Expect(page.Live.Page).ToHaveTitleAsync("PASS · SoakHost");

        report = source.Report(second: 1);
        ReportSource.Cohort(report, "healthy")["toy_boundary"] = "2^20";
        await page.TellAsync(report);
        await page.Live.ExpectVerdictAsync("PASS", TimeSpan.FromSeconds(5));
        await Assertions
            .Expect(page.Live.Page.Locator("#toy"))
            .ToContainTextAsync("Toy run: healthy crosses 2^20, far below 2^31.");
        await Assertions.Expect(page.Live.Page.Locator("#verdict")).ToHaveAttributeAsync("data-toy", "true");
        await Assertions.Expect(page.Live.Page).ToHaveTitleAsync("PASS (toy run) · SoakHost");
        await Assertions.Expect(page.Live.Card("healthy").GetByText("toy: 2^20")).ToBeVisibleAsync();
        page.Live.AssertNoFaults();
    }

    private Task<ReportedPage> SharedAsync()
    {
        source.Restart();
        return source.PageAsync(browser);
    }

    private Task<ReportedPage> OpenAsync(int width = 1280) => ReportedPage.OpenAsync(browser, source.Service, width);

    private static async Task AssertNotTooWideAsync(ReportedPage page)
    {
        int[] widths = await page.Live.Page.EvaluateAsync<int[]>(
            "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]");
        Assert.True(widths[0] <= widths[1], $"{widths[0]} px wide on a screen of {widths[1]}");
    }
}
