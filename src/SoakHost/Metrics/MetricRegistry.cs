using Prometheus;

namespace SoakHost.Metrics;

/// <summary>
/// Metrics in Prometheus' text format. The only place that knows the library: a registry of its own, without the library's default
/// metrics. Series say what was set for this scrape and nothing else, so that one that is no longer set is gone.
/// </summary>
internal sealed class MetricRegistry : IDisposable
{
    /// <summary>The content type of what <see cref="WriteAsync"/> writes.</summary>
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    private readonly CollectorRegistry _registry = Prometheus.Metrics.NewCustomRegistry();
    private readonly MetricFactory _factory;
    private readonly List<Action> _fills = [];
    private readonly List<MetricFamily> _families = [];

    // Two scrapes at once would set, and forget, each other's series.
    private readonly SemaphoreSlim _scrape = new(1);

    public MetricRegistry() => _factory = Prometheus.Metrics.WithCustomRegistry(_registry);

    /// <summary>Has this called before each scrape, to set every series there is.</summary>
    public void BeforeScrape(Action fill) => _fills.Add(fill);

    /// <summary>A family whose series only ever grow.</summary>
    public MetricFamily Counter(string name, string help, params string[] labels)
    {
        Counter counter = _factory.CreateCounter(name, help, labels);
        return Add(new MetricFamily((value, series) => counter.WithLabels(series).IncTo(value), series => counter.RemoveLabelled(series)));
    }

    /// <summary>A family whose series go up and down.</summary>
    public MetricFamily Gauge(string name, string help, params string[] labels)
    {
        Gauge gauge = _factory.CreateGauge(name, help, labels);
        return Add(new MetricFamily((value, series) => gauge.WithLabels(series).Set(value), series => gauge.RemoveLabelled(series)));
    }

    /// <summary>Fills every family, and writes them all.</summary>
    public async Task WriteAsync(Stream output, CancellationToken stop)
    {
        await _scrape.WaitAsync(stop);
        try
        {
            foreach (Action fill in _fills)
                fill();
            foreach (MetricFamily family in _families)
                family.ForgetUnset();
            await _registry.CollectAndExportAsTextAsync(output, stop);
        }
        finally
        {
            _scrape.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _scrape.Dispose();

    private MetricFamily Add(MetricFamily family)
    {
        _families.Add(family);
        return family;
    }
}

/// <summary>Series of one name. Used while a scrape is prepared, by one thread.</summary>
internal sealed class MetricFamily(Action<double, string[]> set, Action<string[]> remove)
{
    private Dictionary<string, string[]> _before = [];
    private Dictionary<string, string[]> _now = [];

    /// <summary>Sets the series with these label values, in the order of the family's labels.</summary>
    public void Set(double value, params string[] series)
    {
        set(value, series);
        _now[string.Join('\n', series)] = series;
    }

    /// <summary>Removes the series that were set for the scrape before, but not for this one.</summary>
    public void ForgetUnset()
    {
        foreach ((string key, string[] series) in _before)
        {
            if (!_now.ContainsKey(key))
                remove(series);
        }

        (_before, _now) = (_now, _before);
        _now.Clear();
    }
}
