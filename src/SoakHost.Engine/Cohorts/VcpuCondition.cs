namespace SoakHost.Engine.Cohorts;

/// <summary>Whether a vCPU's faults are fixed.</summary>
public enum VcpuCondition : byte
{
    /// <summary>Its faults are fixed, or it has nothing to do.</summary>
    Running,

    /// <summary>
    /// Its faults are retried without end, and would be fixed if invalidations stopped now: they are to blame, not the kernel.
    /// </summary>
    Starved,

    /// <summary>
    /// Its fault is retried without end, and would never be fixed even if invalidations stopped now: the defect.
    /// </summary>
    Hung,

    /// <summary>
    /// It makes no progress for another reason, which is not the defect: <see cref="CohortSnapshot.Failures"/> says why.
    /// </summary>
    Stopped,

    /// <summary>
    /// Its fault is retried without end, since its VM's memslot update and a reader of <c>kvm->srcu</c> wait for each other: the
    /// defect.
    /// </summary>
    Deadlocked,
}

/// <summary>What conditions have in common.</summary>
public static class VcpuConditions
{
    /// <summary>Whether a vCPU in this condition stays in it whatever happens in its VM: it is hung or deadlocked.</summary>
    public static bool IsForEver(this VcpuCondition condition) => condition is VcpuCondition.Hung or VcpuCondition.Deadlocked;
}

/// <summary>A starved, hung or deadlocked vCPU, as it was when it was first found in this condition.</summary>
/// <remarks>Compact, since millions of vCPUs can hang at once.</remarks>
public readonly record struct StalledVcpu
{
    private readonly Sighting _seen;
    private readonly long _lastProgressTicks;
    private readonly short _vcpu;

    /// <summary>A stalled vCPU.</summary>
    /// <param name="vm">The VM's number in its cohort.</param>
    /// <param name="vcpu">The vCPU's number in its VM.</param>
    /// <param name="condition">Starved, hung or deadlocked.</param>
    /// <param name="seen">The observation that found it.</param>
    public StalledVcpu(int vm, int vcpu, VcpuCondition condition, Sighting seen) =>
        (Vm, _vcpu, Condition, _seen) = (vm, (short)vcpu, condition, seen);

    /// <summary>The VM's number in its cohort.</summary>
    public int Vm { get; }

    /// <summary>The vCPU's number in its VM.</summary>
    public int Vcpu => _vcpu;

    /// <summary>Starved, hung or deadlocked.</summary>
    public VcpuCondition Condition { get; }

    /// <summary>The observation that found it.</summary>
    public FindingTime Time => _seen.Time;

    /// <summary>The page whose fault is not fixed; null where that is not known.</summary>
    public int? Page => _seen.Page;

    /// <summary><c>mmu_invalidate_seq</c> then; null where nobody knows it.</summary>
    public CounterRange? InvalidateSeq => _seen.InvalidateSeq;

    /// <summary>The kernel's snapshot then; null where nobody can see it.</summary>
    public ulong? Snapshot => _seen.Snapshot;

    /// <summary>
    /// From where the VM can be told now, which may be after this vCPU stalled; null where that is not known.
    /// </summary>
    public VmOrigin? Origin { get; init; }

    /// <summary>
    /// When it last made progress; null where the source does not know, and the times of the watchdog's reports must do.
    /// </summary>
    public DateTimeOffset? LastProgress
    {
        get => _lastProgressTicks == 0 ? null : new DateTimeOffset(_lastProgressTicks, TimeSpan.Zero);
        init => _lastProgressTicks = value?.UtcTicks ?? 0;
    }
}
