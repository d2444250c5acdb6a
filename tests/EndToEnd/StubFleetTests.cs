using SoakHost.EndToEnd.Harness;
using Xunit;

namespace SoakHost.EndToEnd;

/// <summary>Real Prometheus and Alertmanager, deploy's own files, and a stub in the service's place.</summary>
public sealed class StubFleetTests
{
    [Fact]
    public async Task A_hung_vcpu_is_paged_by_name_and_the_page_is_resolved_once_it_runs()
    {
        CancellationToken cancellationToken = TestContext.Current.CancellationToken;
        await using StubFleet fleet = await StubFleet.StartAsync(cancellationToken);
        fleet.Exposition = Expositions.StableHangs;
        await using Monitoring monitoring = await Monitoring.StartAsync(fleet.Address, fleet.Webhook, cancellationToken);

        StubFleet.Page page = await fleet.WaitForPageAsync("VcpuHung", "firing", TimeSpan.FromSeconds(60), cancellationToken);

        Assert.Equal("critical", page.Receiver);
        Assert.Equal("vCPU 2 of VM 1 in cohort stable (linux-6.1.y) is hung", page.Annotations["summary"]);
        Assert.Contains(
            "mmu_invalidate_seq was 0x80000000 and the fault's snapshot 0xffffffff80000000. Last progress: 20",
            page.Annotations["description"],
            StringComparison.Ordinal);
        Assert.EndsWith("/deploy/runbooks/VcpuHung.md", page.Annotations["runbook_url"], StringComparison.Ordinal);
        // The hung vCPU has an alert of its own, so the cohort's count does not fire too. The control hangs as well, without an
        // alert.
        Assert.Equal(["VcpuHung", "Watchdog"], fleet.Pages.Select(alert => alert.Name).Distinct().Order(StringComparer.Ordinal));
        Assert.Single(
            fleet.Pages.Where(alert => alert.Name == "VcpuHung").Select(alert => string.Join(' ', alert.Labels.Values)).Distinct()
        );

        fleet.Exposition = Expositions.StableRuns;
        StubFleet.Page resolved = await fleet.WaitForPageAsync(
            "VcpuHung",
            "resolved",
            TimeSpan.FromSeconds(60),
            cancellationToken);

        Assert.Equal(page.Labels, resolved.Labels);
    }

    [Fact]
    public async Task Every_query_of_every_rule_and_dashboard_runs_and_returns_what_it_promises()
    {
        CancellationToken cancellationToken = TestContext.Current.CancellationToken;
        await using StubFleet fleet = await StubFleet.StartAsync(cancellationToken);
        fleet.Exposition = Expositions.StableHangs + Expositions.Watched;
        await using Monitoring monitoring = await Monitoring.StartAsync(fleet.Address, fleet.Webhook, cancellationToken);

        await monitoring.Prometheus.WaitForAsync("ALERTS{alertname=\"VcpuHung\"}", TimeSpan.FromSeconds(60), cancellationToken);
        await QueryRun.AssertAllAsync(monitoring.Prometheus, cancellationToken, vcpuHangs: true, watches: true);
    }
}
