using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Soak;

/// <summary>What can be done to the VMs of a cohort while they run.</summary>
public enum InterventionKind
{
    /// <summary>A live patch: another kernel from here on; a fault in flight is taken again under it.</summary>
    PatchKernel,

    /// <summary>
    /// A live migration: the counter restarts at a value, and with it the mappings, the range and the roots; the guest's pages
    /// and the VM's random stream stay. A hung vCPU recovers.
    /// </summary>
    Migrate,

    /// <summary>No invalidation or memslot update begins; those in progress end.</summary>
    PauseInvalidations,

    /// <summary>Invalidations and memslot updates begin again.</summary>
    ResumeInvalidations,

    /// <summary>An update of the memslot with the first half of the pages begins, in each VM where none is under way.</summary>
    UpdateMemslots,

    /// <summary>The counter is set to a value. A fault in flight is taken again, since nothing was invalidated.</summary>
    SetCounter,

    /// <summary>The cohort joins the fleet; its VMs start at tick 0.</summary>
    AddCohort,

    /// <summary>
    /// The number of VMs changes: those with the highest numbers end, or new ones start under the kernel that the cohort runs
    /// then.
    /// </summary>
    ResizeCohort,

    /// <summary>All VMs end. The cohort's totals and findings are kept.</summary>
    RemoveCohort,
}

/// <summary>
/// Something done to a cohort, and when. It takes effect exactly as a VM reaches the tick: a VM that is resumed or replayed with
/// the same interventions has the same history.
/// </summary>
public sealed record ShardIntervention
{
    /// <summary>What is done.</summary>
    public required InterventionKind Kind { get; init; }

    /// <summary>The tick before which it is done: a multiple of <see cref="Shard.ObservationTicks"/>.</summary>
    public long Tick { get; init; }

    /// <summary>The one VM that it is done to, or null for all of the cohort. Patches and pauses are for all.</summary>
    public int? Vm { get; init; }

    /// <summary>The kernel to go on with, for <see cref="InterventionKind.PatchKernel"/>.</summary>
    public Kernel? Kernel { get; init; }

    /// <summary>
    /// Where the counter goes on, for <see cref="InterventionKind.Migrate"/> and <see cref="InterventionKind.SetCounter"/>.
    /// </summary>
    public ulong InvalidateSeq { get; init; }

    /// <summary>How many VMs the cohort has from here on, for <see cref="InterventionKind.ResizeCohort"/>; else 0.</summary>
    public int Vms { get; init; }

    /// <summary>The cohort, for <see cref="InterventionKind.AddCohort"/>.</summary>
    public SimulatedCohort? Cohort { get; init; }

    /// <summary>Throws unless kind, VM, kernel and size go together.</summary>
    /// <exception cref="InvalidInterventionException">They do not.</exception>
    internal void ThrowUnlessValid()
    {
        if ((Kind == InterventionKind.PatchKernel) != (Kernel is not null))
            throw new InvalidInterventionException("a patch, and nothing else, names a kernel");
        if (
            Vm is not null
            && Kind is not (InterventionKind.Migrate or InterventionKind.UpdateMemslots or InterventionKind.SetCounter))
            throw new InvalidInterventionException($"{Kind} is for the whole cohort");
        if ((Kind == InterventionKind.ResizeCohort) != (Vms > 0))
            throw new InvalidInterventionException("a resize, and nothing else, names a number of VMs, at least 1");
        if ((Kind == InterventionKind.AddCohort) != (Cohort is not null))
            throw new InvalidInterventionException("an intervention that adds a cohort, and no other, describes one");
        if (Tick < 0 || Tick % Shard.ObservationTicks != 0)
            throw new InvalidInterventionException($"tick {Tick} is no multiple of {Shard.ObservationTicks}");
    }
}
