using Prometheus;

namespace SoakHost.Metrics;

/// <summary>
/// Metrics in Prometheus' text format. Nothing else uses the library. The registry is its own, without the library's default
/// metrics. A scrape has the series that were set for it and no others.
/// </summary>
internal sealed class MetricRegistry : IDisposable
{
    /// <summary>The content type of what <see cref="WriteAsync"/> writes.</summary>
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    private readonly CollectorRegistry _registry = Prometheus.Metrics.NewCustomRegistry();
    private readonly MetricFactory _factory;
    private readonly List<Action> _fills = [];
    private readonly List<MetricFamily> _families = [];

    // Two scrapes at the same time would set and forget each other's series.
    private readonly SemaphoreSlim _scrape = new(1);

    public MetricRegistry() => _factory = Prometheus.Metrics.WithCustomRegistry(_registry);

    /// <summary>Calls this before each scrape, to set every series.</summary>
    public void BeforeScrape(Action fill) => _fills.Add(fill);

    /// <summary>Registers a metric.</summary>
    public MetricFamily Add(MetricDeclaration metric)
    {
        MetricFamily family = metric.Type == MetricType.Counter ? AddCounter(metric) : AddGauge(metric);
        _families.Add(family);
        return family;
    }

    /// <summary>Registers a histogram without labels. It exists from now on, at zero.</summary>
    /// <returns>Observes a value; any thread may call it.</returns>
    public Action<double> AddHistogram(MetricDeclaration metric) =>
        _factory.CreateHistogram(metric.Name, $"{metric.Help}.", new HistogramConfiguration { Buckets = [.. metric.Buckets] })
            .Observe;

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

    private MetricFamily AddCounter(MetricDeclaration metric)
    {
        Counter counter = _factory.CreateCounter(metric.Name, $"{metric.Help}.", metric.Labels);
        return new MetricFamily(
            (value, series) => counter.WithLabels(series).IncTo(value),
            series => counter.RemoveLabelled(series));
    }

    private MetricFamily AddGauge(MetricDeclaration metric)
    {
        // Without labels the library would expose a zero that nobody set.
        var configuration = new GaugeConfiguration { SuppressInitialValue = true };
        Gauge gauge = _factory.CreateGauge(metric.Name, $"{metric.Help}.", metric.Labels, configuration);
        return new MetricFamily(
            (value, series) => gauge.WithLabels(series).Set(value),
            series =>
            {
                if (series.Length == 0)
                    gauge.Unpublish();
                else
                    gauge.RemoveLabelled(series);
            });
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
