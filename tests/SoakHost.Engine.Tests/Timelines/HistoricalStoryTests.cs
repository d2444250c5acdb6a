using SoakHost.Engine.Checks;
using SoakHost.Engine.Explore;
using SoakHost.Engine.Timelines;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Timelines;

/// <summary>The shortest story of each historical defect names the cause that the upstream commit names.</summary>
public sealed class HistoricalStoryTests
{
    /// <summary>Kernel; a step that leads to the defect; the marked step; what is said of it.</summary>
    public static TheoryData<string, string, string, string> Stories =>
        new()
        {
            {
                "apic-page-4.14",
                "begins for page 0: no page leaves the secondary MMU",
                "changes the translation of page 0 in the primary MMU",
                "the guest goes on using memory that the host has given away: page 0 is still mapped"
            },
            {
                "tdp-flush-5.11",
                "completes the zap of page 0: no page leaves the secondary MMU, and the TLB is not flushed: this zap took "
                    + "nothing away",
                "changes the translation of page 0 in the primary MMU",
                "the guest goes on using memory that the host has given away: page 0 is in the TLB, which was not flushed"
            },
            {
                "tdp-nx-5.11",
                "begins for page 0: page 0 leaves the secondary MMU, the TLB may still hold page 0, and mmu_lock is dropped "
                    + "before the zap is complete",
                "changes the translation of page 0 in the primary MMU",
                "the guest goes on using memory that the host has given away: page 0 is in the TLB, which was not flushed"
            },
            {
                "mmu-notifiers-5.11",
                "begins: no page leaves the secondary MMU; another notifier refuses the invalidation, and no end follows",
                "checks under mmu_lock: stale, so it retries page 0",
                "mmu_invalidate_in_progress is 1 although no invalidation is in progress: the end of one that was refused "
                    + "never came"
            },
            {
                "ppc-hash-5.13",
                "begins for pages 0-1: page 0 leaves the secondary MMU",
                "changes the translation of pages 0-1 in the primary MMU",
                "the guest goes on using memory that the host has given away: page 1 is still mapped"
            },
            {
                "zap-gfn-5.14",
                "begins for page 0: no page leaves the secondary MMU",
                "finds nothing stale and installs page 0: the fault is fixed",
                "the guest now uses a page that the host took away: invalidator 0 is between begin and end for page 0, and the "
                    + "check did not see it"
            },
            {
                "tdp-iterator-5.15",
                "completes the zap of pages 0-1: no page leaves the secondary MMU",
                "changes the translation of pages 0-1 in the primary MMU",
                "the guest goes on using memory that the host has given away: page 1 is still mapped"
            },
            {
                "pae-root-5.16",
                "makes every root obsolete, and every mapping goes",
                "finds nothing stale and installs page 0: the fault is fixed",
                "page 0 goes into a root that KVM may have zapped already: the vCPU's root is obsolete, and the check did not "
                    + "see it"
            },
            {
                "gpc-5.18",
                "begins for page 0: no page leaves the secondary MMU, and mmu_lock is dropped before the zap is complete",
                "finds nothing stale and installs page 0: the fault is fixed",
                "the guest now uses a page that the host took away: invalidator 0 is between begin and end for page 0, and the "
                    + "check did not see it"
            },
            {
                "zap-gfn-5.16",
                "begins for page 0: no page leaves the secondary MMU",
                "finds nothing stale and installs page 0: the fault is fixed",
                "the guest now uses a page that the host took away: invalidator 0 is between begin and end for page 0, and the "
                    + "check did not see it"
            },
            {
                "arm64-6.2",
                "takes its snapshot of the counter",
                "finds nothing stale and installs page 0: the fault is fixed",
                "the guest now uses a page that the host took away: page 0 got a new translation after it was resolved, and "
                    + "the check did not see it"
            },
            {
                "riscv-6.2",
                "takes its snapshot of the counter",
                "finds nothing stale and installs page 0: the fault is fixed",
                "the guest now uses a page that the host took away: page 0 got a new translation after it was resolved, and "
                    + "the check did not see it"
            },
            {
                "apic-access-6.4",
                "begins for page 0: no page leaves the secondary MMU",
                "finds nothing stale and installs page 0: the fault is fixed",
                "the guest now uses a page that the host took away: invalidator 0 is between begin and end for page 0, and the "
                    + "check did not see it"
            },
            {
                "prefault-reload-6.11",
                "makes every root obsolete, and every mapping goes",
                "checks under mmu_lock: stale, so it retries page 0",
                "the root is obsolete, and this kernel does not reload it before it tries again"
            },
            {
                "prefault-root-6.11",
                "makes every root obsolete, and every mapping goes",
                "checks under mmu_lock: stale, so it retries page 0",
                "the root is obsolete, and this kernel does not reload it before it tries again"
            },
            {
                "prefault-6.17",
                "sets KVM_MEMSLOT_INVALID on the memslot of page 0 and waits for the readers of kvm->srcu: vCPU 0",
                "looks page 0 up: its memslot has KVM_MEMSLOT_INVALID set, so it tries again in the kernel, with kvm->srcu held",
                "vCPU 0 holds kvm->srcu and waits for the memslot of page 0 to become valid; the memslot update waits in "
                    + "synchronize_srcu_expedited() for vCPU 0 to leave kvm->srcu, and makes the memslot valid only after that"
            },
            {
                "tdx-6.17",
                "sets KVM_MEMSLOT_INVALID on the memslot of page 0 and waits for the readers of kvm->srcu: vCPU 0",
                "looks page 0 up: its memslot has KVM_MEMSLOT_INVALID set, so it tries again in the kernel, with kvm->srcu held",
                "vCPU 0 holds kvm->srcu and waits for the memslot of page 0 to become valid; the memslot update waits in "
                    + "synchronize_srcu_expedited() for vCPU 0 to leave kvm->srcu, and makes the memslot valid only after that"
            },
            {
                "amdgpu-hmm-chunk",
                "takes its snapshot of the counter",
                "finds nothing stale and installs page 0: the fault is fixed",
                "the guest now uses a page that the host took away: page 0 got a new translation after it was resolved, and "
                    + "the check did not see it"
            },
        };

    [Theory]
    [MemberData(nameof(Stories))]
    public void The_marked_step_and_its_explanation_name_the_cause(
        string name,
        string leadsToIt,
        string marked,
        string explanation)
    {
        Kernel kernel = Kernel.Find(name)!;
        Timeline story = Tell(kernel);
        Assert.Contains(story.Steps, step => step.Action == leadsToIt);
        TimelineStep defect = story.Steps.Last(step => step.IsDefect);
        Assert.Equal((marked, explanation), (defect.Action, defect.Explanation));
        Assert.Contains(explanation, story.Conclusion, StringComparison.Ordinal);
        Assert.EndsWith($". What differs in {name}: {kernel.Info.Description}", story.Conclusion, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_historical_defect_that_shows_has_such_a_story()
    {
        Assert.Equal(
            Kernel
                .All.Select(kernel => kernel.Info)
                .Where(info => info.Group == KernelGroup.HistoricalDefect && info.Expected != Defect.None)
                .Select(info => info.Name),
            Stories.Select(row => row.Data.Item1));
    }

    [Fact]
    public void A_count_that_the_kernel_raises_too_late_or_not_at_all_is_shown_as_it_is()
    {
        Assert.Equal(0u, Begin("zap-gfn-5.14").InProgress);
        Assert.Equal(0u, Begin("gpc-5.18").InProgress);
        Assert.Equal((1u, (0, 0)), (Begin("zap-gfn-5.16").InProgress, Begin("zap-gfn-5.16").Range));
        Assert.Equal((1u, (0, 1)), (Begin("apic-access-6.4").InProgress, Begin("apic-access-6.4").Range));

        static TimelineStep Begin(string kernel) =>
            Tell(Kernel.Find(kernel)!).Steps.First(step => step.Action.StartsWith("begins", StringComparison.Ordinal));
    }

    private static Timeline Tell(Kernel kernel) =>
        Explorer
            .Explore(
                kernel,
                KillMatrix.ExploreOptionsFor(kernel.Info),
                TimeProvider.System,
                cancellation: TestContext.Current.CancellationToken)
            .Counterexample!;
}
