using SoakHost.Model.Lanes;

namespace SoakHost.Model;

/// <summary>
/// The state of one VM a lane, but for its vCPUs and invalidators: the kernel's variables, the ground truth beside them, and
/// totals.
/// </summary>
public struct VmLanes<TPages, TLanes>
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    /// <summary><c>mmu_invalidate_seq</c>, as this kernel counts it.</summary>
    public Counter<TLanes> InvalidateSeq;

    /// <summary><c>mmu_invalidate_in_progress</c>, as this kernel counts it.</summary>
    public TLanes InProgress;

    /// <summary>
    /// <c>mmu_invalidate_range_start</c> and <c>_end</c>, as this kernel keeps them; they outlive the invalidation.
    /// </summary>
    public PageRange<TPages, TLanes> Range;

    /// <summary>The pages for which this kernel's check sees an invalidation in progress. Follows from the three above.</summary>
    public TPages PagesInProgress;

    /// <summary>The guest pages present in the secondary MMU.</summary>
    public TPages Mapped;

    /// <summary>The kernel's 64-bit total of mapped pages.</summary>
    public Counter<TLanes> MappedTotal;

    /// <summary>Moved by each memslot update that makes all roots obsolete.</summary>
    public TLanes RootGeneration;

    /// <summary>Truth: the union of the own ranges of all invalidators between begin and end.</summary>
    public TPages ExposedPages;

    /// <summary>Truth: the kernel's range while an invalidator really is between begin and end, else empty.</summary>
    public TPages CoveredPages;

    /// <summary>
    /// Truth, mask: no invalidator is between begin and end. Follows from <see cref="ExposedPages"/>: true where it is empty.
    /// </summary>
    public TLanes IsQuiet;

    /// <summary>What befell each vCPU's fault, as <see cref="FaultFlags"/> lays it out.</summary>
    public TLanes FaultFlags;

    /// <summary>What happened since the totals were last folded.</summary>
    public TotalsLanes<TLanes> Totals;

    /// <summary>The memslot update that is under way, if any.</summary>
    public MemslotUpdateLanes<TPages, TLanes> MemslotUpdate;
}

/// <summary>
/// A memslot update of each lane's VM: none, or one that is at most at one of its four phases (<c>kvm_set_memslot()</c>).
/// </summary>
public struct MemslotUpdateLanes<TPages, TLanes>
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    /// <summary>Mask: begun; waits until no invalidation is between begin and end, then marks the memslot invalid.</summary>
    public TLanes AtInvalidate;

    /// <summary>Mask: the memslot is invalid; waits for the readers of before, then zaps.</summary>
    public TLanes AtZap;

    /// <summary>Mask: zapped; waits until no invalidation is between begin and end, then puts the new memslot in place.</summary>
    public TLanes AtSwap;

    /// <summary>Mask: the new memslot is in place; waits for the readers of before, then is done.</summary>
    public TLanes AtEnd;

    /// <summary>The pages of the memslot that is updated; empty where none is.</summary>
    public TPages Slot;

    /// <summary>Mask: an update is under way.</summary>
    public readonly TLanes IsUnderWay => AtInvalidate | AtZap | AtSwap | AtEnd;

    /// <summary>The pages whose memslot has <c>KVM_MEMSLOT_INVALID</c> set.</summary>
    public readonly TPages InvalidPages => Slot.Where(AtZap | AtSwap);

    /// <summary>
    /// Truth: the pages that are zapped already and will get new translations: one that is mapped now stays mapped.
    /// </summary>
    public readonly TPages ZappedPages => Slot.Where(AtSwap);
}

/// <summary>The state of one vCPU of each lane's VM.</summary>
public struct VcpuLanes<TPages, TLanes>
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    /// <summary>Mask: the fault is taken and its snapshot comes next.</summary>
    public TLanes AtSnapshot;

    /// <summary>Mask: the page is to be resolved in the primary MMU next.</summary>
    public TLanes AtResolve;

    /// <summary>Mask: the check without <c>mmu_lock</c> comes next.</summary>
    public TLanes AtLocklessCheck;

    /// <summary>Mask: the check under <c>mmu_lock</c> comes next.</summary>
    public TLanes AtCheck;

    /// <summary>Mask: the fault was found fresh and is to be installed next, in a step of its own.</summary>
    public TLanes AtInstall;

    /// <summary>The one page the guest accesses or the fault is about.</summary>
    public TPages Page;

    /// <summary>The snapshot of <c>mmu_invalidate_seq</c>, as this kernel stored it.</summary>
    public Counter<TLanes> Snapshot;

    /// <summary>The root generation of the vCPU's root.</summary>
    public TLanes RootGeneration;

    /// <summary>Truth: pages whose translation changed since the fault's page was resolved.</summary>
    public TPages ChangedSinceResolve;

    /// <summary>
    /// Consecutive retries since the last fix, or since the guest last progressed because a sibling had mapped the page.
    /// </summary>
    public TLanes ConsecutiveRetries;

    /// <summary>Mask: the fault is to be tried again in the kernel, with <c>kvm->srcu</c> held and the same root.</summary>
    /// <remarks>Invariant: false for a vCPU that goes back to its guest to try again.</remarks>
    public TLanes AtRetry;

    /// <summary>
    /// Mask: a fault is taken, and neither fixed nor given up. All that time, and no longer, the vCPU is a reader of
    /// <c>kvm->srcu</c>: it drops it as it enters the guest or goes back to user space.
    /// </summary>
    public readonly TLanes HasFault => AtSnapshot | AtResolve | AtLocklessCheck | AtCheck | AtInstall | AtRetry;
}

/// <summary>The state of one invalidator of each lane's VM.</summary>
public struct InvalidatorLanes<TPages, TLanes>
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    /// <summary>Mask: begun, and <c>mmu_lock</c> was dropped half-way through the zap; the rest of it comes next.</summary>
    /// <remarks>Invariant: false for kernels that do not yield in a zap.</remarks>
    public TLanes AtZap;

    /// <summary>Mask: begun and zapped, the primary MMU's change comes next.</summary>
    public TLanes AtChange;

    /// <summary>Mask: changed, the end comes next.</summary>
    public TLanes AtEnd;

    /// <summary>The own range between begin and end, else empty.</summary>
    public TPages Own;

    /// <summary>Pages that this zap took away and the TLB may still hold.</summary>
    /// <remarks>
    /// Invariant: a part of <see cref="Own"/>, empty unless <see cref="AtZap"/>; always empty for kernels that flush before
    /// they yield.
    /// </remarks>
    public TPages Unflushed;
}

/// <summary>
/// What happened in each lane's VM since the totals were last folded into 64-bit sums. A tick adds at most 8 to any count, and
/// the narrowest has 16 bits: fold at least every <see cref="MaxTicks"/> ticks.
/// </summary>
public struct TotalsLanes<TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    /// <summary>Ended invalidations.</summary>
    public TLanes Invalidations;

    /// <summary>Guest accesses that found their page mapped.</summary>
    public TLanes GuestAccesses;

    /// <summary>Faults that ended with the page installed.</summary>
    public TLanes Fixed;

    /// <summary>Faults that were retried.</summary>
    public TLanes Retried;

    /// <summary>
    /// Retries that nothing warranted: <see cref="OvercautiousRetries"/> in the low 16 bits, <see cref="UnjustifiedRetries"/> in
    /// the high ones. Counting them in two words of their own makes the soak 3 % slower.
    /// </summary>
    public TLanes UnwarrantedRetries;

    /// <summary>Installs of a page that the host took away.</summary>
    public TLanes UnsafeInstalls;

    /// <summary>
    /// Changes, by the primary MMU or by a memslot update, of pages of which the guest still had one: mapped, or in a TLB that
    /// was not flushed.
    /// </summary>
    public TLanes StaleMappings;

    /// <summary>Zaps after which the kernel's total differed from the number of mapped pages.</summary>
    public TLanes AccountingErrors;

    /// <summary>So many ticks fit into the totals, at 8 vCPUs a VM.</summary>
    public const int MaxTicks = ushort.MaxValue / 8;

    /// <summary>
    /// Retries that nothing warranted while some invalidation was in progress, elsewhere. A coarse kernel makes them, and is
    /// correct.
    /// </summary>
    public readonly TLanes OvercautiousRetries => UnwarrantedRetries & TLanes.Broadcast(ushort.MaxValue);

    /// <summary>Retries that nothing warranted, while no invalidation was in progress at all: a defect.</summary>
    public readonly TLanes UnjustifiedRetries => UnwarrantedRetries >>> 16;

    /// <summary>What one retry that nothing warranted adds to <see cref="UnwarrantedRetries"/>.</summary>
    /// <param name="isQuiet">Mask: no invalidation is in progress.</param>
    internal static TLanes OneUnwarrantedRetry(TLanes isQuiet) =>
        TLanes.Select(isQuiet, TLanes.Broadcast(1 << 16), TLanes.Broadcast(1));
}

/// <summary>
/// Three truths about each vCPU's fault and who waits for it, one byte each with one bit a vCPU, so that an event which concerns
/// all vCPUs is one OR. This is why a VM has at most 8 vCPUs.
/// </summary>
public static class FaultFlags
{
    /// <summary>An invalidation ended since the fault was taken.</summary>
    public const uint RacedAll = 0x0000_00ff;

    /// <summary>The root generation moved since the fault was taken.</summary>
    public const uint ReloadedAll = 0x0000_ff00;

    /// <summary>The vCPU's root is obsolete now.</summary>
    public const uint OrphanedAll = 0x00ff_0000;

    /// <summary>
    /// The memslot update waits for the vCPU to leave its read section of <c>kvm->srcu</c>
    /// (<c>synchronize_srcu_expedited()</c> waits for those alone that were in one as it was called).
    /// </summary>
    public const uint AwaitedAll = 0xff00_0000;

    /// <summary>The flag <see cref="RacedAll"/> of one vCPU, 0 to 7.</summary>
    public static uint Raced(int vcpu) => 1u << vcpu;

    /// <summary>The flag <see cref="ReloadedAll"/> of one vCPU, 0 to 7.</summary>
    public static uint Reloaded(int vcpu) => 1u << (8 + vcpu);

    /// <summary>The flag <see cref="OrphanedAll"/> of one vCPU, 0 to 7.</summary>
    public static uint Orphaned(int vcpu) => 1u << (16 + vcpu);

    /// <summary>The flag <see cref="AwaitedAll"/> of one vCPU, 0 to 7.</summary>
    public static uint Awaited(int vcpu) => 1u << (24 + vcpu);
}
