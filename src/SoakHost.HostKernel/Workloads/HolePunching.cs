namespace SoakHost.HostKernel.Workloads;

/// <summary>Shared memory of a memfd, as a host with several processes has it, with holes punched in the file.</summary>
internal sealed class HolePunching : Workload
{
    private SharedFile? _file;
    private WorkloadPages? _pages;

    public override string Name => "hole-punching";

    public override void Prepare(WorkloadSpace space)
    {
        _file = SharedFile.InMemory(WorkloadPages.BytesUsual);
        _pages = new WorkloadPages(space, _file.Map());
        _pages.SetSlot();
    }

    public override void Step(WorkloadGuest guest)
    {
        ulong stamp = guest.NextStamp();
        _pages!.Stamp(stamp);
        guest.ExpectStamp(_pages, stamp, "a write by the host");
        _file!.PunchHole(0, WorkloadPages.BytesUsual);
        guest.Expect(_pages, _ => 0, "a hole punched in the memfd");
        stamp = guest.NextStamp();
        guest.WriteAndCheck(_pages, stamp, "a write to the hole");
    }

    public override void Dispose()
    {
        _pages?.Dispose();
        _file?.Dispose();
    }
}
