using System.Globalization;
using System.Text.RegularExpressions;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Explore;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Timelines;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Tests.Timelines;

/// <summary>Every sentence that a story may hold, each drawn from a story that did happen.</summary>
public sealed partial class NarratorTests
{
    [Fact]
    public void The_story_of_linux_6_1_crossing_the_boundary_reads_like_this()
    {
        string[] story = Tell(Explore("linux-6.1", (1UL << 31) - 1));
        Assert.Equal(
            [
                "1 invalidator 0 begins for page 0: no page leaves the secondary MMU [0x7fffffff, 1 in progress in [0, 1), "
                    + "mapped none]",
                "2 invalidator 0 changes the translation of page 0 in the primary MMU [0x7fffffff, 1 in progress in [0, 1), "
                    + "mapped none]",
                "3 invalidator 0 ends: the counter goes from 0x7fffffff to 0x80000000 [0x80000000, 0 in progress in [0, 1), "
                    + "mapped none]",
                "4 vCPU 0 accesses page 0: not mapped, the fault is taken and the counter's snapshot with it "
                    + "(0xffffffff80000000) [0x80000000, 0 in progress in [0, 1), mapped none]",
                "5 vCPU 0 resolves page 0 in the primary MMU (0xffffffff80000000) [0x80000000, 0 in progress in [0, 1), mapped "
                    + "none]",
                "6 vCPU 0 checks under mmu_lock: stale, so it retries page 0 (0xffffffff80000000) [0x80000000, 0 in progress "
                    + "in [0, 1), mapped none] UnjustifiedRetry: no invalidation is in progress, and none has ended since the "
                        + "fault was taken: 0x80000000 was kept as an int and came back as 0xffffffff80000000",
                "7 vCPU 0 accesses page 0 again: the fault is taken once more (0xffffffff80000000) [0x80000000, 0 in progress "
                    + "in [0, 1), mapped none]",
                "8 vCPU 0 resolves page 0 in the primary MMU (0xffffffff80000000) [0x80000000, 0 in progress in [0, 1), mapped "
                    + "none]",
                "9 vCPU 0 checks under mmu_lock: stale, so it retries page 0 (0xffffffff80000000) [0x80000000, 0 in progress "
                    + "in [0, 1), mapped none] UnjustifiedRetry: no invalidation is in progress, and none has ended since the "
                        + "fault was taken: 0x80000000 was kept as an int and came back as 0xffffffff80000000",
            ],
            story);
    }

    [Fact]
    public void A_snapshot_that_is_taken_after_resolving_is_not_told_before()
    {
        string[] story = Tell(Explore("snapshot-after-resolve", 8));
        Assert.Equal(
            "1 vCPU 0 accesses page 0: not mapped, the fault is taken [0x8, 0 in progress in [0, 0), mapped none]",
            story[0]);
        Assert.Equal("2 vCPU 0 resolves page 0 in the primary MMU [0x8, 0 in progress in [0, 0), mapped none]", story[1]);
        Assert.Equal("6 vCPU 0 takes its snapshot of the counter (0x9) [0x9, 0 in progress in [0, 1), mapped none]", story[5]);
        Assert.Equal(
            "7 vCPU 0 finds nothing stale and installs page 0: the fault is fixed (0x9) [0x9, 0 in progress in [0, 1), mapped "
                + "0] UnsafeInstall: "
                + "page 0 got a new translation after it was resolved: the guest now uses a page that the host took away: page "
                    + "0 got a new "
                + "translation after it was resolved, and the check did not see it",
            story[6]);
    }

    [Fact]
    public void Actions_truths_and_explanations_are_these_and_no_others()
    {
        List<TimelineStep> steps = [];
        foreach (Kernel kernel in Kernel.All)
        {
            // A soak of each from where its defect shows, and the shortest way to it.
            var vm = new VmParameters
            {
                Vcpus = 3,
                Invalidators = 2,
                Pages = 4,
                RangePages = 2,
                MemslotUpdates = kernel.Info.NeedsMemslotUpdates || kernel.Info.Group == KernelGroup.Release,
                InvalidateSeqStart = unchecked(kernel.Info.ExpectedFrom - 100),
            };
            var cohort = new SimulatedCohort { Name = "c", Kernel = kernel, Vms = 1, Vm = vm };
            steps.AddRange(Replay.Range(cohort, new ShardOptions(), 0, 0, 2000, [], TestContext.Current.CancellationToken).Steps);
            if (kernel.Info.Expected != Defect.None)
            {
                steps.AddRange(
                    Explorer
                        .Explore(
                            kernel,
                            KillMatrix.ExploreOptionsFor(kernel.Info),
                            TimeProvider.System,
                            cancellation: TestContext.Current.CancellationToken)
                        .Counterexample!.Steps);
            }
        }

        Assert.Equal(
            [
                "accesses page # again: the fault is taken once more",
                "accesses page #: mapped, the guest goes on to page #",
                "accesses page #: not mapped, the fault is taken",
                "accesses page #: not mapped, the fault is taken and the counter's snapshot with it",
                "begins for page #: page # leaves the secondary MMU",
                "begins for page #: page # leaves the secondary MMU, and mmu_lock is dropped before the zap is complete",
                "begins for page #: page # leaves the secondary MMU, the TLB may still hold page #, and mmu_lock is dropped "
                    + "before the zap is complete",
                "begins to update the memslot of page #: it waits until no invalidation is between begin and end",
                "begins: page # leaves the secondary MMU; another notifier refuses the invalidation, and no end follows",
                "changes the translation of page # in the primary MMU",
                "checks under mmu_lock: stale, so it retries page #",
                "checks without mmu_lock: fresh",
                "checks without mmu_lock: stale, so it retries page #",
                "checks: fresh; it will install in a step of its own",
                "completes the zap of page #: page # leaves the secondary MMU",
                "completes the zap of page #: page # leaves the secondary MMU, and the TLB is flushed",
                "completes the zap of page #: page # leaves the secondary MMU, and the TLB is not flushed: this zap took "
                    + "nothing away",
                "ends: the counter goes from # to #",
                "ends: the counter stays at #",
                "finds nothing stale and installs page #: the fault is fixed",
                "is done with the memslot of page #",
                "looks page # up: its memslot has KVM_MEMSLOT_INVALID set, so it leaves kvm->srcu and tries again",
                "looks page # up: its memslot has KVM_MEMSLOT_INVALID set, so it tries again in the kernel, with kvm->srcu held",
                "makes every root obsolete, and every mapping goes",
                "resolves page # in the primary MMU",
                "sets KVM_MEMSLOT_INVALID on the memslot of page #",
                "sets KVM_MEMSLOT_INVALID on the memslot of page # and does not wait for the readers of kvm->srcu: vCPU #",
                "sets KVM_MEMSLOT_INVALID on the memslot of page # and waits for the readers of kvm->srcu: vCPU #",
                "swaps in memslots in which other memory is at page #",
                "swaps in memslots in which other memory is at page # and waits for the readers of kvm->srcu: vCPU #",
                "takes its snapshot of the counter",
                "tries page # again in the kernel: the fault is taken once more",
                "zaps the memslot of page #: page # leaves the secondary MMU",
            ],
            Distinct(steps.Select(step => step.Action)));
        Assert.Equal(
            [
                "",
                "# pages are mapped",
                "an invalidation ended since the fault was taken",
                "an invalidation is in progress, but not of page #",
                "an invalidation of pages that the kernel's range puts around page # is in progress",
                "every root became obsolete since the fault was taken",
                "invalidator # is between begin and end for page #",
                "no invalidation is in progress, and none has ended since the fault was taken",
                "page # got a new translation after it was resolved",
                "page # is in the TLB, which was not flushed",
                "page # is still mapped",
                "the memslot of page # is being updated",
                "the memslot of page # is being updated, and the update waits for vCPU # to leave kvm->srcu",
                "the memslot of page # was zapped and is about to be replaced",
                "the page is as it was resolved",
                "the vCPU's root is obsolete",
            ],
            Distinct(steps.SelectMany(step => step.Truth.Split("; "))));
        Assert.Equal(
            [
                "",
                "# was kept as a short and came back as #",
                "# was kept as a signed char and came back as #",
                "# was kept as an int and came back as #",
                "# was kept as an unsigned char and came back as #",
                "# was kept as an unsigned int and came back as #",
                "# was kept as an unsigned short and came back as #",
                "mmu_invalidate_in_progress is # although no invalidation is in progress: an end did not lower it",
                "mmu_invalidate_in_progress is # although no invalidation is in progress: the end of one that was refused "
                    + "never came",
                "page # goes into a root that KVM may have zapped already",
                "the guest can now use the old memslot's memory",
                "the guest goes on using memory that the host has given away",
                "the guest now uses a page that the host took away",
                "the kernel's total is #, but # pages are mapped: "
                    + "# times # too many, for a negative page count was zero-extended",
                "the retried fault still holds the snapshot # of an earlier one, and the counter has gone on to #",
                "the root is obsolete, and this kernel does not reload it before it tries again",
                "vCPU # holds kvm->srcu and waits for the memslot of page # to become valid; the memslot update waits in "
                + "synchronize_srcu_expedited() for vCPU # to leave kvm->srcu, and makes the memslot valid only after that",
            ],
            Distinct(
                steps.Select(step =>
                    step.Explanation.Split(": page")[0].Split(": invalidator")[0].Split(": the vCPU")[0].Split(": the memslot")[0]
                )));
        Assert.Equal(["invalidator #", "memslot updater", "vCPU #"], Distinct(steps.Select(step => step.Actor)));
    }

    [Fact]
    public void A_zero_extended_snapshot_above_its_sign_bit_is_told_as_unsigned()
    {
        Assert.Contains(
            "0x180000000 was kept as an unsigned int and came back as 0x80000000",
            Explore("snapshot-u32", 0x180000000).Conclusion,
            StringComparison.Ordinal);
        Assert.Contains(
            "0x1f000 was kept as an unsigned short and came back as 0xf000",
            Explore("snapshot-u16", 0x1f000).Conclusion,
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_memslot_update_that_upsets_the_account_is_explained()
    {
        // Without invalidations nothing else zaps.
        Timeline story = Explorer.Explore(
            Kernel.Of<Linux512I386>(),
            new ExploreOptions { Invalidations = 0, MemslotUpdates = 1 },
            TimeProvider.System,
            cancellation: TestContext.Current.CancellationToken).Counterexample!;
        Assert.Equal(("memslot updater", StepVerdict.AccountingError), (story.Steps[^1].Actor, story.Steps[^1].Verdict));
        Assert.Equal(
            "the kernel's total is 4294967296, but 0 pages are mapped: 1 times 2^32 too many, for a negative page count was "
                + "zero-extended",
            story.Steps[^1].Explanation);
    }

    [Fact]
    public void A_snapshot_of_24_bits_is_not_said_to_have_fewer()
    {
        Timeline story = Tell<SnapshotU24>(0x1000005);
        Assert.Equal("0x1000005 was kept as 24 bits and came back as 0x5", story.Steps[^1].Explanation);
    }

    [Fact]
    public void A_total_that_is_wrong_by_less_than_2_to_the_32_is_not_put_down_to_zero_extension()
    {
        Timeline story = Tell<ForgetsOnePage>(8);
        Assert.Equal("the kernel's total is 1, but 0 pages are mapped", story.Steps[^1].Explanation);
    }

    private static Timeline Tell<TKernel>(ulong start)
        where TKernel : struct, IKernel =>
        Explorer
            .Explore(
                Kernel.Of<TKernel>(),
                new ExploreOptions { Start = start },
                TimeProvider.System,
                cancellation: TestContext.Current.CancellationToken)
            .Counterexample!;

    /// <summary>A zap of any pages forgets to account for one of them.</summary>
    private readonly struct ForgetsOnePage : IKernel
    {
        public static KernelInfo Info { get; } =
            new("forgets-one-page", "a zap forgets one page", "here", Defect.AccountingError);

        public static Counter<T> AccountZap<T>(Counter<T> total, T zapped)
            where T : unmanaged, ILanes<T> => new(total.Low - zapped - ~T.IsZero(zapped), total.High);
    }

    [Theory]
    [InlineData(0UL, "none")]
    [InlineData(1UL, "0")]
    [InlineData(0b1000_1111UL, "0-3, 7")]
    [InlineData(1UL << 63, "63")]
    [InlineData(ulong.MaxValue, "0-63")]
    public void Pages_are_written_as_people_do(ulong pages, string text) => Assert.Equal(text, Timeline.DescribePages(pages));

    private static Timeline Explore(string kernel, ulong start) =>
        Explorer
            .Explore(
                Kernel.Find(kernel)!,
                new ExploreOptions { Start = start },
                TimeProvider.System,
                cancellation: TestContext.Current.CancellationToken)
            .Counterexample!;

    private static string[] Tell(Timeline story) =>
        [
            .. story.Steps.Select(step =>
                string.Create(CultureInfo.InvariantCulture, $"{step.Tick} {step.Actor} {step.Action}")
                + (step.Snapshot is { } snapshot ? $" (0x{snapshot:x})" : "")
                + string.Create(
                    CultureInfo.InvariantCulture,
                    $" [0x{step.InvalidateSeq:x}, {step.InProgress} in progress in [{step.Range.Start}, {step.Range.End}), "
                        + $"mapped {Timeline.DescribePages(step.Mapped)}]"
                )
                + (step.IsDefect ? $" {step.Verdict}: {step.Truth}: {step.Explanation}" : "")),
        ];

    /// <summary>The different sentences, whatever their numbers, and whether they are about no page, one or several.</summary>
    private static string[] Distinct(IEnumerable<string> texts) =>
    [
        .. texts.Select(text => Pages().Replace(Numbers().Replace(text, "#"), "page #"))
            .Select(text => text.Replace("page # leave the", "page # leaves the", StringComparison.Ordinal))
            .Select(text => text.Replace("page # are", "page # is", StringComparison.Ordinal))
            .Distinct().Order(StringComparer.Ordinal),
    ];

    [GeneratedRegex(@"\bpages #|\bno page(?= leaves)")]
    private static partial Regex Pages();

    [GeneratedRegex(@"0x[0-9a-f]+|2\^32|[0-9]+(-[0-9]+)?(, [0-9]+(-[0-9]+)?)*")]
    private static partial Regex Numbers();
}
