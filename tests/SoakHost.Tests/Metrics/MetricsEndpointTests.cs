using System.Text.RegularExpressions;
using SoakHost.Metrics;
using SoakHost.Tests.Service;

namespace SoakHost.Tests.Metrics;

public partial class MetricsEndpointTests(SmallService service)
{
    private readonly ProgramProcess _program = service.Program;

    [Fact]
    public async Task A_scrape_has_the_declared_metrics_and_no_others()
    {
        string[] types = [.. (await ScrapeAsync()).Where(line => line.StartsWith("# TYPE ", StringComparison.Ordinal)).Order()];
        Assert.Equal(
            DeclaredMetrics.All.Select(metric => $"# TYPE {metric.Name} {metric.Type.ToString().ToLowerInvariant()}").Order(),
            types);
    }

    [Fact]
    public async Task Every_series_has_the_declared_labels()
    {
        var seen = new HashSet<string>();
        foreach (Match series in (await ScrapeAsync()).Select(line => Series().Match(line)).Where(match => match.Success))
        {
            string labels = string.Join(
                ',',
                Label().Matches(series.Groups["labels"].Value).Select(label => label.Groups[1].Value));
            string name = series.Groups["name"].Value;
            MetricDeclaration metric = Assert.Single(DeclaredMetrics.All, metric => metric.SeriesNames.Contains(name));
            IEnumerable<string> declared = metric.Labels.Concat(name == $"{metric.Name}_bucket" ? ["le"] : []);
            Assert.Equal($"{name}: {string.Join(',', declared)}", $"{name}: {labels}");
            seen.Add(name);
        }

        // The small fleet has everything but a forecast for real VMs, and a disk that fails.
        Assert.Equal(
            DeclaredMetrics.All.Except([DeclaredMetrics.ExpectedCrossing, DeclaredMetrics.StorageLastFailure])
                .SelectMany(metric => metric.SeriesNames).Order(),
            seen.Order());
    }

    [Fact]
    public async Task Known_cohorts_have_their_series_before_anything_happens_in_them()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(
            Fleets.Small(("Soak__WatchdogInterval", "30s"), ("Soak__StallAfter", "1h")));
        string[] zero =
        [
            "soakhost_boundary_crossings_total{cohort=\"healthy\",kernel=\"linux-6.1.y\",boundary=\"2^64\"}",
            "soakhost_unsafe_installs_total{cohort=\"healthy\",kernel=\"linux-6.1.y\"}",
            "soakhost_incidents_total{cohort=\"healthy\",kernel=\"linux-6.1.y\",kind=\"accounting_error\"}",
            "soakhost_vcpus{cohort=\"healthy\",kernel=\"linux-6.1.y\",expect=\"progress\",state=\"hung\"}",
            "soakhost_alerts_received_total{status=\"firing\"}",
        ];
        foreach (string series in zero)
            Assert.Equal(0, await program.MetricAsync(series));

        // Storage has committed the new run, before anything else.
        Assert.True(await program.MetricAsync("soakhost_commit_duration_seconds_count") >= 1);
        Assert.True(await program.MetricAsync("soakhost_data_directory_free_bytes") > 0);
        Assert.Null(await program.MetricAsync("soakhost_storage_last_failure_timestamp_seconds"));
        Assert.Equal(
            3,
            await program.MetricAsync(
                "soakhost_vms{cohort=\"healthy\",kernel=\"linux-6.1.y\",expect=\"progress\",kind=\"simulated\"}"));
    }

    [Fact]
    public async Task A_hung_vcpu_is_named_with_counter_and_snapshot_in_hex()
    {
        string[] stalls =
        [
            .. (await ScrapeAsync()).Where(line => line.StartsWith("soakhost_vcpu_stall_info{", StringComparison.Ordinal)),
        ];
        Assert.Equal(8, stalls.Length);
        Assert.All(stalls, stall => Assert.Matches(
            "cohort=\"control\",kernel=\"linux-6.1\",expect=\"hang\",vm=\"[01]\",vcpu=\"[0-3]\",state=\"hung\",page=\"[0-9]+\","
            + "invalidate_seq=\"0x8[0-9a-f]{7}\",snapshot=\"0xffffffff8[0-9a-f]{7}\"} 1$",
            stall));
    }

    private async Task<string[]> ScrapeAsync() =>
        (await _program.Http.GetStringAsync("/metrics", TestContext.Current.CancellationToken)).Split('\n');

    [GeneratedRegex(@"^(?<name>[a-z_0-9]+)(\{(?<labels>.*)\})? [^ ]+$")]
    private static partial Regex Series();

    [GeneratedRegex("([a-z_]+)=\"[^\"]*\"")]
    private static partial Regex Label();
}
