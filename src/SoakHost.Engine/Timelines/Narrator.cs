using System.Globalization;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Timelines;

/// <summary>Tells a step from the VM's state before and after it.</summary>
internal static class Narrator
{
    /// <param name="snapshotPoint">Where the kernel takes its snapshot.</param>
    /// <param name="tick">The tick, or the number of the step.</param>
    /// <param name="actor">vCPUs are numbered first, then invalidators, then the memslot updater.</param>
    /// <param name="before">The state before the step.</param>
    /// <param name="after">The state after it; equal where the actor did not move.</param>
    /// <param name="judged">What the model's totals counted in this step.</param>
    /// <returns>The step, or null where the actor did not move.</returns>
    public static TimelineStep? Tell(
        SnapshotPoint snapshotPoint, long tick, int actor, VmState before, VmState after, StepCounts judged)
    {
        int vcpus = before.Vcpus.Length;
        if (actor < vcpus)
            return DescribeVcpu(snapshotPoint, tick, actor, before, after, judged);
        if (actor < vcpus + before.Invalidators.Length)
            return DescribeInvalidator(tick, actor - vcpus, before, after, judged);
        return before.RootGeneration == after.RootGeneration ? null
            : Zap(Step(tick, "memslot updater", "updates a memslot: every root is obsolete, every mapping goes", after), after, judged);
    }

    /// <summary>A counter as people compare it: hexadecimal, without leading zeros.</summary>
    public static string Hex(ulong value) => value.ToString("x", CultureInfo.InvariantCulture).Insert(0, "0x");

    private static TimelineStep? DescribeVcpu(
        SnapshotPoint snapshotPoint, long tick, int v, VmState before, VmState after, StepCounts judged)
    {
        VcpuState was = before.Vcpus[v], now = after.Vcpus[v];
        string name = $"vCPU {v}";
        if (judged.GuestAccesses != 0)
            return Step(tick, name, $"accesses page {was.Page}: mapped, the guest goes on to page {now.Page}", after) with { Verdict = StepVerdict.Progress };
        if (was == now && judged.Retried == 0 && judged.Fixed == 0)
            return null;
        if (judged.Retried != 0)
            return Retry(tick, name, v, before, after, judged.UnjustifiedRetries != 0);
        if (judged.Fixed != 0)
            return Install(tick, name, v, before, after, judged.UnsafeInstalls != 0);

        string action = (was.Phase, now.Phase) switch
        {
            (VcpuPhase.Access, _) when was.ConsecutiveRetries > 0 => $"accesses page {was.Page} again: the fault is taken once more",
            (VcpuPhase.Access, _) when snapshotPoint == SnapshotPoint.FaultTaken =>
                $"accesses page {was.Page}: not mapped, the fault is taken and the counter's snapshot with it",
            (VcpuPhase.Access, _) => $"accesses page {was.Page}: not mapped, the fault is taken",
            (VcpuPhase.Snapshot, _) => "takes its snapshot of the counter",
            (VcpuPhase.Resolve, _) => $"resolves page {was.Page} in the primary MMU",
            (VcpuPhase.LocklessCheck, _) => "checks without mmu_lock: fresh",
            _ => "checks: fresh; it will install in a step of its own",
        };
        bool holdsSnapshot = now.Phase != VcpuPhase.Snapshot
            && !(snapshotPoint == SnapshotPoint.AfterResolve && now.Phase == VcpuPhase.Resolve);
        return Step(tick, name, action, after) with { Snapshot = holdsSnapshot ? now.Snapshot : null };
    }

    private static TimelineStep Retry(
        long tick, string name, int v, VmState before, VmState after, bool isUnjustified)
    {
        // A check that comes with the snapshot judges the one it has just taken.
        VcpuState fault = before.Vcpus[v];
        ulong snapshot = after.Vcpus[v].Snapshot;
        List<string> warrants = [];
        if (fault.Raced)
            warrants.Add("an invalidation ended since the fault was taken");
        if (fault.Reloaded)
            warrants.Add("memslots were updated since the fault was taken");
        if (Covers(before, fault.Page))
            warrants.Add($"an invalidation of pages that the kernel's range puts around page {fault.Page} is in progress");
        string place = fault.Phase == VcpuPhase.Check ? "under mmu_lock" : "without mmu_lock";
        return Step(tick, name, $"checks {place}: stale, so it retries page {fault.Page}", after) with
        {
            Snapshot = snapshot,
            Verdict = isUnjustified ? StepVerdict.UnjustifiedRetry : StepVerdict.JustifiedRetry,
            Truth = isUnjustified ? "nothing happened that warrants a retry" : string.Join("; ", warrants),
            Explanation = isUnjustified ? WhyStale(snapshot, fault, before) : "",
        };
    }

    private static TimelineStep Install(long tick, string name, int v, VmState before, VmState after, bool isUnsafe)
    {
        VcpuState fault = before.Vcpus[v];
        List<string> dangers = [];
        if (fault.Outdated)
            dangers.Add($"page {fault.Page} got a new translation after it was resolved");
        foreach ((int i, InvalidatorState invalidator) in before.Invalidators.Index())
        {
            if ((invalidator.Own >> fault.Page & 1) != 0)
                dangers.Add($"invalidator {i} is between begin and end for page {fault.Page}");
        }

        if (fault.Orphaned)
            dangers.Add("the vCPU's root is obsolete");
        return Step(tick, name, $"finds nothing stale and installs page {fault.Page}: the fault is fixed", after) with
        {
            Snapshot = fault.Snapshot,
            Verdict = isUnsafe ? StepVerdict.UnsafeInstall : StepVerdict.SafeInstall,
            Truth = isUnsafe ? string.Join("; ", dangers) : "the page is as it was resolved",
            Explanation = isUnsafe
                ? $"the guest now uses a page that the host took away: {string.Join("; ", dangers)}, and the check did not see it"
                : "",
        };
    }

    private static TimelineStep? DescribeInvalidator(long tick, int i, VmState before, VmState after, StepCounts judged)
    {
        InvalidatorState was = before.Invalidators[i], now = after.Invalidators[i];
        if (was == now && judged.Invalidations == 0)
            return null;
        string name = $"invalidator {i}";
        string action = was.Phase switch
        {
            InvalidatorPhase.Begin => $"begins: pages {Timeline.DescribePages(now.Own)} leave the secondary MMU",
            InvalidatorPhase.Change => $"changes the translation of pages {Timeline.DescribePages(was.Own)} in the primary MMU",
            _ => $"ends: the counter goes from {Hex(before.InvalidateSeq)} to {Hex(after.InvalidateSeq)}",
        };
        return Zap(Step(tick, name, action, after), after, judged);
    }

    /// <summary>A step that may have taken pages out of the secondary MMU, with the judgement on the account of them.</summary>
    private static TimelineStep Zap(TimelineStep step, VmState after, StepCounts judged) =>
        judged.AccountingErrors == 0 ? step : step with
        {
            Verdict = StepVerdict.AccountingError,
            Truth = $"{ulong.PopCount(after.Mapped)} pages are mapped",
            Explanation = $"the kernel's total is {after.MappedTotal}, which is {ulong.PopCount(after.Mapped)} and "
                + $"{(after.MappedTotal - ulong.PopCount(after.Mapped)) >> 32} times 2^32: a negative page count was zero-extended",
        };

    private static bool Covers(VmState state, int page) =>
        state.Invalidators.Any(invalidator => invalidator.Own != 0) && page >= state.RangeStart && page < state.RangeEnd;

    private static string WhyStale(ulong snapshot, VcpuState fault, VmState state)
    {
        ulong seq = state.InvalidateSeq;
        if (snapshot == seq)
        {
            return state.InProgress > 0
                ? $"mmu_invalidate_in_progress says {state.InProgress} although every invalidation that matters has ended"
                : "the vCPU's root is obsolete and was not reloaded when it entered the guest";
        }

        // A narrowing that leaves the same value signed and unsigned is told without its sign.
        (ulong Signed, ulong Unsigned, string Kept, string KeptUnsigned, int Bits)[] narrowings =
        [
            (unchecked((ulong)(int)seq), unchecked((uint)seq), "an int", "an unsigned int", 32),
            (unchecked((ulong)(short)seq), unchecked((ushort)seq), "a short", "an unsigned short", 16),
        ];
        foreach ((ulong signed, ulong unsigned, string kept, string keptUnsigned, int bits) in narrowings)
        {
            if (snapshot != signed && snapshot != unsigned)
                continue;
            string how = signed == unsigned ? $"was cut to {bits} bits" : $"was kept as {(snapshot == signed ? kept : keptUnsigned)}";
            return $"{Hex(seq)} {how} and came back as {Hex(snapshot)}";
        }

        return fault.ConsecutiveRetries > 0
            ? $"the retried fault still holds the snapshot {Hex(snapshot)} of an earlier one, and the counter has gone on to {Hex(seq)}"
            : $"the counter went from {Hex(snapshot)} to {Hex(seq)} although no invalidation has ended since the fault was taken";
    }

    private static TimelineStep Step(long tick, string actor, string action, VmState after) => new()
    {
        Tick = tick,
        Actor = actor,
        Action = action,
        InvalidateSeq = after.InvalidateSeq,
        InProgress = after.InProgress,
        Range = after.Range,
        Mapped = after.Mapped,
    };
}

/// <summary>What the model's totals counted in one step of one VM: each 0 or 1.</summary>
internal readonly record struct StepCounts
{
    public uint Invalidations { get; init; }

    public uint GuestAccesses { get; init; }

    public uint Fixed { get; init; }

    public uint Retried { get; init; }

    public uint UnjustifiedRetries { get; init; }

    public uint UnsafeInstalls { get; init; }

    public uint AccountingErrors { get; init; }

    /// <summary>What one lane's totals counted since <paramref name="before"/>.</summary>
    public static StepCounts Read<TLanes>(in TotalsLanes<TLanes> totals, in TotalsLanes<TLanes> before, int lane)
        where TLanes : unmanaged, ILanes<TLanes> => new()
        {
            Invalidations = totals.Invalidations[lane] - before.Invalidations[lane],
            GuestAccesses = totals.GuestAccesses[lane] - before.GuestAccesses[lane],
            Fixed = totals.Fixed[lane] - before.Fixed[lane],
            Retried = totals.Retried[lane] - before.Retried[lane],
            UnjustifiedRetries = totals.UnjustifiedRetries[lane] - before.UnjustifiedRetries[lane],
            UnsafeInstalls = totals.UnsafeInstalls[lane] - before.UnsafeInstalls[lane],
            AccountingErrors = totals.AccountingErrors[lane] - before.AccountingErrors[lane],
        };
}
