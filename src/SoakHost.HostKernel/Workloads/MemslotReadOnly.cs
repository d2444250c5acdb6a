using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>A memslot is made read-only: the guest reads it, and what it writes must not come to the memory.</summary>
internal sealed class MemslotReadOnly : Workload
{
    private WorkloadPages? _pages;

    public override string Name => "memslot-readonly";

    public override void Prepare(WorkloadSpace space)
    {
        if (!space.Has(KvmAbi.CapabilityReadOnlyMemory))
            throw new NotOfferedException("this kernel's KVM has no read-only memslots (KVM_CAP_READONLY_MEM)");
        _pages = WorkloadPages.Anonymous(space);
    }

    public override void Step(WorkloadGuest guest)
    {
        ulong stamp = guest.NextStamp();
        guest.WriteAndCheck(_pages!, stamp, "a write");

        // KVM refuses to change this flag of a memslot that is there.
        _pages!.DeleteSlot();
        _pages.SetSlot(KvmAbi.MemoryReadOnly);
        try
        {
            guest.ExpectStamp(_pages, stamp, "its memslot was made read-only");
            guest.Write(_pages, guest.NextStamp());
            guest.CheckKept(_pages, page => stamp + (ulong)page, "a write to its read-only memslot");
        }
        finally
        {
            _pages.DeleteSlot();
            _pages.SetSlot();
        }

        guest.WriteAndCheck(_pages, guest.NextStamp(), "its memslot was made writable again");
    }

    public override void Dispose() => _pages?.Dispose();
}
