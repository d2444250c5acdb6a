using System.Text.RegularExpressions;
using SoakHost.Metrics;

namespace SoakHost.EndToEnd.Harness;

/// <summary>
/// The metrics that the program declares: rules and dashboards may use no others, and the service's own <c>/metrics</c> must
/// match.
/// </summary>
public static partial class MetricTable
{
    /// <summary>
    /// A metric. <see cref="MayBeAbsent"/>: an exposition without it is correct, because its series come and go.
    /// </summary>
    public sealed record Metric(string Name, string Type, string[] Labels, bool MayBeAbsent = false)
    {
        /// <summary>The name that its type is declared under: a histogram has three series and one declaration.</summary>
        public string Family { get; init; } = Name;
    }

    public static IReadOnlyList<Metric> Metrics { get; } =
    [
        .. from metric in DeclaredMetrics.All
           from name in metric.SeriesNames
           let isBucket = name == $"{metric.Name}_bucket"
           select new Metric(
               name,
               metric.Type.ToString().ToLowerInvariant(),
               isBucket ? [.. metric.Labels, "le"] : metric.Labels,
               metric.MayBeAbsent)
           {
               Family = metric.Name,
           },
    ];

    /// <summary>What <c>soakhost watch</c> exposes.</summary>
    public static IReadOnlyList<Metric> OfWatch { get; } =
        [.. WatchMetrics.All.Select(metric => new Metric(metric.Name, "gauge", metric.Labels, metric.MayBeAbsent))];

    /// <summary>What Prometheus itself adds, with its labels.</summary>
    public static IReadOnlyList<Metric> FromPrometheus { get; } =
    [
        new("up", "gauge", []),
        new("scrape_duration_seconds", "gauge", []),
        new("scrape_samples_scraped", "gauge", []),
        new("ALERTS", "gauge", ["alertname", "alertstate"]),
    ];

    /// <summary>Labels that every series has once it is scraped; Prometheus Operator adds the namespace.</summary>
    public static IReadOnlyList<string> TargetLabels { get; } = ["job", "instance", "namespace"];

    /// <summary>The differences between an exposition and the table, a sentence each; none if they agree.</summary>
    public static IReadOnlyList<string> DifferencesFrom(string exposition)
    {
        var types = TypeLine().Matches(exposition).ToDictionary(line => line.Groups[1].Value, line => line.Groups[2].Value);
        ILookup<string, string> series = SampleLine().Matches(exposition)
            .ToLookup(
                line => line.Groups[1].Value,
                line =>
                    string.Join(
                        ", ",
                        LabelName()
                            .Matches(line.Groups[2].Value)
                            .Select(label => label.Groups[1].Value)
                            .Order(StringComparer.Ordinal)));
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
               where types.TryGetValue(metric.Family, out string? type) && type != metric.Type
               select $"{metric.Name} is a {types[metric.Family]}, not a {metric.Type}",
        ];
    }

    [GeneratedRegex(@"^# TYPE (\S+) (\S+)\r?$", RegexOptions.Multiline)]
    private static partial Regex TypeLine();

    [GeneratedRegex(@"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+\r?$", RegexOptions.Multiline)]
    private static partial Regex SampleLine();

    [GeneratedRegex("""([a-zA-Z_]\w*)="(?:[^"\\]|\\.)*"(?:,|$)""")]
    private static partial Regex LabelName();
}
