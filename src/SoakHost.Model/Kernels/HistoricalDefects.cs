using System.Runtime.CompilerServices;
using SoakHost.Model.Lanes;

namespace SoakHost.Model.Kernels;

// Defects that Linux really had, oldest release first: each a correct kernel, and what one commit repaired later. Where the
// defect was in another user of the protocol than a vCPU's fault (a cache, a prefault, a driver), that user takes the vCPU's
// part here.

/// <summary>Linux up to 4.14: an invalidation of a range leaves the APIC-access page mapped.</summary>
public readonly struct ApicPage414 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "apic-page-4.14",
        "an invalidation of a range zaps nothing: the address of the APIC-access page stays in the VMCS",
        new UpstreamFix(
            "b1394e745b94",
            "KVM: x86: fix APIC page invalidation",
            "arch/x86/kvm/x86.c, kvm_arch_mmu_notifier_invalidate_range()", Until: "v4.15"),
        Defect.StaleMapping);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages Zapped<TPages, T>(TPages own)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => default;
}

/// <summary>Linux 5.10 and 5.11: a zap of a range yields with a TLB flush pending.</summary>
public readonly struct TdpFlush511 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "tdp-flush-5.11",
        "a zap drops mmu_lock before it has flushed the TLB; another that finds its page gone already does not flush it",
        new UpstreamFix(
            "a835429cda91",
            "KVM: x86/mmu: Ensure TLBs are flushed when yielding during GFN range zap",
            "arch/x86/kvm/mmu/tdp_mmu.c, zap_gfn_range()", Since: "v5.10", Until: "v5.12"),
        Defect.StaleMapping)
    { InvalidatorsMin = 2 };

    /// <inheritdoc/>
    public static bool YieldsInZap => true;

    /// <inheritdoc/>
    public static bool FlushesBeforeYield => false;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages Zapped<TPages, T>(TPages own)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => ZapOrder.First<TPages, T>(own);
}

/// <summary>Linux 5.10 and 5.11: the recovery of NX pages yields with a TLB flush pending.</summary>
public readonly struct TdpNx511 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "tdp-nx-5.11",
        "the recovery of NX pages zaps in several calls and drops mmu_lock in one with the flush of another pending",
        new UpstreamFix(
            "33a3164161fc",
            "KVM: x86/mmu: Don't allow TDP MMU to yield when recovering NX pages",
            "arch/x86/kvm/mmu/mmu.c, kvm_recover_nx_lpages()", Since: "v5.10", Until: "v5.12"),
        Defect.StaleMapping)
    { InvalidatorsMin = 2 };

    /// <inheritdoc/>
    public static bool YieldsInZap => true;

    /// <inheritdoc/>
    public static bool FlushesBeforeYield => false;
}

/// <summary>
/// Linux up to 5.11: another notifier refuses an invalidation, and KVM, told of its start, is not told of its end.
/// </summary>
public readonly struct MmuNotifiers511 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "mmu-notifiers-5.11",
        "another notifier, which has page 0, refuses an invalidation that KVM has begun; nobody ends it",
        new UpstreamFix(
            "c2655835fd8c",
            "mm/mmu_notifiers: ensure range_end() is paired with range_start()",
            "mm/mmu_notifier.c, mn_hlist_invalidate_range_start()", Until: "v5.12"),
        Defect.Hang);

    /// <inheritdoc/>
    public static bool LosesEnds => true;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T NeverEnds<TPages, T>(PageRange<TPages, T> own, T begins)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => begins & ~T.IsZero((own.Pages & TPages.Page(T.Broadcast(0))).Any);
}

/// <summary>
/// Linux 5.13 before its release, on POWER with a hash MMU: a range is unmapped by its first page, again and again.
/// </summary>
public readonly struct PpcHash513 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "ppc-hash-5.13",
        "the zap unmaps the first page of its range as often as the range has pages, and the others never",
        new UpstreamFix(
            "da3bb206c9ce",
            "KVM: PPC: Book3S HV: Fix kvm_unmap_gfn_range_hv() for Hash MMU",
            "arch/powerpc/kvm/book3s_64_mmu_hv.c, kvm_unmap_gfn_range_hv()", Since: "v5.13-rc1", Until: "v5.13"),
        Defect.StaleMapping);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages Zapped<TPages, T>(TPages own)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => ZapOrder.First<TPages, T>(own);
}

/// <summary>Linux up to 5.14: a zap by KVM itself leaves no trace for faults in flight.</summary>
public readonly struct ZapGfn514 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "zap-gfn-5.14",
        "a zap by KVM itself neither raises the count in progress nor moves the counter",
        new UpstreamFix(
            "edb298c663fc",
            "KVM: x86/mmu: bump mmu notifier count in kvm_zap_gfn_range",
            "arch/x86/kvm/mmu/mmu.c, kvm_zap_gfn_range()", Until: "v5.15"),
        Defect.UnsafeInstall);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T RaisesInProgress<T>(T begins)
        where T : unmanaged, ILanes<T> => T.Broadcast(0);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T LowersInProgress<T>(T ends, Counter<T> seq)
        where T : unmanaged, ILanes<T> => T.Broadcast(0);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Counter<T> Count<T>(Counter<T> seq, T counted)
        where T : unmanaged, ILanes<T> => seq;
}

/// <summary>Linux 5.10 to 5.15: a zap that yielded skips a page.</summary>
public readonly struct TdpIterator515 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "tdp-iterator-5.15",
        "the zap starts its walk again after it dropped mmu_lock, and takes one step too many: it skips a page",
        new UpstreamFix(
            "3a0f64de479c",
            "KVM: x86/mmu: Don't advance iterator after restart due to yielding",
            "arch/x86/kvm/mmu/tdp_iter.c, tdp_iter_next()", Since: "v5.10", Until: "v5.16"),
        Defect.StaleMapping);

    /// <inheritdoc/>
    public static bool YieldsInZap => true;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages Zapped<TPages, T>(TPages own)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => ZapOrder.First<TPages, T>(own);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages ZappedAfterYield<TPages, T>(TPages own)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => TPages.Except(own, TPages.UpByOne(ZapOrder.First<TPages, T>(own)));
}

/// <summary>Linux 5.16-rc4: roots without a shadow page, as with PAE, are never found obsolete.</summary>
public readonly struct PaeRoot516 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "pae-root-5.16",
        "the check asks the shadow page of the root whether it is obsolete; a PAE root has none (the real check crashed there)",
        new UpstreamFix(
            "18c841e1f411",
            "KVM: x86: Retry page fault if MMU reload is pending and root has no sp",
            "arch/x86/kvm/mmu/mmu.c, is_page_fault_stale()", Since: "v5.16-rc4", Until: "v5.16"),
        Defect.UnsafeInstall)
    { NeedsMemslotUpdates = true };

    /// <inheritdoc/>
    public static bool ChecksRoot => false;
}

/// <summary>Linux 5.17 and 5.18: the caches of guest pages are invalidated before the count in progress is raised.</summary>
public readonly struct Gpc518 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "gpc-5.18",
        "an invalidation empties the gfn-to-pfn cache first and raises the count afterwards; a refresh in between sees neither",
        new UpstreamFix(
            "58cd407ca4c6",
            "KVM: Fix multiple races in gfn=>pfn cache refresh",
            "virt/kvm/pfncache.c, hva_to_pfn_retry()", Since: "v5.17", Until: "v5.19"),
        Defect.UnsafeInstall);

    /// <inheritdoc/>
    public static bool YieldsInZap => true;

    /// <inheritdoc/>
    public static bool RaisesAfterYield => true;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages ZappedAfterYield<TPages, T>(TPages own)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => default;
}

/// <summary>Linux 5.15 to 6.0: a zap by KVM itself passes frame numbers where host addresses are compared.</summary>
public readonly struct ZapGfn516 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "zap-gfn-5.16",
        "a zap by KVM itself gives its range in guest frames; the check compares host addresses, so that no page is ever in it",
        new UpstreamFix(
            "6d3085e4d89a",
            "KVM: x86/mmu: Block all page faults during kvm_zap_gfn_range()",
            "arch/x86/kvm/mmu/mmu.c, kvm_zap_gfn_range()", Since: "v5.15", Until: "v6.1"),
        Defect.UnsafeInstall);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static PageRange<TPages, T> RangeAfterBegin<TPages, T>(
        PageRange<TPages, T> range, PageRange<TPages, T> own, T begins, T alone)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => PageRange<TPages, T>.Select(begins, default, range);
}

/// <summary>Linux up to 6.2 on arm64: the snapshot comes after the lookup of the VMA.</summary>
public readonly struct Arm64Kernel62 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "arm64-6.2",
        "the snapshot is taken after mmap_lock was dropped, and misses what happened to the page since it was looked up",
        new UpstreamFix(
            "13ec9308a857",
            "KVM: arm64: Retry fault if vma_lookup() results become invalid",
            "arch/arm64/kvm/mmu.c, user_mem_abort()", Until: "v6.3"),
        Defect.UnsafeInstall);

    /// <inheritdoc/>
    public static SnapshotPoint SnapshotPoint => SnapshotPoint.AfterResolve;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages PagesInProgress<TPages, T>(PageRange<TPages, T> range, T inProgress)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => Coarse.PagesInProgress<TPages, T>(inProgress);
}

/// <summary>Linux up to 6.2 on RISC-V: the snapshot comes after the lookup of the VMA.</summary>
public readonly struct RiscvKernel62 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "riscv-6.2",
        "the snapshot is taken after mmap_lock was dropped, and misses what happened to the page since it was looked up",
        new UpstreamFix(
            "2ed90cb0938a",
            "RISC-V: KVM: Retry fault if vma_lookup() results become invalid",
            "arch/riscv/kvm/mmu.c, kvm_riscv_gstage_map()", Until: "v6.3"),
        Defect.UnsafeInstall);

    /// <inheritdoc/>
    public static SnapshotPoint SnapshotPoint => SnapshotPoint.AfterResolve;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages PagesInProgress<TPages, T>(PageRange<TPages, T> range, T inProgress)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => Coarse.PagesInProgress<TPages, T>(inProgress);
}

/// <summary>Linux up to 6.4: the APIC-access page is reloaded without asking whether it is being invalidated.</summary>
public readonly struct ApicAccess64 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "apic-access-6.4",
        "a reload of the APIC-access page looks the page up and writes it to the VMCS without any check",
        new UpstreamFix(
            "878940b33d76",
            "KVM: VMX: Retry APIC-access page reload if invalidation is in-progress",
            "arch/x86/kvm/vmx/vmx.c, vmx_set_apic_access_page_addr()", Until: "v6.5"),
        Defect.UnsafeInstall);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T SeqMoved<T>(Counter<T> snapshot, Counter<T> seq)
        where T : unmanaged, ILanes<T> => T.Broadcast(0);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages PagesInProgress<TPages, T>(PageRange<TPages, T> range, T inProgress)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => default;
}

/// <summary>Linux from 5.19 on: a refresh of a gfn-to-pfn cache waits for every invalidation of the VM.</summary>
public readonly struct Gpc519 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "gpc-5.19",
        "a refresh of a gfn-to-pfn cache is retried while any invalidation is in progress, whatever its page",
        new UpstreamFix(
            "kvm list, 2024",
            "KVM: Move gfn_to_pfn_cache invalidation to invalidate_range_end hook",
            "virt/kvm/pfncache.c, mmu_notifier_retry_cache()", Since: "v5.19"),
        Defect.None)
    { SurvivesBecause = "a refresh starves while invalidations keep coming, and is done as soon as they stop" };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages PagesInProgress<TPages, T>(PageRange<TPages, T> range, T inProgress)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => Coarse.PagesInProgress<TPages, T>(inProgress);
}

/// <summary>Linux 6.11 to 6.15: a prefault begins with whatever root its vCPU had.</summary>
public readonly struct PrefaultReload611 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "prefault-reload-6.11",
        "vCPU 0 prefaults: it begins with an obsolete root, which kvm_mmu_reload() keeps, and tries again in the kernel",
        new UpstreamFix(
            "20a6cff3b283",
            "KVM: x86/mmu: Check and free obsolete roots in kvm_mmu_reload()",
            "arch/x86/kvm/mmu.h, kvm_mmu_reload()", Since: "v6.11", Until: "v6.16"),
        Defect.Hang)
    { NeedsMemslotUpdates = true };

    /// <inheritdoc/>
    public static SnapshotPoint SnapshotPoint => SnapshotPoint.BeforeResolve;

    /// <inheritdoc/>
    public static bool ChecksWithoutLock => true;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool RetriesInKernel(int vcpu) => vcpu == 0;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool ReloadsRoot(int vcpu) => vcpu != 0;
}

/// <summary>Linux from 6.11 on: a prefault never reloads its root.</summary>
public readonly struct PrefaultRoot611 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "prefault-root-6.11",
        "vCPU 0 prefaults: a root that becomes obsolete meanwhile is never reloaded, because it tries again in the kernel",
        new UpstreamFix(
            "no commit",
            "what 20a6cff3b283 (kvm_mmu_reload() reloads obsolete roots) leaves: a root that becomes obsolete after the reload",
            "arch/x86/kvm/mmu/mmu.c, kvm_tdp_map_page()", Since: "v6.11"),
        Defect.Hang)
    { NeedsMemslotUpdates = true };

    /// <inheritdoc/>
    public static SnapshotPoint SnapshotPoint => SnapshotPoint.BeforeResolve;

    /// <inheritdoc/>
    public static bool ChecksWithoutLock => true;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool RetriesInKernel(int vcpu) => vcpu == 0;
}

/// <summary>Linux 6.11 to 6.17: a prefault waits in the kernel for the memslot update that waits for it.</summary>
public readonly struct Prefault617 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "prefault-6.17",
        "vCPU 0 prefaults: whatever the reason of a retry, it tries again in the kernel, with kvm->srcu held and the same root",
        new UpstreamFix(
            "3ccbf6f47098",
            "KVM: x86/mmu: Return -EAGAIN if userspace deletes/moves memslot during prefault",
            "arch/x86/kvm/mmu/mmu.c, kvm_mmu_faultin_pfn()", Since: "v6.11", Until: "v6.18"),
        Defect.Deadlock)
    { NeedsMemslotUpdates = true };

    /// <inheritdoc/>
    public static SnapshotPoint SnapshotPoint => SnapshotPoint.BeforeResolve;

    /// <inheritdoc/>
    public static bool ChecksWithoutLock => true;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool RetriesInKernel(int vcpu) => vcpu == 0;

    /// <inheritdoc/>
    public static bool LeavesOnInvalidSlot => false;
}

/// <summary>Linux 6.16 and 6.17: a TDX guest's private fault is retried in the kernel, whatever the reason.</summary>
public readonly struct Tdx617 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "tdx-6.17",
        "a private fault of a TDX guest is retried in the kernel, with kvm->srcu held, also while its page's memslot is invalid",
        new UpstreamFix(
            "2bc2694fe20b",
            "KVM: TDX: Do not retry locally when the retry is caused by invalid memslot",
            "arch/x86/kvm/vmx/tdx.c, tdx_handle_ept_violation()", Since: "v6.16", Until: "v6.18"),
        Defect.Deadlock)
    { NeedsMemslotUpdates = true };

    /// <inheritdoc/>
    public static SnapshotPoint SnapshotPoint => SnapshotPoint.BeforeResolve;

    /// <inheritdoc/>
    public static bool ChecksWithoutLock => true;

    /// <inheritdoc/>
    public static bool ZapsAllRoots => false;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool RetriesInKernel(int vcpu) => true;

    /// <inheritdoc/>
    public static bool LeavesOnInvalidSlot => false;
}

/// <summary>amdgpu in 2026: user memory is fetched in chunks, each with a sequence number of its own.</summary>
public readonly struct AmdgpuHmmChunk : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "amdgpu-hmm-chunk",
        "the notifier's sequence is read again for each chunk of pages, so that it guards the last chunk alone",
        new UpstreamFix(
            "linux-mm list, 2026",
            "userptr pages fetched in chunks",
            "drivers/gpu/drm/amd/amdgpu/amdgpu_hmm.c, amdgpu_hmm_range_get_pages()"),
        Defect.UnsafeInstall);

    /// <inheritdoc/>
    public static SnapshotPoint SnapshotPoint => SnapshotPoint.AfterResolve;
}

/// <summary>mlx5 on-demand paging: the sequence number is an int on both sides.</summary>
public readonly struct OdpIntSeq : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "odp-int-seq",
        "the snapshot is an int, and is compared with a counter cut to an int",
        new UpstreamFix(
            "no commit",
            "sequence numbers of on-demand paging kept in an int",
            "drivers/infiniband/hw/mlx5/odp.c, pagefault_real_mr()"),
        Defect.None)
    {
        SurvivesBecause = "both sides are cut alike; it would take 2^32 invalidations inside one fault",
        IsRefutedByProofAlone = true,
    };

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T SeqMoved<T>(Counter<T> snapshot, Counter<T> seq)
        where T : unmanaged, ILanes<T> => snapshot.Low ^ seq.Low;
}

/// <summary>The order in which a zap goes through its range.</summary>
internal static class ZapOrder
{
    /// <summary>The first page of a range, from its pages.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TPages First<TPages, T>(TPages own)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => TPages.Except(own, TPages.UpByOne(own));
}
