using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Model;

/// <summary>
/// What <em>hung</em> means, for soak and exploration alike: a vCPU whose fault would never be fixed if invalidations stopped
/// now. It is asked of a copy of the VM: nothing new begins, what is in progress ends, and the vCPU then moves alone.
/// </summary>
/// <remarks>
/// A vCPU that retries without end and would be fixed is <em>starved</em>: its invalidations are to blame, not its kernel.
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

    /// <summary>Ends every invalidation in progress, and begins none.</summary>
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

    /// <summary>Mask: the vCPU, moving alone, is never fixed and never progresses.</summary>
    /// <param name="vm">VMs without an invalidation in progress; they are left as they are.</param>
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
