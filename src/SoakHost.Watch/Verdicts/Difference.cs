using SoakHost.Watch.Samples;

namespace SoakHost.Watch.Verdicts;

/// <summary>What happened to a vCPU between two samples of one KVM instance. A figure that either sample lacks is null.</summary>
internal readonly struct Difference
{
    private readonly VcpuSample _before;
    private readonly VcpuSample _now;

    public Difference(VcpuSample before, VcpuSample now)
    {
        _before = before;
        _now = now;
        Seconds = now.TimeSeconds - before.TimeSeconds;
        Taken = Between(before.Stats.Taken, now.Stats.Taken);
        Fixed = Between(before.Stats.Fixed, now.Stats.Fixed);
        Emulated = Between(before.Stats.Emulate, now.Stats.Emulate);
        Spurious = Between(before.Stats.Spurious, now.Stats.Spurious);
        Fast = Between(before.Stats.Fast, now.Stats.Fast);
        Exits = Between(before.Stats.Exits, now.Stats.Exits);
        HaltExits = Between(before.Stats.HaltExits, now.Stats.HaltExits);
        MmioExits = Between(before.Stats.MmioExits, now.Stats.MmioExits);
        SignalExits = Between(before.Stats.SignalExits, now.Stats.SignalExits);
        UserspaceExits = Between(before.Exits.UserspaceExits, now.Exits.UserspaceExits);
        EmulationFailures = Between(before.Exits.EmulationFailures, now.Exits.EmulationFailures);
        Flushes = Between(before.VmStats.RemoteTlbFlush, now.VmStats.RemoteTlbFlush);
        FlushRequests = Between(before.VmStats.RemoteTlbFlushRequests, now.VmStats.RemoteTlbFlushRequests);
        Ended = Between(before.Counter.InvalidateSeq, now.Counter.InvalidateSeq);
        CpuSeconds = now.Thread.CpuSeconds - before.Thread.CpuSeconds;
    }

    public double Seconds { get; }

    public ulong? Taken { get; }

    public ulong? Fixed { get; }

    public ulong? Emulated { get; }

    public ulong? Spurious { get; }

    public ulong? Fast { get; }

    public ulong? Exits { get; }

    public ulong? HaltExits { get; }

    public ulong? MmioExits { get; }

    public ulong? SignalExits { get; }

    public ulong? UserspaceExits { get; }

    public ulong? EmulationFailures { get; }

    public ulong? Flushes { get; }

    public ulong? FlushRequests { get; }

    /// <summary>Invalidations that ended, by the counter.</summary>
    public ulong? Ended { get; }

    public double? CpuSeconds { get; }

    /// <summary>Share of the time for which the thread ran, 0 to 1.</summary>
    public double? CpuShare => CpuSeconds / Seconds;

    /// <summary>Faults fixed after the counter check. A fast fix is counted among the fixed ones and checks no counter.</summary>
    public ulong? FixedByCheck => Fixed is { } all ? all - Math.Min(all, Fast ?? 0) : null;

    /// <summary>Faults resolved in any way; null unless all of fixed, emulated and spurious are known.</summary>
    public ulong? Resolved => Fixed + Emulated + Spurious;

    /// <summary>Faults taken and not resolved. The figures are read one after another: a resolved fault may be ahead.</summary>
    public ulong? Unresolved => Taken is { } taken && Resolved is { } resolved ? taken - Math.Min(taken, resolved) : null;

    public double? UnresolvedPerSecond => Unresolved / Seconds;

    /// <summary>Whether the guest faults at another instruction or address than before; null where that is not known.</summary>
    public bool? MovedOn
    {
        get
        {
            bool? gpa = Moved(_before.Trace.Gpa, _now.Trace.Gpa);
            return Moved(_before.Trace.Rip, _now.Trace.Rip) is not { } rip ? gpa : rip || gpa == true;
        }
    }

    /// <summary>How it is known that nothing was invalidated.</summary>
    public Quiet Quiet
    {
        get
        {
            // The counter moves at an invalidation's end, and in_progress is raised until then: one that began meanwhile shows.
            if (Ended == 0 && _before.Counter.InProgress == 0 && _now.Counter.InProgress == 0)
                return Quiet.ByCounter;
            if (Flushes > 0 || FlushRequests > 0)
                return Quiet.No;
            if (AreHeld)
                return Quiet.Held;
            if (AreInvalidationsSeen)
                return Quiet.No;
            return _now.Host.Invalidations == 0 ? Quiet.ByInvalidations : Flushes == 0 ? Quiet.ByFlushes : Quiet.No;
        }
    }

    /// <summary>Whether invalidations were seen to go on.</summary>
    public bool AreInvalidationsSeen =>
        Ended > 0 || _before.Counter.InProgress > 0 || _now.Counter.InProgress > 0 || _now.Host.Invalidations > 0;

    /// <summary>
    /// Whether the invalidations in progress are the ones of before: an end moves the counter, and a begin raises their number.
    /// </summary>
    public bool AreHeld => Ended == 0 && _now.Counter.InProgress > 0 && _before.Counter.InProgress == _now.Counter.InProgress;

    /// <summary>Whether the later sample cannot belong to the KVM instance of the earlier one.</summary>
    public static bool IsNewInstance(VcpuSample before, VcpuSample now) =>
        Differs(before.KvmId, now.KvmId)
        || (before.Pid is { } pid && now.Pid is { } other && pid != other)
        || Differs(before.Kernel.Release, now.Kernel.Release)
        || WentBack(before.Stats, now.Stats)
        || now.VmStats.RemoteTlbFlush < before.VmStats.RemoteTlbFlush
        || now.VmStats.RemoteTlbFlushRequests < before.VmStats.RemoteTlbFlushRequests
        || now.Counter.InvalidateSeq < before.Counter.InvalidateSeq
        || now.Exits.UserspaceExits < before.Exits.UserspaceExits
        || now.Exits.EmulationFailures < before.Exits.EmulationFailures
        || now.Thread.CpuSeconds < before.Thread.CpuSeconds;

    private static bool WentBack(VcpuFigures before, VcpuFigures now) =>
        now.Taken < before.Taken || now.Fixed < before.Fixed || now.Emulate < before.Emulate || now.Spurious < before.Spurious
        || now.Fast < before.Fast || now.Exits < before.Exits || now.HaltExits < before.HaltExits
        || now.MmioExits < before.MmioExits || now.SignalExits < before.SignalExits;

    private static bool Differs(string? before, string? now) => before is not null && now is not null && before != now;

    private static bool? Moved(ulong? before, ulong? now) => before is null || now is null ? null : before != now;

    private static ulong? Between(ulong? before, ulong? now) => now - before;
}

/// <summary>How it is known that nothing was invalidated, from not at all to surely.</summary>
internal enum Quiet
{
    /// <summary>Something was invalidated, or nothing says.</summary>
    No,

    /// <summary>
    /// The same invalidations were in progress all the time, none began or ended, and no TLB was flushed. KVM flushes as one
    /// begins; a flush later on shows that something else works on the VM's mappings.
    /// </summary>
    Held,

    /// <summary>No TLB was flushed for the VM, so that nothing was taken from it.</summary>
    ByFlushes,

    /// <summary>No invalidation began.</summary>
    ByInvalidations,

    /// <summary>None ended, none was in progress.</summary>
    ByCounter,
}
