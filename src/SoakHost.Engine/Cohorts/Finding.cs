namespace SoakHost.Engine.Cohorts;

/// <summary>The kinds of findings in a VM.</summary>
public enum FindingKind : byte
{
    /// <summary>The counter crossed a boundary with a fault in flight.</summary>
    BoundaryCrossed,

    /// <summary>The counter crossed a boundary with no fault in flight.</summary>
    BoundaryCrossedIdle,

    /// <summary>A vCPU became starved: its faults would be fixed if invalidations stopped.</summary>
    VcpuStarved,

    /// <summary>A vCPU became hung: its fault would not be fixed even if invalidations stopped.</summary>
    VcpuHung,

    /// <summary>A vCPU that was hung or deadlocked recovered.</summary>
    VcpuRecovered,

    /// <summary>The VM's first unsafe install.</summary>
    UnsafeInstall,

    /// <summary>The VM's first accounting error.</summary>
    AccountingError,

    /// <summary>A vCPU that was hung or deadlocked is gone: its VM left the cohort.</summary>
    VcpuRemoved,

    /// <summary>The VM's first stale mapping.</summary>
    StaleMapping,

    /// <summary>A vCPU was found in a deadlock of its VM's memslot update with a reader of <c>kvm->srcu</c>.</summary>
    Deadlock,

    /// <summary>A vCPU that was hung or deadlocked is gone: its VM's life has ended, and the next one has begun.</summary>
    VcpuReplaced,
}

/// <summary>Something that was found in a VM. Of simulated VMs, findings depend on the cohort and the seed alone.</summary>
/// <remarks>Compact, since millions of vCPUs can hang at once.</remarks>
public readonly record struct Finding
{
    private readonly Sighting _seen;
    private readonly Boundary _boundary;
    private readonly short _vcpu;

    /// <summary>A finding.</summary>
    /// <param name="kind">What it is.</param>
    /// <param name="vm">The VM's number in its cohort, from 0.</param>
    /// <param name="vcpu">The vCPU's number in its VM; null where it concerns the VM as a whole.</param>
    /// <param name="seen">When it was found, and what could be seen then.</param>
    /// <param name="boundary">The boundary, for a crossing; else null.</param>
    public Finding(FindingKind kind, int vm, int? vcpu, Sighting seen, Boundary? boundary = null)
    {
        bool isCrossing = kind is FindingKind.BoundaryCrossed or FindingKind.BoundaryCrossedIdle;
        if (isCrossing != boundary is not null)
            throw new ArgumentException($"a crossing, and nothing else, has a boundary; this is {kind}", nameof(boundary));
        (Kind, Vm, _vcpu, _seen, _boundary) = (kind, vm, (short)(vcpu ?? -1), seen, boundary ?? default);
    }

    /// <summary>What it is.</summary>
    public FindingKind Kind { get; }

    /// <summary>The VM's number in its cohort, from 0.</summary>
    public int Vm { get; }

    /// <summary>The vCPU's number in its VM; null where it concerns the VM as a whole.</summary>
    public int? Vcpu => _vcpu < 0 ? null : _vcpu;

    /// <summary>
    /// When: for crossings, unsafe installs, stale mappings and accounting errors the time of the event; for the state of a vCPU
    /// the time of the observation that showed it; for a vCPU that is gone the time of the intervention, or of the end of the
    /// life.
    /// </summary>
    public FindingTime Time => _seen.Time;

    /// <summary>The guest page concerned; null where there is none or it is not known.</summary>
    public int? Page => _seen.Page;

    /// <summary><c>mmu_invalidate_seq</c> at that time; null where nobody knows it.</summary>
    public CounterRange? InvalidateSeq => _seen.InvalidateSeq;

    /// <summary>The snapshot as the kernel stored it; null where there is none or nobody can see it.</summary>
    public ulong? Snapshot => _seen.Snapshot;

    /// <summary>
    /// Of an incident of a simulated VM, from where it can be told; null for other findings, and where that is not known.
    /// </summary>
    public VmOrigin? Origin { get; init; }

    /// <summary>The boundary of a crossing; else null.</summary>
    public Boundary? Boundary => Kind is FindingKind.BoundaryCrossed or FindingKind.BoundaryCrossedIdle ? _boundary : null;
}

/// <summary>Incidents since the run began.</summary>
/// <param name="Hangs">vCPUs that hung, each time they did.</param>
/// <param name="UnsafeInstalls">VMs that had an unsafe install.</param>
/// <param name="AccountingErrors">VMs that had an accounting error.</param>
/// <param name="StaleMappings">VMs that had a stale mapping.</param>
/// <param name="Deadlocks">vCPUs that were deadlocked, each time they were.</param>
public readonly record struct IncidentCounts(
    long Hangs, long UnsafeInstalls, long AccountingErrors, long StaleMappings, long Deadlocks = 0)
{
    /// <summary>The sum of both.</summary>
    public static IncidentCounts operator +(IncidentCounts left, IncidentCounts right) => new(
        left.Hangs + right.Hangs,
        left.UnsafeInstalls + right.UnsafeInstalls,
        left.AccountingErrors + right.AccountingErrors,
        left.StaleMappings + right.StaleMappings,
        left.Deadlocks + right.Deadlocks);

    /// <summary>These and the incidents among some findings.</summary>
    internal IncidentCounts With(IEnumerable<Finding> findings)
    {
        (long hangs, long unsafeInstalls, long accountingErrors, long staleMappings, long deadlocks) = this;
        foreach (Finding finding in findings)
        {
            hangs += finding.Kind == FindingKind.VcpuHung ? 1 : 0;
            unsafeInstalls += finding.Kind == FindingKind.UnsafeInstall ? 1 : 0;
            accountingErrors += finding.Kind == FindingKind.AccountingError ? 1 : 0;
            staleMappings += finding.Kind == FindingKind.StaleMapping ? 1 : 0;
            deadlocks += finding.Kind == FindingKind.Deadlock ? 1 : 0;
        }

        return new(hangs, unsafeInstalls, accountingErrors, staleMappings, deadlocks);
    }
}
