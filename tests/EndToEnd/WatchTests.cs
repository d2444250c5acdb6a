using System.Text;
using SoakHost.EndToEnd.Harness;
using SoakHost.Metrics;
using SoakHost.Service;
using SoakHost.Watch.Samples;
using SoakHost.Watch.Verdicts;
using Xunit;

namespace SoakHost.EndToEnd;

/// <summary>From recordings to a page: the program's verdict and metrics, a real Prometheus, a real Alertmanager.</summary>
public sealed class WatchTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Field case 1: a VM with four vCPUs, all hung, 5 s apart.</summary>
    private const string Hung = """
        {"time_seconds":0,"vm":"web-17","vcpu":2,"kernel":{"release":"6.1.38"},"stats":{"pf_taken":18621630613,"pf_fixed":6759901066,"pf_emulate":12353,"pf_spurious":2348694,"pf_fast":56},"vm_stats":{"remote_tlb_flush":1731549762,"remote_tlb_flush_requests":3092024754}}
        {"time_seconds":5,"vm":"web-17","vcpu":2,"kernel":{"release":"6.1.38"},"stats":{"pf_taken":18624893553,"pf_fixed":6759901066,"pf_emulate":12353,"pf_spurious":2348694,"pf_fast":56},"vm_stats":{"remote_tlb_flush":1731549762,"remote_tlb_flush_requests":3092024754}}
        """;

    /// <summary>Field case 16: NUMA balancing freezes a VM for 20 s; the second half of one zap of 4.8 s.</summary>
    private const string Storm = """
        {"time_seconds":0,"vm":"storm","vcpu":0,"kernel":{"release":"6.5.11"},"stats":{"pf_taken":9000000,"pf_fixed":77,"pf_emulate":0,"pf_spurious":0},"counter":{"invalidate_seq":"0x1000","in_progress":1},"host":{"numa_balancing":true}}
        {"time_seconds":4.8,"vm":"storm","vcpu":0,"kernel":{"release":"6.5.11"},"stats":{"pf_taken":12000000,"pf_fixed":77,"pf_emulate":0,"pf_spurious":0},"counter":{"invalidate_seq":"0x1000","in_progress":1},"host":{"numa_balancing":true}}
        """;

    [Fact]
    public async Task A_hung_VM_is_paged_with_its_name_and_a_storm_is_not()
    {
        CancellationToken cancellationToken = TestContext.Current.CancellationToken;
        await using StubFleet target = await StubFleet.StartAsync(cancellationToken);
        target.Exposition = await ExpositionAsync(Hung, Storm);
        Assert.Contains("vm=\"storm\",vcpu=\"0\",state=\"starved\"", target.Exposition, StringComparison.Ordinal);
        await using Monitoring monitoring = await Monitoring.StartAsync(target.Address, target.Webhook, cancellationToken);

        await target.WaitForPageAsync("ProductionVcpuHung", "firing", Patience, cancellationToken);

        StubFleet.Page[] pages = [.. target.Pages.Where(page => page.Name == "ProductionVcpuHung")];
        Assert.All(pages, page =>
        {
            Assert.Equal("critical", page.Receiver);
            Assert.Equal(("web-17", "2", "quiet"), (page.Labels["vm"], page.Labels["vcpu"], page.Labels["proof"]));
            Assert.StartsWith("vCPU 2 of VM web-17 on ", page.Annotations["summary"], StringComparison.Ordinal);
        });
        RuleFiles.Rule[] recordings = [.. RuleFiles.Recordings.Where(QueryRun.IsAboutWatch)];
        Assert.NotEmpty(recordings);
        foreach (RuleFiles.Rule recording in recordings)
            Assert.NotEmpty(await monitoring.Prometheus.QueryAsync(recording.Record!, cancellationToken));

        // The storm is as old as the hang, and every rule has seen both as often.
        Assert.DoesNotContain(target.Pages, page => page.Labels.GetValueOrDefault("vm") == "storm");
    }

    private static async Task<string> ExpositionAsync(params string[] recordings)
    {
        var host = new HostHistory();
        using var recording = new MemoryStream(Encoding.UTF8.GetBytes(string.Join('\n', recordings)));
        foreach (RecordedLine line in Recording.Read(recording))
            host.Add(line.Sample!);
        using var registry = new MetricRegistry();
        _ = new WatchMetrics(registry, () => new WatchedHost(DateTimeOffset.UnixEpoch, host.Vms, host.Vcpus, []));
        using var output = new MemoryStream();
        await registry.WriteAsync(output, TestContext.Current.CancellationToken);
        return Encoding.UTF8.GetString(output.ToArray());
    }
}
