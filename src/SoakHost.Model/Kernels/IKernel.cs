using System.Runtime.CompilerServices;
using SoakHost.Model.Lanes;

namespace SoakHost.Model.Kernels;

/// <summary>Where in a fault the kernel takes its snapshot of <c>mmu_invalidate_seq</c>.</summary>
public enum SnapshotPoint
{
    /// <summary>As the fault is taken, before anything else may run (Linux up to 6.2, <c>direct_page_fault()</c>).</summary>
    FaultTaken,

    /// <summary>In a step of its own just before the page is resolved (Linux 6.3 on, <c>kvm_faultin_pfn()</c>).</summary>
    BeforeResolve,

    /// <summary>In a step of its own after the page was resolved: too late, a defect.</summary>
    AfterResolve,
}

/// <summary>
/// One kernel: the variants of the protocol's steps in which kernels differ. Every member has the behaviour of a correct Linux
/// as its default (Linux 6.1 with the stable fix), so that a kernel states only what it does differently.
/// </summary>
/// <remarks>
/// Implemented by empty structs that are used as type arguments, so that the JIT compiles the hot loop for each kernel. The
/// members are told the kernel's own variables and never the ground truth.
/// </remarks>
public interface IKernel
{
    /// <summary>Name, description, source and expectation.</summary>
    static abstract KernelInfo Info { get; }

    /// <summary>Where the snapshot is taken.</summary>
    static virtual SnapshotPoint SnapshotPoint => SnapshotPoint.FaultTaken;

    /// <summary>
    /// Whether staleness is also checked without <c>mmu_lock</c>, as the snapshot is taken and again after resolving. Asks for
    /// <see cref="SnapshotPoint.BeforeResolve"/>.
    /// </summary>
    static virtual bool ChecksWithoutLock => false;

    /// <summary>Whether check and install are one step under <c>mmu_lock</c>.</summary>
    static virtual bool InstallsUnderTheChecksLock => true;

    /// <summary>Whether the check compares the fault's root with the VM's root generation (a955cad84cda, Linux 5.16).</summary>
    static virtual bool ChecksRoot => true;

    /// <summary>
    /// Whether this vCPU reloads an obsolete root before its next access: on guest entry, or where a prefault of a page begins.
    /// </summary>
    /// <param name="vcpu">Which vCPU, 0 to 7: others of the VM may be of another kind.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual bool ReloadsRoot(int vcpu) => true;

    /// <summary>
    /// Whether this vCPU tries a fault again without leaving the kernel, as a prefault does: it keeps its root and stays a
    /// reader of <c>kvm->srcu</c>. By default it goes back to its guest, which drops both, and faults again.
    /// </summary>
    /// <param name="vcpu">Which vCPU, 0 to 7: others of the VM may be of another kind.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual bool RetriesInKernel(int vcpu) => false;

    /// <summary>
    /// Whether a vCPU that retries in the kernel leaves it where the page's memslot is invalid (a prefault with <c>-EAGAIN</c>,
    /// 3ccbf6f47098, Linux 6.18).
    /// </summary>
    static virtual bool LeavesOnInvalidSlot => true;

    /// <summary>
    /// Whether a fault on a page whose memslot is invalid is retried (e0c378684b65, Linux 5.13); if not, it resolves the page as
    /// if the memslot were valid (no Linux did: before 5.13 it took the page for MMIO).
    /// </summary>
    static virtual bool RetriesOnInvalidSlot => true;

    /// <summary>
    /// Whether a memslot update waits for the readers of <c>kvm->srcu</c> between marking the memslot invalid and the zap.
    /// </summary>
    static virtual bool WaitsForReaders => true;

    /// <summary>
    /// Whether a memslot update makes every root obsolete (<c>kvm_mmu_zap_all_fast()</c>); if not, it zaps the pages of the
    /// memslot alone (<c>KVM_X86_QUIRK_SLOT_ZAP_ALL</c> off, or a TDX guest).
    /// </summary>
    static virtual bool ZapsAllRoots => true;

    /// <summary>
    /// Whether the zap drops <c>mmu_lock</c> on the way: it takes <see cref="Zapped"/> away with the begin, and
    /// <see cref="ZappedAfterYield"/> in a step of its own.
    /// </summary>
    static virtual bool YieldsInZap => false;

    /// <summary>Whether the TLB is flushed before the zap drops <c>mmu_lock</c>; if not, it is flushed as the zap ends.</summary>
    static virtual bool FlushesBeforeYield => true;

    /// <summary>
    /// Whether <c>mmu_invalidate_in_progress</c> is raised only as the zap goes on after its yield, and not with the begin.
    /// Asks for
    /// <see cref="YieldsInZap"/>.
    /// </summary>
    static virtual bool RaisesAfterYield => false;

    /// <summary>Whether <see cref="NeverEnds"/> is asked: some invalidations that begin are never ended.</summary>
    static virtual bool LosesEnds => false;

    /// <summary>Whether the counter moves at the end of an invalidation; a kernel that says no moves it at the begin.</summary>
    static virtual bool CountsAtEnd => true;

    /// <summary>
    /// Whether <see cref="Snapshot"/> reads what the last fault left behind; where it does not, exploration need not tell
    /// states apart by it.
    /// </summary>
    static virtual bool RemembersSnapshot => false;

    /// <summary>The snapshot as the kernel hands it to the check.</summary>
    /// <param name="seq">The counter now.</param>
    /// <param name="stored">The snapshot that the vCPU's last fault left behind.</param>
    /// <param name="isRetry">Mask: this fault is a retry of the last one.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual Counter<T> Snapshot<T>(Counter<T> seq, Counter<T> stored, T isRetry)
        where T : unmanaged, ILanes<T> => seq;

    /// <summary>Evidence that the counter is not what the snapshot says.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual T SeqMoved<T>(Counter<T> snapshot, Counter<T> seq)
        where T : unmanaged, ILanes<T> => snapshot.DiffersFrom(seq);

    /// <summary>The counter after one more invalidation where <paramref name="counted"/> is true.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual Counter<T> Count<T>(Counter<T> seq, T counted)
        where T : unmanaged, ILanes<T> => seq.PlusOneWhere(counted);

    /// <summary>Mask, a part of <paramref name="begins"/>: the begins that raise <c>mmu_invalidate_in_progress</c>.</summary>
    /// <param name="begins">Mask: an invalidation begins.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual T RaisesInProgress<T>(T begins)
        where T : unmanaged, ILanes<T> => begins;

    /// <summary>
    /// Mask, a part of <paramref name="begins"/>: the primary MMU gives the invalidation up, and nobody calls the end.
    /// </summary>
    /// <param name="own">The range of the invalidation.</param>
    /// <param name="begins">Mask: an invalidation begins.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual T NeverEnds<TPages, T>(PageRange<TPages, T> own, T begins)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => T.Broadcast(0);

    /// <summary>The pages that the zap takes away, or its first step where it yields.</summary>
    /// <param name="own">The pages of the invalidation's range, without a gap.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual TPages Zapped<TPages, T>(TPages own)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => own;

    /// <summary>The pages that the zap takes away after it yielded.</summary>
    /// <param name="own">The pages of the invalidation's range, without a gap.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual TPages ZappedAfterYield<TPages, T>(TPages own)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => own;

    /// <summary>Mask, a part of <paramref name="ends"/>: the ends that lower <c>mmu_invalidate_in_progress</c>.</summary>
    /// <param name="ends">Mask: an invalidation ends.</param>
    /// <param name="seq">The counter, this end counted.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual T LowersInProgress<T>(T ends, Counter<T> seq)
        where T : unmanaged, ILanes<T> => ends;

    /// <summary>The range in progress after a begin.</summary>
    /// <param name="range">The range so far.</param>
    /// <param name="own">The range of the invalidation that begins.</param>
    /// <param name="begins">Mask: an invalidation begins.</param>
    /// <param name="alone">Mask, a part of <paramref name="begins"/>: no other was in progress.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual PageRange<TPages, T> RangeAfterBegin<TPages, T>(
        PageRange<TPages, T> range, PageRange<TPages, T> own, T begins, T alone)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> =>
        PageRange<TPages, T>.Select(alone, own, PageRange<TPages, T>.Select(begins, range.Hull(own), range));

    /// <summary>The range in progress after an end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual PageRange<TPages, T> RangeAfterEnd<TPages, T>(PageRange<TPages, T> range, T ends)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => range;

    /// <summary>The pages for which the check sees an invalidation in progress.</summary>
    /// <param name="range">The range in progress.</param>
    /// <param name="inProgress">Mask: <c>mmu_invalidate_in_progress</c> is not 0.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual TPages PagesInProgress<TPages, T>(PageRange<TPages, T> range, T inProgress)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => range.Pages.Where(inProgress);

    /// <summary>The total of mapped pages after <paramref name="zapped"/> of them were zapped.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual Counter<T> AccountZap<T>(Counter<T> total, T zapped)
        where T : unmanaged, ILanes<T> =>
        new(total.Low - zapped, total.High + T.LessThan(total.Low, zapped));
}
