using System.Collections.Immutable;

namespace SoakHost.HostKernel.Boundaries;

/// <summary>The counters of KVM whose boundaries are crossed, by name.</summary>
public static class BoundaryNames
{
    /// <summary>The counter of invalidations: 2^31 and above.</summary>
    public const string InvalidateSeq = "mmu_invalidate_seq";

    /// <summary>The 19 bits of the memslots' generation that a mapping of an MMIO page holds.</summary>
    public const string MmioGeneration = "mmio-generation";

    /// <summary>The indices of the dirty ring: 2^32.</summary>
    public const string DirtyRing = "dirty-ring";

    /// <summary>The token of an asynchronous page fault: 2^20 faults of a vCPU.</summary>
    public const string AsyncFaultToken = "async-pf-token";

    /// <summary>All of them, in the order in which they are tried.</summary>
    public static ImmutableArray<string> All { get; } = [InvalidateSeq, MmioGeneration, AsyncFaultToken, DirtyRing];

    /// <summary>Those that a check of the host's kernel crosses unless it is asked for others: the first alone.</summary>
    public static ImmutableArray<string> Usual { get; } = [InvalidateSeq];

    /// <summary>Those with a short run of their own.</summary>
    public static IEnumerable<string> WithoutCounter(IEnumerable<string> names) => names.Where(name => name != InvalidateSeq);
}
