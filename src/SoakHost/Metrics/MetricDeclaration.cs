namespace SoakHost.Metrics;

/// <summary>The types of metrics that there are.</summary>
internal enum MetricType
{
    /// <summary>It only grows.</summary>
    Counter,

    /// <summary>It goes up and down.</summary>
    Gauge,

    /// <summary>Counts what is observed, in buckets.</summary>
    Histogram,
}

/// <summary>A metric, said once: the registry, the documents and the tests read it here.</summary>
/// <param name="Name">The name.</param>
/// <param name="Type">The type.</param>
/// <param name="Help">What it says, in a phrase that starts in upper case, without a full stop at its end.</param>
/// <param name="Labels">The labels, in the order in which values are set.</param>
internal sealed record MetricDeclaration(string Name, MetricType Type, string Help, params string[] Labels)
{
    /// <summary>Whether its series come and go: an exposition without any of them is right too.</summary>
    public bool MayBeAbsent { get; init; }

    /// <summary>The upper bounds of a histogram's buckets; the last one, without a bound, is not named.</summary>
    public IReadOnlyList<double> Buckets { get; init; } = [];

    /// <summary>The names of its series: a histogram has three.</summary>
    public IReadOnlyList<string> SeriesNames =>
        Type == MetricType.Histogram ? [$"{Name}_bucket", $"{Name}_sum", $"{Name}_count"] : [Name];

    /// <summary>Its row in the documents: name, type, labels, meaning.</summary>
    public string Row => $"| `{Name}` | {Type.ToString().ToLowerInvariant()} | {string.Join(", ", Labels)} | {Help} |";
}
