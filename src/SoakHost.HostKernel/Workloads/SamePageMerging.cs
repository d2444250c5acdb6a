using System.Globalization;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>
/// Pages of one content, which KSM merges in the background between two events; writes by the host and by the guest separate them
/// again.
/// </summary>
internal sealed class SamePageMerging : Workload
{
    private const string Switch = "/sys/kernel/mm/ksm/run";
    private const string Merged = "/proc/self/ksm_merging_pages";

    private const string Scans = "/sys/kernel/mm/ksm/full_scans";

    // A page must look the same in two full scans to be merged, and a scan may be under way.
    private const long ScansMax = 3;

    private WorkloadPages? _pages;
    private ulong _content;
    private long _scansAtFill;

    public override string Name => "ksm";

    /// <summary>Merging adds two for each page, and separating one.</summary>
    public override long InvalidationsMax => 4 * WorkloadPages.CountUsual;

    /// <summary>Once pages are merged; before Linux 5.19 nobody can tell. KSM that does not merge them gets others.</summary>
    public override bool IsReady
    {
        get
        {
            if (SystemFile.Read(Merged) is not "0")
                return true;
            if (ScansSoFar() - _scansAtFill > ScansMax)
                Fill();
            return false;
        }
    }

    public override void Prepare(WorkloadSpace space)
    {
        string state = SystemFile.Read(Switch) ?? throw new NotOfferedException("this kernel has no KSM");
        if (state != "1")
            throw new NotOfferedException($"KSM is switched off on this host ({Switch} is {state})");
        _pages = WorkloadPages.Anonymous(space);
        _pages.Advise(Libc.AdviseMergeable, "use MADV_MERGEABLE");
        Fill();
    }

    public override void Step(WorkloadGuest guest)
    {
        guest.Expect(_pages!, _ => _content, "KSM had merged pages");
        ulong stamp = guest.NextStamp();
        for (int page = 0; page < _pages!.Count; page += 2)
            _pages[page] = stamp;
        guest.Expect(_pages, page => page % 2 == 0 ? stamp : _content, "a write by the host to merged pages");
        guest.WriteAndCheck(_pages, guest.NextStamp(), "a write by the guest to merged pages");
        Fill();
        guest.Expect(_pages, _ => _content, "a write of one content to all pages");
    }

    public override void Dispose() => _pages?.Dispose();

    private static long ScansSoFar() =>
        long.TryParse(SystemFile.Read(Scans), CultureInfo.InvariantCulture, out long scans) ? scans : 0;

    /// <summary>The same in all of them: a low number, which no other page holds.</summary>
    private void Fill()
    {
        _content++;
        _scansAtFill = ScansSoFar();
        for (int page = 0; page < _pages!.Count; page++)
            _pages[page] = _content;
    }
}
