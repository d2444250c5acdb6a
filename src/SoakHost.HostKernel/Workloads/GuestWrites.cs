using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>
/// The guest writes pages that the host has just taken away: zero pages, read first, that its writes replace by pages of its own.
/// </summary>
internal sealed class GuestWrites : Workload
{
    private WorkloadPages? _pages;

    public override string Name => "guest-writes";

    public override void Prepare(WorkloadSpace space) => _pages = WorkloadPages.Anonymous(space);

    public override void Step(WorkloadGuest guest)
    {
        _pages!.Advise(Libc.AdviseDontNeed, "take memory away");
        guest.Expect(_pages, _ => 0, "MADV_DONTNEED");
        ulong stamp = guest.NextStamp();
        guest.WriteAndCheck(_pages, stamp, "a write to a zero page");
        guest.ExpectStamp(_pages, stamp, "its own write");
    }

    public override void Dispose() => _pages?.Dispose();
}
