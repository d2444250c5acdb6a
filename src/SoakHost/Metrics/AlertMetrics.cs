namespace SoakHost.Metrics;

/// <summary>Alerts received on the webhook.</summary>
internal sealed class AlertMetrics
{
    private readonly MetricFamily _received;
    private long _firing;
    private long _resolved;

    public AlertMetrics(MetricRegistry registry)
    {
        _received = registry.Add(DeclaredMetrics.AlertsReceived);
        registry.BeforeScrape(Fill);
    }

    /// <summary>Counts one alert.</summary>
    public void Count(bool isFiring) => Interlocked.Increment(ref isFiring ? ref _firing : ref _resolved);

    private void Fill()
    {
        _received.Set(Interlocked.Read(ref _firing), "firing");
        _received.Set(Interlocked.Read(ref _resolved), "resolved");
    }
}
