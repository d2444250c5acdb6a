using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>
/// The log of pages that the guest writes, as a ring that this process reads: what the guest writes must be in it, and again once
/// it was reset. A VM has this or the bitmap.
/// </summary>
internal sealed unsafe class DirtyRing : Workload
{
    /// <summary>Its name.</summary>
    public const string RingName = "dirty-ring";

    // include/uapi/linux/kvm.h; on x86 the ring lies 64 pages into what a vCPU's file maps.
    private const int CapabilityRing = 192;
    private const int RingBytes = 65_536;
    private const int MapOffset = 64 * 4096;
    private const uint IsDirty = 1;
    private const uint IsRead = 2;
    private const uint SlotMask = 0xffff;

    private static readonly nuint Reset = KvmAbi.Io(0xc7);

    private WorkloadSpace? _space;
    private WorkloadPages? _pages;
    private MappedMemory? _ring;
    private long _next;

    public override string Name => RingName;

    /// <summary>Gives the vCPUs of a VM rings. They must not have been created yet.</summary>
    /// <returns>Whether the kernel has them.</returns>
    public static bool TryEnable(KvmDescriptor vm)
    {
        var capability = new KvmEnableCapability { Capability = CapabilityRing, Argument = RingBytes };
        return vm.TryRequest(KvmAbi.EnableCapability, (nint)(&capability)) == 0;
    }

    public override void Prepare(WorkloadSpace space)
    {
        _space = space;
        if (space.GuestFile is not { } vcpu || !space.HasRings)
            throw new NotOfferedException("this kernel's KVM has no dirty ring (KVM_CAP_DIRTY_LOG_RING)");
        _ring = MappedMemory.Shared(vcpu.Number, RingBytes, MapOffset);
        _pages = WorkloadPages.Anonymous(space);
    }

    public override void Step(WorkloadGuest guest)
    {
        ulong stamp = guest.NextStamp();
        guest.WriteAndCheck(_pages!, stamp, "a write");
        _pages!.SetSlot(KvmAbi.MemoryLogDirtyPages);
        try
        {
            for (int round = 0; round < 2; round++)
            {
                stamp = guest.NextStamp();
                guest.WriteAndCheck(_pages, stamp, "a write under dirty logging");
                CheckRing(guest, stamp, round == 0 ? "dirty logging was switched on" : "the dirty ring was read and reset");
            }
        }
        finally
        {
            _pages.SetSlot();
        }

        guest.ExpectStamp(_pages, stamp, "dirty logging was switched off");
    }

    public override void Dispose()
    {
        _ring?.Dispose();
        _pages?.Dispose();
    }

    private void CheckRing(WorkloadGuest guest, ulong stamp, string after)
    {
        bool[] dirty = new bool[_pages!.Count];
        while (true)
        {
            KvmDirtyPage* entry = (KvmDirtyPage*)_ring!.Start + (_next % (RingBytes / sizeof(KvmDirtyPage)));
            if ((Volatile.Read(ref entry->Flags) & IsDirty) == 0)
                break;
            if ((entry->Slot & SlotMask) == _space!.Slot && entry->Offset < (ulong)dirty.Length)
                dirty[entry->Offset] = true;
            Volatile.Write(ref entry->Flags, IsRead);
            _next++;
        }

        _space!.Vm.Request("reset the dirty rings", Reset);
        for (int page = 0; page < dirty.Length; page++)
        {
            if (!dirty[page])
                guest.NoteUnlogged(_pages, page, stamp + (ulong)page, after);
        }
    }
}
