using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>The host protects memory against writing, and allows it again.</summary>
internal sealed unsafe class MemoryProtection : Workload
{
    private WorkloadPages? _pages;

    public override string Name => "mprotect";

    public override void Prepare(WorkloadSpace space) => _pages = WorkloadPages.Anonymous(space);

    public override void Step(WorkloadGuest guest)
    {
        ulong stamp = guest.NextStamp();
        guest.WriteAndCheck(_pages!, stamp, "a write");
        Protect(Libc.ProtectRead);
        try
        {
            guest.ExpectStamp(_pages!, stamp, "mprotect(PROT_READ)");
        }
        finally
        {
            Protect(Libc.ProtectRead | Libc.ProtectWrite);
        }

        stamp = guest.NextStamp();
        guest.WriteAndCheck(_pages!, stamp, "mprotect(PROT_READ | PROT_WRITE)");

        // All access taken away and given back: the page behind it is another.
        Protect(0);
        Protect(Libc.ProtectRead | Libc.ProtectWrite);
        _pages!.Advise(Libc.AdviseDontNeed, "take memory away");
        stamp = guest.NextStamp();
        _pages.Stamp(stamp);
        guest.ExpectStamp(_pages, stamp, "mprotect(PROT_NONE) and new pages");
    }

    public override void Dispose() => _pages?.Dispose();

    private void Protect(int protection)
    {
        if (Libc.Protect((nint)_pages!.Host, (nuint)WorkloadPages.BytesUsual, protection) != 0)
            throw KvmException.Last("change the protection of memory");
    }
}
