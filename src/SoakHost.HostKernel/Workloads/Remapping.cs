using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>The host moves other pages to where the guest's were (mremap).</summary>
internal sealed unsafe class Remapping : Workload
{
    private WorkloadPages? _pages;

    public override string Name => "mremap";

    public override void Prepare(WorkloadSpace space) => _pages = WorkloadPages.Anonymous(space);

    public override void Step(WorkloadGuest guest)
    {
        ulong stamp = guest.NextStamp();
        guest.WriteAndCheck(_pages!, stamp, "a write");
        var others = MappedMemory.Anonymous(WorkloadPages.BytesUsual);
        stamp = guest.NextStamp();
        for (int page = 0; page < _pages!.Count; page++)
            *(ulong*)(others.Start + ((long)page * _pages.Stride)) = stamp + (ulong)page;
        nint moved = Libc.Remap(
            (nint)others.Start, (nuint)others.Length, (nuint)others.Length, Libc.RemapMayMove | Libc.RemapFixed,
            (nint)_pages.Host);
        if (moved == -1)
        {
            KvmException refusal = KvmException.Last("move pages with mremap");
            others.Dispose();
            throw refusal;
        }

        others.SetHandleAsInvalid();
        guest.ExpectStamp(_pages, stamp, "mremap of other pages to the same address");
        guest.WriteAndCheck(_pages, guest.NextStamp(), "mremap and a write");
    }

    public override void Dispose() => _pages?.Dispose();
}
