using System.Globalization;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Timelines;

/// <summary>Tells a step from the VM's state before and after it.</summary>
internal static class Narrator
{
    /// <param name="kernel">The kernel that the VM runs.</param>
    /// <param name="tick">The tick, or the number of the step.</param>
    /// <param name="actor">vCPUs are numbered first, then invalidators, then the memslot updater.</param>
    /// <param name="before">The state before the step.</param>
    /// <param name="after">The state after it; equal where the actor did not move.</param>
    /// <param name="judged">What the model's totals counted in this step.</param>
    /// <returns>The step, or null where the actor did not move.</returns>
    public static TimelineStep? Tell(
        Kernel kernel, long tick, int actor, VmState before, VmState after, StepCounts judged)
    {
        if (!HasMoved(actor, before, after, judged))
            return null;
        int vcpus = before.Vcpus.Length;
        TimelineStep step =
            actor < vcpus ? DescribeVcpu(kernel, tick, actor, before, after, judged)
            : actor < vcpus + before.Invalidators.Length ? DescribeInvalidator(tick, actor - vcpus, before, after, judged)
            : DescribeMemslotUpdater(kernel, tick, before, after, judged);
        return step with { Function = KernelFunctions.Of(kernel, actor, before, after, judged) };
    }

    /// <summary>Whether the actor moved in a step: whether there is anything to tell.</summary>
    public static bool HasMoved(int actor, VmState before, VmState after, StepCounts judged)
    {
        int vcpus = before.Vcpus.Length;
        if (actor < vcpus)
        {
            return before.Vcpus[actor] != after.Vcpus[actor] || judged.GuestAccesses != 0 || judged.Retried != 0
                || judged.Fixed != 0;
        }

        // A begin that is refused leaves no trace but in the kernel's count.
        int i = actor - vcpus;
        return i < before.Invalidators.Length
            ? before.Invalidators[i] != after.Invalidators[i] || judged.Invalidations != 0
                || before.InProgress != after.InProgress
            : before.MemslotUpdater != after.MemslotUpdater;
    }

    /// <summary>What a story comes to: the fact, and what this kernel does differently from a correct one.</summary>
    public static string Conclude(Kernel kernel, string fact) =>
        kernel.Info.Expected == Defect.None ? fact : $"{fact}. What differs in {kernel.Info.Name}: {kernel.Info.Description}";

    /// <summary>A counter as people compare it: hexadecimal, without leading zeros.</summary>
    public static string Hex(ulong value) => value.ToString("x", CultureInfo.InvariantCulture).Insert(0, "0x");

    private static TimelineStep DescribeVcpu(
        Kernel kernel, long tick, int v, VmState before, VmState after, StepCounts judged)
    {
        VcpuState was = before.Vcpus[v], now = after.Vcpus[v];
        string name = $"vCPU {v}";
        if (judged.GuestAccesses != 0)
            return Step(tick, name, $"accesses page {was.Page}: mapped, the guest goes on to page {now.Page}", after) with
            {
                Verdict = StepVerdict.Progress,
            };
        if (judged.Retried != 0)
            return Retry(kernel, tick, name, v, before, after, judged);
        if (judged.Fixed != 0)
            return Install(tick, name, v, before, after, judged.UnsafeInstalls != 0);

        string action = (was.Phase, now.Phase) switch
        {
            (VcpuPhase.Retry, _) => $"tries page {was.Page} again in the kernel: the fault is taken once more",
            (VcpuPhase.Access, _) when was.ConsecutiveRetries > 0 =>
                $"accesses page {was.Page} again: the fault is taken once more",
            (VcpuPhase.Access, _) when kernel.SnapshotPoint == SnapshotPoint.FaultTaken =>
                $"accesses page {was.Page}: not mapped, the fault is taken and the counter's snapshot with it",
            (VcpuPhase.Access, _) => $"accesses page {was.Page}: not mapped, the fault is taken",
            (VcpuPhase.Snapshot, _) => "takes its snapshot of the counter",
            (VcpuPhase.Resolve, _) => $"resolves page {was.Page} in the primary MMU",
            (VcpuPhase.LocklessCheck, _) => "checks without mmu_lock: fresh",
            _ => "checks: fresh; it will install in a step of its own",
        };
        bool holdsSnapshot = now.Phase != VcpuPhase.Snapshot
            && !(kernel.SnapshotPoint == SnapshotPoint.AfterResolve && now.Phase == VcpuPhase.Resolve);
        return Step(tick, name, action, after) with { Snapshot = holdsSnapshot ? now.Snapshot : null };
    }

    private static TimelineStep Retry(
        Kernel kernel, long tick, string name, int v, VmState before, VmState after, StepCounts judged)
    {
        // A check that comes with the snapshot judges the one it has just taken.
        VcpuState fault = before.Vcpus[v];
        ulong snapshot = after.Vcpus[v].Snapshot;
        List<string> warrants = [];
        if (fault.Raced)
            warrants.Add("an invalidation ended since the fault was taken");
        if (fault.Reloaded)
            warrants.Add("every root became obsolete since the fault was taken");
        if (Covers(before, fault.Page))
            warrants.Add($"an invalidation of pages that the kernel's range puts around page {fault.Page} is in progress");
        if (fault.Phase == VcpuPhase.Resolve)
            return RetryOnInvalidSlot(tick, name, fault, after, after.Vcpus[v]);
        string place = fault.Phase == VcpuPhase.Check ? "under mmu_lock" : "without mmu_lock";
        return Step(tick, name, $"checks {place}: stale, so it retries page {fault.Page}", after) with
        {
            Snapshot = snapshot,
            Verdict = judged.UnjustifiedRetries != 0 ? StepVerdict.UnjustifiedRetry
                : judged.OvercautiousRetries != 0 ? StepVerdict.OvercautiousRetry : StepVerdict.JustifiedRetry,
            Truth = judged.UnjustifiedRetries != 0
                ? "no invalidation is in progress, and none has ended since the fault was taken"
                : judged.OvercautiousRetries != 0 ? $"an invalidation is in progress, but not of page {fault.Page}"
                : string.Join("; ", warrants),
            Explanation = judged.UnjustifiedRetries != 0 ? WhyStale(kernel, snapshot, fault, before) : "",
        };
    }

    /// <summary>
    /// A fault that got no further than the memslot of its page. A deadlock is closed where the update waits for the very vCPU.
    /// </summary>
    private static TimelineStep RetryOnInvalidSlot(long tick, string name, VcpuState fault, VmState after, VcpuState now)
    {
        string truth = $"the memslot of page {fault.Page} is being updated";
        string goesOn = now.Phase == VcpuPhase.Retry ? "it tries again in the kernel, with kvm->srcu held"
            : "it leaves kvm->srcu and tries again";
        TimelineStep step = Step(
            tick, name, $"looks page {fault.Page} up: its memslot has KVM_MEMSLOT_INVALID set, so {goesOn}", after) with
        {
            Verdict = StepVerdict.JustifiedRetry,
            Truth = truth,
        };
        return now.Phase != VcpuPhase.Retry || !now.Awaited
            ? step
            : step with
            {
                Verdict = StepVerdict.Deadlock,
                Truth = $"{truth}, and the update waits for {name} to leave kvm->srcu",
                Explanation =
                    $"{name} holds kvm->srcu and waits for the memslot of page {fault.Page} to become valid; the memslot "
                        + $"update waits in synchronize_srcu_expedited() for {name} to leave kvm->srcu, and makes the memslot "
                        + "valid only after that",
            };
    }

    private static TimelineStep DescribeMemslotUpdater(
        Kernel kernel, long tick, VmState before, VmState after, StepCounts judged)
    {
        string slot = $"the memslot of {Name(after.Slot | before.Slot)}";
        string action = after.MemslotUpdater switch
        {
            MemslotUpdaterPhase.Invalidate => $"begins to update {slot}: it waits until no invalidation is between begin and end",
            MemslotUpdaterPhase.Zap => $"sets KVM_MEMSLOT_INVALID on {slot}{Awaits(kernel, after)}",
            MemslotUpdaterPhase.Swap when kernel.ZapsAllRoots => "makes every root obsolete, and every mapping goes",
            MemslotUpdaterPhase.Swap => $"zaps {slot}: {Leave(before.Mapped & ~after.Mapped)}",
            MemslotUpdaterPhase.End =>
                $"swaps in memslots in which other memory is at {Name(after.Slot | before.Slot)}{Awaits(kernel, after)}",
            _ => $"is done with {slot}",
        };
        TimelineStep step = Zap(Step(tick, "memslot updater", action, after), after, judged);
        return judged.StaleMappings == 0 ? step
            : Stale(step, before.Slot, before, "the guest goes on using the old memslot's memory");
    }

    private static string Awaits(Kernel kernel, VmState state)
    {
        int[] readers = [.. state.Vcpus.Index().Where(vcpu => vcpu.Item.Awaited).Select(vcpu => vcpu.Index)];
        if (readers.Length == 0)
            return "";
        bool waits = kernel.WaitsForReaders || state.MemslotUpdater != MemslotUpdaterPhase.Zap;
        return $" and {(waits ? "waits" : "does not wait")} for the readers of kvm->srcu: vCPU {string.Join(", ", readers)}";
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

        string harm = dangers.Count > 0 ? "the guest now uses a page that the host took away" : "";
        if (before.MemslotUpdater == MemslotUpdaterPhase.Swap && (before.Slot >> fault.Page & 1) != 0)
        {
            harm = harm.Length > 0 ? harm : "the guest can now use the old memslot's memory";
            dangers.Add($"the memslot of page {fault.Page} was zapped and is about to be replaced");
        }

        if (fault.Orphaned)
        {
            harm = harm.Length > 0 ? harm : $"page {fault.Page} goes into a root that KVM may have zapped already";
            dangers.Add("the vCPU's root is obsolete");
        }

        return Step(tick, name, $"finds nothing stale and installs page {fault.Page}: the fault is fixed", after) with
        {
            Snapshot = fault.Snapshot,
            Verdict = isUnsafe ? StepVerdict.UnsafeInstall : StepVerdict.SafeInstall,
            Truth = isUnsafe ? string.Join("; ", dangers) : "the page is as it was resolved",
            Explanation = isUnsafe ? $"{harm}: {string.Join("; ", dangers)}, and the check did not see it" : "",
        };
    }

    private static TimelineStep DescribeInvalidator(long tick, int i, VmState before, VmState after, StepCounts judged)
    {
        InvalidatorState was = before.Invalidators[i], now = after.Invalidators[i];
        string name = $"invalidator {i}";
        string zapped = Leave(before.Mapped & ~after.Mapped);
        if (was == now && judged.Invalidations == 0)
        {
            return Step(tick, name, $"begins: {zapped}; another notifier refuses the invalidation, and no end follows", after);
        }

        string own = Name(now.Own | was.Own);
        string action = was.Phase switch
        {
            InvalidatorPhase.Begin when now.Phase == InvalidatorPhase.Zap =>
                $"begins for {own}: {zapped}{Pending(now)}, and mmu_lock is dropped before the zap is complete",
            InvalidatorPhase.Begin => $"begins for {own}: {zapped}",
            InvalidatorPhase.Zap => $"completes the zap of {own}: {zapped}{Flushed(before, after)}",
            InvalidatorPhase.Change => $"changes the translation of {own} in the primary MMU",
            _ when before.InvalidateSeq == after.InvalidateSeq => $"ends: the counter stays at {Hex(after.InvalidateSeq)}",
            _ => $"ends: the counter goes from {Hex(before.InvalidateSeq)} to {Hex(after.InvalidateSeq)}",
        };
        TimelineStep step = Zap(Step(tick, name, action, after), after, judged);
        return judged.StaleMappings == 0 ? step
            : Stale(step, was.Own, before, "the guest goes on using memory that the host has given away");
    }

    private static string Pending(InvalidatorState invalidator) =>
        invalidator.Unflushed == 0 ? "" : $", the TLB may still hold {Name(invalidator.Unflushed)}";

    private static string Flushed(VmState before, VmState after) =>
        Unflushed(before) != 0 && Unflushed(after) == 0 ? ", and the TLB is flushed"
        : Unflushed(after) == 0 ? "" : ", and the TLB is not flushed: this zap took nothing away";

    private static string Name(ulong pages) => (ulong.IsPow2(pages) ? "page " : "pages ") + Timeline.DescribePages(pages);

    private static string Be(ulong pages) => ulong.IsPow2(pages) ? "is" : "are";

    private static string Leave(ulong pages) =>
        pages == 0 ? "no page leaves the secondary MMU"
        : $"{Name(pages)} {(ulong.IsPow2(pages) ? "leaves" : "leave")} the secondary MMU";

    private static ulong Unflushed(VmState state) => state.Invalidators.Aggregate(0UL, (pages, other) => pages | other.Unflushed);

    /// <summary>A change of pages that the guest still has, with how it still has them.</summary>
    private static TimelineStep Stale(TimelineStep step, ulong own, VmState before, string harm)
    {
        ulong mapped = before.Mapped & own, inTlb = Unflushed(before) & own & ~mapped;
        List<string> ways = [];
        if (mapped != 0)
            ways.Add($"{Name(mapped)} {Be(mapped)} still mapped");
        if (inTlb != 0)
            ways.Add($"{Name(inTlb)} {Be(inTlb)} in the TLB, which was not flushed");
        string truth = string.Join("; ", ways);
        return step with
        {
            Verdict = StepVerdict.StaleMapping,
            Truth = truth,
            Explanation = $"{harm}: {truth}",
        };
    }

    /// <summary>A step that may have taken pages out of the secondary MMU, with the judgement on the account of them.</summary>
    private static TimelineStep Zap(TimelineStep step, VmState after, StepCounts judged) =>
        judged.AccountingErrors == 0
            ? step
            : step with
            {
                Verdict = StepVerdict.AccountingError,
                Truth = $"{ulong.PopCount(after.Mapped)} pages are mapped",
                Explanation =
                    $"the kernel's total is {after.MappedTotal}, but {ulong.PopCount(after.Mapped)} pages are "
                        + $"mapped{WhyWrong(after)}",
            };

    /// <summary>A total that is wrong by a multiple of 2^32 names its own cause; of any other nothing more is known.</summary>
    private static string WhyWrong(VmState state)
    {
        ulong excess = unchecked(state.MappedTotal - ulong.PopCount(state.Mapped));
        return (uint)excess == 0 ? $": {excess >> 32} times 2^32 too many, for a negative page count was zero-extended" : "";
    }

    private static bool Covers(VmState state, int page) =>
        state.Invalidators.Any(invalidator => invalidator.Own != 0) && page >= state.RangeStart && page < state.RangeEnd;

    private static string WhyStale(Kernel kernel, ulong snapshot, VcpuState fault, VmState state)
    {
        ulong seq = state.InvalidateSeq;
        if (snapshot == seq)
        {
            return state.InProgress > 0
                ? $"mmu_invalidate_in_progress is {state.InProgress} although no invalidation is in progress: "
                    + (kernel.LosesEnds ? "the end of one that was refused never came" : "an end did not lower it")
                : "the root is obsolete, and this kernel does not reload it before it tries again";
        }

        if (kernel.Info.SnapshotKeptAs is { } kept)
            return $"{Hex(seq)} was kept as {kept} and came back as {Hex(snapshot)}";

        return fault.ConsecutiveRetries > 0
            ? $"the retried fault still holds the snapshot {Hex(snapshot)} of an earlier one, and the counter has gone on to "
                + $"{Hex(seq)}"
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

    public uint OvercautiousRetries { get; init; }

    public uint UnjustifiedRetries { get; init; }

    public uint UnsafeInstalls { get; init; }

    public uint StaleMappings { get; init; }

    public uint AccountingErrors { get; init; }

    /// <summary>What one lane's totals counted since <paramref name="before"/>.</summary>
    public static StepCounts Read<TLanes>(in TotalsLanes<TLanes> totals, in TotalsLanes<TLanes> before, int lane)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        // The difference of the words is the words of the difference, also where one half ran into the other.
        var unwarranted = new TotalsLanes<TLanes> { UnwarrantedRetries = totals.UnwarrantedRetries - before.UnwarrantedRetries };
        return new()
        {
            Invalidations = totals.Invalidations[lane] - before.Invalidations[lane],
            GuestAccesses = totals.GuestAccesses[lane] - before.GuestAccesses[lane],
            Fixed = totals.Fixed[lane] - before.Fixed[lane],
            Retried = totals.Retried[lane] - before.Retried[lane],
            OvercautiousRetries = unwarranted.OvercautiousRetries[lane],
            UnjustifiedRetries = unwarranted.UnjustifiedRetries[lane],
            UnsafeInstalls = totals.UnsafeInstalls[lane] - before.UnsafeInstalls[lane],
            StaleMappings = totals.StaleMappings[lane] - before.StaleMappings[lane],
            AccountingErrors = totals.AccountingErrors[lane] - before.AccountingErrors[lane],
        };
    }
}
