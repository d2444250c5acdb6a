using System.Globalization;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Timelines;

/// <summary>
/// Which function of Linux takes a step, in the release that a kernel stands for: where a reader of a story looks next.
/// </summary>
internal static class KernelFunctions
{
    private const string Begin = "kvm_mmu_notifier_invalidate_range_start()";
    private const string End = "kvm_mmu_notifier_invalidate_range_end()";

    // A mutant is Linux 6.1.y with one change.
    private static readonly Version OfMutants = new(6, 1);

    /// <summary>The function; empty where the guest or the primary MMU moves, or where nobody knows it.</summary>
    /// <param name="kernel">The kernel that the VM runs.</param>
    /// <param name="actor">vCPUs are numbered first, then invalidators, then the memslot updater.</param>
    /// <param name="before">The state before the step.</param>
    /// <param name="after">The state after it.</param>
    /// <param name="judged">What the model's totals counted in this step.</param>
    public static string Of(Kernel kernel, int actor, VmState before, VmState after, StepCounts judged)
    {
        int vcpus = before.Vcpus.Length;
        if (actor < vcpus)
            return judged.GuestAccesses != 0 ? "" : OfFault(kernel, actor, before.Vcpus[actor].Phase, judged);
        int invalidator = actor - vcpus;
        return invalidator < before.Invalidators.Length
            ? OfInvalidation(kernel.Info.Name, before.Invalidators[invalidator].Phase)
            : OfMemslotUpdate(kernel, after.MemslotUpdater);
    }

    /// <summary>The release in a kernel's name, such as 6.1 in "linux-6.1.y".</summary>
    private static Version ReleaseOf(KernelInfo kernel)
    {
        string release = kernel.Name.Split('-').LastOrDefault(part => part.Contains('.', StringComparison.Ordinal), "");
        string numbers = string.Join(
            '.', release.Split('.').Where(part => int.TryParse(part, CultureInfo.InvariantCulture, out _)));
        return kernel.Group != KernelGroup.Mutant && Version.TryParse(numbers, out Version? version) ? version : OfMutants;
    }

    private static string OfFault(Kernel kernel, int vcpu, VcpuPhase phase, StepCounts judged)
    {
        if (InsteadOfAFault(kernel.Info.Name) is { } other)
            return other;
        FaultPath path = PathOf(kernel, vcpu);
        return phase switch
        {
            VcpuPhase.Access or VcpuPhase.Retry => path.Take,
            VcpuPhase.Snapshot => judged.Retried != 0 ? path.LocklessCheck : path.Snapshot,
            VcpuPhase.Resolve => path.Resolve,
            VcpuPhase.LocklessCheck => path.LocklessCheck,
            VcpuPhase.Check when judged.Fixed != 0 => path.Install,
            VcpuPhase.Check => path.Check,
            _ => path.Install,
        };
    }

    /// <summary>The path of a fault with two-dimensional paging, arch/x86/kvm/mmu/mmu.c and tdp_mmu.c.</summary>
    private static FaultPath PathOf(Kernel kernel, int vcpu)
    {
        Version release = ReleaseOf(kernel.Info);
        string name = kernel.Info.Name;
        string check = release >= new Version(5, 16) ? "is_page_fault_stale()"
            : release >= new Version(5, 12) ? "mmu_notifier_retry_hva()" : "mmu_notifier_retry()";
        string install = name.EndsWith("-i386", StringComparison.Ordinal) ? "__direct_map()" : "kvm_tdp_mmu_map()";
        if (release < new Version(6, 3))
        {
            string resolve = release >= new Version(5, 15) ? "kvm_faultin_pfn()" : "try_async_pf()";
            return new("direct_page_fault()", "direct_page_fault()", resolve, check, check, install);
        }

        string take = name.StartsWith("prefault-", StringComparison.Ordinal) && vcpu == 0 ? "kvm_tdp_map_page()"
            : "kvm_tdp_mmu_page_fault()";
        string faultin = release >= new Version(6, 13) ? "kvm_mmu_faultin_pfn()" : "kvm_faultin_pfn()";
        return new(take, faultin, $"__{faultin}", "mmu_invalidate_retry_gfn_unsafe()", check, install);
    }

    /// <summary>Who follows the protocol in the place of a vCPU's fault on x86; null where that is the one who does.</summary>
    private static string? InsteadOfAFault(string kernel) => kernel switch
    {
        "apic-page-4.14" => "kvm_vcpu_reload_apic_access_page()",
        "apic-access-6.4" => "vmx_set_apic_access_page_addr()",
        "arm64-6.2" => "user_mem_abort()",
        "riscv-6.2" => "kvm_riscv_gstage_map()",
        "ppc-hash-5.13" => "kvmppc_book3s_hv_page_fault()",
        "gpc-5.18" or "gpc-5.19" => "hva_to_pfn_retry()",
        "amdgpu-hmm-chunk" => "amdgpu_hmm_range_get_pages()",
        "odp-int-seq" => "pagefault_real_mr()",
        _ => null,
    };

    private static string OfInvalidation(string kernel, InvalidatorPhase phase) => (phase, kernel) switch
    {
        (InvalidatorPhase.Change, _) or (_, "amdgpu-hmm-chunk" or "odp-int-seq") => "",
        (_, "zap-gfn-5.14" or "zap-gfn-5.16") => "kvm_zap_gfn_range()",
        (InvalidatorPhase.Begin, _) => Begin,
        (InvalidatorPhase.End, _) => End,
        (_, "tdp-flush-5.11" or "tdp-iterator-5.15") => "zap_gfn_range()",
        (_, "tdp-nx-5.11") => "kvm_recover_nx_lpages()",
        _ => Begin,
    };

    private static string OfMemslotUpdate(Kernel kernel, MemslotUpdaterPhase now)
    {
        bool isNew = ReleaseOf(kernel.Info) >= new Version(5, 17);
        return now switch
        {
            MemslotUpdaterPhase.Zap when isNew => "kvm_invalidate_memslot()",
            MemslotUpdaterPhase.Swap => kernel.ZapsAllRoots ? "kvm_mmu_zap_all_fast()" : "kvm_mmu_zap_memslot()",
            MemslotUpdaterPhase.End => isNew ? "kvm_swap_active_memslots()" : "install_new_memslots()",
            _ => "kvm_set_memslot()",
        };
    }

    private readonly record struct FaultPath(
        string Take, string Snapshot, string Resolve, string LocklessCheck, string Check, string Install);
}
