using System.Runtime.CompilerServices;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Model;

/// <summary>
/// KVM's fault/invalidate protocol: one method an actor, each call one atomic step of that actor in the VMs where it moves.
/// Steps do not branch on data; soak, explorer and replay all drive these three methods and nothing else.
/// </summary>
/// <remarks>
/// After Linux <c>arch/x86/kvm/mmu/mmu.c</c> (<c>direct_page_fault()</c>, <c>is_page_fault_stale()</c>) and
/// <c>virt/kvm/kvm_main.c</c> (<c>kvm_mmu_invalidate_begin()</c>, <c>kvm_mmu_invalidate_end()</c>, <c>kvm_set_memslot()</c>).
/// </remarks>
public static class Protocol<TKernel, TMemslots, TPages, TLanes>
    where TKernel : struct, IKernel
    where TMemslots : struct, IMemslots
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    /// <summary>
    /// One step of one vCPU: access, snapshot, resolve, check or install, whichever each lane is at.
    /// </summary>
    /// <param name="vm">The VMs.</param>
    /// <param name="vcpu">This vCPU of each.</param>
    /// <param name="index">Which vCPU it is, 0 to 7.</param>
    /// <param name="moves">Mask: the vCPU takes a step.</param>
    /// <param name="nextPage">The one page to go on with where the access succeeds.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StepVcpu(
        ref VmLanes<TPages, TLanes> vm, ref VcpuLanes<TPages, TLanes> vcpu, int index, in TLanes moves, in TPages nextPage)
    {
        TLanes resolves = moves & vcpu.AtResolve;
        TLanes checks = moves & vcpu.AtCheck;
        TLanes snapshots = moves & vcpu.AtSnapshot;
        TLanes locklessChecks = moves & vcpu.AtLocklessCheck;
        TLanes installs = moves & vcpu.AtInstall;
        TLanes accesses = TLanes.Except(moves, vcpu.AtResolve | vcpu.AtCheck);
        if (TKernel.SnapshotPoint != SnapshotPoint.FaultTaken)
            accesses = TLanes.Except(accesses, vcpu.AtSnapshot);
        if (TKernel.ChecksWithoutLock)
            accesses = TLanes.Except(accesses, vcpu.AtLocklessCheck);
        if (!TKernel.InstallsUnderTheChecksLock)
            accesses = TLanes.Except(accesses, vcpu.AtInstall);

        TPages page = vcpu.Page;
        var meetsInvalidSlot = default(TLanes);
        if (TMemslots.AreUpdated && TKernel.RetriesOnInvalidSlot)
        {
            meetsInvalidSlot = TLanes.Except(resolves, TLanes.IsZero((page & vm.MemslotUpdate.InvalidPages).Any));
            resolves = TLanes.Except(resolves, meetsInvalidSlot);
        }

        TLanes unmapped = TLanes.IsZero((vm.Mapped & page).Any);
        TLanes faults = accesses & unmapped;
        TLanes faultFlags = vm.FaultFlags;
        if (TMemslots.AreUpdated)
        {
            faultFlags = ReloadRoot(in vm, ref vcpu, index, accesses);
            if (!TKernel.ReloadsRoot(index) || TKernel.RetriesInKernel(index))
                faults |= TLanes.Except(accesses, TLanes.IsZero(vcpu.RootGeneration ^ vm.RootGeneration));
        }

        TLanes progresses = TLanes.Except(accesses, faults);
        faultFlags = TLanes.Except(
            faultFlags, faults & TLanes.Broadcast(FaultFlags.Raced(index) | FaultFlags.Reloaded(index)));
        vm.FaultFlags = faultFlags;

        // The snapshot. The judgement below reads the one from before: no lane takes a snapshot and checks it under the lock
        // in one step, and so the judgement need not wait for the access above.
        Counter<TLanes> held = vcpu.Snapshot;
        if (TKernel.SnapshotPoint == SnapshotPoint.FaultTaken)
            snapshots = faults;
        Counter<TLanes> taken = TKernel.Snapshot(vm.InvalidateSeq, held, ~TLanes.IsZero(vcpu.ConsecutiveRetries));
        vcpu.Snapshot = Counter<TLanes>.Select(snapshots, taken, held);

        // Such a fault may be over before it has a snapshot of its own.
        if (TKernel.SnapshotPoint == SnapshotPoint.AfterResolve)
            vcpu.Snapshot = Counter<TLanes>.Select(faults, default, vcpu.Snapshot);

        TPages changed = TPages.ExceptWhere(vcpu.ChangedSinceResolve, resolves);
        vcpu.ChangedSinceResolve = changed;

        // The kernel's judgement.
        TLanes inProgress = (page & vm.PagesInProgress).Any;
        TLanes stale = TKernel.SeqMoved(held, vm.InvalidateSeq) | inProgress;
        TLanes passesSnapshot = snapshots;
        TLanes passesLockless = locklessChecks;
        if (TKernel.ChecksWithoutLock)
        {
            passesSnapshot &= TLanes.IsZero(TKernel.SeqMoved(taken, vm.InvalidateSeq) | inProgress);
            passesLockless &= TLanes.IsZero(stale);
        }

        if (TMemslots.AreUpdated && TKernel.ChecksRoot)
            stale |= vcpu.RootGeneration ^ vm.RootGeneration;
        TLanes fresh = TLanes.IsZero(stale);
        TLanes retries = TLanes.Except(checks, fresh);
        TLanes passes = checks & fresh;
        if (TKernel.ChecksWithoutLock)
            retries |= TLanes.Except(snapshots, passesSnapshot) | TLanes.Except(locklessChecks, passesLockless);
        if (TMemslots.AreUpdated)
            retries |= meetsInvalidSlot;
        TLanes fixes = TKernel.InstallsUnderTheChecksLock ? passes : installs;

        // The truth about it.
        TLanes warranted = (page & vm.CoveredPages).Any
            | (faultFlags & TLanes.Broadcast(FaultFlags.Raced(index) | FaultFlags.Reloaded(index)));
        TLanes unsafeToInstall = (page & (vm.ExposedPages | changed)).Any;
        if (TMemslots.AreUpdated)
        {
            warranted |= meetsInvalidSlot;
            unsafeToInstall |= (faultFlags & TLanes.Broadcast(FaultFlags.Orphaned(index)))
                | (page & vm.MemslotUpdate.ZappedPages).Any;
        }

        TLanes unwarranted = retries & TLanes.IsZero(warranted);
        TLanes unsafeInstalls = TLanes.Except(fixes, TLanes.IsZero(unsafeToInstall));

        // Install: the total is at most the 64 pages in its low half here, so that adding one never carries.
        vm.Mapped |= page.Where(fixes);
        vm.MappedTotal.Low -= fixes & unmapped;
        TLanes advances = fixes | progresses;
        vcpu.ConsecutiveRetries = TLanes.Except(vcpu.ConsecutiveRetries - retries, advances);
        vcpu.Page = TPages.Select(progresses, nextPage, page);

        // Where each goes next; a retry leaves every phase and so accesses the same page again.
        TLanes toResolve = TKernel.SnapshotPoint == SnapshotPoint.BeforeResolve ? passesSnapshot : faults;
        TLanes toCheck = resolves;
        if (TKernel.SnapshotPoint == SnapshotPoint.BeforeResolve)
            vcpu.AtSnapshot = TLanes.Except(vcpu.AtSnapshot, moves) | faults;
        if (TKernel.SnapshotPoint == SnapshotPoint.AfterResolve)
        {
            vcpu.AtSnapshot = TLanes.Except(vcpu.AtSnapshot, moves) | resolves;
            toCheck = snapshots;
        }

        if (TKernel.ChecksWithoutLock)
        {
            vcpu.AtLocklessCheck = TLanes.Except(vcpu.AtLocklessCheck, moves) | resolves;
            toCheck = passesLockless;
        }

        if (!TKernel.InstallsUnderTheChecksLock)
            vcpu.AtInstall = TLanes.Except(vcpu.AtInstall, moves) | passes;
        vcpu.AtResolve = TLanes.Except(vcpu.AtResolve, moves) | toResolve;
        vcpu.AtCheck = TLanes.Except(vcpu.AtCheck, moves) | toCheck;
        if (TMemslots.AreUpdated || TKernel.RetriesInKernel(index))
            LeaveOrRetry(ref vm, ref vcpu, index, moves, advances, retries, meetsInvalidSlot);

        vm.Totals.GuestAccesses -= progresses;
        vm.Totals.Fixed -= fixes;
        vm.Totals.Retried -= retries;
        vm.Totals.UnwarrantedRetries += unwarranted & TotalsLanes<TLanes>.OneUnwarrantedRetry(vm.IsQuiet);
        vm.Totals.UnsafeInstalls -= unsafeInstalls;
    }

    // No local of the step is passed by reference: a kernel with fixed memslots would keep it in memory as well, and lose 4 %.

    /// <summary>Guest entry reloads an obsolete root; who tries again in the kernel keeps it.</summary>
    /// <returns>The fault flags after it.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes ReloadRoot(
        in VmLanes<TPages, TLanes> vm, ref VcpuLanes<TPages, TLanes> vcpu, int index, TLanes accesses)
    {
        if (!TKernel.ReloadsRoot(index))
            return vm.FaultFlags;
        TLanes entries = TKernel.RetriesInKernel(index) ? TLanes.Except(accesses, vcpu.AtRetry) : accesses;
        vcpu.RootGeneration = TLanes.Select(entries, vm.RootGeneration, vcpu.RootGeneration);
        return TLanes.Except(vm.FaultFlags, entries & TLanes.Broadcast(FaultFlags.Orphaned(index)));
    }

    /// <summary>Who is fixed or goes back to the guest leaves <c>kvm->srcu</c>; who tries again in the kernel does not.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LeaveOrRetry(
        ref VmLanes<TPages, TLanes> vm,
        ref VcpuLanes<TPages, TLanes> vcpu,
        int index,
        TLanes moves,
        TLanes advances,
        TLanes retries,
        TLanes meetsInvalidSlot)
    {
        TLanes leaves = advances | retries;
        if (TKernel.RetriesInKernel(index))
        {
            TLanes staysInKernel = TKernel.LeavesOnInvalidSlot ? TLanes.Except(retries, meetsInvalidSlot) : retries;
            vcpu.AtRetry = TLanes.Except(vcpu.AtRetry, moves) | staysInKernel;
            leaves = TLanes.Except(leaves, staysInKernel);
        }

        vm.FaultFlags = TLanes.Except(vm.FaultFlags, leaves & TLanes.Broadcast(FaultFlags.Awaited(index)));
    }

    /// <summary>One step of one invalidator: begin, the rest of its zap, change or end, whichever each lane is at.</summary>
    /// <param name="vm">The VMs.</param>
    /// <param name="vcpus">All their vCPUs.</param>
    /// <param name="invalidators">All their invalidators.</param>
    /// <param name="index">Which invalidator steps.</param>
    /// <param name="moves">Mask: it takes a step.</param>
    /// <param name="own">The range to invalidate where it begins; never empty.</param>
    public static void StepInvalidator(
        ref VmLanes<TPages, TLanes> vm,
        Span<VcpuLanes<TPages, TLanes>> vcpus,
        Span<InvalidatorLanes<TPages, TLanes>> invalidators,
        int index,
        in TLanes moves,
        in PageRange<TPages, TLanes> own)
    {
        ref InvalidatorLanes<TPages, TLanes> invalidator = ref invalidators[index];
        TLanes begins = TLanes.Except(moves, invalidator.AtChange | invalidator.AtEnd);
        if (TKernel.YieldsInZap)
            begins = TLanes.Except(begins, invalidator.AtZap);
        TLanes changes = moves & invalidator.AtChange;
        TLanes ends = moves & invalidator.AtEnd;

        // Begin.
        TPages ownPages = own.Pages.Where(begins);
        TLanes raises = TKernel.RaisesAfterYield ? moves & invalidator.AtZap : begins;
        TLanes inProgress = vm.InProgress - TKernel.RaisesInProgress(raises);
        TLanes alone = begins & TLanes.IsZero(vm.InProgress);
        PageRange<TPages, TLanes> range = TKernel.RangeAfterBegin(vm.Range, own, begins, alone);
        TPages zapped = TKernel.Zapped<TPages, TLanes>(ownPages);
        TLanes toChange = begins;
        if (TKernel.LosesEnds)
        {
            // The primary MMU gives the invalidation up: it changes nothing and is over, but the kernel is not told.
            TLanes lost = TKernel.NeverEnds(own, begins);
            toChange = TLanes.Except(begins, lost);
            ownPages = TPages.ExceptWhere(ownPages, lost);
        }

        // Zap.
        if (TKernel.YieldsInZap)
            toChange = ZapInTwoSteps(ref vm, invalidators, index, moves, begins, zapped);
        else
            Zap(ref vm, zapped, begins);

        // Change.
        TPages changed = invalidator.Own.Where(changes);
        foreach (ref VcpuLanes<TPages, TLanes> vcpu in vcpus)
            vcpu.ChangedSinceResolve |= changed;
        TPages reachable = vm.Mapped;
        if (TKernel.YieldsInZap && !TKernel.FlushesBeforeYield)
        {
            foreach (ref InvalidatorLanes<TPages, TLanes> other in invalidators)
                reachable |= other.Unflushed;
        }

        TLanes stale = TLanes.Except(changes, TLanes.IsZero((reachable & changed).Any));
        invalidator.AtChange = TLanes.Except(invalidator.AtChange, moves) | toChange;
        invalidator.AtEnd = TLanes.Except(invalidator.AtEnd, moves) | changes;

        // End.
        Counter<TLanes> seq = TKernel.Count(vm.InvalidateSeq, TKernel.CountsAtEnd ? ends : begins);
        inProgress += TKernel.LowersInProgress(ends, seq);
        range = TKernel.RangeAfterEnd(range, ends);
        invalidator.Own = TPages.ExceptWhere(invalidator.Own | ownPages, ends);

        TPages exposed = invalidators[0].Own;
        foreach (ref InvalidatorLanes<TPages, TLanes> other in invalidators[1..])
            exposed |= other.Own;
        vm.InvalidateSeq = seq;
        vm.InProgress = inProgress;
        vm.Range = range;
        vm.PagesInProgress = TKernel.PagesInProgress(range, ~TLanes.IsZero(inProgress));
        vm.ExposedPages = exposed;
        TLanes isQuiet = TLanes.IsZero(exposed.Any);
        vm.IsQuiet = isQuiet;
        vm.CoveredPages = TPages.ExceptWhere(range.Pages, isQuiet);
        vm.FaultFlags |= ends & TLanes.Broadcast(FaultFlags.RacedAll);
        vm.Totals.Invalidations -= ends;
        vm.Totals.StaleMappings -= stale;
    }

    /// <summary>
    /// One step of the memslot updater: the memslot becomes invalid, is zapped, and is replaced. A step that has to wait does
    /// nothing.
    /// </summary>
    /// <param name="vm">The VMs.</param>
    /// <param name="vcpus">All their vCPUs.</param>
    /// <param name="moves">Mask: it takes a step, or begins where no update is under way.</param>
    /// <param name="slot">The pages of the memslot to update where it begins; never empty.</param>
    public static void StepMemslotUpdater(
        ref VmLanes<TPages, TLanes> vm, Span<VcpuLanes<TPages, TLanes>> vcpus, in TLanes moves, in TPages slot)
    {
        ref MemslotUpdateLanes<TPages, TLanes> update = ref vm.MemslotUpdate;
        TLanes noneAwaited = TLanes.IsZero(vm.FaultFlags & TLanes.Broadcast(FaultFlags.AwaitedAll));
        TLanes begins = TLanes.Except(moves, update.IsUnderWay);
        TLanes invalidates = (begins | (moves & update.AtInvalidate)) & vm.IsQuiet;
        TLanes zaps = moves & update.AtZap;
        if (TKernel.WaitsForReaders)
            zaps &= noneAwaited;
        TLanes swaps = moves & update.AtSwap & vm.IsQuiet;
        TLanes ends = moves & update.AtEnd & noneAwaited;

        // Zap.
        if (TKernel.ZapsAllRoots)
        {
            vm.RootGeneration -= zaps;
            vm.FaultFlags |= zaps & TLanes.Broadcast(FaultFlags.ReloadedAll | FaultFlags.OrphanedAll);
        }

        Zap(ref vm, (TKernel.ZapsAllRoots ? vm.Mapped : update.Slot).Where(zaps), zaps);

        // Swap: the pages of the memslot get new translations. As it became invalid they kept their old ones.
        TPages changed = update.Slot.Where(swaps);
        TLanes stale = TLanes.Except(swaps, TLanes.IsZero((vm.Mapped & changed).Any));
        TLanes publishes = invalidates | swaps;
        for (int v = 0; v < vcpus.Length; v++)
        {
            vcpus[v].ChangedSinceResolve |= changed;
            vm.FaultFlags |= publishes & vcpus[v].HasFault & TLanes.Broadcast(FaultFlags.Awaited(v));
        }

        update.Slot = TPages.ExceptWhere(update.Slot | slot.Where(begins), ends);
        update.AtInvalidate = TLanes.Except(update.AtInvalidate | begins, invalidates);
        update.AtZap = TLanes.Except(update.AtZap | invalidates, zaps);
        update.AtSwap = TLanes.Except(update.AtSwap | zaps, swaps);
        update.AtEnd = TLanes.Except(update.AtEnd | swaps, ends);
        vm.Totals.StaleMappings -= stale;
    }

    /// <summary>
    /// The zap of a kernel that drops <c>mmu_lock</c> on the way: the first part with the begin, the rest in a step of its own.
    /// The flush at the end is left out where the zap found no page mapped, which is right only if whoever zapped them before
    /// has flushed.
    /// </summary>
    /// <returns>Mask: the zap is complete, the primary MMU's change comes next.</returns>
    private static TLanes ZapInTwoSteps(
        ref VmLanes<TPages, TLanes> vm,
        Span<InvalidatorLanes<TPages, TLanes>> invalidators,
        int index,
        TLanes moves,
        TLanes begins,
        TPages first)
    {
        ref InvalidatorLanes<TPages, TLanes> invalidator = ref invalidators[index];
        TLanes completes = moves & invalidator.AtZap;
        TPages rest = TKernel.ZappedAfterYield<TPages, TLanes>(invalidator.Own).Where(completes);
        if (!TKernel.FlushesBeforeYield)
        {
            TPages unflushed = invalidator.Unflushed | (vm.Mapped & (first | rest));
            TLanes flushes = TLanes.Except(completes, TLanes.IsZero(unflushed.Any));
            invalidator.Unflushed = unflushed;
            foreach (ref InvalidatorLanes<TPages, TLanes> other in invalidators)
                other.Unflushed = TPages.ExceptWhere(other.Unflushed, flushes);
        }

        Zap(ref vm, first | rest, begins | completes);
        invalidator.AtZap = TLanes.Except(invalidator.AtZap, moves) | begins;
        return completes;
    }

    /// <summary>Takes pages out of the secondary MMU, accounts for them and judges the account.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Zap(ref VmLanes<TPages, TLanes> vm, TPages pages, TLanes zaps)
    {
        TLanes zapped = (vm.Mapped & pages).Number;
        TPages mapped = TPages.Except(vm.Mapped, pages);
        Counter<TLanes> total = TKernel.AccountZap(vm.MappedTotal, zapped);
        TLanes wrong = (total.Low ^ mapped.Number) | total.High;
        vm.Mapped = mapped;
        vm.MappedTotal = total;
        vm.Totals.AccountingErrors -= TLanes.Except(zaps, TLanes.IsZero(wrong));
    }
}
