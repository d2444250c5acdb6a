using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Soak;

/// <summary>What can be done to the VMs of a cohort while they run.</summary>
public enum OperationKind
{
    /// <summary>A live patch: another kernel from here on; a fault in flight is taken again under it.</summary>
    PatchKernel,

    /// <summary>
    /// A live migration: the counter restarts at a value, and with it the mappings, the range and the roots; the guest's pages and the
    /// VM's random stream stay. A hung vCPU gets on.
    /// </summary>
    Migrate,

    /// <summary>No invalidation or memslot update begins any more; those in progress end.</summary>
    PauseInvalidations,

    /// <summary>They begin again.</summary>
    ResumeInvalidations,

    /// <summary>One memslot update: every root becomes obsolete and every mapping goes.</summary>
    UpdateMemslots,

    /// <summary>The counter is set to a value. A fault in flight is taken again, for nothing was invalidated meanwhile.</summary>
    SetCounter,
}

/// <summary>
/// Something done to a cohort, and when. It takes effect exactly as a VM reaches the tick, so that whoever resumes or replays the VM with
/// the same operations goes the same way.
/// </summary>
public sealed record ShardOperation
{
    /// <summary>What is done.</summary>
    public required OperationKind Kind { get; init; }

    /// <summary>The tick before which it is done: a multiple of <see cref="Shard.ObservationTicks"/>.</summary>
    public long Tick { get; init; }

    /// <summary>The one VM that it is done to, or null for all of the cohort. Patches and pauses are for all.</summary>
    public int? Vm { get; init; }

    /// <summary>The kernel to go on with, for <see cref="OperationKind.PatchKernel"/>.</summary>
    public Kernel? Kernel { get; init; }

    /// <summary>Where the counter goes on, for <see cref="OperationKind.Migrate"/> and <see cref="OperationKind.SetCounter"/>.</summary>
    public ulong InvalidateSeq { get; init; }

    /// <summary>Throws unless kind, VM and kernel go together.</summary>
    /// <exception cref="ArgumentException">They do not.</exception>
    internal void ThrowUnlessValid()
    {
        if ((Kind == OperationKind.PatchKernel) != (Kernel is not null))
            throw new ArgumentException("a patch, and nothing else, names a kernel");
        if (Vm is not null && Kind is not (OperationKind.Migrate or OperationKind.UpdateMemslots or OperationKind.SetCounter))
            throw new ArgumentException($"{Kind} is for the whole cohort");
        if (Tick < 0 || Tick % Shard.ObservationTicks != 0)
            throw new ArgumentException($"tick {Tick} is no multiple of {Shard.ObservationTicks}");
    }
}
