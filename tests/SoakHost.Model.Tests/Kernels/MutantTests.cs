using SoakHost.Model.Kernels;

namespace SoakHost.Model.Tests.Kernels;

/// <summary>For each mutant, the shortest interleaving that shows its defect.</summary>
public sealed class MutantTests
{
    [Fact]
    public void Snapshot_u32_hangs_from_2_to_the_32() =>
        AssertHangsAfter<SnapshotU32>(lastGood: 0xffff_ffff, snapshot: 0);

    [Fact]
    public void Snapshot_i16_hangs_from_2_to_the_15() =>
        AssertHangsAfter<SnapshotI16>(lastGood: 0x7fff, snapshot: 0xffff_ffff_ffff_8000);

    [Fact]
    public void Snapshot_u16_hangs_from_2_to_the_16() =>
        AssertHangsAfter<SnapshotU16>(lastGood: 0xffff, snapshot: 0);

    [Fact]
    public void Snapshot_i8_hangs_from_2_to_the_7() =>
        AssertHangsAfter<SnapshotI8>(lastGood: 0x7f, snapshot: 0xffff_ffff_ffff_ff80);

    [Fact]
    public void Snapshot_u8_hangs_from_2_to_the_8() =>
        AssertHangsAfter<SnapshotU8>(lastGood: 0xff, snapshot: 0);

    [Fact]
    public void Snapshot_once_hangs_after_its_first_just_retry()
    {
        var story = new Story<SnapshotOnce>();
        story.Fault(0);
        story.Invalidate(0, 8, 9);
        story.Resolve(0);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
        Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(0));
        Assert.Equal((101UL, 100UL), (story.State.InvalidateSeq, story.State.Vcpus[0].Snapshot));
        Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(0));
    }

    [Fact]
    public void Compare_low_32_survives_for_a_counter_that_moves_by_less_than_2_to_the_32_in_one_fault()
    {
        var story = new Story<CompareLow32>(seq: 0xffff_ffff);
        story.Fault(0);
        story.Resolve(0);
        story.Invalidate(0, 0, 1);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
    }

    [Fact]
    public void Compare_signed_misses_the_step_over_2_to_the_63()
    {
        var story = new Story<CompareSigned>(seq: long.MaxValue);
        story.Fault(0);
        story.Resolve(0);
        story.Invalidate(0, 0, 1);
        Assert.Equal(Verdict.UnsafeInstall, story.Finish(0));
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(0xffff_ffffUL)]
    [InlineData(0x8000_0000_0000_0000UL)]
    [InlineData(0xffff_ffff_ffff_ffffUL)]
    public void Compare_signed_sees_every_other_step(ulong start)
    {
        var story = new Story<CompareSigned>(start);
        story.Fault(0);
        story.Resolve(0);
        story.Invalidate(0, 0, 1);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
    }

    [Fact]
    public void Saturating_seq_leaves_no_trace_of_an_invalidation_once_it_is_full()
    {
        var story = new Story<SaturatingSeq>(seq: 0x7fff_fffe);
        AssertInvalidationAfterResolveEndsAs(story, Verdict.JustifiedRetry);
        AssertInvalidationAfterResolveEndsAs(story, Verdict.UnsafeInstall);
        Assert.Equal(0x7fff_ffffUL, story.State.InvalidateSeq);
    }

    [Fact]
    public void No_in_progress_check_installs_what_is_being_taken_away()
    {
        var story = new Story<NoInProgressCheck>();
        story.Begin(0, 0, 1);
        Assert.Equal(Verdict.UnsafeInstall, story.FaultThrough(0));
    }

    [Fact]
    public void No_seq_check_installs_what_was_taken_away() =>
        AssertInvalidationAfterResolveEndsAs(new Story<NoSeqCheck>(), Verdict.UnsafeInstall);

    [Fact]
    public void Seq_at_begin_misses_the_end_of_an_invalidation_that_was_under_way_as_the_fault_was_taken()
    {
        var story = new Story<SeqAtBegin>();
        story.Begin(0, 0, 1);
        Assert.Equal(101UL, story.State.InvalidateSeq);
        story.Fault(0);
        story.Resolve(0);
        story.Change(0);
        story.End(0);
        Assert.Equal(Verdict.UnsafeInstall, story.Finish(0));
    }

    [Fact]
    public void Snapshot_after_resolve_misses_what_happened_between_the_two()
    {
        var story = new Story<SnapshotAfterResolve>();
        story.Fault(0);
        story.Resolve(0);
        story.Invalidate(0, 0, 1);
        story.TakeSnapshot(0);
        Assert.Equal(Verdict.UnsafeInstall, story.Finish(0));
    }

    [Fact]
    public void Check_before_lock_installs_what_was_taken_away_after_the_check()
    {
        var story = new Story<CheckBeforeLock>();
        story.Fault(0);
        story.Resolve(0);
        story.Pass(0);
        story.Begin(0, 0, 1);
        Assert.Equal(Verdict.UnsafeInstall, story.Finish(0));
    }

    [Fact]
    public void Range_not_hulled_forgets_the_first_of_two_ranges()
    {
        var story = new Story<RangeNotHulled>(page: 0);
        story.Begin(0, 0, 1);
        story.Begin(1, 8, 9);
        Assert.Equal(Verdict.UnsafeInstall, story.FaultThrough(0));
    }

    [Fact]
    public void Range_end_off_by_one_leaves_the_last_page_unprotected_and_no_other()
    {
        var story = new Story<RangeEndOffByOne>(page: 3);
        story.Begin(0, 2, 4);
        Assert.Equal(Verdict.UnsafeInstall, story.FaultThrough(0));
        story.Progress(0, nextPage: 2);
        Assert.Equal(Verdict.JustifiedRetry, story.FaultThrough(0));
    }

    [Fact]
    public void Range_cleared_at_end_forgets_the_range_that_is_still_in_progress()
    {
        var story = new Story<RangeClearedAtEnd>(page: 0);
        story.Begin(0, 0, 1);
        story.Begin(1, 8, 9);
        story.Change(1);
        story.End(1);
        Assert.Equal(Verdict.UnsafeInstall, story.FaultThrough(0));
    }

    [Fact]
    public void Unbalanced_end_hangs_inside_the_range_once_nothing_is_in_progress()
    {
        var story = new Story<UnbalancedEnd>(seq: 7, page: 0);
        story.Invalidate(0, 0, 1);
        Assert.Equal((8UL, 1u), (story.State.InvalidateSeq, story.State.InProgress));
        Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(0));
        Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(0));
        var outside = new Story<UnbalancedEnd>(seq: 7, page: 1);
        outside.Invalidate(0, 0, 1);
        Assert.Equal(Verdict.SafeInstall, outside.FaultThrough(0));
    }

    [Fact]
    public void No_root_check_installs_into_an_obsolete_root()
    {
        var story = new Story<NoRootCheck>(page: 1);
        story.MarkInvalid(slotPages: 1);
        story.Fault(0);
        story.Resolve(0);
        story.ZapForMemslotUpdate();
        Assert.Equal(Verdict.UnsafeInstall, story.Finish(0));
    }

    [Fact]
    public void Root_never_reloaded_hangs_at_the_first_fault_after_a_memslot_update()
    {
        var story = new Story<RootNeverReloaded>();
        story.MarkInvalid(slotPages: 1);
        story.ZapForMemslotUpdate();
        story.PutNewMemslotInPlace();
        Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(0));
        Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(0));
        Assert.Equal(0u, story.State.Vcpus[0].RootGeneration);
    }

    [Fact]
    public void Invalid_slot_used_installs_what_the_memslot_no_longer_says()
    {
        var story = new Story<InvalidSlotUsed>();
        story.MarkInvalid(slotPages: 1);
        story.ZapForMemslotUpdate();
        story.Fault(0);
        story.Resolve(0);
        story.PutNewMemslotInPlace();
        Assert.True(story.State.Vcpus[0].Outdated);
        Assert.Equal(Verdict.UnsafeInstall, story.Finish(0));
    }

    [Fact]
    public void No_srcu_wait_zaps_before_the_last_fault_on_the_old_memslot_is_installed()
    {
        var story = new Story<NoSrcuWait>();
        story.Fault(0);
        story.Resolve(0);
        story.MarkInvalid(slotPages: 1);
        story.ZapForMemslotUpdate();
        Assert.Equal(Verdict.UnsafeInstall, story.Finish(0));
        story.PutNewMemslotInPlace();
        Assert.Equal(1u, story.StaleMappings);
    }

    private static void AssertHangsAfter<TKernel>(ulong lastGood, ulong snapshot)
        where TKernel : struct, IKernel
    {
        var story = new Story<TKernel>(lastGood);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
        story.Invalidate(0, 0, 1);
        Assert.Equal(TKernel.Info.ExpectedFrom, story.State.InvalidateSeq);
        Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(0));
        Assert.Equal(snapshot, story.State.Vcpus[0].Snapshot);
        Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(0));
    }

    private static void AssertInvalidationAfterResolveEndsAs<TKernel>(Story<TKernel> story, Verdict verdict)
        where TKernel : struct, IKernel
    {
        story.Fault(0);
        story.Resolve(0);
        story.Invalidate(0, 0, 1);
        Assert.Equal(verdict, story.Finish(0));
    }
}
