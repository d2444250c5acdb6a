using System.Text.RegularExpressions;

namespace SoakHost.EndToEnd.Harness;

/// <summary>
/// The metrics that the service exposes: rules and dashboards may use no others, and the service's own <c>/metrics</c> must
/// match.
/// </summary>
public static partial class MetricTable
{
    /// <summary>A metric. <see cref="MayBeAbsent"/>: an exposition without it is correct, because its series come and go.</summary>
    public sealed record Metric(string Name, string Type, string[] Labels, bool MayBeAbsent = false);

    private static readonly string[] Cohort = ["cohort", "kernel"];

    public static IReadOnlyList<Metric> Metrics { get; } =
    [
        new("soakhost_invalidations_total", "counter", Cohort),
        new("soakhost_faults_total", "counter", [.. Cohort, "outcome"]),
        new("soakhost_guest_accesses_total", "counter", Cohort),
        new("soakhost_unjustified_retries_total", "counter", Cohort),
        new("soakhost_unsafe_installs_total", "counter", Cohort),
        new("soakhost_accounting_errors_total", "counter", Cohort),
        new("soakhost_vms", "gauge", [.. Cohort, "expect"]),
        new("soakhost_vcpus", "gauge", [.. Cohort, "expect", "state"]),
        new("soakhost_vcpu_recoveries_total", "counter", Cohort),
        new("soakhost_vcpu_last_progress_timestamp_seconds", "gauge", [.. Cohort, "vm", "vcpu"], MayBeAbsent: true),
        new("soakhost_vcpu_stall_info", "gauge",
            [.. Cohort, "expect", "vm", "vcpu", "state", "page", "invalidate_seq", "snapshot"], MayBeAbsent: true),
        new("soakhost_invalidate_seq", "gauge", [.. Cohort, "stat"]),
        new("soakhost_boundary_crossings_total", "counter", [.. Cohort, "boundary"]),
        new("soakhost_boundary_expected_crossing_timestamp_seconds", "gauge", [.. Cohort, "boundary"], MayBeAbsent: true),
        new("soakhost_verdict", "gauge", [.. Cohort, "expect", "verdict"]),
        new("soakhost_incidents_total", "counter", [.. Cohort, "kind"]),
        new("soakhost_worker_last_slice_timestamp_seconds", "gauge", ["worker"]),
        new("soakhost_worker_slices_total", "counter", ["worker"]),
        new("soakhost_worker_busy_seconds_total", "counter", ["worker"]),
        new("soakhost_worker_slice_max_seconds", "gauge", ["worker"]),
        new("soakhost_worker_idle", "gauge", ["worker"]),
        new("soakhost_workers", "gauge", []),
        new("soakhost_hang_expected_from", "gauge", Cohort, MayBeAbsent: true),
        new("soakhost_checkpoint_interval_seconds", "gauge", []),
        new("soakhost_checkpoint_last_success_timestamp_seconds", "gauge", []),
        new("soakhost_interventions_total", "counter", ["cohort", "kind"]),
        new("soakhost_build_info", "gauge", ["version", "model_version", "vector_bits"]),
        new("soakhost_alerts_received_total", "counter", ["status"]),
        new("process_start_time_seconds", "gauge", []),
        new("process_resident_memory_bytes", "gauge", []),
        new("process_cpu_seconds_total", "counter", []),
        new("process_open_fds", "gauge", []),
        new("dotnet_gc_collections_total", "counter", ["generation"]),
        new("dotnet_gc_heap_bytes", "gauge", []),
        new("dotnet_gc_pause_seconds_total", "counter", []),
        new("dotnet_gc_allocated_bytes_total", "counter", []),
    ];

    /// <summary>What Prometheus itself adds, with its labels.</summary>
    public static IReadOnlyList<Metric> FromPrometheus { get; } =
    [
        new("up", "gauge", []),
        new("scrape_duration_seconds", "gauge", []),
        new("scrape_samples_scraped", "gauge", []),
        new("ALERTS", "gauge", ["alertname", "alertstate"]),
    ];

    /// <summary>Labels that every series has once it is scraped.</summary>
    public static IReadOnlyList<string> TargetLabels { get; } = ["job", "instance"];

    /// <summary>The differences between an exposition and the table, a sentence each; none if they agree.</summary>
    public static IReadOnlyList<string> DifferencesFrom(string exposition)
    {
        var types = TypeLine().Matches(exposition).ToDictionary(line => line.Groups[1].Value, line => line.Groups[2].Value);
        var series = SampleLine().Matches(exposition)
            .ToLookup(
                line => line.Groups[1].Value,
                line => string.Join(
                    ", ",
                    LabelName().Matches(line.Groups[2].Value).Select(label => label.Groups[1].Value).Order(StringComparer.Ordinal)));
        var known = Metrics.ToDictionary(metric => metric.Name);
        return
        [
            .. from metric in Metrics
               where !metric.MayBeAbsent && !series.Contains(metric.Name)
               select $"{metric.Name} is missing",
            .. from name in series.Select(samples => samples.Key)
               where !known.ContainsKey(name)
               select $"{name} is not in the table",
            .. from metric in Metrics
               let expected = string.Join(", ", metric.Labels.Order(StringComparer.Ordinal))
               from labels in series[metric.Name].Distinct()
               where labels != expected
               select $"{metric.Name} has the labels ({labels}), not ({expected})",
            .. from metric in Metrics
               where types.TryGetValue(metric.Name, out var type) && type != metric.Type
               select $"{metric.Name} is a {types[metric.Name]}, not a {metric.Type}",
        ];
    }

    [GeneratedRegex(@"^# TYPE (\S+) (\S+)\r?$", RegexOptions.Multiline)]
    private static partial Regex TypeLine();

    [GeneratedRegex(@"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+\r?$", RegexOptions.Multiline)]
    private static partial Regex SampleLine();

    [GeneratedRegex("""([a-zA-Z_]\w*)="(?:[^"\\]|\\.)*"(?:,|$)""")]
    private static partial Regex LabelName();
}
