namespace SoakHost.HostKernel.Workloads;

/// <summary>Guest memory from a memfd: the host maps other pages of the file at the same addresses, to and fro.</summary>
internal sealed unsafe class MemoryFile : Workload
{
    private SharedFile? _file;
    private WorkloadPages? _pages;

    public override string Name => "memfd";

    public override void Prepare(WorkloadSpace space)
    {
        _file = SharedFile.InMemory(2 * WorkloadPages.BytesUsual);
        _pages = new WorkloadPages(space, _file.Map(WorkloadPages.BytesUsual));
        _pages.SetSlot();
    }

    public override void Step(WorkloadGuest guest)
    {
        ulong first = guest.NextStamp();
        guest.WriteAndCheck(_pages!, first, "a write");
        Show(WorkloadPages.BytesUsual);
        ulong second = guest.NextStamp();
        _pages!.Stamp(second);
        guest.ExpectStamp(_pages, second, "a mapping of other pages of the memfd");
        Show(0);
        guest.ExpectStamp(_pages, first, "a mapping of the first pages of the memfd again");
    }

    public override void Dispose()
    {
        _pages?.Dispose();
        _file?.Dispose();
    }

    private void Show(long offset) => _file!.MapOver(_pages!.Host, WorkloadPages.BytesUsual, offset);
}
