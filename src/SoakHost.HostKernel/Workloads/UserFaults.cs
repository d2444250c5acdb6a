using System.Runtime.InteropServices;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>Missing pages that this process fills in when the guest touches them, as after a migration (userfaultfd).</summary>
internal sealed unsafe class UserFaults : Workload
{
    private WorkloadPages? _pages;
    private MappedMemory? _source;
    private MissingPages? _missing;
    private ulong _stamp;

    public override string Name => "userfaultfd";

    public override void Prepare(WorkloadSpace space)
    {
        _missing = new MissingPages();
        _source = MappedMemory.Anonymous(GuestMemory.PageBytes);
        _pages = WorkloadPages.Anonymous(space);
        _missing.Register(_pages.Host, _pages.Length);
    }

    public override void Step(WorkloadGuest guest)
    {
        _pages!.Advise(Libc.AdviseDontNeed, "take memory away");
        ulong stamp = _stamp = guest.NextStamp();
        try
        {
            guest.Expect(_pages, page => stamp + (ulong)page, "userfaultfd filled in missing pages", serve: Serve, fill: Fill);
        }
        catch (Exception end) when (end is WorkloadStoppedException or WorkloadException)
        {
            // Whoever waits for a page goes on, or it would be there for ever.
            _missing!.Dispose();
            throw;
        }

        guest.WriteAndCheck(_pages, guest.NextStamp(), "a write to a page filled in by userfaultfd");
    }

    public override void Dispose()
    {
        _missing?.Dispose();
        _pages?.Dispose();
        _source?.Dispose();
    }

    private void Serve()
    {
        while (_missing!.TryTakeFault(out byte* address))
            Fill((int)((address - _pages!.Host) / GuestMemory.PageBytes));
    }

    /// <summary>Puts a page in, unless it is there. A look at a missing one would wait for this very thread.</summary>
    private void Fill(int page)
    {
        *(ulong*)_source!.Start = _stamp + (ulong)page;
        if (!_missing!.TryFill(_pages!.Host + ((long)page * GuestMemory.PageBytes), _source.Start, GuestMemory.PageBytes))
            throw new WorkloadException($"userfaultfd gives no page: {Libc.Explain(Marshal.GetLastPInvokeError())}");
    }
}
