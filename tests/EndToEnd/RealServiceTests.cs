using System.Text.RegularExpressions;
using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd;

/// <summary>Tests that measure time against real programs share the machine with no other test.</summary>
[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;

/// <summary>
/// The real service with its default fleet, real Prometheus and Alertmanager, and the files of deploy/: the whole alerting path.
/// </summary>
[Collection(nameof(Alone))]
public sealed partial class RealServiceTests
{
    private const int AlertReceived = 4001;
    private static readonly TimeSpan PagedWithin = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan ResolvedWithin = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan CrossedWithin = TimeSpan.FromSeconds(90);

    [Fact]
    public async Task A_known_bad_kernel_is_paged_within_a_minute_and_resolved_by_a_live_patch_and_by_a_restart()
    {
        CancellationToken cancellationToken = TestContext.Current.CancellationToken;
        await using StubFleet pages = await StubFleet.StartAsync(cancellationToken);
        int port = Server.FreePort();
        long started = TimeProvider.System.GetTimestamp();
        await using SoakHostServer bad = await SoakHostServer.StartAsync(StableRuns("linux-6.1"), cancellationToken, port);
        pages.RelayTo = bad.Webhook;
        await using Monitoring monitoring = await Monitoring.StartAsync(bad.Address, pages.Webhook, cancellationToken);

        StubFleet.Page page = await pages.WaitForPageAsync("VcpuHung", "firing", PagedWithin, cancellationToken, scope: "vcpu");
        TimeSpan took = TimeProvider.System.GetElapsedTime(started);
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"from start to page: {took.TotalSeconds:N1} s\n{page}\n{page.Annotations["description"]}");
        Assert.True(took < PagedWithin, $"the page took {took.TotalSeconds:N1} s");
        AssertSaysWhichVcpuHangsAndWhy(page, bad.Address);
        StubFleet.Page rest = await pages.WaitForPageAsync("VcpuHung", "firing", PagedWithin, cancellationToken, scope: "cohort");
        Assert.Matches("^[0-9]+ more vCPUs of cohort stable \\(linux-6\\.1\\) are hung$", rest.Annotations["summary"]);

        // The control hangs as well, and pages nobody.
        Assert.Equal(["VcpuHung", "Watchdog"], pages.Pages.Select(alert => alert.Name).Distinct().Order(StringComparer.Ordinal));
        Assert.All(pages.Pages.Where(alert => alert.Name == "VcpuHung"), alert => Assert.Equal("stable", alert.Labels["cohort"]));

        AssertLogged(bad, "firing", page);
        string exposition = await bad.MetricsAsync(cancellationToken);
        Assert.Empty(MetricTable.DifferencesFrom(exposition));
        Assert.Matches("(?m)^soakhost_alerts_received_total\\{status=\"firing\"\\} [1-9]", exposition);
        await QueryRun.AssertAllAsync(monitoring.Prometheus, cancellationToken, vcpuHangs: true);

        // A live patch makes them recover and the page resolve; patched back they hang, and the page comes, again.
        int delivered = pages.Pages.Count;
        await bad.PatchAsync("stable", "linux-6.1.y", cancellationToken);
        StubFleet.Page patched = await pages.WaitForPageAsync(
            "VcpuHung",
            "resolved",
            ResolvedWithin,
            cancellationToken,
            "vcpu",
            delivered);
        Assert.Equal(("stable", "linux-6.1"), (patched.Labels["cohort"], patched.Labels["kernel"]));
        await pages.WaitForPageAsync("VcpuHung", "resolved", ResolvedWithin, cancellationToken, "cohort", delivered);
        await monitoring.Prometheus.WaitForAsync(
            "sum(soakhost_vcpus{cohort=\"stable\",kernel=\"linux-6.1.y\",state!=\"running\"}) == 0",
            ResolvedWithin,
            cancellationToken);
        await monitoring.Prometheus.WaitForAsync(
            Dashboard.Substitute(Dashboard.All[0].Annotations["Intervention"]), ResolvedWithin, cancellationToken);

        // The first vCPU's page is resolved as soon as that one gets on; the others may be seen to at the next scrape.
        await monitoring.Prometheus.WaitForAsync("absent(ALERTS{alertname=\"VcpuHung\"})", ResolvedWithin, cancellationToken);

        delivered = pages.Pages.Count;
        await bad.PatchAsync("stable", "linux-6.1", cancellationToken);
        await pages.WaitForPageAsync("VcpuHung", "firing", PagedWithin, cancellationToken, "vcpu", delivered);
        await pages.WaitForPageAsync("VcpuHung", "firing", PagedWithin, cancellationToken, "cohort", delivered);

        // A restart with a fixed kernel resolves it as well.
        delivered = pages.Pages.Count;
        await bad.DisposeAsync();
        Assert.Contains("Verdict: violation", bad.Output, StringComparison.Ordinal);
        await using SoakHostServer repaired = await SoakHostServer.StartAsync(StableRuns("linux-6.1.y"), cancellationToken, port);
        StubFleet.Page resolved = await pages.WaitForPageAsync(
            "VcpuHung",
            "resolved",
            ResolvedWithin,
            cancellationToken,
            "vcpu",
            delivered);
        Assert.Equal(("stable", "linux-6.1"), (resolved.Labels["cohort"], resolved.Labels["kernel"]));
        await pages.WaitForPageAsync("VcpuHung", "resolved", ResolvedWithin, cancellationToken, "cohort", delivered);
        AssertLogged(repaired, "resolved", resolved);
        await monitoring.Prometheus.WaitForAsync("absent(ALERTS{alertname=\"VcpuHung\"})", ResolvedWithin, cancellationToken);
    }

    [Fact]
    public async Task In_the_default_fleet_only_the_Watchdog_fires_and_every_query_returns_data()
    {
        CancellationToken cancellationToken = TestContext.Current.CancellationToken;
        await using SoakHostServer soakHost = await SoakHostServer.StartAsync(
            new Dictionary<string, string>(),
            cancellationToken);
        await using Monitoring monitoring = await Monitoring.StartAsync(soakHost.Address, soakHost.Webhook, cancellationToken);

        // Longer than VcpuHung waits, all five cohorts have shown what they are there for: the control hangs, the others crossed
        // 2^31.
        await monitoring.Prometheus.WaitForAsync(
            "count(min_over_time(soakhost_verdict{verdict=\"pass\"}[20s]) == 1) == 5", CrossedWithin, cancellationToken);

        Assert.Equal(
            ["Watchdog"],
            (
                await monitoring.Prometheus.QueryAsync(
                    "count by (alertname) (max_over_time(ALERTS{alertstate=\"firing\"}[10m]))",
                    cancellationToken)).Select(alert => alert.Labels["alertname"]));

        // Nor is anything about to fire. One scrape that was too slow on a busy machine makes SoakHostDown wait, and then no
        // longer.
        await monitoring.Prometheus.WaitForAsync(
            "absent(ALERTS{alertname!=\"Watchdog\"})", TimeSpan.FromSeconds(30), cancellationToken);
        Assert.Empty(MetricTable.DifferencesFrom(await soakHost.MetricsAsync(cancellationToken)));
        await QueryRun.AssertAllAsync(monitoring.Prometheus, cancellationToken);

        // The Watchdog's page shows that the way was open; whatever else came over it would be among what was received by then.
        await Poll.UntilAsync(
            () => Task.FromResult(soakHost.Events(AlertReceived).Any()),
            TimeSpan.FromSeconds(60),
            () => "the Watchdog's page was not received",
            cancellationToken);
        IEnumerable<string?> received = soakHost
            .Events(AlertReceived)
            .Select(line => line.GetProperty("AlertName").GetString())
            .Distinct();
        Assert.Equal(["Watchdog"], received);
    }

    private static Dictionary<string, string> StableRuns(string kernel) => new()
    {
        ["Soak__Fleet__1__Name"] = "stable",
        ["Soak__Fleet__1__Kernel"] = kernel,
        ["Soak__Fleet__1__Expect"] = "progress",
    };

    private static void AssertSaysWhichVcpuHangsAndWhy(StubFleet.Page page, Uri soakHost)
    {
        Assert.Equal("critical", page.Receiver);
        Assert.Equal(
            ("critical", "stable", "linux-6.1", "progress", "soakhost", soakHost.Authority),
            (
                page.Labels["severity"],
                page.Labels["cohort"],
                page.Labels["kernel"],
                page.Labels["expect"],
                page.Labels["job"],
                page.Labels["instance"]));
        (string? vm, string? vcpu, string? seq, string? snapshot) = (
            page.Labels["vm"],
            page.Labels["vcpu"],
            page.Labels["invalidate_seq"],
            page.Labels["snapshot"]);
        Assert.Matches("^[0-9]+$", vm);
        Assert.Matches("^[0-3]$", vcpu);

        // Wherever the counter started: from 2^31, or from a higher boundary at which the snapshot's bit 31 is set.
        Assert.Matches("^0x[0-9a-f]*[89a-f][0-9a-f]{7}$", seq);
        Assert.Matches("^0xffffffff[89a-f][0-9a-f]{7}$", snapshot);

        Assert.Equal($"vCPU {vcpu} of VM {vm} in cohort stable (linux-6.1) is hung", page.Annotations["summary"]);
        Match said = LastProgress().Match(page.Annotations["description"]);
        Assert.True(said.Success, page.Annotations["description"]);
        Assert.Equal(
            $"vCPU {vcpu} of VM {vm} in cohort stable (kernel linux-6.1) keeps retrying its fault on guest page "
                + $"{page.Labels["page"]}: the kernel "
            + "treats the fault as stale, and would for ever, even if invalidations stopped now. When the stall was found, "
            + $"mmu_invalidate_seq was {seq} and the fault's snapshot {snapshot}. Last progress: (time). "
            + "A hung vCPU does not recover by itself.",
            LastProgress().Replace(page.Annotations["description"], "(time)"));

        string runbook = new Uri(page.Annotations["runbook_url"]).Segments[^1];
        Assert.True(File.Exists(Path.Combine(Repository.Deploy, "runbooks", runbook)), runbook);
    }

    private static void AssertLogged(SoakHostServer soakHost, string status, StubFleet.Page page) =>
        Assert.Contains(
            $"Alert {status}: VcpuHung, cohort stable, VM {page.Labels["vm"]}, vCPU {page.Labels["vcpu"]}: "
                + $"{page.Annotations["summary"]}",
            soakHost.Events(AlertReceived).Select(line => line.GetProperty("@m").GetString()));

    [GeneratedRegex(@"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC")]
    private static partial Regex LastProgress();
}
