using System.Runtime.CompilerServices;
using SoakHost.Model.Lanes;

namespace SoakHost.Model.Kernels;

/// <summary>
/// Linux up to 5.11: no range is kept, so that any invalidation in progress stalls every fault. Coarse, and correct.
/// </summary>
public readonly struct Linux511 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "linux-5.11",
        "any invalidation in progress stalls every fault, whatever its page; arm64 and riscv do so to this day",
        "before 4a42d848db95 (v5.12), include/linux/kvm_host.h, mmu_notifier_retry()",
        Defect.None);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages PagesInProgress<TPages, T>(PageRange<TPages, T> range, T inProgress)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => Coarse.PagesInProgress<TPages, T>(inProgress);
}

/// <summary>What kernels without a range in progress have in common.</summary>
internal static class Coarse
{
    /// <summary>Every page, while any invalidation is in progress.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages PagesInProgress<TPages, T>(T inProgress)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => (~default(TPages)).Where(inProgress);
}

/// <summary>Linux 5.15: full-width snapshot, and no check that a fault's root is still current.</summary>
public readonly struct Linux515 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "linux-5.15",
        "full-width snapshot; installs into an obsolete root, once memslots are updated",
        "before a955cad84cda (v5.16), arch/x86/kvm/mmu/mmu.c, direct_page_fault()",
        Defect.UnsafeInstall)
    { NeedsMemslotUpdates = true };

    /// <inheritdoc/>
    public static bool ChecksRoot => false;
}

/// <summary>Linux 6.1 as released: the bug this project exists for.</summary>
public readonly struct Linux61 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "linux-6.1",
        "the check takes the snapshot as an int, so that from 2^31 on it comes back sign-extended and never matches",
        "v6.1, arch/x86/kvm/mmu/mmu.c, is_page_fault_stale(..., int mmu_seq)",
        Defect.Hang,
        1UL << 31)
    { SnapshotKeptAs = "an int" };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Counter<T> Snapshot<T>(Counter<T> seq, Counter<T> stored, T isRetry)
        where T : unmanaged, ILanes<T> => new(seq.Low, seq.Low >> 31);
}

/// <summary>Linux 6.1 with the stable fix: the snapshot stays an unsigned long. Every default of <see cref="IKernel"/>.</summary>
public readonly struct Linux61Stable : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "linux-6.1.y",
        "the stable fix: the snapshot stays an unsigned long",
        "stable patch \"KVM: x86/mmu: Fix an sign-extension bug with mmu_seq that hangs vCPUs\" (August 2023)",
        Defect.None);
}

/// <summary>Linux 6.3: the snapshot lives in the fault and is taken as the page is about to be resolved.</summary>
public readonly struct Linux63 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "linux-6.3",
        "the snapshot lives in the fault, taken as the page is about to be resolved",
        "ba6e3fe25543 (v6.3), arch/x86/kvm/mmu/mmu.c, kvm_faultin_pfn()",
        Defect.None);

    /// <inheritdoc/>
    public static SnapshotPoint SnapshotPoint => SnapshotPoint.BeforeResolve;
}

/// <summary>Linux 6.9: as 6.3, and staleness is also checked without <c>mmu_lock</c> before and after resolving.</summary>
public readonly struct Linux69 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "linux-6.9",
        "as linux-6.3, and retries without mmu_lock where a check before or after resolving already says stale",
        "v6.9, arch/x86/kvm/mmu/mmu.c, kvm_faultin_pfn(), mmu_invalidate_retry_gfn_unsafe()",
        Defect.None);

    /// <inheritdoc/>
    public static SnapshotPoint SnapshotPoint => SnapshotPoint.BeforeResolve;

    /// <inheritdoc/>
    public static bool ChecksWithoutLock => true;
}

/// <summary>Linux before 5.12 on i386: the total of mapped pages is fed a zero-extended negative number.</summary>
public readonly struct Linux512I386 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "linux-5.12-i386",
        "a zap of n pages adds 2^32 - n to the 64-bit total of mapped pages, the page count being a 32-bit unsigned long",
        "before d5aaad6f8342 (v5.13), arch/x86/kvm/mmu/mmu.c, kvm_mod_used_mmu_pages()",
        Defect.AccountingError);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Counter<T> AccountZap<T>(Counter<T> total, T zapped)
        where T : unmanaged, ILanes<T>
    {
        T zeroExtended = T.Broadcast(0) - zapped;
        T low = total.Low + zeroExtended;
        return new(low, total.High - T.LessThan(low, zeroExtended));
    }
}
