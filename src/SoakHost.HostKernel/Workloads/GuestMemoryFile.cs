using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>
/// Guest memory of a guest_memfd that the host maps too, with holes punched in it. KVM takes the guest's pages from the file
/// itself, and a hole invalidates them without an mmu_notifier (kvm_gmem_punch_hole, virt/kvm/guest_memfd.c).
/// </summary>
/// <remarks>
/// Such a file has one page for host and guest alike, so a VM without private memory can have it: Linux 6.18 and later. Older
/// ones have guest_memfd for private memory alone.
/// </remarks>
internal sealed class GuestMemoryFile : Workload
{
    private const int HolesInEvent = 2;

    private SharedFile? _file;
    private SharedFile? _other;
    private WorkloadPages? _pages;

    public override string Name => "guest-memfd";

    /// <summary>One for each hole, and one for each page of it that the host had touched: that is unmapped alone.</summary>
    public override long InvalidationsMax => HolesInEvent * (1 + WorkloadPages.CountUsual);

    public override void Prepare(WorkloadSpace space)
    {
        if (WhyNotOffered(space.Capability(KvmAbi.CapabilityGuestFile), space.Capability(KvmAbi.CapabilityGuestFileFlags))
            is { } whyNot)
            throw new NotOfferedException(whyNot);
        _file = SharedFile.OfGuest(space.Vm, WorkloadPages.BytesUsual);

        // What the guest touches is the file's, whatever is mapped: other memory is another file.
        _other = space.IsFedStale ? SharedFile.OfGuest(space.Vm, WorkloadPages.BytesUsual) : null;
        _pages = new WorkloadPages(space, _file.Map()) { GuestFile = _other ?? _file };
        _pages.SetSlot();
    }

    public override void Step(WorkloadGuest guest) => Step(guest, _pages!, _file!);

    public override void Dispose()
    {
        _pages?.Dispose();
        _other?.Dispose();
        _file?.Dispose();
    }

    /// <summary>Why there is no file that host and guest can use both, as a part of a sentence; null where there is.</summary>
    /// <param name="capability">KVM_CAP_GUEST_MEMFD of the VM; 0 or negative where it has none.</param>
    /// <param name="flags">KVM_CAP_GUEST_MEMFD_FLAGS of the VM: the flags that a file may have.</param>
    internal static string? WhyNotOffered(int capability, int flags) =>
        capability <= 0 ? "this kernel's KVM has no guest_memfd for a VM without private memory (KVM_CAP_GUEST_MEMFD)"
        : flags < 0 || (flags & SharedFile.GuestFileFlags) != SharedFile.GuestFileFlags
            ? "this kernel's guest_memfd cannot be mapped by the host (KVM_CAP_GUEST_MEMFD_FLAGS)"
        : null;

    /// <summary>One event, in pages that are mapped from a file.</summary>
    internal static void Step(WorkloadGuest guest, WorkloadPages pages, SharedFile file)
    {
        ulong stamp = guest.NextStamp();
        pages.Stamp(stamp);
        guest.ExpectStamp(pages, stamp, "a write by the host");
        PunchHole(file);
        guest.Expect(pages, _ => 0, "a hole punched in the guest_memfd");

        // The host has not touched what the guest writes now. So no mmu_notifier tells KVM of this hole, but guest_memfd alone.
        guest.Write(pages, guest.NextStamp());
        PunchHole(file);
        guest.Expect(pages, _ => 0, "a hole punched where the guest alone had touched the guest_memfd");

        stamp = guest.NextStamp();
        pages.Stamp(stamp);
        guest.ExpectStamp(pages, stamp, "a write by the host to the hole");
        guest.WriteAndCheck(pages, guest.NextStamp(), "a write to the hole");
    }

    private static void PunchHole(SharedFile file) => file.PunchHole(0, WorkloadPages.BytesUsual);
}
