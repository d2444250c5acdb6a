using SoakHost.Configuration;
using SoakHost.Storage;

namespace SoakHost.Metrics;

/// <summary>The age of checkpoints.</summary>
internal sealed class StorageMetrics
{
    public StorageMetrics(MetricRegistry registry, SoakStorage storage, SoakOptions options, TimeProvider time)
    {
        DateTimeOffset started = time.GetUtcNow();
        MetricFamily lastSuccess = registry.Add(DeclaredMetrics.CheckpointLastSuccess);
        MetricFamily interval = registry.Add(DeclaredMetrics.CheckpointInterval);
        registry.BeforeScrape(() =>
        {
            lastSuccess.Set(((storage.Status.LastSuccess ?? started) - DateTimeOffset.UnixEpoch).TotalSeconds);
            interval.Set(options.CheckpointInterval.TotalSeconds);
        });
    }
}
