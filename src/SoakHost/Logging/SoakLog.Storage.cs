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

    [LoggerMessage(1012, LogLevel.Information,
        "{Cohort}: {Intervention} takes effect at tick {Tick}, requested by {Requester} from {Address}, {UserAgent}")]
    public static partial void InterventionApplied(
        this ILogger log, string cohort, string intervention, long tick, string requester, string address, string userAgent);

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

    [LoggerMessage(3014, LogLevel.Error,
        "The data directory: {Refusal}. It is left out, and the run continues without it; {Count} records are refused in all")]
    public static partial void RecordRefused(this ILogger log, string refusal, int count);

    [LoggerMessage(3015, LogLevel.Error,
        "The database lacks {Commits} commits that were made: its log, soakhost.db-wal, was removed or damaged, or power was "
            + "lost. The run "
        + "continues from the checkpoints that are left; interventions among those commits are gone")]
    public static partial void CommitsLost(this ILogger log, string commits);

    [LoggerMessage(3016, LogLevel.Error, "{Gone}. Run {Run} was written anew, and is complete")]
    public static partial void DatabaseRescued(this ILogger log, string gone, long run);

    [LoggerMessage(
        3017,
        LogLevel.Error,
        "The disk did not take the last checkpoint in time; after a restart the run continues from the one before, and repeats "
            + "what came after it"
    )]
    public static partial void StorageStopTimedOut(this ILogger log);

    [LoggerMessage(3018, LogLevel.Warning,
        "{Cohort}: {Intervention}, which was answered before the disk was done, was not applied: {Reason}")]
    public static partial void InterventionNotApplied(this ILogger log, string cohort, string intervention, string reason);

    [LoggerMessage(3013, LogLevel.Information, "Storage recovered: checkpoints are written again; {Dropped} findings were lost")]
    public static partial void StorageRecovered(this ILogger log, long dropped);
}
