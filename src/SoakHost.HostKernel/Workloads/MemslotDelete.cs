namespace SoakHost.HostKernel.Workloads;

/// <summary>A memslot is deleted, so that the guest finds nothing there, and added again.</summary>
internal sealed class MemslotDelete : Workload
{
    private WorkloadPages? _pages;

    public override string Name => "memslot-delete";

    public override void Prepare(WorkloadSpace space) => _pages = WorkloadPages.Anonymous(space);

    public override void Step(WorkloadGuest guest)
    {
        guest.WriteAndCheck(_pages!, guest.NextStamp(), "a write");
        _pages!.DeleteSlot();
        try
        {
            guest.ExpectNoMemory(_pages, _pages.Guest, "its memslot was deleted");
        }
        finally
        {
            _pages.SetSlot();
        }

        ulong stamp = guest.NextStamp();
        _pages.Stamp(stamp);
        guest.ExpectStamp(_pages, stamp, "its memslot was deleted and added again");
    }

    public override void Dispose() => _pages?.Dispose();
}
