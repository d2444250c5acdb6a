using System.Numerics;
using System.Runtime.InteropServices;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Model;

/// <summary>What a vCPU does next.</summary>
public enum VcpuPhase : byte
{
    /// <summary>The guest accesses its page.</summary>
    Access,

    /// <summary>The fault is taken; the kernel takes its snapshot.</summary>
    Snapshot,

    /// <summary>The page is resolved in the primary MMU.</summary>
    Resolve,

    /// <summary>Staleness is checked without <c>mmu_lock</c>.</summary>
    LocklessCheck,

    /// <summary>Staleness is checked under <c>mmu_lock</c>.</summary>
    Check,

    /// <summary>The page is installed, in a step of its own.</summary>
    Install,

    /// <summary>The fault is tried again in the kernel, with the same root and <c>kvm->srcu</c> held.</summary>
    Retry,
}

/// <summary>What an invalidator does next.</summary>
public enum InvalidatorPhase : byte
{
    /// <summary>It begins.</summary>
    Begin,

    /// <summary>The kernel dropped <c>mmu_lock</c> half-way through the zap; it zaps the rest.</summary>
    Zap,

    /// <summary>The primary MMU changes the pages of its range.</summary>
    Change,

    /// <summary>It ends.</summary>
    End,
}

/// <summary>What a memslot updater does next.</summary>
public enum MemslotUpdaterPhase : byte
{
    /// <summary>No update is under way.</summary>
    Idle,

    /// <summary>Once no invalidation is between begin and end, it marks the memslot invalid.</summary>
    Invalidate,

    /// <summary>Once the readers of before have left, it zaps.</summary>
    Zap,

    /// <summary>Once no invalidation is between begin and end, it puts the new memslot in place.</summary>
    Swap,

    /// <summary>Once the readers of before have left, it is done.</summary>
    End,
}

/// <summary>
/// One VM's state, out of its lane: for reading, writing, storing and comparing. Independent of the vector width. What has no
/// meaning in a phase (the snapshot of a vCPU that has no fault, say) reads as zero, so that equal states are equal in every
/// field.
/// </summary>
public sealed class VmState
{
    /// <summary>The <see cref="RangeStart"/> of a range without a start: one past the last page that any VM can have.</summary>
    public const int NoPage = 64;

    /// <summary>A VM at the start of its history: nothing mapped, no fault, every vCPU about to access page 0.</summary>
    public VmState(VmParameters parameters)
    {
        InvalidateSeq = parameters.InvalidateSeqStart;
        Vcpus = new VcpuState[parameters.Vcpus];
        Invalidators = new InvalidatorState[parameters.Invalidators];
    }

    /// <summary><c>mmu_invalidate_seq</c>.</summary>
    public ulong InvalidateSeq { get; set; }

    /// <summary><c>mmu_invalidate_in_progress</c>.</summary>
    public uint InProgress { get; set; }

    /// <summary>
    /// First page of the kernel's range in progress, or <see cref="NoPage"/> where no page is at its start or after it.
    /// </summary>
    public int RangeStart { get; set; } = NoPage;

    /// <summary>
    /// One past the range's last page, or 0 where no page is before its end. The start can be beyond the end: an empty range
    /// still matters to a kernel that widens it.
    /// </summary>
    public int RangeEnd { get; set; }

    /// <summary>The pages [start, end) of the kernel's range in progress; (0, 0) where it has none.</summary>
    public (int Start, int End) Range => RangeStart < RangeEnd ? (RangeStart, RangeEnd) : default;

    /// <summary>Mapped guest pages, one bit each.</summary>
    public ulong Mapped { get; set; }

    /// <summary>The kernel's total of mapped pages.</summary>
    public ulong MappedTotal { get; set; }

    /// <summary>Moved by each memslot update that makes all roots obsolete.</summary>
    public uint RootGeneration { get; set; }

    /// <summary>What the memslot updater does next.</summary>
    public MemslotUpdaterPhase MemslotUpdater { get; set; }

    /// <summary>The pages of the memslot that is updated, one bit each; 0 where none is.</summary>
    public ulong Slot { get; set; }

    /// <summary>The pages whose memslot is invalid, one bit each.</summary>
    public ulong InvalidPages => MemslotUpdater is MemslotUpdaterPhase.Zap or MemslotUpdaterPhase.Swap ? Slot : 0;

    /// <summary>The vCPUs.</summary>
    public VcpuState[] Vcpus { get; }

    /// <summary>The invalidators.</summary>
    public InvalidatorState[] Invalidators { get; }

    /// <summary>Whether a fault is in flight: taken and neither fixed nor retried yet.</summary>
    public bool HasFaultInFlight => Vcpus.Any(vcpu => vcpu.Phase != VcpuPhase.Access);

    /// <summary>A copy that shares nothing.</summary>
    public VmState Copy()
    {
        var copy = new VmState(new VmParameters { Vcpus = Vcpus.Length, Invalidators = Invalidators.Length })
        {
            InvalidateSeq = InvalidateSeq,
            InProgress = InProgress,
            RangeStart = RangeStart,
            RangeEnd = RangeEnd,
            Mapped = Mapped,
            MappedTotal = MappedTotal,
            RootGeneration = RootGeneration,
            MemslotUpdater = MemslotUpdater,
            Slot = Slot,
        };
        Vcpus.CopyTo(copy.Vcpus, 0);
        Invalidators.CopyTo(copy.Invalidators, 0);
        return copy;
    }

    /// <summary>Reads one lane.</summary>
    public static VmState Read<TKernel, TPages, TLanes>(
        in VmLanes<TPages, TLanes> vm,
        ReadOnlySpan<VcpuLanes<TPages, TLanes>> vcpus,
        ReadOnlySpan<InvalidatorLanes<TPages, TLanes>> invalidators,
        int lane)
        where TKernel : struct, IKernel
        where TPages : unmanaged, IPages<TPages, TLanes>
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var state = new VmState(new VmParameters { Vcpus = vcpus.Length, Invalidators = invalidators.Length })
        {
            InvalidateSeq = vm.InvalidateSeq[lane],
            InProgress = vm.InProgress[lane],
            RangeStart = BitOperations.TrailingZeroCount(vm.Range.From[lane]),
            RangeEnd = BitOperations.PopCount(vm.Range.Below[lane]),
            Mapped = vm.Mapped[lane],
            MappedTotal = vm.MappedTotal[lane],
            RootGeneration = vm.RootGeneration[lane],
            MemslotUpdater = vm.MemslotUpdate.AtInvalidate[lane] != 0 ? MemslotUpdaterPhase.Invalidate
                : vm.MemslotUpdate.AtZap[lane] != 0 ? MemslotUpdaterPhase.Zap
                : vm.MemslotUpdate.AtSwap[lane] != 0 ? MemslotUpdaterPhase.Swap
                : vm.MemslotUpdate.AtEnd[lane] != 0 ? MemslotUpdaterPhase.End : MemslotUpdaterPhase.Idle,
            Slot = vm.MemslotUpdate.Slot[lane],
        };
        uint flags = vm.FaultFlags[lane];
        for (int v = 0; v < vcpus.Length; v++)
            state.Vcpus[v] = VcpuState.Read<TKernel, TPages, TLanes>(in vcpus[v], flags, v, lane);
        for (int i = 0; i < invalidators.Length; i++)
        {
            state.Invalidators[i] = new InvalidatorState
            {
                Phase = invalidators[i].AtZap[lane] != 0 ? InvalidatorPhase.Zap
                    : invalidators[i].AtChange[lane] != 0 ? InvalidatorPhase.Change
                    : invalidators[i].AtEnd[lane] != 0 ? InvalidatorPhase.End : InvalidatorPhase.Begin,
                Own = invalidators[i].Own[lane],
                Unflushed = invalidators[i].Unflushed[lane],
            };
        }

        return state;
    }

    /// <summary>
    /// Writes one lane. What follows from the rest (the pages in progress, exposed and covered) is worked out anew.
    /// </summary>
    /// <param name="vm">The VMs.</param>
    /// <param name="vcpus">Their vCPUs, as many as this state has.</param>
    /// <param name="invalidators">Their invalidators, as many as this state has.</param>
    /// <param name="lane">Which VM.</param>
    public void Write<TKernel, TPages, TLanes>(
        ref VmLanes<TPages, TLanes> vm,
        Span<VcpuLanes<TPages, TLanes>> vcpus,
        Span<InvalidatorLanes<TPages, TLanes>> invalidators,
        int lane)
        where TKernel : struct, IKernel
        where TPages : unmanaged, IPages<TPages, TLanes>
        where TLanes : unmanaged, ILanes<TLanes>
    {
        ulong capacity = ulong.MaxValue >> (64 - TPages.Capacity);
        ulong exposed = 0;
        foreach (InvalidatorState invalidator in Invalidators)
            exposed |= invalidator.Own;
        ulong from = RangeStart == NoPage ? 0 : (ulong.MaxValue << RangeStart) & capacity;
        ulong below = RangeEnd == 0 ? 0 : ulong.MaxValue >> (64 - RangeEnd);

        vm.InvalidateSeq = vm.InvalidateSeq.With(lane, InvalidateSeq);
        vm.InProgress = vm.InProgress.With(lane, InProgress);
        vm.Range = new(vm.Range.From.With(lane, from), vm.Range.Below.With(lane, below));
        vm.PagesInProgress = TKernel.PagesInProgress(vm.Range, ~TLanes.IsZero(vm.InProgress));
        vm.Mapped = vm.Mapped.With(lane, Mapped);
        vm.MappedTotal = vm.MappedTotal.With(lane, MappedTotal);
        vm.RootGeneration = vm.RootGeneration.With(lane, RootGeneration);
        Write(ref vm.MemslotUpdate, lane);
        vm.ExposedPages = vm.ExposedPages.With(lane, exposed);
        vm.IsQuiet = WithMask(vm.IsQuiet, lane, exposed == 0);
        vm.CoveredPages = vm.CoveredPages.With(lane, exposed == 0 ? 0 : from & below);

        uint flags = 0;
        for (int v = 0; v < vcpus.Length; v++)
            flags |= Vcpus[v].Write(ref vcpus[v], v, lane);
        vm.FaultFlags = vm.FaultFlags.With(lane, flags);
        for (int i = 0; i < invalidators.Length; i++)
        {
            invalidators[i].AtZap = WithMask(invalidators[i].AtZap, lane, Invalidators[i].Phase == InvalidatorPhase.Zap);
            invalidators[i].AtChange = WithMask(invalidators[i].AtChange, lane, Invalidators[i].Phase == InvalidatorPhase.Change);
            invalidators[i].AtEnd = WithMask(invalidators[i].AtEnd, lane, Invalidators[i].Phase == InvalidatorPhase.End);
            invalidators[i].Own = invalidators[i].Own.With(lane, Invalidators[i].Own);
            invalidators[i].Unflushed = invalidators[i].Unflushed.With(lane, Invalidators[i].Unflushed);
        }
    }

    private void Write<TPages, TLanes>(ref MemslotUpdateLanes<TPages, TLanes> update, int lane)
        where TPages : unmanaged, IPages<TPages, TLanes>
        where TLanes : unmanaged, ILanes<TLanes>
    {
        update.AtInvalidate = WithMask(update.AtInvalidate, lane, MemslotUpdater == MemslotUpdaterPhase.Invalidate);
        update.AtZap = WithMask(update.AtZap, lane, MemslotUpdater == MemslotUpdaterPhase.Zap);
        update.AtSwap = WithMask(update.AtSwap, lane, MemslotUpdater == MemslotUpdaterPhase.Swap);
        update.AtEnd = WithMask(update.AtEnd, lane, MemslotUpdater == MemslotUpdaterPhase.End);
        update.Slot = update.Slot.With(lane, Slot);
    }

    internal static TLanes WithMask<TLanes>(TLanes mask, int lane, bool value)
        where TLanes : unmanaged, ILanes<TLanes> => mask.With(lane, value ? uint.MaxValue : 0);
}

/// <summary>One vCPU's state.</summary>
[StructLayout(LayoutKind.Auto)]
public record struct VcpuState
{
    /// <summary>What it does next.</summary>
    public VcpuPhase Phase { get; set; }

    /// <summary>The page that the guest accesses or the fault is about, 0 to 63.</summary>
    public int Page { get; set; }

    /// <summary>The snapshot as the kernel stored it; kept between a retry and the next fault.</summary>
    public ulong Snapshot { get; set; }

    /// <summary>The generation of its root.</summary>
    public uint RootGeneration { get; set; }

    /// <summary>Truth: an invalidation ended since the fault was taken.</summary>
    public bool Raced { get; set; }

    /// <summary>Truth: the root generation moved since the fault was taken.</summary>
    public bool Reloaded { get; set; }

    /// <summary>Truth: the root is obsolete now.</summary>
    public bool Orphaned { get; set; }

    /// <summary>Truth: the page's translation changed since it was resolved.</summary>
    public bool Outdated { get; set; }

    /// <summary>The memslot update waits for it to leave its read section of <c>kvm->srcu</c>.</summary>
    public bool Awaited { get; set; }

    /// <summary>Consecutive retries.</summary>
    public uint ConsecutiveRetries { get; set; }

    internal static VcpuState Read<TKernel, TPages, TLanes>(in VcpuLanes<TPages, TLanes> vcpu, uint flags, int index, int lane)
        where TKernel : struct, IKernel
        where TPages : unmanaged, IPages<TPages, TLanes>
        where TLanes : unmanaged, ILanes<TLanes>
    {
        VcpuPhase phase =
            vcpu.AtSnapshot[lane] != 0 ? VcpuPhase.Snapshot
            : vcpu.AtResolve[lane] != 0 ? VcpuPhase.Resolve
            : vcpu.AtLocklessCheck[lane] != 0 ? VcpuPhase.LocklessCheck
            : vcpu.AtCheck[lane] != 0 ? VcpuPhase.Check
            : vcpu.AtInstall[lane] != 0 ? VcpuPhase.Install
            : vcpu.AtRetry[lane] != 0 ? VcpuPhase.Retry : VcpuPhase.Access;
        bool hasFault = phase is not (VcpuPhase.Access or VcpuPhase.Retry);
        bool hasSnapshot = TKernel.SnapshotPoint switch
        {
            SnapshotPoint.BeforeResolve => hasFault && phase > VcpuPhase.Snapshot,
            SnapshotPoint.AfterResolve => hasFault && phase > VcpuPhase.Resolve,
            _ => hasFault,
        };
        bool isResolved = (hasFault && phase > VcpuPhase.Resolve)
            || (phase == VcpuPhase.Snapshot && TKernel.SnapshotPoint == SnapshotPoint.AfterResolve);
        return new VcpuState
        {
            Phase = phase,
            Page = BitOperations.TrailingZeroCount(vcpu.Page[lane]),
            Snapshot = hasSnapshot || vcpu.ConsecutiveRetries[lane] != 0 ? vcpu.Snapshot[lane] : 0,
            RootGeneration = vcpu.RootGeneration[lane],
            Raced = hasFault && (flags & FaultFlags.Raced(index)) != 0,
            Reloaded = hasFault && (flags & FaultFlags.Reloaded(index)) != 0,
            Orphaned = (flags & FaultFlags.Orphaned(index)) != 0,
            Outdated = isResolved && (vcpu.ChangedSinceResolve[lane] & vcpu.Page[lane]) != 0,
            Awaited = (flags & FaultFlags.Awaited(index)) != 0,
            ConsecutiveRetries = vcpu.ConsecutiveRetries[lane],
        };
    }

    /// <summary>Writes one lane and returns this vCPU's part of the fault flags.</summary>
    internal readonly uint Write<TPages, TLanes>(ref VcpuLanes<TPages, TLanes> vcpu, int index, int lane)
        where TPages : unmanaged, IPages<TPages, TLanes>
        where TLanes : unmanaged, ILanes<TLanes>
    {
        vcpu.AtSnapshot = VmState.WithMask(vcpu.AtSnapshot, lane, Phase == VcpuPhase.Snapshot);
        vcpu.AtResolve = VmState.WithMask(vcpu.AtResolve, lane, Phase == VcpuPhase.Resolve);
        vcpu.AtLocklessCheck = VmState.WithMask(vcpu.AtLocklessCheck, lane, Phase == VcpuPhase.LocklessCheck);
        vcpu.AtCheck = VmState.WithMask(vcpu.AtCheck, lane, Phase == VcpuPhase.Check);
        vcpu.AtInstall = VmState.WithMask(vcpu.AtInstall, lane, Phase == VcpuPhase.Install);
        vcpu.AtRetry = VmState.WithMask(vcpu.AtRetry, lane, Phase == VcpuPhase.Retry);
        vcpu.Page = vcpu.Page.With(lane, 1UL << Page);
        vcpu.Snapshot = vcpu.Snapshot.With(lane, Snapshot);
        vcpu.RootGeneration = vcpu.RootGeneration.With(lane, RootGeneration);
        vcpu.ChangedSinceResolve = vcpu.ChangedSinceResolve.With(lane, Outdated ? 1UL << Page : 0);
        vcpu.ConsecutiveRetries = vcpu.ConsecutiveRetries.With(lane, ConsecutiveRetries);
        return (Raced ? FaultFlags.Raced(index) : 0)
            | (Reloaded ? FaultFlags.Reloaded(index) : 0)
            | (Orphaned ? FaultFlags.Orphaned(index) : 0)
            | (Awaited ? FaultFlags.Awaited(index) : 0);
    }
}

/// <summary>One invalidator's state.</summary>
public record struct InvalidatorState
{
    /// <summary>What it does next.</summary>
    public InvalidatorPhase Phase { get; set; }

    /// <summary>Its own range between begin and end as pages, one bit each; else 0.</summary>
    public ulong Own { get; set; }

    /// <summary>Pages that its zap took away and the TLB may still hold, one bit each.</summary>
    public ulong Unflushed { get; set; }
}
