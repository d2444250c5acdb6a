using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Soak;

/// <summary>Sums over simulated VMs since the start of the run.</summary>
public readonly record struct Totals
{
    /// <summary>Ended invalidations.</summary>
    public long Invalidations { get; init; }

    /// <summary>Guest accesses that found their page mapped.</summary>
    public long GuestAccesses { get; init; }

    /// <summary>Faults that were fixed.</summary>
    public long Fixed { get; init; }

    /// <summary>Faults that were retried.</summary>
    public long Retried { get; init; }

    /// <summary>Retries that nothing warranted, while an invalidation was in progress elsewhere: no defect.</summary>
    public long OvercautiousRetries { get; init; }

    /// <summary>Retries that nothing warranted, while no invalidation was in progress at all.</summary>
    public long UnjustifiedRetries { get; init; }

    /// <summary>Installs of a page that the host took away.</summary>
    public long UnsafeInstalls { get; init; }

    /// <summary>Changes by the primary MMU of a range of which the guest still had a page.</summary>
    public long StaleMappings { get; init; }

    /// <summary>Zaps after which the total of mapped pages differed from their number.</summary>
    public long AccountingErrors { get; init; }

    /// <summary>vCPUs that were hung and recovered.</summary>
    public long Recoveries { get; init; }

    /// <summary>Lives that VMs started in place of one that had ended.</summary>
    public long LivesStarted { get; init; }

    /// <summary>VMs of a control that crossed the boundary from which they must hang, and hung.</summary>
    public long HangsCaught { get; init; }

    /// <summary>VMs of a control that crossed that boundary, and whose lives ended without a hang.</summary>
    public long HangsMissed { get; init; }

    /// <summary>Ticks from the crossings to the hangs that were caught, their sum.</summary>
    public long DetectionTicks { get; init; }

    /// <summary>VMs that crossed 2^15 with a fault in flight.</summary>
    public long Crossings15 { get; init; }

    /// <summary>VMs that crossed 2^16 with a fault in flight.</summary>
    public long Crossings16 { get; init; }

    /// <summary>VMs that crossed 2^31 with a fault in flight.</summary>
    public long Crossings31 { get; init; }

    /// <summary>VMs that crossed 2^32 with a fault in flight.</summary>
    public long Crossings32 { get; init; }

    /// <summary>VMs that crossed 2^63 with a fault in flight.</summary>
    public long Crossings63 { get; init; }

    /// <summary>VMs that crossed 2^64 (wrapped to 0) with a fault in flight.</summary>
    public long Crossings64 { get; init; }

    /// <summary>Ended invalidations and completed fault attempts.</summary>
    public long Operations => Invalidations + Fixed + Retried;

    /// <summary>Crossings of any boundary with a fault in flight.</summary>
    public long Crossings => Crossings15 + Crossings16 + Crossings31 + Crossings32 + Crossings63 + Crossings64;

    /// <summary>The sum of both.</summary>
    public static Totals operator +(Totals left, Totals right) => new()
    {
        Invalidations = left.Invalidations + right.Invalidations,
        GuestAccesses = left.GuestAccesses + right.GuestAccesses,
        Fixed = left.Fixed + right.Fixed,
        Retried = left.Retried + right.Retried,
        OvercautiousRetries = left.OvercautiousRetries + right.OvercautiousRetries,
        UnjustifiedRetries = left.UnjustifiedRetries + right.UnjustifiedRetries,
        UnsafeInstalls = left.UnsafeInstalls + right.UnsafeInstalls,
        StaleMappings = left.StaleMappings + right.StaleMappings,
        AccountingErrors = left.AccountingErrors + right.AccountingErrors,
        Recoveries = left.Recoveries + right.Recoveries,
        LivesStarted = left.LivesStarted + right.LivesStarted,
        HangsCaught = left.HangsCaught + right.HangsCaught,
        HangsMissed = left.HangsMissed + right.HangsMissed,
        DetectionTicks = left.DetectionTicks + right.DetectionTicks,
        Crossings15 = left.Crossings15 + right.Crossings15,
        Crossings16 = left.Crossings16 + right.Crossings16,
        Crossings31 = left.Crossings31 + right.Crossings31,
        Crossings32 = left.Crossings32 + right.Crossings32,
        Crossings63 = left.Crossings63 + right.Crossings63,
        Crossings64 = left.Crossings64 + right.Crossings64,
    };

    /// <summary>The same sums as those of any cohort.</summary>
    public CohortTotals ForCohort() => new()
    {
        Invalidations = Invalidations,
        GuestAccesses = GuestAccesses,
        Fixed = Fixed,
        Retried = Retried,
        UnjustifiedRetries = UnjustifiedRetries,
        OvercautiousRetries = OvercautiousRetries,
        UnsafeInstalls = UnsafeInstalls,
        StaleMappings = StaleMappings,
        AccountingErrors = AccountingErrors,
        Recoveries = Recoveries,
        LivesStarted = LivesStarted,
        HangsCaught = HangsCaught,
        HangsMissed = HangsMissed,
        DetectionTicks = DetectionTicks,
        Crossings =
        [
            new(Boundary.AtPower(15), Crossings15), new(Boundary.AtPower(16), Crossings16),
            new(Boundary.AtPower(31), Crossings31), new(Boundary.AtPower(32), Crossings32),
            new(Boundary.AtPower(63), Crossings63), new(Boundary.AtPower(64), Crossings64),
        ],
    };

    /// <summary>These totals with one more crossing of 2^<paramref name="power"/>.</summary>
    internal Totals WithCrossing(int power) => power switch
    {
        15 => this with { Crossings15 = Crossings15 + 1 },
        16 => this with { Crossings16 = Crossings16 + 1 },
        31 => this with { Crossings31 = Crossings31 + 1 },
        32 => this with { Crossings32 = Crossings32 + 1 },
        63 => this with { Crossings63 = Crossings63 + 1 },
        64 => this with { Crossings64 = Crossings64 + 1 },
        _ => throw new ArgumentOutOfRangeException(nameof(power), power, "boundaries are 15, 16, 31, 32, 63 and 64"),
    };
}

/// <summary>What a shard had done and found at the end of one slice. Immutable, and shared by all who read it.</summary>
public sealed record ShardSnapshot
{
    /// <summary>Ticks since the start of the run.</summary>
    public required long Tick { get; init; }

    /// <summary>The kernel that the VMs run now.</summary>
    public required Kernel Kernel { get; init; }

    /// <summary>Sums over the shard's VMs.</summary>
    public required Totals Totals { get; init; }

    /// <summary><c>mmu_invalidate_seq</c> of each VM, in their order.</summary>
    public required ImmutableArray<ulong> InvalidateSeqs { get; init; }

    /// <summary>
    /// VMs that have crossed each of <see cref="VmLives.Powers"/> with a fault in flight, in any of their lives; VMs that are
    /// gone do not count.
    /// </summary>
    public ImmutableArray<int> VmsCrossed { get; init; } = [];

    /// <summary>The condition of each vCPU: the first VM's, then the second's, and so on.</summary>
    public required ImmutableArray<VcpuCondition> Conditions { get; init; }

    /// <summary>The first <see cref="CohortSnapshot.StalledMax"/> stalled vCPUs, in their order.</summary>
    public required ImmutableArray<StalledVcpu> Stalled { get; init; }

    /// <summary>Findings since the snapshot before, oldest first.</summary>
    public required ImmutableArray<Finding> Findings { get; init; }

    /// <summary>The tick at which a vCPU was last found hung or deadlocked; 0 where none ever was.</summary>
    public long LastHangTick { get; init; }

    /// <summary>
    /// The tick at which a vCPU that was hung or deadlocked was last found to have recovered; 0 where none ever was.
    /// </summary>
    public long LastRecoveryTick { get; init; }

    /// <summary>Whether no invalidation begins until an intervention resumes them.</summary>
    public bool InvalidationsPaused { get; init; }

    /// <summary>How far crossings covered what is possible, since the VMs run this kernel.</summary>
    public required CrossingCoverage Coverage { get; init; }
}
