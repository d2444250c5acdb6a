using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>
/// The host gives memory up lazily, as a balloon does: until the kernel takes it the guest may find the old content or zeros, and
/// what it writes from then on is kept.
/// </summary>
internal sealed class LazyFree : Workload
{
    private WorkloadPages? _pages;

    public override string Name => "madv-free";

    public override void Prepare(WorkloadSpace space)
    {
        _pages = WorkloadPages.Anonymous(space);
        _pages.Advise(Libc.AdviseFree, "use MADV_FREE");
    }

    public override void Step(WorkloadGuest guest)
    {
        ulong stamp = guest.NextStamp();
        guest.WriteAndCheck(_pages!, stamp, "a write");
        _pages!.Advise(Libc.AdviseFree, "use MADV_FREE");
        guest.Expect(_pages, page => stamp + (ulong)page, "MADV_FREE", allowed: _ => 0);
        stamp = guest.NextStamp();
        guest.WriteAndCheck(_pages, stamp, "MADV_FREE and a write");
        guest.ExpectStamp(_pages, stamp, "MADV_FREE and a write");
    }

    public override void Dispose() => _pages?.Dispose();
}
