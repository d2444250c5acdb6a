using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;
using Pages = SoakHost.Model.Lanes.Pages32<SoakHost.Model.Lanes.Lanes32>;

namespace SoakHost.Engine.Explore;

/// <summary>
/// The hash of everything that decides what may happen to a VM from here on. What a phase gives no meaning to is left out, and
/// so are counts of retries but for whether there was one. It is the sum of a hash of each part: where vCPUs, and invalidators,
/// count as alike the order does not matter, and a step that changed some parts costs the hashes of those alone.
/// </summary>
internal static class StateHash<TKernel>
    where TKernel : struct, IKernel
{
    private const ulong VmTag = 0x100, VcpuTag = 0x200, InvalidatorTag = 0x300;

    public static UInt128 Of(State state, bool mergesSymmetric)
    {
        UInt128 sum = OfVm(state);
        uint flags = state.Vm.FaultFlags[0];
        for (int v = 0; v < state.Vcpus.Length; v++)
            sum += OfVcpu(state.Vcpus[v], flags, v, mergesSymmetric);
        for (int i = 0; i < state.Invalidators.Length; i++)
            sum += OfInvalidator(state.Invalidators[i], i, mergesSymmetric);
        return sum;
    }

    /// <summary>
    /// The part of the VM itself. Pages are at most 8 here, and so a set of them, or one end of a range, is 8 bits.
    /// </summary>
    public static UInt128 OfVm(State state)
    {
        ref VmLanes<Pages, Lanes32> vm = ref state.Vm;
        ulong pages = (vm.Range.From[0] & 0xff) | ((vm.Range.Below[0] & 0xff) << 8) | (vm.Mapped[0] << 16)
            | (vm.MemslotUpdate.Slot[0] << 24) | ((ulong)vm.InProgress[0] << 32);
        ulong counts = (uint)state.Begun | ((ulong)(uint)state.Updated << 16) | ((ulong)vm.RootGeneration[0] << 32)
            | ((ulong)PhaseOf(vm.MemslotUpdate) << 60);
        return Mix(vm.InvalidateSeq[0], vm.MappedTotal[0], VmTag) + Mix(pages, counts, VmTag + 1);
    }

    private static uint PhaseOf(in MemslotUpdateLanes<Pages, Lanes32> update) =>
        (update.AtInvalidate[0] & 1) | (update.AtZap[0] & 2) | (update.AtSwap[0] & 4) | (update.AtEnd[0] & 8);

    /// <summary>The part of one vCPU, with what the VM's flags say of it. Only vCPUs of one kind can change places.</summary>
    public static UInt128 OfVcpu(in VcpuLanes<Pages, Lanes32> vcpu, uint flags, int v, bool mergesSymmetric)
    {
        bool hasFault = (vcpu.AtSnapshot | vcpu.AtResolve | vcpu.AtLocklessCheck | vcpu.AtCheck | vcpu.AtInstall)[0] != 0;
        bool atSnapshot = vcpu.AtSnapshot[0] != 0;
        bool isResolved = hasFault && vcpu.AtResolve[0] == 0
            && (!atSnapshot || TKernel.SnapshotPoint == SnapshotPoint.AfterResolve);
        bool isRetry = TKernel.RemembersSnapshot && vcpu.ConsecutiveRetries[0] != 0;
        bool holdsSnapshot = isRetry
            || (hasFault && !atSnapshot
                && !(TKernel.SnapshotPoint == SnapshotPoint.AfterResolve && vcpu.AtResolve[0] != 0));
        uint truth = hasFault ? flags & (FaultFlags.Raced(v) | FaultFlags.Reloaded(v)) : 0;
        truth = (truth | (flags & FaultFlags.Orphaned(v))) >> v;
        uint word = (vcpu.AtSnapshot[0] & 1) | (vcpu.AtResolve[0] & 2) | (vcpu.AtLocklessCheck[0] & 4)
            | (vcpu.AtCheck[0] & 8) | (vcpu.AtInstall[0] & 16)
            | (isRetry ? 32u : 0)
            | (isResolved && (vcpu.ChangedSinceResolve & vcpu.Page).Any[0] != 0 ? 64u : 0)
            | ((truth & 1) << 7) | ((truth >> 8 & 1) << 8) | ((truth >> 16 & 1) << 9)
            | (vcpu.AtRetry[0] & 1024) | (((flags & FaultFlags.Awaited(v)) != 0 ? 1u : 0) << 11)
            | (vcpu.RootGeneration[0] << 12) | ((uint)vcpu.Page[0] << 24);
        ulong kind = mergesSymmetric ? TKernel.RetriesInKernel(v) ? 1u : 0 : (ulong)v;
        return Mix(word, holdsSnapshot ? vcpu.Snapshot[0] : 0, VcpuTag + kind);
    }

    /// <summary>The part of one invalidator.</summary>
    public static UInt128 OfInvalidator(in InvalidatorLanes<Pages, Lanes32> invalidator, int i, bool mergesSymmetric)
    {
        uint phase = (invalidator.AtChange[0] & 1) | (invalidator.AtEnd[0] & 2) | (invalidator.AtZap[0] & 4);
        ulong pages = invalidator.Own[0] | (invalidator.Unflushed[0] << 8);
        return Mix(phase, pages, InvalidatorTag + (mergesSymmetric ? 0 : (ulong)i));
    }

    /// <summary>
    /// Two rounds of multiply and fold, in two independent halves, each input and each half met by constants of its own (the odd
    /// 64-bit fractions of square roots of primes).
    /// </summary>
    private static UInt128 Mix(ulong a, ulong b, ulong tag)
    {
        ulong low = Fold(a ^ 0x6a09e667f3bcc909 ^ tag, b ^ 0xbb67ae8584caa73b);
        ulong high = Fold(a ^ 0x3c6ef372fe94f82b, b ^ 0xa54ff53a5f1d36f1 ^ tag);
        return new UInt128(
            Fold(high ^ 0x510e527fade682d1, low ^ 0x9b05688c2b3e6c1f), Fold(low ^ 0x1f83d9abfb41bd6b, high ^ 0x5be0cd19137e2179));

        static ulong Fold(ulong left, ulong right)
        {
            ulong high = Math.BigMul(left, right, out ulong low);
            return high ^ low;
        }
    }
}
