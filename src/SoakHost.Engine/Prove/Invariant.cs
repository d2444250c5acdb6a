using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Prove;

/// <summary>
/// What holds in every state that a VM can reach, in named parts. The README of this folder says why each is there. A part that a
/// step of the model breaks is named by the obligation that fails.
/// </summary>
internal static class Invariant<TKernel, TMemslots, TPages>
    where TKernel : struct, IKernel
    where TMemslots : struct, IMemslots
    where TPages : unmanaged, IPages<TPages, SymbolicLanes>
{
    private static TermTable Table => TermTable.Current;

    /// <summary>All parts, of the VM and of each vCPU.</summary>
    public static IReadOnlyList<Claim> Of(SymbolicVm<TPages> state) =>
        [.. OfVm(state), Account(state), .. Enumerable.Range(0, state.Vcpus.Length).SelectMany(v => OfVcpu(state, v))];

    /// <summary>The parts about the VM, all but the account of mapped pages.</summary>
    public static IEnumerable<Claim> OfVm(SymbolicVm<TPages> state)
    {
        VmLanes<TPages, SymbolicLanes> vm = state.Vm;
        Term count = Table.Zero, ownWhileInProgress = Table.True, ownInRange = Table.True, ownZapped = Table.True;
        TPages exposed = default;
        foreach (InvalidatorLanes<TPages, SymbolicLanes> invalidator in state.Invalidators)
        {
            Term isInProgress = SymbolicSteps<TKernel, TMemslots, TPages>.IsInProgress(invalidator);
            Term isRaised = TKernel.RaisesAfterYield ? (invalidator.AtChange | invalidator.AtEnd).IsTrue : isInProgress;
            count = Table.Add(count, Table.Choose(isRaised, Table.Constant(32, 1), Table.Zero));
            TPages left = TKernel.YieldsInZap
                ? TKernel.ZappedAfterYield<TPages, SymbolicLanes>(invalidator.Own).Where(invalidator.AtZap)
                : default;
            ownZapped = Table.And(ownZapped, Terms.IsEmpty(TPages.Except(invalidator.Own & vm.Mapped, left)));
            ownWhileInProgress = Table.And(ownWhileInProgress, Table.Same(isInProgress, invalidator.Own.Any.IsTrue));
            ownInRange = Table.And(ownInRange, Terms.IsEmpty(TPages.Except(invalidator.Own, vm.Range.Pages)));
            exposed |= invalidator.Own;
        }

        TPages inProgress = TKernel.PagesInProgress(vm.Range, ~SymbolicLanes.IsZero(vm.InProgress));
        yield return new(
            "in-progress-counted", "mmu_invalidate_in_progress is the number of invalidators between begin and end",
            Table.Equal(vm.InProgress.Term, count));
        yield return new(
            "own-range-while-in-progress", "an invalidator has a range of its own if and only if it is between begin and end",
            ownWhileInProgress);
        yield return new("own-range-in-range", "each own range lies in the kernel's range", ownInRange);
        yield return new(
            "exposed-are-own-ranges", "the exposed pages are those of the own ranges", Terms.Same(vm.ExposedPages, exposed));
        yield return new(
            "pages-in-progress-follow",
            "the pages for which the check sees an invalidation are what the kernel makes of range and count",
            Terms.Same(vm.PagesInProgress, inProgress));
        if (TMemslots.AreUpdated)
        {
            yield return new(
                "zapped-not-mapped", "no page of a memslot that was zapped and not replaced yet is mapped",
                Terms.IsEmpty(vm.Mapped & vm.MemslotUpdate.ZappedPages));
        }

        yield return new(
            "quiet-is-none-exposed", "no invalidation is in progress if and only if no page is exposed",
            Table.Equal(vm.IsQuiet.Term, SymbolicLanes.IsZero(exposed.Any).Term));
        yield return new(
            "exposed-not-mapped",
            "no exposed page is mapped, but for those that a zap in two steps has yet to take away",
            ownZapped);
    }

    /// <summary>The account of mapped pages; apart from the rest, because counting bits is heavy for a solver.</summary>
    public static Claim Account(SymbolicVm<TPages> state) => new(
        "total-is-mapped", "the kernel's total is the number of mapped pages",
        Table.Equal(Terms.Whole(state.Vm.MappedTotal), Table.Concat(Table.Zero, Terms.Number(state.Vm.Mapped))));

    /// <summary>The parts about one vCPU.</summary>
    public static IEnumerable<Claim> OfVcpu(SymbolicVm<TPages> state, int v)
    {
        VcpuLanes<TPages, SymbolicLanes> vcpu = state.Vcpus[v];
        Ghost ghost = state.Ghosts[v];
        Term inFault = SymbolicSteps<TKernel, TMemslots, TPages>.InFault(vcpu);
        Term holds = SymbolicSteps<TKernel, TMemslots, TPages>.HoldsSnapshot(vcpu);
        Term isResolved = SymbolicSteps<TKernel, TMemslots, TPages>.IsResolved(vcpu);
        Term zero = Table.Constant(64, 0);
        yield return new("one-phase", "a vCPU is in one of the phases that this kernel has", OnePhase(vcpu));
        yield return new("one-page", "a vCPU is about exactly one page", Terms.IsOne(vcpu.Page));
        yield return new(
            "snapshot-of-its-counter", "a fault that holds a snapshot holds what the kernel makes of the counter as it was then",
            Table.Implies(holds, Terms.Same(
                vcpu.Snapshot, TKernel.Snapshot(ghost.SeqAtSnapshot, ghost.HeldBefore, SymbolicLanes.Mask(ghost.WasRetry)))));
        yield return new(
            "counter-counts-ends", "the counter has moved by the number of invalidations that ended since the snapshot",
            Table.Implies(holds, Table.Equal(Table.Add(Terms.Whole(ghost.SeqAtSnapshot), ghost.Age), state.Seq)));
        yield return new(
            "snapshot-within-fault", "no more invalidations ended since the snapshot than since the fault was taken",
            Table.Implies(holds, Table.AtMost(ghost.Age, ghost.Span)));
        yield return new(
            "raced-is-ended", "a fault is known to have raced if and only if an invalidation ended during it",
            Table.Implies(inFault, Table.Same(Flag(state, FaultFlags.Raced(v)), Table.Not(Table.Equal(ghost.Span, zero)))));
        yield return new(
            "outdated-is-changed", "a resolved page is known to be outdated if and only if it changed since",
            Table.Implies(isResolved, Table.Same((vcpu.Page & vcpu.ChangedSinceResolve).Any.IsTrue, ghost.WasChanged)));
        yield return new(
            "change-is-noticed",
            "a resolved page that has changed is exposed still, or an invalidation ended since the snapshot "
                + "(without one, since the fault was taken)",
            Table.Implies(
                Table.And(isResolved, ghost.WasChanged),
                Table.Or(
                    (vcpu.Page & state.Vm.ExposedPages).Any.IsTrue,
                    Table.Not(Table.Equal(Table.Choose(holds, ghost.Age, ghost.Span), zero)))));
        if (!TMemslots.AreUpdated)
            yield break;
        Term isBehind = Table.Not(Table.Equal(vcpu.RootGeneration.Term, state.Vm.RootGeneration.Term));
        MemslotUpdateLanes<TPages, SymbolicLanes> update = state.Vm.MemslotUpdate;
        Term isResolvedInSlot = Table.And(isResolved, (vcpu.Page & update.Slot).Any.IsTrue);
        yield return new(
            "readers-awaited", "the zap of a memslot waits for each fault that has resolved a page of it",
            Table.Implies(Table.And(update.AtZap.IsTrue, isResolvedInSlot), Flag(state, FaultFlags.Awaited(v))));
        yield return new(
            "none-resolved-in-zapped", "after the zap of a memslot and until its end no fault has resolved a page of it",
            Table.Not(Table.And(update.AtSwap.IsTrue, isResolvedInSlot)));
        yield return new(
            "orphaned-is-behind", "a root is known to be obsolete if and only if it has an older generation than the VM's",
            Table.Same(Flag(state, FaultFlags.Orphaned(v)), isBehind));
        yield return new(
            "reloaded-is-behind",
            "a fault is known to have seen memslots updated if and only if its root has an older generation",
            Table.Implies(inFault, Table.Same(Flag(state, FaultFlags.Reloaded(v)), isBehind)));
    }

    /// <summary>What is assumed of how long a fault lasts, and of how far a root falls behind.</summary>
    /// <param name="state">The state.</param>
    /// <param name="span">One more than the most invalidations that end in one fault.</param>
    public static IEnumerable<Claim> Assumptions(SymbolicVm<TPages> state, ulong span)
    {
        foreach ((int v, Ghost ghost) in state.Ghosts.Index())
        {
            Term inFault = SymbolicSteps<TKernel, TMemslots, TPages>.InFault(state.Vcpus[v]);
            yield return new(
                "fault-span", $"assumed: fewer than 0x{span:x} invalidations end during one fault",
                Table.Implies(inFault, Table.LessThan(ghost.Span, Table.Constant(64, span))));
            if (!TMemslots.AreUpdated)
                continue;
            Term behind = Table.Subtract(state.Vm.RootGeneration.Term, state.Vcpus[v].RootGeneration.Term);
            yield return new(
                "update-span", $"assumed: a root falls fewer than 2^{UpdateSpanBits} memslot updates behind",
                Table.LessThan(behind, Table.Constant(32, 1UL << UpdateSpanBits)));
        }
    }

    /// <summary>The root generation has 32 bits; a root that is 2^32 updates behind would look current.</summary>
    public const int UpdateSpanBits = 30;

    private static Term Flag(SymbolicVm<TPages> state, uint flag) => (state.Vm.FaultFlags & SymbolicLanes.Broadcast(flag)).IsTrue;

    private static Term OnePhase(VcpuLanes<TPages, SymbolicLanes> vcpu)
    {
        (VcpuPhase Phase, SymbolicLanes At)[] masks =
        [
            (VcpuPhase.Snapshot, vcpu.AtSnapshot), (VcpuPhase.Resolve, vcpu.AtResolve),
            (VcpuPhase.LocklessCheck, vcpu.AtLocklessCheck), (VcpuPhase.Check, vcpu.AtCheck),
            (VcpuPhase.Install, vcpu.AtInstall), (VcpuPhase.Retry, vcpu.AtRetry),
        ];
        Term ones = Table.Constant(32, uint.MaxValue), any = Table.False, good = Table.True;
        foreach ((VcpuPhase phase, SymbolicLanes at) in masks)
        {
            Term isMask = Table.Or(Table.Equal(at.Term, Table.Zero), Table.Equal(at.Term, ones));
            bool exists = SymbolicSteps<TKernel, TMemslots, TPages>.Phases.Contains(phase);
            good = Table.And(good, Table.And(exists ? isMask : Table.Not(at.IsTrue), Table.Not(Table.And(any, at.IsTrue))));
            any = Table.Or(any, at.IsTrue);
        }

        return good;
    }
}
