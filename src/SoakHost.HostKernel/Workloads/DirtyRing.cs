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

    // include/uapi/linux/kvm.h.
    private const int CapabilityRing = 192;

    private WorkloadSpace? _space;
    private WorkloadPages? _pages;
    private DirtyRingReader? _ring;

    public override string Name => RingName;

    /// <summary>Gives the vCPUs of a VM rings. They must not have been created yet.</summary>
    /// <returns>Whether the kernel has them.</returns>
    public static bool TryEnable(KvmDescriptor vm)
    {
        var capability = new KvmEnableCapability { Capability = CapabilityRing, Argument = DirtyRingReader.Bytes };
        return vm.TryRequest(KvmAbi.EnableCapability, (nint)(&capability)) == 0;
    }

    public override void Prepare(WorkloadSpace space)
    {
        _space = space;
        if (space.GuestFile is null || !space.HasRings)
            throw new NotOfferedException("this kernel's KVM has no dirty ring (KVM_CAP_DIRTY_LOG_RING)");
        _ring = new DirtyRingReader(space);
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
        while (_ring!.TryTake(out uint slot, out ulong offset))
        {
            if (slot == _space!.Slot && offset < (ulong)dirty.Length)
                dirty[offset] = true;
        }

        _ring.Reset();
        for (int page = 0; page < dirty.Length; page++)
        {
            if (!dirty[page])
                guest.NoteUnlogged(_pages, page, stamp + (ulong)page, after);
        }
    }
}

/// <summary>The dirty ring of a vCPU, as its process reads it.</summary>
internal sealed unsafe class DirtyRingReader(WorkloadSpace space) : IDisposable
{
    /// <summary>Bytes of a ring.</summary>
    public const int Bytes = 65_536;

    /// <summary>Entries of a ring.</summary>
    public const int Entries = Bytes / 16;

    // include/uapi/linux/kvm.h; on x86 the ring lies 64 pages into what a vCPU's file maps.
    private const int MapOffset = 64 * 4096;
    private const uint IsDirty = 1;
    private const uint IsRead = 2;
    private const uint SlotMask = 0xffff;

    private static readonly nuint ResetRings = KvmAbi.Io(0xc7);

    private readonly MappedMemory _ring = MappedMemory.Shared(space.GuestFile!.Number, Bytes, MapOffset);
    private long _next;

    /// <summary>Takes the next entry.</summary>
    /// <returns>Whether there is one.</returns>
    public bool TryTake(out uint slot, out ulong offset)
    {
        KvmDirtyPage* entry = (KvmDirtyPage*)_ring.Start + (_next % Entries);
        bool isThere = (Volatile.Read(ref entry->Flags) & IsDirty) != 0;
        (slot, offset) = (entry->Slot & SlotMask, entry->Offset);
        if (!isThere)
            return false;
        Volatile.Write(ref entry->Flags, IsRead);
        _next++;
        return true;
    }

    /// <summary>Goes on with the entry after the next.</summary>
    public void Skip() => _next++;

    /// <summary>Gives what was taken back to the kernel.</summary>
    /// <remarks>A signal ends a reset early (Linux 6.17 and later), and the runtime sends its threads some.</remarks>
    /// <returns>How many entries it reset, as it says.</returns>
    public int Reset()
    {
        int all = 0;
        for (int resets = 0, empty = 0; empty < 2 && resets < Entries; resets++)
        {
            int entries = space.Vm.Request("reset the dirty rings", ResetRings);
            all += entries;
            empty = entries == 0 ? empty + 1 : 0;
        }

        return all;
    }

    /// <inheritdoc/>
    public void Dispose() => _ring.Dispose();
}
