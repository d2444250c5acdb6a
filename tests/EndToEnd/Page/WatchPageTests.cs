using System.Text.Json.Nodes;
using Microsoft.Playwright;
using SoakHost.EndToEnd.Harness;
using SoakHost.Shared;
using Xunit;

namespace SoakHost.EndToEnd.Page;

/// <summary>What the page says of the VMs that other processes of its host run.</summary>
public sealed class WatchPageTests(Browser browser, ReportSource source) : IClassFixture<ReportSource>
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task A_hung_vCPU_of_a_VM_of_this_host_stands_in_the_verdict_and_first_in_its_table_with_its_proof()
    {
        await using ReportedPage page = await ReportedPage.OpenAsync(browser, source.Service);
        await page.AnswerAsync("watch", Watched("hung", "quiet"));
        JsonNode report = source.Report();
        await page.TellAsync(report);
        ILocator section = page.Live.Page.Locator("#watch");
        await Assertions.Expect(section).ToBeHiddenAsync();

        report = source.Report(second: 1);
        report["watches"] = true;
        await page.TellAsync(report);

        ILocator alarm = page.Live.Page.GetByRole(AriaRole.Alert).And(page.Live.Page.Locator("#alarm"));
        await Assertions.Expect(alarm).ToHaveTextAsync("1 vCPU of VM web-17 on this host is hung, with proof");
        await Assertions.Expect(alarm).ToBeInViewportAsync();
        await Assertions.Expect(page.Live.Page).ToHaveTitleAsync("1 hung on this host · PASS · SoakHost");
        await Assertions.Expect(section).ToBeVisibleAsync();
        await Assertions.Expect(section.Locator("tbody .name")).ToHaveTextAsync(["web-17", "stuck", "db"]);
        ILocator web = section.Locator("tbody").First;
        await Assertions.Expect(web.Locator(".watch-states li")).ToHaveTextAsync(["1 hung", "1 running"]);
        await Assertions.Expect(web.Locator("tr.vcpu .who")).ToHaveTextAsync(["vCPU 2 hung"]);
        await Assertions.Expect(web.Locator("tr.vcpu .why-so")).ToHaveTextAsync(
            "Proof: quiet. For 1 min 5 s. 13051760 faults were taken. Nothing was invalidated.");
        await Assertions.Expect(web.Locator(".counter")).ToHaveTextAsync("0x8002dc25");
        await Assertions.Expect(web.Locator(".crossing")).ToHaveTextAsync("has passed it");
        await Assertions.Expect(web.Locator(".sources")).ToHaveTextAsync("descriptors, ebpf");
        await Assertions.Expect(section.Locator("tbody tr.vcpu .why-so").Nth(1)).ToContainTextAsync("Likely cause: io_schedule.");
        await Assertions.Expect(section.Locator(".watch-unread li")).ToHaveTextAsync(["3 processes may not be looked into."]);
        int[] colour = await web.Locator(".who").EvaluateAsync<int[]>(
            "element => getComputedStyle(element).color.match(/\\d+/g).map(Number)");
        Assert.True(colour[0] > colour[1] + 60 && colour[0] > colour[2] + 60, string.Join(' ', colour));
        await page.Live.WritePictureAsync("page-watch-hung.png", isWhole: false);

        // It recovers, and nothing is left of the alarm.
        await page.Live.Page.UnrouteAllAsync();
        await page.AnswerAsync("watch", Watched("running", null));
        await Assertions.Expect(alarm).ToBeHiddenAsync();
        await Assertions.Expect(page.Live.Page).ToHaveTitleAsync("PASS · SoakHost");
        await Assertions.Expect(section.Locator("tbody .name")).ToHaveTextAsync(["stuck", "db", "web-17"]);

        // A watch that stopped looking shows old states, and says so.
        await page.Live.Page.UnrouteAllAsync();
        await page.AnswerAsync("watch", Watched("running", null, DateTimeOffset.UtcNow.AddMinutes(-10)));
        await Assertions.Expect(section.Locator(".watch-problem")).ToContainTextAsync("was last looked at 10 min");

        // The browser's clock may be another than the service's.
        DateTimeOffset other = DateTimeOffset.UtcNow.AddDays(-1);
        await page.Live.Page.UnrouteAllAsync();
        await page.AnswerAsync("watch", Watched("running", null, other, now: other.AddSeconds(3)));
        await Assertions.Expect(section.Locator(".watch-problem")).ToBeHiddenAsync();
        page.Live.AssertNoFaults();
    }

    /// <summary>A right-to-left override would turn the sentence around, and nobody sees a zero-width space.</summary>
    [Fact]
    public async Task A_VM_s_name_cannot_look_like_another_s()
    {
        await using ReportedPage page = await ReportedPage.OpenAsync(browser, source.Service);
        await page.AnswerAsync(
            "watch", Watched("hung", "quiet").Replace("web-17", "web\\u202e71-\\u200b", StringComparison.Ordinal));
        JsonNode report = source.Report();
        report["watches"] = true;
        await page.TellAsync(report);

        await Assertions.Expect(page.Live.Page.GetByRole(AriaRole.Alert).And(page.Live.Page.Locator("#alarm")))
            .ToHaveTextAsync("1 vCPU of VM web?71-? on this host is hung, with proof");
        await Assertions.Expect(page.Live.Page.Locator("#watch tbody .name").First).ToHaveTextAsync("web?71-?");
        page.Live.AssertNoFaults();
    }

    [Fact]
    public async Task A_watch_alone_has_the_same_table_as_its_page()
    {
        Uri address = new($"http://127.0.0.1:{Server.FreePort()}");
        await using var server = Server.Start(
            "dotnet",
            [
                Path.Combine(AppContext.BaseDirectory, "soakhost.dll"), "watch", "--no-ebpf", "--pid", $"{Environment.ProcessId}",
                "--listen", address.ToString(),
            ],
            Server.NewFolder());
        using HttpClient http = LoopbackClient.Create();
        await server.WaitUntilReadyAsync(http, new(address, "/metrics"), TestContext.Current.CancellationToken);
        await using LivePage page = await browser.OpenAsync(address);

        ILocator section = page.Page.Locator("#watch");
        await Assertions.Expect(section.Locator(".empty")).ToHaveTextAsync(
            "No VM was found.", new() { Timeout = LivePage.Ms(Patience) });
        await Assertions.Expect(section.GetByRole(AriaRole.Heading, new() { Name = "VMs of this host" })).ToBeVisibleAsync();
        await Assertions.Expect(section.Locator(".watch-kernel")).ToContainTextAsync("kernel");
        await page.Page.RouteAsync("**/api/v1/watch", route => route.FulfillAsync(
            new() { ContentType = "application/json", Body = Watched("hung", "counter") }));
        await Assertions.Expect(page.Page.GetByRole(AriaRole.Alert)).ToHaveTextAsync(
            "1 vCPU of VM web-17 on this host is hung, with proof");
        await Assertions.Expect(page.Page).ToHaveTitleAsync("1 hung · SoakHost watch");
        await page.WritePictureAsync("page-watch-alone.png");
        page.AssertNoFaults();
    }

    private static string Watched(string state, string? proof, DateTimeOffset? at = null, DateTimeOffset? now = null)
    {
        var watched = new JsonObject
        {
            ["looked_at"] = (at ?? DateTimeOffset.UtcNow).ToString("O"),
            ["answered_at"] = (now ?? DateTimeOffset.UtcNow).ToString("O"),
            ["kernel"] = new JsonObject { ["sentence"] = "By its release, 6.1.38, this kernel has the defect." },
            ["vms"] = new JsonArray(
                Vm("db", "0x1000", "2027-05-01 10:00 UTC"), Vm("stuck", null, "unknown: the counter was not read"),
                Vm("web-17", "0x8002dc25", "has passed it")),
            ["vcpus"] = new JsonArray(
                Vcpu("db", 0, "running", null, "It left the guest 500 times."),
                Vcpu("stuck", 0, "blocked-in-host", null, "Its thread waits in the host."),
                Vcpu("web-17", 1, "running", null, "It left the guest 500 times."),
                Vcpu("web-17", 2, state, proof, "13051760 faults were taken.", "Nothing was invalidated.")),
            ["unread"] = new JsonArray("3 processes may not be looked into."),
        };
        return watched.ToJsonString();
    }

    private static JsonObject Vm(string name, string? counter, string crossing) => new()
    {
        ["vm"] = name,
        ["pid"] = 4711,
        ["invalidate_seq"] = counter,
        ["crossing"] = crossing,
        ["sources"] = new JsonArray("descriptors", "ebpf"),
    };

    private static JsonObject Vcpu(string vm, int vcpu, string state, string? proof, params string[] reasons) => new()
    {
        ["vm"] = vm,
        ["vcpu"] = vcpu,
        ["state"] = state,
        ["proof"] = proof,
        ["since_seconds"] = 65.2,
        ["cause"] = state == "blocked-in-host" ? "io_schedule" : null,
        ["reasons"] = new JsonArray([.. reasons.Select(reason => JsonValue.Create(reason))]),
    };
}
