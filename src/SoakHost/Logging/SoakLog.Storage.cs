namespace SoakHost.Logging;

/// <summary>Log events of storage and interventions.</summary>
internal static partial class SoakLog
{
    [LoggerMessage(1010, LogLevel.Information,
        "Run {Run} of {Started:O} resumes: {Shards} shards from their checkpoints, at ticks {FirstTick} to {LastTick}")]
    public static partial void RunResumed(this ILogger log, long run, DateTimeOffset started, int shards, long firstTick,
        long lastTick);

    [LoggerMessage(1011, LogLevel.Warning, "Run {Before} in the data directory differs: {Differences}. A new run {Run} starts")]
    public static partial void RunReplaced(this ILogger log, long before, string differences, long run);

    [LoggerMessage(1012, LogLevel.Information, "{Cohort}: {Intervention} takes effect at tick {Tick}")]
    public static partial void InterventionApplied(this ILogger log, string cohort, string intervention, long tick);

    [LoggerMessage(3010, LogLevel.Error,
        "The checkpoint of {Cohort}, VMs from {FirstVm}, at tick {Tick} cannot be used: {Reason}. The one before it is used, if "
        + "there is one")]
    public static partial void CheckpointDamaged(this ILogger log, string cohort, int firstVm, long tick, string reason);

    [LoggerMessage(3011, LogLevel.Error,
        "{Cohort}: no checkpoint of the VMs from {FirstVm} can be used; they restart at tick 0 and repeat their history")]
    public static partial void ShardStartsOver(this ILogger log, string cohort, int firstVm);

    [LoggerMessage(3012, LogLevel.Error,
        "{Failure}. The soak continues; incidents stay in memory, and each checkpoint tries again")]
    public static partial void StorageFailed(this ILogger log, string failure);

    [LoggerMessage(3013, LogLevel.Information, "Storage recovered: checkpoints are written again; {Dropped} findings were lost")]
    public static partial void StorageRecovered(this ILogger log, long dropped);
}
