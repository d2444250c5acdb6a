using System.Collections.Immutable;

namespace SoakHost.HostKernel.Workloads;

/// <summary>The workloads that there are.</summary>
public static class WorkloadNames
{
    private static readonly ImmutableArray<Func<Workload>> Makers =
    [
        () => new GuestWrites(), () => new MemoryProtection(), () => new LazyFree(), () => new HolePunching(),
        () => new MemoryFile(), () => new DiskFile(), () => new Remapping(), () => new Forking(), () => new SamePageMerging(),
        () => new HugePages(), () => new UserFaults(), () => new NumaBalancing(), () => new DirtyLog(), () => new MemslotDelete(),
        () => new MemslotMove(), () => new MemslotReadOnly(),
    ];

    /// <summary>Their names, in the order in which they take turns.</summary>
    public static ImmutableArray<string> All { get; } = [.. Makers.Select(make => make().Name)];

    /// <summary>A new workload of that name.</summary>
    internal static Workload Create(string name) => Makers[All.IndexOf(name)]();
}
