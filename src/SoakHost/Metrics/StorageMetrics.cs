using SoakHost.Storage;

namespace SoakHost.Metrics;

/// <summary>How storage gets on.</summary>
internal sealed class StorageMetrics
{
    public StorageMetrics(MetricRegistry registry, SoakStorage storage, TimeProvider time)
    {
        DateTimeOffset started = time.GetUtcNow();
        MetricFamily lastSuccess = registry.Gauge(
            "soakhost_checkpoint_last_success_timestamp_seconds",
            "When the last checkpoint of every shard was written, in seconds since 1970; before the first, when the service started.");
        registry.BeforeScrape(() => lastSuccess.Set(((storage.Status.LastSuccess ?? started) - DateTimeOffset.UnixEpoch).TotalSeconds));
    }
}
