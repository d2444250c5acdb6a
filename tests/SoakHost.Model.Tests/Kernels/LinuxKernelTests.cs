using CsCheck;
using SoakHost.Model.Kernels;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Model.Tests.Kernels;

/// <summary>What each Linux does, at the counters that were measured on real ones.</summary>
public sealed class LinuxKernelTests
{
    [Fact]
    public void Linux_5_15_does_not_see_that_the_root_became_obsolete()
    {
        var story = new Story<Linux515>(page: 1);
        story.MarkInvalid(slotPages: 1);
        story.Fault(0);
        story.Resolve(0);
        story.ZapForMemslotUpdate();
        Assert.Equal(Verdict.UnsafeInstall, story.Finish(0));
    }

    [Fact]
    public void Linux_6_1_hangs_at_the_first_fault_after_2_to_the_31_invalidations_and_stays_so()
    {
        var story = new Story<Linux61>(seq: 0x7fff_fffe);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
        story.Invalidate(0, 0, 1);
        Assert.Equal(0x7fff_ffffUL, story.State.InvalidateSeq);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
        story.Invalidate(0, 0, 1);
        Assert.Equal(0x8000_0000UL, story.State.InvalidateSeq);
        for (uint retry = 1; retry <= 1000; retry++)
        {
            Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(0));
            Assert.Equal(0xffff_ffff_8000_0000, story.State.Vcpus[0].Snapshot);
            Assert.Equal(retry, story.State.Vcpus[0].ConsecutiveRetries);
        }
    }

    [Fact]
    public void Crossing_alone_hangs_nothing_a_sibling_that_touches_mapped_pages_goes_on()
    {
        var story = new Story<Linux61>(seq: 0x7fff_ffff);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
        story.Invalidate(0, 8, 9);
        story.Progress(0, nextPage: 0);
        story.Progress(1, nextPage: 8);
        Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(1));
        story.Progress(0, nextPage: 0);
    }

    [Fact]
    public void A_fault_in_flight_as_linux_6_1_crosses_is_retried_justly_once_and_then_hangs()
    {
        var story = new Story<Linux61>(seq: 0x7fff_ffff);
        story.Fault(0);
        story.Invalidate(0, 8, 9);
        story.Resolve(0);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
        Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(0));
    }

    [Theory]
    [InlineData(0x7fff_fffeUL, true)]
    [InlineData(0x7fff_ffffUL, true)]
    [InlineData(0x8000_0000UL, false)]
    [InlineData(0xffff_fff0UL, false)]
    [InlineData(0x1_0000_0000UL, false)]
    [InlineData(0xffff_ffff_7fff_fff0UL, false)]
    [InlineData(0xffff_ffff_8000_0000UL, true)]
    [InlineData(0xffff_ffff_ffff_fff0UL, true)]
    public void Linux_6_1_started_at_a_counter_works_or_hangs_as_the_real_one_did(ulong start, bool works)
    {
        var story = new Story<Linux61>(start);
        Assert.Equal(works ? Verdict.SafeInstall : Verdict.UnjustifiedRetry, story.FaultThrough(0));
        Assert.Equal(Verdict.SafeInstall, new Story<Linux61Stable>(start).FaultThrough(0));
    }

    [Fact]
    public void Linux_6_1_fixes_a_fault_exactly_where_the_counter_survives_a_trip_through_an_int()
    {
        Gen.ULong.Select(seed => new Draws(seed).InvalidateSeqStart()).Sample(
            seq =>
            {
                bool survives = seq == unchecked((ulong)(long)(int)seq);
                return new Story<Linux61>(seq).FaultThrough(0) == (survives ? Verdict.SafeInstall : Verdict.UnjustifiedRetry);
            },
            iter: 10_000);
    }

    [Fact]
    public void Linux_6_1_works_over_the_wrap_to_0()
    {
        var story = new Story<Linux61>(seq: ulong.MaxValue);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
        story.Invalidate(0, 0, 1);
        Assert.Equal(0UL, story.State.InvalidateSeq);
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
    }

    [Theory]
    [InlineData(0x7fff_ffffUL)]
    [InlineData(0xffff_ffffUL)]
    [InlineData(0x7fff_ffff_ffff_ffffUL)]
    [InlineData(0xffff_ffff_ffff_ffffUL)]
    public void Linux_6_1_y_crosses_every_boundary_and_still_sees_an_invalidation_that_raced(ulong start)
    {
        var story = new Story<Linux61Stable>(start);
        story.Fault(0);
        story.Resolve(0);
        story.Invalidate(0, 0, 1);
        Assert.Equal(unchecked(start + 1), story.State.InvalidateSeq);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
    }

    [Fact]
    public void Linux_6_3_takes_its_snapshot_late_and_need_not_retry_for_what_ended_before()
    {
        var story = new Story<Linux63>(seq: 0x7fff_ffff);
        story.Fault(0);
        story.Invalidate(0, 0, 1);
        story.TakeSnapshot(0);
        Assert.Equal(0x8000_0000UL, story.State.Vcpus[0].Snapshot);
        story.Resolve(0);
        Assert.Equal(Verdict.SafeInstall, story.Finish(0));
    }

    [Fact]
    public void Linux_6_3_retries_for_what_ended_after_its_snapshot()
    {
        var story = new Story<Linux63>(seq: 0x7fff_ffff);
        story.Fault(0);
        story.TakeSnapshot(0);
        story.Resolve(0);
        story.Invalidate(0, 0, 1);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
    }

    [Fact]
    public void Linux_6_9_retries_before_resolving_where_the_page_is_being_invalidated()
    {
        var story = new Story<Linux69>();
        story.Fault(0);
        story.Begin(0, 0, 1);
        Assert.Equal(VcpuPhase.Snapshot, story.State.Vcpus[0].Phase);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
    }

    [Fact]
    public void Linux_6_9_retries_after_resolving_without_taking_the_lock()
    {
        var story = new Story<Linux69>();
        story.Fault(0);
        story.TakeSnapshot(0);
        story.Resolve(0);
        story.Invalidate(0, 8, 9);
        Assert.Equal(VcpuPhase.LocklessCheck, story.State.Vcpus[0].Phase);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
    }

    [Fact]
    public void Linux_6_9_does_not_ask_for_the_root_without_the_lock_but_does_under_it()
    {
        var story = new Story<Linux69>(page: 1);
        story.MarkInvalid(slotPages: 1);
        story.Fault(0);
        story.TakeSnapshot(0);
        story.Resolve(0);
        story.ZapForMemslotUpdate();
        story.CheckWithoutLock(0);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Linux_5_12_on_i386_adds_2_to_the_32_less_n_to_the_total_when_n_pages_are_freed(int pages)
    {
        var story = new Story<Linux512I386>();
        for (int page = 0; page < pages; page++)
        {
            Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
            story.Progress(0, nextPage: page + 1);
        }

        Assert.Equal((ulong)pages, story.State.MappedTotal);
        story.Begin(0, 0, pages);
        Assert.Equal(1u, story.AccountingErrors);
        Assert.Equal((ulong)pages + ((1UL << 32) - (ulong)pages), story.State.MappedTotal);
    }

    [Fact]
    public void Linux_5_12_on_i386_goes_wrong_only_as_pages_are_freed_and_each_time_by_2_to_the_32()
    {
        var story = new Story<Linux512I386>();
        story.Invalidate(0, 0, 4);
        Assert.Equal(0u, story.AccountingErrors);
        for (ulong time = 1; time <= 3; time++)
        {
            Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
            story.Invalidate(0, 0, 4);
            Assert.Equal(time << 32, story.State.MappedTotal);
            Assert.Equal(time, story.AccountingErrors);
        }
    }
}
