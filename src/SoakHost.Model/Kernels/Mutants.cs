using System.Runtime.CompilerServices;
using SoakHost.Model.Lanes;

namespace SoakHost.Model.Kernels;

/// <summary>The snapshot zero-extended from 32 bits.</summary>
public readonly struct SnapshotU32 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "snapshot-u32",
        "the snapshot is an unsigned int, so that from 2^32 on it never matches",
        "is_page_fault_stale(..., unsigned int mmu_seq)",
        Defect.Hang,
        1UL << 32)
    { Group = KernelGroup.Mutant, SnapshotKeptAs = "an unsigned int" };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Counter<T> Snapshot<T>(Counter<T> seq, Counter<T> stored, T isRetry)
        where T : unmanaged, ILanes<T> => new(seq.Low, T.Broadcast(0));
}

/// <summary>The snapshot sign-extended from 16 bits.</summary>
public readonly struct SnapshotI16 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "snapshot-i16",
        "the snapshot is a short, so that from 2^15 on it comes back sign-extended and never matches",
        "is_page_fault_stale(..., short mmu_seq)",
        Defect.Hang,
        1UL << 15)
    { Group = KernelGroup.Mutant, SnapshotKeptAs = "a short" };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Counter<T> Snapshot<T>(Counter<T> seq, Counter<T> stored, T isRetry)
        where T : unmanaged, ILanes<T>
    {
        T extended = (seq.Low << 16) >> 16;
        return new(extended, extended >> 31);
    }
}

/// <summary>The snapshot zero-extended from 16 bits.</summary>
public readonly struct SnapshotU16 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "snapshot-u16",
        "the snapshot is an unsigned short, so that from 2^16 on it never matches",
        "is_page_fault_stale(..., unsigned short mmu_seq)",
        Defect.Hang,
        1UL << 16)
    { Group = KernelGroup.Mutant, SnapshotKeptAs = "an unsigned short" };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Counter<T> Snapshot<T>(Counter<T> seq, Counter<T> stored, T isRetry)
        where T : unmanaged, ILanes<T> => new(seq.Low & T.Broadcast(0xffff), T.Broadcast(0));
}

/// <summary>The snapshot sign-extended from 8 bits.</summary>
public readonly struct SnapshotI8 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "snapshot-i8",
        "the snapshot is a signed char, so that from 2^7 on it comes back sign-extended and never matches",
        "is_page_fault_stale(..., s8 mmu_seq)",
        Defect.Hang,
        1UL << 7)
    { Group = KernelGroup.Mutant, SnapshotKeptAs = "a signed char" };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Counter<T> Snapshot<T>(Counter<T> seq, Counter<T> stored, T isRetry)
        where T : unmanaged, ILanes<T>
    {
        T extended = (seq.Low << 24) >> 24;
        return new(extended, extended >> 31);
    }
}

/// <summary>The snapshot zero-extended from 8 bits.</summary>
public readonly struct SnapshotU8 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "snapshot-u8",
        "the snapshot is an unsigned char, so that from 2^8 on it never matches",
        "is_page_fault_stale(..., u8 mmu_seq)",
        Defect.Hang,
        1UL << 8)
    { Group = KernelGroup.Mutant, SnapshotKeptAs = "an unsigned char" };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Counter<T> Snapshot<T>(Counter<T> seq, Counter<T> stored, T isRetry)
        where T : unmanaged, ILanes<T> => new(seq.Low & T.Broadcast(0xff), T.Broadcast(0));
}

/// <summary>A retried fault keeps its first snapshot.</summary>
public readonly struct SnapshotOnce : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "snapshot-once",
        "a retried fault keeps its first snapshot, which the counter has left behind for good",
        "direct_page_fault(), the snapshot taken outside the retry",
        Defect.Hang)
    { Group = KernelGroup.Mutant };

    /// <inheritdoc/>
    public static bool RemembersSnapshot => true;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Counter<T> Snapshot<T>(Counter<T> seq, Counter<T> stored, T isRetry)
        where T : unmanaged, ILanes<T> => Counter<T>.Select(isRetry, stored, seq);
}

/// <summary>Snapshot and counter compared by their low 32 bits.</summary>
public readonly struct CompareLow32 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } =
        new(
            "compare-low-32",
            "the check compares the low 32 bits alone",
            "mmu_invalidate_retry(), both sides cast to u32",
            Defect.None)
        {
            Group = KernelGroup.Mutant,
            SurvivesBecause =
                "two counters with the same low half are a multiple of 2^32 apart, and that many invalidations do not fit into "
                    + "one fault",
            IsRefutedByProofAlone = true,
        };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T SeqMoved<T>(Counter<T> snapshot, Counter<T> seq)
        where T : unmanaged, ILanes<T> => snapshot.Low ^ seq.Low;
}

/// <summary>Snapshot and counter compared as signed numbers, by order instead of by equality.</summary>
public readonly struct CompareSigned : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "compare-signed",
        "the check asks whether the snapshot is below the counter as signed numbers, and misses the step over 2^63",
        "mmu_invalidate_retry(), (long)mmu_seq < (long)kvm->mmu_invalidate_seq",
        Defect.UnsafeInstall,
        1UL << 63)
    { Group = KernelGroup.Mutant };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T SeqMoved<T>(Counter<T> snapshot, Counter<T> seq)
        where T : unmanaged, ILanes<T>
    {
        // Lanes compare unsigned; turning both sign bits round makes that the signed order.
        T sign = T.Broadcast(1u << 31);
        return T.LessThan(snapshot.High ^ sign, seq.High ^ sign)
            | (T.IsZero(snapshot.High ^ seq.High) & T.LessThan(snapshot.Low, seq.Low));
    }
}

/// <summary>The counter stops where an <c>int</c> ends.</summary>
public readonly struct SaturatingSeq : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "saturating-seq",
        "the counter stops at 2^31 - 1, so that an invalidation from there on leaves no trace",
        "kvm_mmu_invalidate_end(), mmu_invalidate_seq++ saturating",
        Defect.UnsafeInstall,
        int.MaxValue)
    { Group = KernelGroup.Mutant };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Counter<T> Count<T>(Counter<T> seq, T counted)
        where T : unmanaged, ILanes<T> =>
        seq.PlusOneWhere(counted & T.IsZero(seq.High) & T.LessThan(seq.Low, T.Broadcast(int.MaxValue)));
}

/// <summary>The check compares the counter and nothing else.</summary>
public readonly struct NoInProgressCheck : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "no-in-progress-check",
        "the check compares the counter alone, which moves only as an invalidation ends",
        "mmu_invalidate_retry_hva() without mmu_invalidate_in_progress",
        Defect.UnsafeInstall)
    { Group = KernelGroup.Mutant };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages PagesInProgress<TPages, T>(PageRange<TPages, T> range, T inProgress)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => default;
}

/// <summary>The check tests the range in progress and not the counter.</summary>
public readonly struct NoSeqCheck : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "no-seq-check",
        "the check tests the range in progress alone, and misses an invalidation that is over already",
        "mmu_invalidate_retry_hva() without mmu_invalidate_seq",
        Defect.UnsafeInstall)
    { Group = KernelGroup.Mutant };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T SeqMoved<T>(Counter<T> snapshot, Counter<T> seq)
        where T : unmanaged, ILanes<T> => T.Broadcast(0);
}

/// <summary>The counter moves at the begin of an invalidation.</summary>
public readonly struct SeqAtBegin : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "seq-at-begin",
        "the counter moves as an invalidation begins, so that a fault taken during it does not see it end",
        "mmu_invalidate_seq++ moved from kvm_mmu_invalidate_end() to kvm_mmu_invalidate_begin()",
        Defect.UnsafeInstall)
    { Group = KernelGroup.Mutant };

    /// <inheritdoc/>
    public static bool CountsAtEnd => false;
}

/// <summary>The page is resolved before the snapshot is taken.</summary>
public readonly struct SnapshotAfterResolve : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "snapshot-after-resolve",
        "the snapshot is taken after the page was resolved, and misses what happened between the two",
        "kvm_faultin_pfn(), fault->mmu_seq set last",
        Defect.UnsafeInstall)
    { Group = KernelGroup.Mutant };

    /// <inheritdoc/>
    public static SnapshotPoint SnapshotPoint => SnapshotPoint.AfterResolve;
}

/// <summary>Check and install are two steps.</summary>
public readonly struct CheckBeforeLock : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "check-before-lock",
        "the check is made before mmu_lock is taken for the install, and others run between the two",
        "direct_page_fault(), is_page_fault_stale() before the lock",
        Defect.UnsafeInstall)
    { Group = KernelGroup.Mutant };

    /// <inheritdoc/>
    public static bool InstallsUnderTheChecksLock => false;
}

/// <summary>A second concurrent begin replaces the range.</summary>
public readonly struct RangeNotHulled : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "range-not-hulled",
        "a second begin replaces the range of the first, whose pages are then unprotected",
        "kvm_mmu_invalidate_begin() without its min() and max()",
        Defect.UnsafeInstall)
    { Group = KernelGroup.Mutant, InvalidatorsMin = 2 };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static PageRange<TPages, T> RangeAfterBegin<TPages, T>(
        PageRange<TPages, T> range, PageRange<TPages, T> own, T begins, T alone)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => PageRange<TPages, T>.Select(begins, own, range);
}

/// <summary>The last page of the range in progress is not covered.</summary>
public readonly struct RangeEndOffByOne : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "range-end-off-by-one",
        "the check leaves out the last page of the range in progress",
        "mmu_invalidate_retry_hva(), hva < mmu_invalidate_range_end - PAGE_SIZE",
        Defect.UnsafeInstall)
    { Group = KernelGroup.Mutant };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages PagesInProgress<TPages, T>(PageRange<TPages, T> range, T inProgress)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => (range.From & TPages.DownByOne(range.Below)).Where(inProgress);
}

/// <summary>The first end clears the range while another invalidation is in progress.</summary>
public readonly struct RangeClearedAtEnd : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "range-cleared-at-end",
        "an end clears the range though another invalidation is in progress, whose pages are then unprotected",
        "kvm_mmu_invalidate_end() resetting mmu_invalidate_range_start and _end",
        Defect.UnsafeInstall)
    { Group = KernelGroup.Mutant, InvalidatorsMin = 2 };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static PageRange<TPages, T> RangeAfterEnd<TPages, T>(PageRange<TPages, T> range, T ends)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => new(range.From.Where(~ends), range.Below.Where(~ends));
}

/// <summary>Now and then an end forgets to lower <c>mmu_invalidate_in_progress</c>.</summary>
public readonly struct UnbalancedEnd : IKernel
{
    private const uint Period = 8;

    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "unbalanced-end",
        "an end that brings the counter to a multiple of 8 leaves the invalidation in progress for ever",
        "kvm_mmu_invalidate_end(), an early return before mmu_invalidate_in_progress--",
        Defect.Hang)
    { Group = KernelGroup.Mutant };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T LowersInProgress<T>(T ends, Counter<T> seq)
        where T : unmanaged, ILanes<T> => ends & ~T.IsZero(seq.Low & T.Broadcast(Period - 1));
}

/// <summary>Obsolete roots are not tested.</summary>
public readonly struct NoRootCheck : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "no-root-check",
        "the check does not ask whether the fault's root became obsolete",
        "is_page_fault_stale() without is_obsolete_root()",
        Defect.UnsafeInstall)
    { Group = KernelGroup.Mutant, NeedsMemslotUpdates = true };

    /// <inheritdoc/>
    public static bool ChecksRoot => false;
}

/// <summary>Obsolete roots are tested and never reloaded.</summary>
public readonly struct RootNeverReloaded : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "root-never-reloaded",
        "the check finds the root obsolete, but guest entry does not reload it, so that every later fault is stale too",
        "vcpu_enter_guest() without kvm_mmu_reload()",
        Defect.Hang)
    { Group = KernelGroup.Mutant, NeedsMemslotUpdates = true };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool ReloadsRoot(int vcpu) => false;
}

/// <summary>A fault uses a memslot that is marked invalid.</summary>
public readonly struct InvalidSlotUsed : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "invalid-slot-used",
        "a fault resolves its page through a memslot that is marked invalid, as if it were valid",
        "kvm_mmu_faultin_pfn() and __gfn_to_hva_many() without their tests of KVM_MEMSLOT_INVALID",
        Defect.UnsafeInstall)
    { Group = KernelGroup.Mutant, NeedsMemslotUpdates = true };

    /// <inheritdoc/>
    public static bool RetriesOnInvalidSlot => false;
}

/// <summary>A memslot update zaps without waiting for readers.</summary>
public readonly struct NoSrcuWait : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "no-srcu-wait",
        "a memslot update that zaps the pages of its memslot alone does not wait for the faults that still use the old memslot",
        "kvm_invalidate_memslot() without synchronize_srcu_expedited() before the zap, KVM_X86_QUIRK_SLOT_ZAP_ALL off",
        Defect.UnsafeInstall)
    { Group = KernelGroup.Mutant, NeedsMemslotUpdates = true };

    /// <inheritdoc/>
    public static bool WaitsForReaders => false;

    /// <inheritdoc/>
    public static bool ZapsAllRoots => false;
}
