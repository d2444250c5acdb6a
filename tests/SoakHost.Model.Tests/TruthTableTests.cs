using SoakHost.Model.Kernels;

namespace SoakHost.Model.Tests;

/// <summary>MODEL.md's ground truth, row by row: what each verdict looks like, and each truth that leads to it.</summary>
public sealed class TruthTableTests
{
    [Fact]
    public void An_undisturbed_fault_is_a_safe_install()
    {
        var story = new Story<Linux61Stable>(page: 3);
        story.Fault(0);
        story.Resolve(0);
        Assert.Equal(Verdict.SafeInstall, story.Finish(0));
        Assert.Equal(1UL << 3, story.State.Mapped);
        Assert.Equal(1UL, story.State.MappedTotal);
        story.Progress(0, nextPage: 4);
    }

    [Fact]
    public void An_invalidation_that_ended_before_the_fault_does_not_concern_it()
    {
        var story = new Story<Linux61Stable>();
        story.Invalidate(0, 0, 4);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
    }

    [Fact]
    public void A_fault_that_an_invalidation_raced_is_retried_justly_whatever_its_range()
    {
        var story = new Story<Linux61Stable>(page: 0);
        story.Fault(0);
        story.Invalidate(0, 8, 9);
        story.Resolve(0);
        Assert.True(story.State.Vcpus[0].Raced);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
    }

    [Fact]
    public void A_fault_inside_the_range_in_progress_is_retried_justly()
    {
        var story = new Story<Linux61Stable>(page: 3);
        story.Begin(0, 0, 4);
        Assert.Equal(Verdict.JustifiedRetry, story.FaultThrough(0));
        story.Change(0);
        Assert.Equal(Verdict.JustifiedRetry, story.FaultThrough(0));
        story.End(0);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
    }

    [Fact]
    public void A_fault_outside_the_range_in_progress_is_installed()
    {
        var story = new Story<Linux61Stable>(page: 4);
        story.Fault(0);
        story.Begin(0, 0, 4);
        story.Change(0);
        story.Resolve(0);
        Assert.False(story.State.Vcpus[0].Raced);
        Assert.Equal(Verdict.SafeInstall, story.Finish(0));
    }

    [Fact]
    public void A_fault_between_two_ranges_in_progress_is_retried_justly_for_the_kernel_keeps_their_hull()
    {
        var story = new Story<Linux61Stable>(page: 5);
        story.Begin(0, 0, 2);
        story.Begin(1, 8, 10);
        Assert.Equal(Verdict.JustifiedRetry, story.FaultThrough(0));
    }

    [Fact]
    public void The_hull_of_ranges_does_not_shrink_until_all_have_ended()
    {
        var story = new Story<Linux61Stable>(page: 9);
        story.Begin(0, 0, 2);
        story.Begin(1, 8, 10);
        Assert.Equal((0, 10), (story.State.RangeStart, story.State.RangeEnd));
        story.Change(1);
        story.End(1);
        Assert.Equal((0, 10), (story.State.RangeStart, story.State.RangeEnd));
        Assert.Equal(Verdict.JustifiedRetry, story.FaultThrough(0));

        // A begin while another is in progress widens what is there; only the first of all starts anew.
        story.Begin(1, 20, 21);
        Assert.Equal((0, 21), (story.State.RangeStart, story.State.RangeEnd));
        story.Change(1);
        story.End(1);
        story.Change(0);
        story.End(0);
        Assert.Equal(0u, story.State.InProgress);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
        story.Begin(0, 4, 5);
        Assert.Equal((4, 5), (story.State.RangeStart, story.State.RangeEnd));
    }

    [Fact]
    public void A_fault_whose_root_became_obsolete_is_retried_justly_and_reloads_it()
    {
        var story = new Story<Linux61Stable>(page: 1);
        story.MarkInvalid(slotPages: 1);
        story.Fault(0);
        story.Resolve(0);
        story.ZapForMemslotUpdate();
        Assert.True(story.State.Vcpus[0].Reloaded);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
        Assert.True(story.State.Vcpus[0].Orphaned);
        story.Fault(0);
        Assert.False(story.State.Vcpus[0].Orphaned);
        story.Resolve(0);
        Assert.Equal(Verdict.SafeInstall, story.Finish(0));
    }

    [Fact]
    public void A_retry_that_nothing_warrants_is_unjustified_while_nothing_is_in_progress()
    {
        var story = new Story<Linux61>(seq: 0x8000_0000);
        Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(0));
        story.Fault(0);
        story.Invalidate(0, 8, 9);
        story.Resolve(0);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
        Assert.Equal(2u, story.State.Vcpus[0].ConsecutiveRetries);
    }

    [Fact]
    public void A_retry_that_nothing_warrants_is_overcautious_while_an_invalidation_is_in_progress_elsewhere()
    {
        var story = new Story<Linux511>(page: 0);
        story.Begin(0, 8, 9);
        Assert.Equal(Verdict.OvercautiousRetry, story.FaultThrough(0));
        story.Change(0);
        Assert.Equal(Verdict.OvercautiousRetry, story.FaultThrough(0));
        story.End(0);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
    }

    [Fact]
    public void A_coarse_kernel_starves_and_never_hangs_and_one_with_the_defect_hangs()
    {
        var coarse = new Story<Linux511>(page: 0);
        coarse.Begin(0, 8, 9);
        Assert.Equal(Verdict.OvercautiousRetry, coarse.FaultThrough(0));
        Assert.False(coarse.WouldNeverBeFixed(0));
        var defective = new Story<Linux61>(seq: 0x8000_0000, page: 0);
        defective.Begin(0, 8, 9);
        Assert.True(defective.WouldNeverBeFixed(0));
    }

    [Fact]
    public void A_change_of_a_page_that_the_zap_missed_is_a_stale_mapping()
    {
        var story = new Story<PpcHash513>(page: 1);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
        story.Begin(0, 0, 2);
        Assert.Equal(0b10UL, story.State.Mapped);
        Assert.Equal(0u, story.StaleMappings);
        story.Change(0);
        Assert.Equal(1u, story.StaleMappings);
        story.End(0);
        story.Invalidate(0, 1, 2);
        Assert.Equal((0UL, 1u), (story.State.Mapped, story.StaleMappings));
    }

    [Fact]
    public void A_change_of_a_page_that_a_TLB_still_holds_is_a_stale_mapping()
    {
        var story = new Story<TdpFlush511>(page: 0);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
        story.Begin(0, 0, 2);
        Assert.Equal((0UL, 1UL), (story.State.Mapped, story.State.Invalidators[0].Unflushed));
        story.Begin(1, 0, 1);
        story.ZapRest(1);
        story.Change(1);
        Assert.Equal(1u, story.StaleMappings);

        // The flush at the end of the first zap comes too late for the second, and in time for its own change.
        story.ZapRest(0);
        Assert.Equal(0UL, story.State.Invalidators[0].Unflushed);
        story.Change(0);
        Assert.Equal(1u, story.StaleMappings);
    }

    [Fact]
    public void A_zap_that_took_something_away_flushes_for_every_other()
    {
        var story = new Story<TdpFlush511>(page: 0);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
        story.Progress(1, nextPage: 1);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(1));
        story.Begin(0, 0, 1);
        story.Begin(1, 0, 2);
        Assert.Equal((0b10UL, 1UL), (story.State.Mapped, story.State.Invalidators[0].Unflushed));
        story.ZapRest(1);
        Assert.Equal((0UL, 0UL), (story.State.Mapped, story.State.Invalidators[0].Unflushed));
        story.Change(1);
        Assert.Equal(0u, story.StaleMappings);
    }

    [Fact]
    public void An_unsafe_install_is_a_stale_mapping_too_once_the_primary_MMU_changes_the_page()
    {
        var story = new Story<NoInProgressCheck>();
        story.Begin(0, 0, 1);
        Assert.Equal(Verdict.UnsafeInstall, story.FaultThrough(0));
        Assert.Equal(0u, story.StaleMappings);
        story.Change(0);
        Assert.Equal(1u, story.StaleMappings);
    }

    [Fact]
    public void An_invalidation_that_another_notifier_refuses_is_over_but_for_the_kernels_count()
    {
        var story = new Story<MmuNotifiers511>(page: 0);
        story.Refuse(0, 0, 2);
        Assert.Equal((1u, 0UL), (story.State.InProgress, story.State.Invalidators[0].Own));
        Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(0));
        Assert.True(story.WouldNeverBeFixed(0));
    }

    [Fact]
    public void A_vCPU_gets_on_when_a_sibling_maps_its_page_and_its_retries_are_forgotten()
    {
        var story = new Story<Linux61Stable>();
        story.Fault(0);
        story.Invalidate(0, 8, 9);
        story.Resolve(0);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
        Assert.Equal(1u, story.State.Vcpus[0].ConsecutiveRetries);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(1));
        story.Progress(0, nextPage: 1);
        Assert.Equal(0u, story.State.Vcpus[0].ConsecutiveRetries);
    }

    [Fact]
    public void Installing_an_outdated_translation_is_unsafe()
    {
        var story = new Story<NoSeqCheck>();
        story.Fault(0);
        story.Resolve(0);
        story.Invalidate(0, 0, 1);
        Assert.True(story.State.Vcpus[0].Outdated);
        Assert.Equal(Verdict.UnsafeInstall, story.Finish(0));
    }

    [Fact]
    public void Installing_an_exposed_page_is_unsafe_even_before_its_translation_changed()
    {
        var story = new Story<NoInProgressCheck>();
        story.Begin(0, 0, 1);
        story.Fault(0);
        story.Resolve(0);
        Assert.False(story.State.Vcpus[0].Outdated);
        Assert.Equal(Verdict.UnsafeInstall, story.Finish(0));
    }

    [Fact]
    public void Installing_into_an_obsolete_root_is_unsafe()
    {
        var story = new Story<Linux515>(page: 1);
        story.MarkInvalid(slotPages: 1);
        story.Fault(0);
        story.Resolve(0);
        story.ZapForMemslotUpdate();
        Assert.Equal(Verdict.UnsafeInstall, story.Finish(0));
    }

    [Fact]
    public void Resolving_after_the_change_gives_the_new_translation_which_is_not_outdated()
    {
        var story = new Story<NoSeqCheck>();
        story.Fault(0);
        story.Invalidate(0, 0, 1);
        story.Resolve(0);
        Assert.Equal(Verdict.SafeInstall, story.Finish(0));
    }

    [Fact]
    public void An_invalidation_takes_its_pages_out_of_the_guest_and_out_of_the_total_as_it_begins()
    {
        var story = new Story<Linux61Stable>(page: 3);
        story.FaultThrough(0);
        story.Begin(0, 0, 8);
        Assert.Equal((0UL, 0UL), (story.State.Mapped, story.State.MappedTotal));
        Assert.Equal(100UL, story.State.InvalidateSeq);
        story.Change(0);
        story.End(0);
        Assert.Equal(101UL, story.State.InvalidateSeq);
        Assert.Equal(0u, story.AccountingErrors);
    }

    [Fact]
    public void Two_faults_on_one_page_map_it_once()
    {
        var story = new Story<Linux61Stable>();
        story.Fault(0);
        story.Fault(1);
        story.Resolve(0);
        story.Resolve(1);
        Assert.Equal(Verdict.SafeInstall, story.Finish(0));
        Assert.Equal(Verdict.SafeInstall, story.Finish(1));
        Assert.Equal(1UL, story.State.MappedTotal);
    }
}
