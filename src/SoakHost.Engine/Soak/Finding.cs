namespace SoakHost.Engine.Soak;

/// <summary>What a shard found in one of its VMs.</summary>
public enum FindingKind
{
    /// <summary>The counter crossed a boundary with a fault in flight.</summary>
    BoundaryCrossed,

    /// <summary>The counter crossed a boundary with no fault in flight.</summary>
    BoundaryCrossedIdle,

    /// <summary>
    /// A vCPU became starved: the configured number of consecutive retries, and it would be fixed if invalidations stopped.
    /// </summary>
    VcpuStarved,

    /// <summary>
    /// A vCPU became hung: the configured number of consecutive retries, and it would not be fixed if invalidations stopped.
    /// </summary>
    VcpuHung,

    /// <summary>A vCPU that was hung got on again.</summary>
    VcpuRecovered,

    /// <summary>The VM's first unsafe install.</summary>
    UnsafeInstall,

    /// <summary>The VM's first accounting error.</summary>
    AccountingError,

    /// <summary>A vCPU that was hung is gone: its VM left the cohort.</summary>
    VcpuRemoved,

    /// <summary>The VM's first stale mapping.</summary>
    StaleMapping,
}

/// <summary>
/// Something a shard found. Findings depend on the cohort and the seed alone, never on speed, workers or vector width.
/// </summary>
/// <param name="Kind">What it is.</param>
/// <param name="Vm">The VM's number in its cohort, from 0.</param>
/// <param name="Vcpu">The vCPU's number in its VM, or -1 where it concerns the VM as a whole.</param>
/// <param name="Tick">
/// The VM's tick: of the event itself for crossings, unsafe installs, stale mappings and accounting errors; of the observation
/// (every
/// <see cref="Shard.ObservationTicks"/> ticks) that showed it for the state of a vCPU; of the intervention for one that is
/// gone. Of a real VM, milliseconds since its start.
/// </param>
/// <param name="Page">The guest page concerned, or -1.</param>
/// <param name="InvalidateSeq"><c>mmu_invalidate_seq</c> at that tick; of a real VM the least it can have been.</param>
/// <param name="Snapshot">The snapshot as the kernel stored it; 0 of a real VM, where nobody can see it.</param>
/// <param name="Boundary">
/// The boundary's power of two for crossings (31, 32, 63 or 64), else 0. Of a real VM it may be another power, or 0 for a
/// boundary that is none: then it is <paramref name="InvalidateSeq"/>.
/// </param>
public readonly record struct Finding(
    FindingKind Kind, int Vm, int Vcpu, long Tick, int Page, ulong InvalidateSeq, ulong Snapshot, int Boundary);
