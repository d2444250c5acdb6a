using SoakHost.HostKernel.Guest;

namespace SoakHost.HostKernel.Workloads;

/// <summary>Guest memory from a file: written through the file, cut off, and made longer again.</summary>
internal sealed class DiskFile : Workload
{
    private SharedFile? _file;
    private WorkloadPages? _pages;

    public override string Name => "file";

    public override void Prepare(WorkloadSpace space)
    {
        _file = SharedFile.OnDisk(WorkloadPages.BytesUsual);
        _file.Reserve();
        _pages = new WorkloadPages(space, _file.Map());
        _pages.SetSlot();
    }

    public override void Step(WorkloadGuest guest)
    {
        ulong stamp = guest.NextStamp();
        for (int page = 0; page < _pages!.Count; page++)
            _file!.Write((long)page * GuestMemory.PageBytes, stamp + (ulong)page);
        guest.ExpectStamp(_pages, stamp, "a write to the file");
        _file!.Resize(0);
        _file.Resize(_file.Length);
        _file.Reserve();
        guest.Expect(_pages, _ => 0, "the file was cut off and made longer");
        guest.WriteAndCheck(_pages, guest.NextStamp(), "a write to a page of the file");
    }

    public override void Dispose()
    {
        _pages?.Dispose();
        _file?.Dispose();
    }
}
