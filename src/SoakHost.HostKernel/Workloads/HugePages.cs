using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>A page of 2 MiB: a 4 KiB page of it is taken away, which splits it, and it is collapsed again.</summary>
internal sealed unsafe class HugePages : Workload
{
    private const string Switch = "/sys/kernel/mm/transparent_hugepage/enabled";
    private const int Looks = 16;
    private const int Taken = 5;

    private WorkloadPages? _pages;
    private bool _canCollapse = true;

    public override string Name => "thp";

    public override void Prepare(WorkloadSpace space)
    {
        string state = SystemFile.Read(Switch) ?? throw new NotOfferedException("this kernel has no transparent huge pages");
        if (state.Contains("[never]", StringComparison.Ordinal))
            throw new NotOfferedException($"transparent huge pages are switched off on this host ({Switch} is {state})");
        var memory = MappedMemory.Huge(GuestMemory.LargePageBytes, GuestMemory.LargePageBytes);
        _pages = new WorkloadPages(space, memory, Looks, (int)(GuestMemory.LargePageBytes / Looks));
        _pages.Advise(Libc.AdviseHugePage, "use MADV_HUGEPAGE");
        _pages.SetSlot();
    }

    public override void Step(WorkloadGuest guest)
    {
        // All of it goes, and comes back as one page, if the host has one.
        _pages!.Advise(Libc.AdviseDontNeed, "take a huge page away");
        guest.Expect(_pages, _ => 0, "MADV_DONTNEED of a huge page");
        ulong stamp = guest.NextStamp();
        guest.WriteAndCheck(_pages, stamp, "a write to a huge page");

        nint page = (nint)(_pages.Host + ((long)Taken * _pages.Stride));
        if (Libc.Advise(page, GuestMemory.PageBytes, Libc.AdviseDontNeed) != 0)
            throw KvmException.Last("take a part of a huge page away");
        guest.Expect(_pages, Expected, "a huge page was split");
        if (!TryCollapse())
            return;
        guest.Expect(_pages, Expected, "pages were collapsed into a huge one");
        stamp = guest.NextStamp();
        _pages.Stamp(stamp);
        guest.ExpectStamp(_pages, stamp, "a write by the host to a collapsed page");

        ulong Expected(int each) => each == Taken ? 0 : stamp + (ulong)each;
    }

    public override void Dispose() => _pages?.Dispose();

    /// <summary>
    /// MADV_COLLAPSE is there since Linux 6.1, and may find no memory. Without it khugepaged collapses in time.
    /// </summary>
    private bool TryCollapse()
    {
        _canCollapse &= Libc.Advise((nint)_pages!.Host, (nuint)_pages.Length, Libc.AdviseCollapse) == 0
            || System.Runtime.InteropServices.Marshal.GetLastPInvokeError() != Libc.ErrorInvalid;
        return _canCollapse;
    }
}
