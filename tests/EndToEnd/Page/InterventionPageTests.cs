using Microsoft.Playwright;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd.Page;

/// <summary>What one does to a fleet on its live page.</summary>
public sealed class InterventionPageTests(Browser browser)
{
    // Some reports of the watchdog, on a machine that others use too.
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan HungWithin = TimeSpan.FromSeconds(90);

    [Fact]
    public async Task A_live_patch_in_the_page_recovers_every_vCPU_and_the_page_says_so()
    {
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            PageFleet.Settings(start: "2^31-100", ("Soak__CheckpointInterval", "500ms")),
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
        await page.OpenGroupAsync("control");
        await Assertions
            .Expect(page.Incidents.First)
            .ToHaveAttributeAsync("data-state", "recovered", new() { Timeout = LivePage.Ms(Soon) });

        // The intervention is recorded in this machine's data directory only.
        await page.Incidents.First.GetByRole(AriaRole.Link).ClickAsync();
        await page.ReadTimelineAsync();
        await Assertions
            .Expect(page.Timeline.GetByRole(AriaRole.Heading, new() { Name = "Reproduce on this machine with:" }))
            .ToBeVisibleAsync();
        page.AssertNoFaults();
    }

    [Fact]
    public async Task Invalidations_are_paused_and_resumed_in_the_page_and_vms_are_migrated()
    {
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            PageFleet.Settings(start: "2^31-100", ("Soak__Seed", "18446744073709551615")), TestContext.Current.CancellationToken);
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
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(PageFleet.Settings(start: "2^31-100"), stop);
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
    public async Task Interventions_require_the_right_token_and_the_page_asks_for_it_once()
    {
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            PageFleet.Settings(start: "2^31-100", ("Soak__ApiToken", "correct-horse-battery")),
            TestContext.Current.CancellationToken);
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
}
