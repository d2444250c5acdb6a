using SoakHost.Storage;

namespace SoakHost.Metrics;

/// <summary>How storage gets on.</summary>
internal sealed class StorageMetrics
{
    private readonly SoakStorage _storage;
    private readonly MetricFamily _lastSuccess;

    public StorageMetrics(MetricRegistry registry, SoakStorage storage)
    {
        _storage = storage;
        _lastSuccess = registry.Gauge(
            "soakhost_checkpoint_last_success_timestamp_seconds",
            "When the last checkpoint of every shard was written, in seconds since 1970. Not there before the first.");
        registry.BeforeScrape(Fill);
    }

    private void Fill()
    {
        if (_storage.Status.LastSuccess is { } last)
            _lastSuccess.Set((last - DateTimeOffset.UnixEpoch).TotalSeconds);
    }
}
