using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>
/// The log of pages that the guest writes, as a migration reads it: on, read and so cleared, off. What the guest writes must be
/// in it.
/// </summary>
internal sealed unsafe class DirtyLog : Workload
{
    /// <summary>Its name.</summary>
    public const string LogName = "dirty-log";

    private WorkloadPages? _pages;
    private WorkloadSpace? _space;

    public override string Name => LogName;

    public override void Prepare(WorkloadSpace space) => (_space, _pages) = (space, WorkloadPages.Anonymous(space));

    public override void Step(WorkloadGuest guest)
    {
        ulong stamp = guest.NextStamp();
        guest.WriteAndCheck(_pages!, stamp, "a write");
        _pages!.SetSlot(KvmAbi.MemoryLogDirtyPages);
        try
        {
            guest.ExpectStamp(_pages, stamp, "dirty logging was switched on");
            for (int round = 0; round < 2; round++)
            {
                stamp = guest.NextStamp();
                guest.WriteAndCheck(_pages, stamp, "a write under dirty logging");
                CheckLog(guest, stamp, round == 0 ? "dirty logging was switched on" : "the dirty log was read and cleared");
            }
        }
        finally
        {
            _pages.SetSlot();
        }

        guest.ExpectStamp(_pages, stamp, "dirty logging was switched off");
    }

    public override void Dispose() => _pages?.Dispose();

    /// <summary>Reads the log, which clears it: pages that are written again must be in it again.</summary>
    private void CheckLog(WorkloadGuest guest, ulong stamp, string after)
    {
        ulong bitmap = 0;
        var log = new KvmDirtyLog { Slot = _space!.Slot, Bitmap = (ulong)&bitmap };
        _space.Vm.Request("read the dirty log", KvmAbi.GetDirtyLog, (nint)(&log));
        for (int page = 0; page < _pages!.Count; page++)
        {
            if ((bitmap >> page & 1) == 0)
                guest.NoteUnlogged(_pages, page, stamp + (ulong)page, after);
        }
    }
}
