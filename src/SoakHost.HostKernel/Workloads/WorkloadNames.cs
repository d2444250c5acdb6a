using System.Collections.Immutable;

namespace SoakHost.HostKernel.Workloads;

/// <summary>The workloads that there are.</summary>
public static class WorkloadNames
{
    private static readonly ImmutableArray<Func<Workload>> Makers =
    [
        () => new GuestWrites(), () => new MemoryProtection(), () => new LazyFree(), () => new HolePunching(),
        () => new MemoryFile(), () => new GuestMemoryFile(), () => new DiskFile(), () => new Remapping(),
        () => new Forking(), () => new SamePageMerging(),
        () => new HugePages(), () => new UserFaults(), () => new NodeMigration(), () => new DirtyLog(), () => new DirtyRing(),
        () => new MemslotDelete(), () => new MemslotMove(), () => new MemslotReadOnly(),
    ];

    /// <summary>Their names, in the order in which they take turns.</summary>
    public static ImmutableArray<string> All { get; } = [.. Makers.Select(make => make().Name)];

    /// <summary>Those that one VM can have: its dirty log is a bitmap, unless the ring is asked for.</summary>
    public static ImmutableArray<string> Usual { get; } = All.Remove(DirtyRing.RingName);

    /// <summary>A new workload of that name.</summary>
    internal static Workload Create(string name) => Makers[All.IndexOf(name)]();
}
