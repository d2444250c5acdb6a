using SoakHost.Engine.Cohorts;

namespace SoakHost.Logging;

/// <summary>
/// Every log event of the program. Ids are stable: 1xxx the course of a run, 2xxx findings in a VM, 3xxx the service itself, 4xxx
/// messages from other systems. Counters and snapshots are in hex.
/// </summary>
internal static partial class SoakLog
{
    [LoggerMessage(1000, LogLevel.Information, "Listening on {Addresses}: the live page, /metrics, /health/ready, /api/v1/fleet")]
    public static partial void Listening(this ILogger log, string addresses);

    [LoggerMessage(1001, LogLevel.Information,
        "Soak started: {Cohorts} cohorts, {Vms} VMs with {Vcpus} vCPUs, {Workers} workers, {VectorBits}-bit vectors, seed "
        + "{Seed}, model {ModelVersion}")]
    public static partial void SoakStarted(
        this ILogger log, int cohorts, long vms, long vcpus, int workers, int vectorBits, ulong seed, int modelVersion);

    [LoggerMessage(1008, LogLevel.Information,
        "This process runs part {Part} of the fleet: {Vms} of {VmsInAll} VMs")]
    public static partial void PartStarted(this ILogger log, string part, long vms, long vmsInAll);

    [LoggerMessage(1002, LogLevel.Information,
        "Soak stopped after {Seconds:N1} s: {Operations:N0} operations, verdict {Verdict}")]
    public static partial void SoakStopped(this ILogger log, double seconds, long operations, string verdict);

    [LoggerMessage(1003, LogLevel.Information,
        "{Cohort} ({Kernel}): VM {Vm} crossed {Boundary} {Circumstance}: counter {InvalidateSeq}, {Time}")]
    public static partial void BoundaryCrossed(
        this ILogger log, string cohort, string kernel, int vm, string boundary, string circumstance, string invalidateSeq,
        FindingTime time);

    [LoggerMessage(1004, LogLevel.Information, "Verdict {Verdict}: {Reason}")]
    public static partial void VerdictChanged(this ILogger log, string verdict, string reason);

    [LoggerMessage(1005, LogLevel.Information,
        "{Operations:N0} operations, {OperationsPerSecond:N0} per second; {Running} vCPUs running, {Starved} starved, {Hung} "
        + "hung; verdict {Verdict}")]
    public static partial void FleetStatus(
        this ILogger log, long operations, double operationsPerSecond, int running, int starved, int hung, string verdict);

    [LoggerMessage(1006, LogLevel.Information, "{Cohort}: {Suppressed} more {EventKind} events, not logged one by one")]
    public static partial void EventsSuppressed(this ILogger log, string cohort, string eventKind, long suppressed);

    [LoggerMessage(1007, LogLevel.Information,
        "{Cohort} ({Kernel}): will cross {Boundary} at about {Expected:u}, at {InvalidationsPerSecond:N0} invalidations per "
        + "second")]
    public static partial void BoundaryExpected(
        this ILogger log, string cohort, string kernel, string boundary, DateTimeOffset expected, double invalidationsPerSecond);

    [LoggerMessage(EventId = 2001, Message =
        "{Cohort} ({Kernel}): vCPU {Vcpu} of VM {Vm} hung on page {Page}, {Remark}: counter {InvalidateSeq}, snapshot "
        + "{Snapshot}, {Time}. "
        + "{Replay}")]
    public static partial void VcpuHung(
        this ILogger log, LogLevel level, string cohort, string kernel, int vm, int vcpu, object page, string remark,
        string invalidateSeq,
        string snapshot, FindingTime time, string replay);

    [LoggerMessage(2002, LogLevel.Information,
        "{Cohort} ({Kernel}): vCPU {Vcpu} of VM {Vm} recovered from a hang: page {Page}, counter {InvalidateSeq}, snapshot "
        + "{Snapshot}, {Time}")]
    public static partial void VcpuRecovered(
        this ILogger log, string cohort, string kernel, int vm, int vcpu, object page, string invalidateSeq, string snapshot,
        FindingTime time);

    [LoggerMessage(2003, LogLevel.Warning,
        "{Cohort} ({Kernel}): vCPU {Vcpu} of VM {Vm} is starved on page {Page}: counter {InvalidateSeq}, snapshot {Snapshot}, "
        + "{Time}")]
    public static partial void VcpuStarved(
        this ILogger log, string cohort, string kernel, int vm, int vcpu, object page, string invalidateSeq, string snapshot,
        FindingTime time);

    [LoggerMessage(EventId = 2004, Message =
        "{Cohort} ({Kernel}): vCPU {Vcpu} of VM {Vm} installed page {Page} after the host had taken it away, {Remark}: counter "
        + "{InvalidateSeq}, "
        + "snapshot {Snapshot}, {Time}. {Replay}")]
    public static partial void UnsafeInstall(
        this ILogger log, LogLevel level, string cohort, string kernel, int vm, int vcpu, object page, string remark,
        string invalidateSeq,
        string snapshot, FindingTime time, string replay);

    [LoggerMessage(EventId = 2005, Message =
        "{Cohort} ({Kernel}): VM {Vm} has a wrong total of mapped pages, {Remark}: counter {InvalidateSeq}, {Time}. "
        + "{Replay}")]
    public static partial void AccountingError(
        this ILogger log,
        LogLevel level,
        string cohort,
        string kernel,
        int vm,
        string remark,
        string invalidateSeq,
        FindingTime time,
        string replay);

    [LoggerMessage(EventId = 2006, Message =
        "{Cohort} ({Kernel}): the host gave page {Page} of VM {Vm} away while the guest still had it, {Remark}: "
        + "counter {InvalidateSeq}, {Time}. {Replay}")]
    public static partial void StaleMapping(
        this ILogger log, LogLevel level, string cohort, string kernel, int vm, object page, string remark, string invalidateSeq,
        FindingTime time, string replay);

    [LoggerMessage(
        EventId = 2007,
        Message = "{Cohort} ({Kernel}): vCPU {Vcpu} of VM {Vm} is deadlocked on page {Page}, {Remark}: its VM's memslot update "
            + "and a reader of "
            + "kvm->srcu wait for each other: counter {InvalidateSeq}, {Time}. {Replay}"
    )]
    public static partial void Deadlock(
        this ILogger log, LogLevel level, string cohort, string kernel, int vm, int vcpu, object page, string remark,
        string invalidateSeq, FindingTime time, string replay);

    [LoggerMessage(3001, LogLevel.Error,
        "Soak stalled: worker {Worker} has finished no slice since {LastSlice:O}; it holds {Shard}")]
    public static partial void SoakStalled(this ILogger log, int worker, DateTimeOffset lastSlice, string shard);

    [LoggerMessage(3002, LogLevel.Information, "Soak recovered: worker {Worker} finishes slices again")]
    public static partial void SoakStallEnded(this ILogger log, int worker);

    [LoggerMessage(3003, LogLevel.Error, "{Cohort} ({Kernel}): {Failure}")]
    public static partial void ShardFailed(this ILogger log, string cohort, string kernel, string failure);

    [LoggerMessage(3004, LogLevel.Warning, "A worker did not stop within {Seconds} s; the final figures lack its last slice")]
    public static partial void StopTimedOut(this ILogger log, double seconds);

    [LoggerMessage(3030, LogLevel.Warning,
        "{Status} for {Method} {Path} from {Address}, {UserAgent}: {Reason}. {Suppressed} more were not logged")]
    public static partial void RequestRefused(
        this ILogger log, int status, string method, string path, string address, string userAgent, string reason,
        long suppressed);

    [LoggerMessage(3031, LogLevel.Warning,
        "There is no listener of its own for health and metrics: its port is taken. Set Soak:HealthUrl to another address, or to "
        + "none")]
    public static partial void HealthListenerLeftOut(this ILogger log);

    [LoggerMessage(3032, LogLevel.Information, "A token for interventions was created in {File}")]
    public static partial void TokenCreated(this ILogger log, string file);

    [LoggerMessage(4001, LogLevel.Information, "Alert {Status}: {AlertName}, cohort {Cohort}, VM {Vm}, vCPU {Vcpu}: {Summary}")]
    public static partial void AlertReceived(
        this ILogger log, string status, string alertName, string cohort, string vm, string vcpu, string summary);
}
