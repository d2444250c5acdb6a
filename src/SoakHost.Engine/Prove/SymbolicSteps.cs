using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Prove;

/// <summary>The model's steps on symbolic VMs, and what they do to the ghosts.</summary>
/// <param name="variation">
/// What a test changes in the state after each step (the state before it, and after it), to see a proof fail; null for the model
/// as it is.
/// </param>
internal sealed class SymbolicSteps<TKernel, TMemslots, TPages>(Action<SymbolicVm<TPages>, SymbolicVm<TPages>>? variation = null)
    where TKernel : struct, IKernel
    where TMemslots : struct, IMemslots
    where TPages : unmanaged, IPages<TPages, SymbolicLanes>
{
    /// <summary>The phases that this kernel's vCPUs have.</summary>
    public static IReadOnlyList<VcpuPhase> Phases { get; } =
    [
        VcpuPhase.Access,
        .. TKernel.SnapshotPoint == SnapshotPoint.FaultTaken ? [] : (VcpuPhase[])[VcpuPhase.Snapshot],
        VcpuPhase.Resolve,
        .. TKernel.ChecksWithoutLock ? (VcpuPhase[])[VcpuPhase.LocklessCheck] : [],
        VcpuPhase.Check,
        .. TKernel.InstallsUnderTheChecksLock ? [] : (VcpuPhase[])[VcpuPhase.Install],
        .. TKernel.RetriesInKernel(0) ? (VcpuPhase[])[VcpuPhase.Retry] : [],
    ];

    /// <summary>The phases that this kernel's invalidators have.</summary>
    public static IReadOnlyList<InvalidatorPhase> InvalidatorPhases { get; } =
    [
        InvalidatorPhase.Begin, .. TKernel.YieldsInZap ? (InvalidatorPhase[])[InvalidatorPhase.Zap] : [],
        InvalidatorPhase.Change, InvalidatorPhase.End,
    ];

    /// <summary>The phases of the memslot updater.</summary>
    public static IReadOnlyList<MemslotUpdaterPhase> UpdaterPhases { get; } =
        TMemslots.AreUpdated ? Enum.GetValues<MemslotUpdaterPhase>() : [MemslotUpdaterPhase.Idle];

    /// <inheritdoc cref="SymbolicVm{TPages}.Any"/>
    public static (SymbolicVm<TPages> State, Term Shape) AnyVm(
        int vcpus,
        int invalidators,
        VcpuPhase? vcpuPhase = null,
        (int Index, InvalidatorPhase Phase)? invalidatorPhase = null,
        MemslotUpdaterPhase? updaterPhase = null) =>
        SymbolicVm<TPages>.Any(
            vcpus, invalidators, Phases, InvalidatorPhases, updaterPhase is { } phase ? [phase] : UpdaterPhases, vcpuPhase,
            invalidatorPhase);

    /// <summary>Whether an invalidator is between begin and end.</summary>
    public static Term IsInProgress(in InvalidatorLanes<TPages, SymbolicLanes> invalidator) =>
        (invalidator.AtZap | invalidator.AtChange | invalidator.AtEnd).IsTrue;

    /// <summary>Evidence that a vCPU has a fault in flight.</summary>
    public static Term InFault(in VcpuLanes<TPages, SymbolicLanes> vcpu) =>
        (vcpu.AtSnapshot | vcpu.AtResolve | vcpu.AtLocklessCheck | vcpu.AtCheck | vcpu.AtInstall).IsTrue;

    /// <summary>Whether a vCPU's fault holds a snapshot.</summary>
    public static Term HoldsSnapshot(in VcpuLanes<TPages, SymbolicLanes> vcpu) => TKernel.SnapshotPoint switch
    {
        SnapshotPoint.AfterResolve => (vcpu.AtLocklessCheck | vcpu.AtCheck | vcpu.AtInstall).IsTrue,
        _ => (vcpu.AtResolve | vcpu.AtLocklessCheck | vcpu.AtCheck | vcpu.AtInstall).IsTrue,
    };

    /// <summary>Whether a vCPU's fault has its page resolved.</summary>
    public static Term IsResolved(in VcpuLanes<TPages, SymbolicLanes> vcpu) => TKernel.SnapshotPoint switch
    {
        SnapshotPoint.AfterResolve => (vcpu.AtSnapshot | vcpu.AtLocklessCheck | vcpu.AtCheck | vcpu.AtInstall).IsTrue,
        _ => (vcpu.AtLocklessCheck | vcpu.AtCheck | vcpu.AtInstall).IsTrue,
    };

    /// <summary>One step of one vCPU.</summary>
    /// <param name="before">The VM before it, which stays as it is.</param>
    /// <param name="index">Which vCPU.</param>
    /// <param name="nextPage">Its next page where the access succeeds.</param>
    public SymbolicVm<TPages> Vcpu(SymbolicVm<TPages> before, int index, TPages nextPage)
    {
        SymbolicVm<TPages> after = Begin(before);
        Protocol<TKernel, TMemslots, TPages, SymbolicLanes>.StepVcpu(
            ref after.Vm, ref after.Vcpus[index], index, SymbolicLanes.Broadcast(uint.MaxValue), nextPage);
        TermTable table = TermTable.Current;
        ref readonly VcpuLanes<TPages, SymbolicLanes> was = ref before.Vcpus[index];
        ref readonly VcpuLanes<TPages, SymbolicLanes> now = ref after.Vcpus[index];
        Ghost ghost = after.Ghosts[index];
        Term faults = table.And(table.Not(InFault(was)), InFault(now));
        Term takesSnapshot = TKernel.SnapshotPoint == SnapshotPoint.FaultTaken ? faults : was.AtSnapshot.IsTrue;
        Term zero = table.Constant(64, 0);
        ghost.Span = table.Choose(faults, zero, ghost.Span);
        ghost.Age = table.Choose(takesSnapshot, zero, ghost.Age);
        SymbolicLanes takes = SymbolicLanes.Mask(takesSnapshot);
        ghost.SeqAtSnapshot = Counter<SymbolicLanes>.Select(takes, before.Vm.InvalidateSeq, ghost.SeqAtSnapshot);
        ghost.HeldBefore = Counter<SymbolicLanes>.Select(takes, was.Snapshot, ghost.HeldBefore);
        ghost.WasRetry = table.Choose(takesSnapshot, was.ConsecutiveRetries.IsTrue, ghost.WasRetry);
        ghost.WasChanged = table.And(ghost.WasChanged, table.Not(was.AtResolve.IsTrue));
        after.Ghosts[index] = ghost;
        return End(before, after);
    }

    /// <summary>One step of one invalidator.</summary>
    /// <param name="before">The VM before it, which stays as it is.</param>
    /// <param name="index">Which invalidator.</param>
    /// <param name="own">The range to invalidate where it begins.</param>
    public SymbolicVm<TPages> Invalidator(SymbolicVm<TPages> before, int index, PageRange<TPages, SymbolicLanes> own)
    {
        SymbolicVm<TPages> after = Begin(before);
        Protocol<TKernel, TMemslots, TPages, SymbolicLanes>.StepInvalidator(
            ref after.Vm, after.Vcpus, after.Invalidators, index, SymbolicLanes.Broadcast(uint.MaxValue), own);
        TermTable table = TermTable.Current;
        Term ended = table.Choose(before.Invalidators[index].AtEnd.IsTrue, table.Constant(64, 1), table.Constant(64, 0));
        TPages changed = before.Invalidators[index].Own.Where(before.Invalidators[index].AtChange);
        foreach ((int v, VcpuLanes<TPages, SymbolicLanes> vcpu) in before.Vcpus.Index())
        {
            ref Ghost ghost = ref after.Ghosts[v];
            (ghost.Span, ghost.Age) = (table.Add(ghost.Span, ended), table.Add(ghost.Age, ended));
            ghost.WasChanged = table.Or(ghost.WasChanged, (changed & vcpu.Page).Any.IsTrue);
        }

        return End(before, after);
    }

    /// <summary>One step of the memslot updater.</summary>
    /// <param name="before">The VM before it, which stays as it is.</param>
    /// <param name="slot">The pages of the memslot to update where it begins.</param>
    public SymbolicVm<TPages> MemslotUpdater(SymbolicVm<TPages> before, TPages slot)
    {
        SymbolicVm<TPages> after = Begin(before);
        Protocol<TKernel, TMemslots, TPages, SymbolicLanes>.StepMemslotUpdater(
            ref after.Vm, after.Vcpus, SymbolicLanes.Broadcast(uint.MaxValue), slot);
        SymbolicLanes swaps = SymbolicLanes.Except(before.Vm.MemslotUpdate.AtSwap, after.Vm.MemslotUpdate.AtSwap);
        TPages changed = before.Vm.MemslotUpdate.Slot.Where(swaps);
        foreach ((int v, VcpuLanes<TPages, SymbolicLanes> vcpu) in before.Vcpus.Index())
        {
            ref Ghost ghost = ref after.Ghosts[v];
            ghost.WasChanged = TermTable.Current.Or(ghost.WasChanged, (changed & vcpu.Page).Any.IsTrue);
        }

        return End(before, after);
    }

    private static SymbolicVm<TPages> Begin(SymbolicVm<TPages> before)
    {
        SymbolicVm<TPages> after = before.Copy();
        after.Vm.Totals = default;
        return after;
    }

    private SymbolicVm<TPages> End(SymbolicVm<TPages> before, SymbolicVm<TPages> after)
    {
        variation?.Invoke(before, after);
        return after;
    }
}
