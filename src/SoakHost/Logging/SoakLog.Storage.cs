namespace SoakHost.Logging;

/// <summary>Log events of storage and interventions.</summary>
internal static partial class SoakLog
{
    [LoggerMessage(1010, LogLevel.Information,
        "Run {Run} of {Started:O} is resumed: {Shards} shards from their checkpoints, at ticks {FirstTick} to {LastTick}")]
    public static partial void RunResumed(this ILogger log, long run, DateTimeOffset started, int shards, long firstTick, long lastTick);

    [LoggerMessage(1011, LogLevel.Warning, "Run {Before} has another configuration: {Differences}. Run {Run} begins")]
    public static partial void RunReplaced(this ILogger log, long before, string differences, long run);

    [LoggerMessage(1012, LogLevel.Information, "{Cohort}: {Intervention} takes effect at tick {Tick}")]
    public static partial void InterventionApplied(this ILogger log, string cohort, string intervention, long tick);

    [LoggerMessage(3010, LogLevel.Error,
        "The checkpoint of cohort {Cohort}, VMs from {FirstVm}, at tick {Tick} cannot be used: {Reason}. The one before it is used, if there is one")]
    public static partial void CheckpointDamaged(this ILogger log, string cohort, int firstVm, long tick, string reason);

    [LoggerMessage(3011, LogLevel.Error, "Cohort {Cohort}: the VMs from {FirstVm} have no usable checkpoint. They start over and repeat their history")]
    public static partial void ShardStartsOver(this ILogger log, string cohort, int firstVm);

    [LoggerMessage(3012, LogLevel.Error, "{Failure}. The soak goes on: incidents are kept in memory, and each checkpoint tries again")]
    public static partial void StorageFailed(this ILogger log, string failure);

    [LoggerMessage(3013, LogLevel.Information, "Checkpoints are written again. Findings lost in between: {Dropped}")]
    public static partial void StorageRecovered(this ILogger log, long dropped);
}
