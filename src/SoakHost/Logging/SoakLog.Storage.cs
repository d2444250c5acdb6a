namespace SoakHost.Logging;

/// <summary>Log events of storage and interventions.</summary>
internal static partial class SoakLog
{
    [LoggerMessage(1010, LogLevel.Information,
        "Run {Run} of {Started:O} goes on: {Shards} shards from their checkpoints, at ticks {FirstTick} to {LastTick}")]
    public static partial void RunResumed(this ILogger log, long run, DateTimeOffset started, int shards, long firstTick, long lastTick);

    [LoggerMessage(1011, LogLevel.Warning, "Run {Before} is another one: {Differences}. Run {Run} begins")]
    public static partial void RunReplaced(this ILogger log, long before, string differences, long run);

    [LoggerMessage(1012, LogLevel.Information, "{Cohort}: {Intervention} takes effect at tick {Tick}")]
    public static partial void InterventionApplied(this ILogger log, string cohort, string intervention, long tick);

    [LoggerMessage(3010, LogLevel.Error,
        "The checkpoint of {Cohort}, VMs from {FirstVm}, at tick {Tick} cannot be used: {Reason}. The one before it is used")]
    public static partial void CheckpointDamaged(this ILogger log, string cohort, int firstVm, long tick, string reason);

    [LoggerMessage(3011, LogLevel.Error, "{Cohort}: the VMs from {FirstVm} have no usable checkpoint; they start over and go the same way again")]
    public static partial void ShardStartsOver(this ILogger log, string cohort, int firstVm);

    [LoggerMessage(3012, LogLevel.Error, "{Failure}. The soak goes on; incidents are kept in memory, and every checkpoint is another attempt")]
    public static partial void StorageFailed(this ILogger log, string failure);

    [LoggerMessage(3013, LogLevel.Information, "Checkpoints are written again; {Dropped} findings were lost meanwhile")]
    public static partial void StorageRecovered(this ILogger log, long dropped);
}
