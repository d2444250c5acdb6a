using System.Collections.Immutable;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Soak;

/// <summary>Sums over VMs since the start of the run.</summary>
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

    /// <summary>vCPUs that were hung and got on again.</summary>
    public long Recoveries { get; init; }

    /// <summary>VMs that crossed 2^31 with a fault in flight.</summary>
    public long Crossings31 { get; init; }

    /// <summary>VMs that crossed 2^32 with a fault in flight.</summary>
    public long Crossings32 { get; init; }

    /// <summary>VMs that crossed 2^63 with a fault in flight.</summary>
    public long Crossings63 { get; init; }

    /// <summary>VMs that crossed 2^64 (wrapped to 0) with a fault in flight.</summary>
    public long Crossings64 { get; init; }

    /// <summary>Real VMs that crossed a boundary of their own, none of the above, with a probe in flight.</summary>
    public long CrossingsElsewhere { get; init; }

    /// <summary>Ended invalidations and completed fault attempts.</summary>
    public long Operations => Invalidations + Fixed + Retried;

    /// <summary>Crossings of any boundary with a fault in flight.</summary>
    public long Crossings => Crossings31 + Crossings32 + Crossings63 + Crossings64 + CrossingsElsewhere;

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
        Crossings31 = left.Crossings31 + right.Crossings31,
        Crossings32 = left.Crossings32 + right.Crossings32,
        Crossings63 = left.Crossings63 + right.Crossings63,
        Crossings64 = left.Crossings64 + right.Crossings64,
        CrossingsElsewhere = left.CrossingsElsewhere + right.CrossingsElsewhere,
    };

    /// <summary>These totals with one more crossing of 2^<paramref name="power"/>.</summary>
    internal Totals WithCrossing(int power) => power switch
    {
        31 => this with { Crossings31 = Crossings31 + 1 },
        32 => this with { Crossings32 = Crossings32 + 1 },
        63 => this with { Crossings63 = Crossings63 + 1 },
        64 => this with { Crossings64 = Crossings64 + 1 },
        _ => throw new ArgumentOutOfRangeException(nameof(power), power, "boundaries are 31, 32, 63 and 64"),
    };
}

/// <summary>Whether a vCPU's faults are fixed.</summary>
public enum VcpuCondition : byte
{
    /// <summary>Its faults get fixed.</summary>
    Running,

    /// <summary>So many consecutive retries, and it would be fixed if invalidations stopped now: they are to blame, not the kernel.</summary>
    Starved,

    /// <summary>So many consecutive retries, and it would never be fixed even if invalidations stopped now.</summary>
    Hung,
}

/// <summary>One stalled vCPU, as it was when it was first found in this condition.</summary>
/// <param name="Vm">The VM's number in its cohort.</param>
/// <param name="Vcpu">The vCPU's number in its VM.</param>
/// <param name="Condition">Starved or hung.</param>
/// <param name="Tick">The observation that found it.</param>
/// <param name="Page">The page whose fault does not get fixed.</param>
/// <param name="InvalidateSeq"><c>mmu_invalidate_seq</c> then.</param>
/// <param name="Snapshot">The kernel's snapshot then.</param>
public readonly record struct StalledVcpu(
    int Vm, int Vcpu, VcpuCondition Condition, long Tick, int Page, ulong InvalidateSeq, ulong Snapshot)
{
    /// <summary>When it was last seen to get on, where the source knows better than the watchdog, which looks now and then.</summary>
    public DateTimeOffset? LastProgress { get; init; }
}

/// <summary>What a shard had done and found at the end of one slice. Immutable, and shared by all who read it.</summary>
public sealed record ShardSnapshot
{
    /// <summary>The most stalled vCPUs that one snapshot describes; <see cref="Conditions"/> has all of them.</summary>
    public const int StalledMax = 100;

    /// <summary>Ticks since the start of the run.</summary>
    public required long Tick { get; init; }

    /// <summary>The kernel that the VMs run now.</summary>
    public required Kernel Kernel { get; init; }

    /// <summary>Sums over the shard's VMs.</summary>
    public required Totals Totals { get; init; }

    /// <summary><c>mmu_invalidate_seq</c> of each VM, in their order.</summary>
    public required ImmutableArray<ulong> InvalidateSeqs { get; init; }

    /// <summary>The condition of each vCPU: the first VM's, then the second's, and so on.</summary>
    public required ImmutableArray<VcpuCondition> Conditions { get; init; }

    /// <summary>The first <see cref="StalledMax"/> stalled vCPUs, in their order.</summary>
    public required ImmutableArray<StalledVcpu> Stalled { get; init; }

    /// <summary>What was found since the snapshot before, oldest first.</summary>
    public required ImmutableArray<Finding> Findings { get; init; }

    /// <summary>Whether no invalidation begins until an intervention lets them.</summary>
    public bool InvalidationsPaused { get; init; }
}
