using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Timelines;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Timelines;

/// <summary>The functions of Linux that stories name, as its sources of the release in question have them.</summary>
public sealed class KernelFunctionsTests
{
    // virt/kvm/kvm_main.c, in every release.
    private const string Begin = "kvm_mmu_notifier_invalidate_range_start()";
    private const string End = "kvm_mmu_notifier_invalidate_range_end()";

    [Theory]
    [InlineData("linux-5.11", "direct_page_fault() try_async_pf() mmu_notifier_retry() kvm_tdp_mmu_map()")]
    [InlineData("linux-5.12-i386", "direct_page_fault() try_async_pf() mmu_notifier_retry_hva() __direct_map()")]
    [InlineData("linux-5.15", "direct_page_fault() kvm_faultin_pfn() mmu_notifier_retry_hva() kvm_tdp_mmu_map()")]
    [InlineData("linux-6.1", "direct_page_fault() kvm_faultin_pfn() is_page_fault_stale() kvm_tdp_mmu_map()")]
    [InlineData("linux-6.1.y", "direct_page_fault() kvm_faultin_pfn() is_page_fault_stale() kvm_tdp_mmu_map()")]
    [InlineData("snapshot-i16", "direct_page_fault() kvm_faultin_pfn() is_page_fault_stale() kvm_tdp_mmu_map()")]
    [InlineData(
        "linux-6.3",
        "kvm_tdp_mmu_page_fault() kvm_faultin_pfn() __kvm_faultin_pfn() is_page_fault_stale() kvm_tdp_mmu_map()")]
    [InlineData(
        "linux-6.9",
        "kvm_tdp_mmu_page_fault() kvm_faultin_pfn() __kvm_faultin_pfn() mmu_invalidate_retry_gfn_unsafe() is_page_fault_stale() "
            + "kvm_tdp_mmu_map()")]
    [InlineData("arm64-6.2", "user_mem_abort()")]
    [InlineData("gpc-5.18", "hva_to_pfn_retry()")]
    public void The_steps_of_a_fault_and_of_an_invalidation_are_those_of_the_release(string kernel, string functions)
    {
        TimelineStep[] steps = Steps(Kernel.Find(kernel)!, memslotUpdates: false);
        Assert.Equal(functions.Split(' ').Order(), Functions(steps.Where(step => IsVcpu(step))));
        Assert.Equal(
            [End, Begin],
            Functions(steps.Where(step => step.Actor.StartsWith("invalidator", StringComparison.Ordinal))));

        // Guests and the primary MMU run no function of KVM.
        Assert.All(
            steps.Where(step => step.Function.Length == 0),
            step => Assert.True(
                step.Verdict == StepVerdict.Progress || step.Action.StartsWith("changes", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("linux-5.15", "install_new_memslots() kvm_mmu_zap_all_fast() kvm_set_memslot()")]
    [InlineData(
        "linux-6.1.y", "kvm_invalidate_memslot() kvm_mmu_zap_all_fast() kvm_set_memslot() kvm_swap_active_memslots()")]
    [InlineData("tdx-6.17", "kvm_invalidate_memslot() kvm_mmu_zap_memslot() kvm_set_memslot() kvm_swap_active_memslots()")]
    public void So_are_those_of_a_memslot_update(string kernel, string functions) => Assert.Equal(
        functions.Split(' '),
        Functions(Steps(Kernel.Find(kernel)!, memslotUpdates: true).Where(step => step.Actor == "memslot updater")));

    [Fact]
    public void The_defective_step_of_a_historical_defect_is_in_a_function_that_its_source_has()
    {
        foreach ((string kernel, string function) in ((string, string)[])
            [
                ("zap-gfn-5.14", "kvm_zap_gfn_range()"),
                ("tdp-flush-5.11", "zap_gfn_range()"),
                ("tdp-nx-5.11", "kvm_recover_nx_lpages()"),
            ])
        {
            Assert.Contains(function, Kernel.Find(kernel)!.Info.Source, StringComparison.Ordinal);
            Assert.Contains(function, Functions(Steps(Kernel.Find(kernel)!, memslotUpdates: false)));
        }

        // vCPU 0 prefaults; the others fault.
        TimelineStep[] prefault = Steps(Kernel.Find("prefault-6.17")!, memslotUpdates: true);
        Assert.Contains("kvm_tdp_map_page()", Functions(prefault.Where(step => step.Actor == "vCPU 0")));
        Assert.DoesNotContain("kvm_tdp_map_page()", Functions(prefault.Where(step => step.Actor == "vCPU 1")));
        Assert.Contains("__kvm_mmu_faultin_pfn()", Functions(prefault));
    }

    private static bool IsVcpu(TimelineStep step) => step.Actor.StartsWith("vCPU", StringComparison.Ordinal);

    private static IEnumerable<string> Functions(IEnumerable<TimelineStep> steps) =>
        steps.Select(step => step.Function).Where(function => function.Length > 0).Distinct().Order();

    private static TimelineStep[] Steps(Kernel kernel, bool memslotUpdates)
    {
        var cohort = new SimulatedCohort
        {
            Name = "c",
            Kernel = kernel,
            Vms = 5,
            Vm = new VmParameters
            {
                Vcpus = 2,
                Invalidators = 1,
                Pages = 4,
                RangePages = 2,
                MemslotUpdates = memslotUpdates,
                InvalidateSeqStart = unchecked(kernel.Info.ExpectedFrom - 100),
            },
        };
        return
        [
            .. Enumerable.Range(0, cohort.Vms).SelectMany(vm =>
                Replay.Range(cohort, new ShardOptions(), vm, 0, 1000, [], TestContext.Current.CancellationToken).Steps),
        ];
    }
}
