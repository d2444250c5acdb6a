using System.Collections.Immutable;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Statistics;
using SoakHost.HostKernel.Watch;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.HostKernel;

/// <summary>What a VM is doing.</summary>
public enum HostVmPhase
{
    /// <summary>Nothing is invalidated yet: every vCPU makes a round, and the counter's start is read.</summary>
    Preparing,

    /// <summary>Invalidating, with probes at intervals.</summary>
    Soaking,

    /// <summary>Invalidating around a boundary, with every vCPU at work all the time.</summary>
    AtBoundary,

    /// <summary>Invalidations are stopped to settle a suspicion, or for good because a vCPU hung.</summary>
    Quiesced,

    /// <summary>All invalidations are made; the last probes are under way.</summary>
    Finishing,

    /// <summary>Done.</summary>
    Finished,

    /// <summary>
    /// Given up: a vCPU hung and the others have been probed, a mapping was stale, or every soaked vCPU has ended.
    /// </summary>
    Lost,
}

/// <summary>Real VMs at one moment. Immutable.</summary>
public sealed record HostSoakSnapshot
{
    /// <summary>The moment.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>Time since the start.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>Whether every VM is finished, hung for good or failed, or the soak was stopped.</summary>
    public required bool IsOver { get; init; }

    /// <summary>The evidence of each vCPU that is, or was, hung, and of stale mappings, in sentences.</summary>
    public required ImmutableArray<string> Violations { get; init; }

    /// <summary>What a run that is over did not see, in sentences; empty while it is not over.</summary>
    public required ImmutableArray<string> Missing { get; init; }

    /// <summary>What a run that is over saw, in sentences; empty while it is not over.</summary>
    public required ImmutableArray<string> Seen { get; init; }

    /// <summary>Sentences on what this run cannot say.</summary>
    public required ImmutableArray<string> NotCovered { get; init; }

    /// <summary>The kernel, MMU mode and CPU that it is about.</summary>
    public required HostMachine Machine { get; init; }

    /// <summary>The short runs of other boundaries that have ended.</summary>
    public ImmutableArray<BoundaryResult> Others { get; init; } = [];

    /// <summary>How far such a run is; null where none is under way.</summary>
    public BoundaryProgress? OtherProgress { get; init; }

    /// <summary>Each VM.</summary>
    public required ImmutableArray<HostVmSnapshot> Vms { get; init; }

    /// <summary>Invalidations that have certainly ended, over all VMs.</summary>
    public long Invalidations => Vms.Sum(vm => vm.InvalidationsEnded);

    /// <summary>Invalidations a second over all VMs, of the last seconds.</summary>
    public double InvalidationsPerSecond => Vms.Sum(vm => vm.InvalidationsPerSecond);

    /// <summary>Faults taken by all vCPUs whose kernel counts them.</summary>
    public ulong FaultsTaken => Vms.Aggregate(0ul, (sum, vm) => sum + vm.FaultsTaken);

    /// <summary>Faults fixed for all vCPUs whose kernel counts them.</summary>
    public ulong FaultsFixed => Vms.Aggregate(0ul, (sum, vm) => sum + vm.FaultsFixed);

    /// <summary>Pages read by all guests: their progress.</summary>
    public ulong GuestAccesses => Vcpus.Aggregate(0ul, (sum, vcpu) => sum + vcpu.Heartbeat);

    /// <summary>All vCPUs.</summary>
    public IEnumerable<HostVcpuSnapshot> Vcpus => Vms.SelectMany(vm => vm.Vcpus);
}

/// <summary>One VM at one moment. The kernel's counter lies between the two counts, plus what other sources added.</summary>
/// <param name="Index">Its number, from 0.</param>
/// <param name="Phase">What it is doing.</param>
/// <param name="InvalidationsEnded">Invalidations that have certainly ended.</param>
/// <param name="InvalidationsBegun">Invalidations that have begun, those of workloads at their most.</param>
/// <param name="InvalidationsPerSecond">Of the last seconds; 0 while stopped.</param>
/// <param name="NextBoundary">The next boundary up to the end of the run; null past the last.</param>
/// <param name="ExpectedCrossing">When that boundary is expected to be crossed at the present rate; null where there is no
/// rate.</param>
/// <param name="ExpectedEnd">When the last invalidation is expected at the present rate; null where there is no rate.</param>
/// <param name="Crossings">Boundaries crossed so far.</param>
/// <param name="Quiesces">Times that invalidations were stopped to settle a suspicion.</param>
/// <param name="Vcpus">Each vCPU.</param>
public sealed record HostVmSnapshot(
    int Index,
    HostVmPhase Phase,
    long InvalidationsEnded,
    long InvalidationsBegun,
    double InvalidationsPerSecond,
    long? NextBoundary,
    DateTimeOffset? ExpectedCrossing,
    DateTimeOffset? ExpectedEnd,
    ImmutableArray<BoundaryCrossing> Crossings,
    int Quiesces,
    ImmutableArray<HostVcpuSnapshot> Vcpus)
{
    /// <summary>The kernel's own counter; null where it was not read.</summary>
    public KernelCounter? Counter { get; init; }

    /// <summary>Where its counter started: read, declared, or else 0.</summary>
    public long Start { get; init; }

    /// <summary>Whether that was read.</summary>
    public bool IsStartRead { get; init; }

    /// <summary>The longest time between two looks at its vCPUs around a boundary.</summary>
    public TimeSpan LookGap { get; init; }

    /// <summary>What its workloads did.</summary>
    public ImmutableArray<WorkloadState> Workloads { get; init; } = [];

    /// <summary>Why it has none of those that were asked for, as a part of a sentence; null where it has them.</summary>
    public string? WhyNoWorkloads { get; init; }

    /// <summary>The first stale mapping; null where there is none.</summary>
    public StaleMapping? Stale { get; init; }

    /// <summary>Faults taken by its vCPUs.</summary>
    public ulong FaultsTaken => Vcpus.Aggregate(0ul, (sum, vcpu) => sum + (vcpu.Faults?.Taken ?? 0));

    /// <summary>Faults fixed for its vCPUs.</summary>
    public ulong FaultsFixed => Vcpus.Aggregate(0ul, (sum, vcpu) => sum + (vcpu.Faults?.Fixed ?? 0));
}

/// <summary>One vCPU at one moment.</summary>
/// <param name="Index">Its number in its VM, from 0.</param>
/// <param name="Role">Which pages it works on.</param>
/// <param name="State">What it is doing.</param>
/// <param name="Heartbeat">Pages it has read.</param>
/// <param name="Rounds">Rounds it has finished.</param>
/// <param name="Faults">Its statistics; null where the kernel counts no faults.</param>
/// <param name="ProcessorTime">Of its thread; null where it cannot be read.</param>
/// <param name="LastProgressAt">When its heartbeat last moved, or it was last given work; null before the first look.</param>
/// <param name="Suspicions">Times that it became a suspect.</param>
/// <param name="Starvations">Times that a storm starved it.</param>
/// <param name="Recoveries">Times that it went on after it had been called hung.</param>
/// <param name="Evidence">Why it was called hung; null if it never was.</param>
/// <param name="StopReason">How it ended, where it was halted or KVM_RUN failed.</param>
public sealed record HostVcpuSnapshot(
    int Index,
    VcpuRole Role,
    VcpuState State,
    ulong Heartbeat,
    ulong Rounds,
    FaultCounters? Faults,
    TimeSpan? ProcessorTime,
    DateTimeOffset? LastProgressAt,
    int Suspicions,
    int Starvations,
    int Recoveries,
    HangEvidence? Evidence,
    string? StopReason);

/// <summary>A boundary that a VM's counter has crossed.</summary>
/// <param name="Boundary">The boundary.</param>
/// <param name="At">When the call that crossed it had ended.</param>
/// <param name="CountAfter">The counter after that call.</param>
/// <param name="ProbesInFlight">Soaked vCPUs that were at work on pages being invalidated as it was crossed.</param>
/// <param name="FaultsTakenBefore">Faults that the soaked vCPUs had taken when the call had ended.</param>
/// <param name="FaultsFixedBefore">Faults that had been fixed for them by then.</param>
/// <param name="FaultsTakenAfter">Faults they have taken since then, until the next crossing.</param>
/// <param name="FaultsFixedAfter">Faults fixed since then: above 0 on a kernel that survives it.</param>
/// <param name="AccessesAfter">Pages they have read since it was crossed.</param>
public sealed record BoundaryCrossing(
    long Boundary,
    DateTimeOffset At,
    long CountAfter,
    int ProbesInFlight,
    ulong FaultsTakenBefore,
    ulong FaultsFixedBefore,
    ulong FaultsTakenAfter,
    ulong FaultsFixedAfter,
    ulong AccessesAfter)
{
    /// <summary>
    /// Whether vCPUs were at work across it and faults were fixed on the other side: a crossing that nobody faulted through
    /// shows nothing. Where the kernel counts no faults, progress stands for them.
    /// </summary>
    public bool IsSeen =>
        ProbesInFlight > 0 && AccessesAfter > 0 && (FaultsFixedAfter > 0 || FaultsTakenBefore + FaultsTakenAfter == 0);
}
