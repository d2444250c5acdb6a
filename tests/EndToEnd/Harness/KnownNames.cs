namespace SoakHost.EndToEnd.Harness;

/// <summary>The metrics and labels that a query may use: the service's, Prometheus's own and what the rules record.</summary>
public static class KnownNames
{
    private static readonly HashSet<string> Metrics =
    [
        .. MetricTable.Metrics.Concat(MetricTable.OfWatch).Concat(MetricTable.FromPrometheus).Select(metric => metric.Name),
        .. RuleFiles.Recordings.Select(rule => rule.Record!),
    ];

    private static readonly HashSet<string> Labels =
    [
        .. MetricTable.Metrics.Concat(MetricTable.OfWatch).Concat(MetricTable.FromPrometheus).SelectMany(metric => metric.Labels),
        .. MetricTable.TargetLabels,
    ];

    /// <summary>The names in <paramref name="query"/> that do not exist.</summary>
    public static IEnumerable<string> Unknown(string query)
    {
        (IReadOnlySet<string>? metrics, IReadOnlySet<string>? labels) = PromQl.Names(query);
        return metrics.Except(Metrics).Concat(labels.Except(Labels).Select(label => $"label {label}"));
    }
}
