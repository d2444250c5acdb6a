using SoakHost.HostKernel.Guest;

namespace SoakHost.HostKernel.Workloads;

/// <summary>A memslot moves to another guest address, and back.</summary>
internal sealed class MemslotMove : Workload
{
    private WorkloadPages? _pages;

    public override string Name => "memslot-move";

    public override void Prepare(WorkloadSpace space) => _pages = WorkloadPages.Anonymous(space);

    public override void Step(WorkloadGuest guest)
    {
        long first = _pages!.Guest;
        ulong stamp = guest.NextStamp();
        guest.WriteAndCheck(_pages, stamp, "a write");
        _pages.SetSlot(guest: first + GuestMemory.LargePageBytes);
        try
        {
            guest.ExpectStamp(_pages, stamp, "its memslot moved to another address");
            guest.ExpectNoMemory(_pages, first, "its memslot moved away");
        }
        finally
        {
            _pages.SetSlot();
        }

        guest.ExpectStamp(_pages, stamp, "its memslot moved back");
        guest.ExpectNoMemory(_pages, first + GuestMemory.LargePageBytes, "its memslot moved back");
    }

    public override void Dispose() => _pages?.Dispose();
}
