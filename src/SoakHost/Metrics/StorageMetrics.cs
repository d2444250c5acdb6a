using SoakHost.Configuration;
using SoakHost.Storage;

namespace SoakHost.Metrics;

/// <summary>Checkpoints.</summary>
internal sealed class StorageMetrics
{
    public StorageMetrics(MetricRegistry registry, SoakStorage storage, SoakOptions options, TimeProvider time)
    {
        DateTimeOffset started = time.GetUtcNow();
        MetricFamily lastSuccess = registry.Gauge(
            "soakhost_checkpoint_last_success_timestamp_seconds",
            "When the last checkpoint of every shard was written, in seconds since 1970; before the first, when the service started.");
        MetricFamily interval = registry.Gauge("soakhost_checkpoint_interval_seconds", "Time between two checkpoints, as configured, in seconds.");
        registry.BeforeScrape(() =>
        {
            lastSuccess.Set(((storage.Status.LastSuccess ?? started) - DateTimeOffset.UnixEpoch).TotalSeconds);
            interval.Set(options.CheckpointInterval.TotalSeconds);
        });
    }
}
