using System.Globalization;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>
/// Pages move between the host's nodes, as NUMA balancing moves them. Its hinting faults, which make pages inaccessible for a
/// while, are not made.
/// </summary>
internal sealed unsafe class NodeMigration : Workload
{
    private const int MovePagesCall = 279; // arch/x86/entry/syscalls/syscall_64.tbl
    private const int MoveOwn = 2; // MPOL_MF_MOVE
    private const string Nodes = "/sys/devices/system/node/has_normal_memory";

    private WorkloadPages? _pages;
    private int[] _nodes = [];
    private int _turn;

    public override string Name => "numa-migration";

    public override void Prepare(WorkloadSpace space)
    {
        _nodes = ParseList(SystemFile.Read(Nodes) ?? "0");
        if (_nodes.Length < 2)
            throw new NotOfferedException("this host has one NUMA node");
        _pages = WorkloadPages.Anonymous(space);
    }

    public override void Step(WorkloadGuest guest)
    {
        ulong stamp = guest.NextStamp();
        guest.WriteAndCheck(_pages!, stamp, "a write");
        _turn = (_turn + 1) % _nodes.Length;
        Move(_nodes[_turn]);
        guest.ExpectStamp(_pages!, stamp, "pages moved to another NUMA node");
        stamp = guest.NextStamp();
        _pages!.Stamp(stamp);
        guest.ExpectStamp(_pages, stamp, "pages moved to another NUMA node and a write by the host");
    }

    public override void Dispose() => _pages?.Dispose();

    /// <summary>The numbers of a list as the kernel writes it, such as "0-1,4".</summary>
    internal static int[] ParseList(string list) =>
    [
        .. list.Split(',', StringSplitOptions.RemoveEmptyEntries).SelectMany(part =>
        {
            int[] ends = [.. part.Split('-').Select(end => int.Parse(end, CultureInfo.InvariantCulture))];
            return Enumerable.Range(ends[0], ends[^1] - ends[0] + 1);
        }),
    ];

    private void Move(int node)
    {
        int count = _pages!.Count;
        nint* addresses = stackalloc nint[count];
        int* nodes = stackalloc int[count];
        int* states = stackalloc int[count];
        for (int page = 0; page < count; page++)
            (addresses[page], nodes[page]) = ((nint)(_pages.Host + ((long)page * _pages.Stride)), node);
        if (Libc.SystemCall(MovePagesCall, 0, count, (nint)addresses, (nint)nodes, (nint)states, MoveOwn) < 0)
            throw KvmException.Last("move pages to another NUMA node");
    }
}
