using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Model;

/// <summary>
/// What <em>hung</em> and <em>deadlocked</em> mean, for soak and exploration alike. A vCPU is hung if its fault would never be
/// fixed even if invalidations stopped now. It is asked of a copy of the VM: nothing new begins, what is in progress ends, and
/// the vCPU then moves alone. A VM is deadlocked if its memslot update never ends on that copy, because it waits for a reader of
/// <c>kvm->srcu</c> that waits for it.
/// </summary>
/// <remarks>
/// A vCPU that retries without end and would be fixed is <em>starved</em>: its invalidations are to blame, not its kernel. In a
/// deadlocked VM no vCPU is called hung: the deadlock says why none of its faults is fixed.
/// </remarks>
public static class Liveness<TKernel, TMemslots, TPages, TLanes>
    where TKernel : struct, IKernel
    where TMemslots : struct, IMemslots
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    /// <summary>
    /// A fault takes at most six steps (access, snapshot, resolve, two checks, install). So twenty hold the rest of the attempt
    /// that is under way and two whole ones; as nothing else moves, all later ones are like the second.
    /// </summary>
    private const int StepsAlone = 20;

    // The rest of the zap, the change and the end.
    private const int StepsToEnd = 3;

    // Two waits for readers, each as long as a fault can take, and a step of the updater's own after each and between them.
    private const int StepsToUpdate = (2 * StepsAlone) + 4;

    /// <summary>
    /// Ends every invalidation in progress and the memslot update, and begins none. Readers that the update waits for move as
    /// long as it does. What is under way after this waits for ever.
    /// </summary>
    /// <param name="vm">A copy of the VMs.</param>
    /// <param name="vcpus">A copy of their vCPUs.</param>
    /// <param name="invalidators">A copy of their invalidators.</param>
    public static void EndInProgress(
        ref VmLanes<TPages, TLanes> vm,
        Span<VcpuLanes<TPages, TLanes>> vcpus,
        Span<InvalidatorLanes<TPages, TLanes>> invalidators)
    {
        EndInvalidations(ref vm, vcpus, invalidators);
        if (TMemslots.AreUpdated)
            EndMemslotUpdate(ref vm, vcpus);
    }

    /// <summary>Ends every invalidation in progress, and begins none. The memslot update stands still.</summary>
    /// <param name="vm">A copy of the VMs.</param>
    /// <param name="vcpus">A copy of their vCPUs.</param>
    /// <param name="invalidators">A copy of their invalidators.</param>
    public static void EndInvalidations(
        ref VmLanes<TPages, TLanes> vm,
        Span<VcpuLanes<TPages, TLanes>> vcpus,
        Span<InvalidatorLanes<TPages, TLanes>> invalidators)
    {
        for (int i = 0; i < invalidators.Length; i++)
        {
            for (int step = 0; step < StepsToEnd; step++)
            {
                TLanes moves = invalidators[i].AtZap | invalidators[i].AtChange | invalidators[i].AtEnd;
                Protocol<TKernel, TMemslots, TPages, TLanes>.StepInvalidator(ref vm, vcpus, invalidators, i, moves, default);
            }
        }
    }

    private static void EndMemslotUpdate(ref VmLanes<TPages, TLanes> vm, Span<VcpuLanes<TPages, TLanes>> vcpus)
    {
        for (int step = 0; step < StepsToUpdate; step++)
        {
            // Exploration asks this of one VM at a time, and most updates end soon.
            if (TLanes.Count == 1 && vm.MemslotUpdate.IsUnderWay[0] == 0)
                break;
            Protocol<TKernel, TMemslots, TPages, TLanes>.StepMemslotUpdater(ref vm, vcpus, vm.MemslotUpdate.IsUnderWay, default);
            for (int v = 0; v < vcpus.Length; v++)
            {
                TLanes moves = IsAwaited(in vm, v);
                if (TLanes.Count > 1 || moves[0] != 0)
                    Protocol<TKernel, TMemslots, TPages, TLanes>.StepVcpu(ref vm, ref vcpus[v], v, moves, vcpus[v].Page);
            }
        }
    }

    /// <summary>
    /// Mask: no memslot update was under way, or it is in the very wait that it was in. Elsewhere
    /// <see cref="EndInProgress"/> began waits of its own, and what it left says nothing yet: whether the update comes to them
    /// depends on who moves first.
    /// </summary>
    /// <param name="before">The update before <see cref="EndInProgress"/>.</param>
    /// <param name="after">The update after it.</param>
    public static TLanes SaysWhatWaits(
        in MemslotUpdateLanes<TPages, TLanes> before, in MemslotUpdateLanes<TPages, TLanes> after) =>
        ~before.IsUnderWay | (before.AtZap & after.AtZap) | (before.AtEnd & after.AtEnd);

    private static TLanes IsAwaited(in VmLanes<TPages, TLanes> vm, int vcpu) =>
        ~TLanes.IsZero(vm.FaultFlags & TLanes.Broadcast(FaultFlags.Awaited(vcpu)));

    /// <summary>
    /// Mask: the memslot update waits for ever for a reader whose page lies in the invalid memslot, and who therefore waits for
    /// the update.
    /// </summary>
    /// <param name="vm">VMs after <see cref="EndInProgress"/>.</param>
    /// <param name="vcpus">Their vCPUs.</param>
    public static TLanes IsDeadlocked(in VmLanes<TPages, TLanes> vm, ReadOnlySpan<VcpuLanes<TPages, TLanes>> vcpus)
    {
        var waitsForIt = default(TLanes);
        for (int v = 0; v < vcpus.Length; v++)
            waitsForIt |= IsAwaited(in vm, v) & (vcpus[v].Page & vm.MemslotUpdate.Slot).Any;
        return TLanes.Except(vm.MemslotUpdate.AtZap, TLanes.IsZero(waitsForIt));
    }

    /// <summary>Mask: the vCPU, moving alone, is never fixed and never progresses.</summary>
    /// <param name="vm">
    /// VMs after <see cref="EndInProgress"/>, or after <see cref="EndInvalidations"/>; they are left as they are.
    /// </param>
    /// <param name="vcpu">This vCPU of each.</param>
    /// <param name="index">Which vCPU it is, 0 to 7.</param>
    public static TLanes IsNeverFixed(in VmLanes<TPages, TLanes> vm, in VcpuLanes<TPages, TLanes> vcpu, int index)
    {
        VmLanes<TPages, TLanes> alone = vm;
        VcpuLanes<TPages, TLanes> mover = vcpu;
        alone.Totals = default;
        TLanes moves = ~TLanes.Broadcast(0);
        TLanes fixedOnce = TLanes.Broadcast(0);
        for (int step = 0; step < StepsAlone; step++)
        {
            Protocol<TKernel, TMemslots, TPages, TLanes>.StepVcpu(ref alone, ref mover, index, moves, vcpu.Page);
            fixedOnce = alone.Totals.Fixed | alone.Totals.GuestAccesses;

            // Exploration asks this of one VM at a time, and most are fixed soon.
            if (TLanes.Count == 1 && fixedOnce[0] != 0)
                break;
        }

        return TLanes.IsZero(fixedOnce);
    }
}
