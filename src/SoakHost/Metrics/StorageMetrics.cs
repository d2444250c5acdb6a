using SoakHost.Configuration;
using SoakHost.Storage;

namespace SoakHost.Metrics;

/// <summary>How long commits take. It exists before storage does, since storage commits as it starts.</summary>
internal sealed class CommitMetrics(MetricRegistry registry)
{
    private readonly Action<double> _observe = registry.AddHistogram(DeclaredMetrics.CommitDuration);

    /// <summary>Counts a commit.</summary>
    public void Observe(TimeSpan duration) => _observe(duration.TotalSeconds);
}

/// <summary>The age of checkpoints, the size of the data directory, and failures to write to it.</summary>
internal sealed class StorageMetrics
{
    public StorageMetrics(MetricRegistry registry, SoakStorage storage, SoakOptions options, TimeProvider time)
    {
        DateTimeOffset started = time.GetUtcNow();
        MetricFamily lastSuccess = registry.Add(DeclaredMetrics.CheckpointLastSuccess);
        MetricFamily interval = registry.Add(DeclaredMetrics.CheckpointInterval);
        MetricFamily bytes = registry.Add(DeclaredMetrics.DataDirectoryBytes);
        MetricFamily free = registry.Add(DeclaredMetrics.DataDirectoryFree);
        MetricFamily lastFailure = registry.Add(DeclaredMetrics.StorageLastFailure);
        registry.BeforeScrape(() =>
        {
            lastSuccess.Set(((storage.Status.LastSuccess ?? started) - DateTimeOffset.UnixEpoch).TotalSeconds);
            interval.Set(options.CheckpointInterval.TotalSeconds);
            if (storage.Status.LastFailure is { } failed)
                lastFailure.Set((failed - DateTimeOffset.UnixEpoch).TotalSeconds);
            if (storage.Usage is not { } usage)
                return;
            bytes.Set(usage.Bytes);
            free.Set(usage.FreeBytes);
        });
    }
}
