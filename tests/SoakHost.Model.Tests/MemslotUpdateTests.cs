using SoakHost.Model.Kernels;

namespace SoakHost.Model.Tests;

/// <summary>A memslot update step by step: whom it waits for, who meets the invalid memslot, and what a deadlock is.</summary>
public sealed class MemslotUpdateTests
{
    [Fact]
    public void An_update_waits_for_the_end_of_every_invalidation_before_each_of_its_two_swaps()
    {
        var story = new Story<Linux61Stable>();
        story.Begin(0, 0, 1);
        Assert.Equal(MemslotUpdaterPhase.Invalidate, story.UpdateMemslot(1));
        story.Change(0);
        Assert.Equal(MemslotUpdaterPhase.Invalidate, story.UpdateMemslot());
        Assert.Equal(0UL, story.State.InvalidPages);
        story.End(0);
        Assert.Equal(MemslotUpdaterPhase.Zap, story.UpdateMemslot());
        Assert.Equal(1UL, story.State.InvalidPages);
        story.ZapForMemslotUpdate();
        story.Begin(0, 8, 9);
        Assert.Equal(MemslotUpdaterPhase.Swap, story.UpdateMemslot());
        story.Change(0);
        story.End(0);
        story.PutNewMemslotInPlace();
        Assert.Equal(0UL, story.State.InvalidPages);
        Assert.Equal(MemslotUpdaterPhase.Idle, story.UpdateMemslot());
        Assert.Equal(0UL, story.State.Slot);
    }

    [Fact]
    public void An_update_waits_for_the_faults_that_were_in_flight_as_the_memslot_became_invalid_and_for_no_later_ones()
    {
        var story = new Story<Linux61Stable>(page: 1);
        story.Fault(0);
        story.Resolve(0);
        story.MarkInvalid(slotPages: 2);
        Assert.Equal((true, false), (story.State.Vcpus[0].Awaited, story.State.Vcpus[1].Awaited));
        story.Fault(1);
        Assert.Equal(MemslotUpdaterPhase.Zap, story.UpdateMemslot());
        Assert.Equal(Verdict.SafeInstall, story.Finish(0));
        Assert.False(story.State.Vcpus[0].Awaited);
        story.ZapForMemslotUpdate();
        Assert.Equal(0UL, story.State.Mapped);
        Assert.True(story.State.Vcpus[1].Orphaned);
    }

    [Fact]
    public void A_fault_that_meets_an_invalid_memslot_is_retried_justly_and_its_vCPU_leaves_kvm_srcu()
    {
        var story = new Story<Linux61Stable>();
        story.Fault(0);
        story.MarkInvalid(slotPages: 1);
        Assert.True(story.State.Vcpus[0].Awaited);
        Assert.False(story.IsDeadlocked());
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
        Assert.Equal((VcpuPhase.Access, false), (story.State.Vcpus[0].Phase, story.State.Vcpus[0].Awaited));
        story.Fault(0);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
        story.ZapForMemslotUpdate();
        story.PutNewMemslotInPlace();
        Assert.Equal(Verdict.SafeInstall, story.FaultThrough(0));
    }

    [Fact]
    public void An_update_that_zaps_its_memslot_alone_leaves_the_roots_and_the_other_mappings()
    {
        var story = new Story<Tdx617>();
        story.FaultThrough(0);
        story.Progress(0, nextPage: 1);
        story.FaultThrough(0);
        Assert.Equal(3UL, story.State.Mapped);
        story.MarkInvalid(slotPages: 1);
        story.ZapForMemslotUpdate();
        Assert.Equal((2UL, 1UL, 0u), (story.State.Mapped, story.State.MappedTotal, story.State.RootGeneration));
        Assert.False(story.State.Vcpus[0].Orphaned);
    }

    [Fact]
    public void A_prefault_that_meets_the_invalid_memslot_whose_update_waits_for_it_is_a_deadlock()
    {
        var story = new Story<Prefault617>();
        story.Fault(0);
        story.TakeSnapshot(0);
        Assert.False(story.IsDeadlocked());
        story.MarkInvalid(slotPages: 1);
        Assert.Equal((true, true), (story.IsDeadlocked(), story.SaysWhatWaits()));
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
        Assert.Equal((VcpuPhase.Retry, true), (story.State.Vcpus[0].Phase, story.State.Vcpus[0].Awaited));
        Assert.Equal(MemslotUpdaterPhase.Zap, story.UpdateMemslot());
        story.Fault(0);
        story.TakeSnapshot(0);
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
        Assert.True(story.IsDeadlocked());
        Assert.True(story.WouldNeverBeFixed(0));
    }

    [Fact]
    public void A_deadlock_that_the_copy_alone_ran_into_is_not_said_to_be_one()
    {
        var story = new Story<Prefault617>();
        Assert.True(story.SaysWhatWaits());
        story.Fault(0);
        story.TakeSnapshot(0);
        story.Begin(0, 8, 9);
        Assert.Equal(MemslotUpdaterPhase.Invalidate, story.UpdateMemslot(slotPages: 1));
        Assert.Equal((true, false), (story.IsDeadlocked(), story.SaysWhatWaits()));

        // The fault may still be fixed before the memslot becomes invalid, and here it is.
        story.Resolve(0);
        story.CheckWithoutLock(0);
        Assert.Equal(Verdict.SafeInstall, story.Finish(0));
        story.Change(0);
        story.End(0);
        Assert.False(story.IsDeadlocked());
    }

    [Fact]
    public void A_prefault_that_resolved_its_page_before_the_memslot_became_invalid_does_not_deadlock()
    {
        var story = new Story<Prefault617>();
        story.Fault(0);
        story.TakeSnapshot(0);
        story.Resolve(0);
        story.CheckWithoutLock(0);
        story.MarkInvalid(slotPages: 1);
        Assert.False(story.IsDeadlocked());
        Assert.Equal(Verdict.SafeInstall, story.Finish(0));
        story.ZapForMemslotUpdate();
    }

    [Fact]
    public void A_prefault_of_another_memslot_s_page_does_not_deadlock_and_one_that_leaves_the_kernel_does_not()
    {
        var elsewhere = new Story<Prefault617>(page: 1);
        elsewhere.Fault(0);
        elsewhere.TakeSnapshot(0);
        elsewhere.MarkInvalid(slotPages: 1);
        Assert.False(elsewhere.IsDeadlocked());
        var leaves = new Story<PrefaultRoot611>();
        leaves.Fault(0);
        leaves.TakeSnapshot(0);
        leaves.MarkInvalid(slotPages: 1);
        Assert.False(leaves.IsDeadlocked());
        Assert.Equal(Verdict.JustifiedRetry, leaves.Finish(0));
        Assert.Equal(VcpuPhase.Access, leaves.State.Vcpus[0].Phase);
    }

    [Fact]
    public void A_normal_vCPU_beside_a_prefault_goes_back_to_its_guest()
    {
        var story = new Story<Prefault617>();
        story.Fault(1);
        story.TakeSnapshot(1);
        story.MarkInvalid(slotPages: 1);
        Assert.False(story.IsDeadlocked());
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(1));
        Assert.Equal((VcpuPhase.Access, false), (story.State.Vcpus[1].Phase, story.State.Vcpus[1].Awaited));
    }

    [Fact]
    public void A_prefault_whose_root_became_obsolete_keeps_it_and_hangs_without_a_deadlock()
    {
        var story = new Story<PrefaultRoot611>(page: 1);
        story.MarkInvalid(slotPages: 1);
        story.Fault(0);
        story.TakeSnapshot(0);
        story.Resolve(0);
        story.CheckWithoutLock(0);
        story.ZapForMemslotUpdate();
        Assert.Equal(Verdict.JustifiedRetry, story.Finish(0));
        Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(0));
        story.PutNewMemslotInPlace();
        Assert.Equal(MemslotUpdaterPhase.End, story.UpdateMemslot());
        Assert.True(story.WouldNeverBeFixed(0));
        Assert.False(story.IsDeadlocked());
        Assert.False(story.WouldNeverBeFixed(1));
    }

    [Fact]
    public void A_prefault_that_begins_with_an_obsolete_root_hangs_unless_kvm_mmu_reload_reloads_it()
    {
        Assert.True(HangsAfterTheUpdate(new Story<PrefaultReload611>()));
        Assert.False(HangsAfterTheUpdate(new Story<PrefaultRoot611>()));

        static bool HangsAfterTheUpdate<TKernel>(Story<TKernel> story)
            where TKernel : struct, IKernel
        {
            // What was fixed before says nothing about what comes.
            Assert.Equal(Verdict.SafeInstall, story.FaultThrough(1));
            story.MarkInvalid(slotPages: 1);
            story.ZapForMemslotUpdate();
            story.PutNewMemslotInPlace();
            Assert.Equal(MemslotUpdaterPhase.Idle, story.UpdateMemslot());
            Verdict verdict = story.FaultThrough(0);
            bool hangs = story.WouldNeverBeFixed(0);
            Assert.Equal(hangs ? Verdict.UnjustifiedRetry : Verdict.SafeInstall, verdict);
            Assert.False(story.WouldNeverBeFixed(1));
            return hangs;
        }
    }

    [Fact]
    public void An_update_that_waits_for_a_hung_reader_of_another_page_is_no_deadlock()
    {
        var story = new Story<PrefaultReload611>(page: 1);
        story.MarkInvalid(slotPages: 1);
        story.ZapForMemslotUpdate();
        story.PutNewMemslotInPlace();
        Assert.Equal(MemslotUpdaterPhase.Idle, story.UpdateMemslot());
        Assert.Equal(Verdict.UnjustifiedRetry, story.FaultThrough(0));
        story.Fault(0);

        // The next update waits for it, and for ever.
        story.MarkInvalid(slotPages: 1);
        Assert.Equal(MemslotUpdaterPhase.Zap, story.UpdateMemslot());
        Assert.Equal((false, true), (story.IsDeadlocked(), story.SaysWhatWaits()));
        Assert.True(story.WouldNeverBeFixed(0));
    }

    [Fact]
    public void An_update_that_waits_at_its_end_for_a_hung_reader_is_no_deadlock_though_the_page_is_in_its_memslot()
    {
        var story = new Story<PrefaultReload611>();
        story.MarkInvalid(slotPages: 1);
        story.ZapForMemslotUpdate();
        story.Fault(0);

        // On the copy the update comes to a wait that it is not in yet.
        Assert.Equal((false, false), (story.IsDeadlocked(), story.SaysWhatWaits()));
        story.PutNewMemslotInPlace();
        Assert.Equal(MemslotUpdaterPhase.End, story.UpdateMemslot());
        Assert.Equal((false, true), (story.IsDeadlocked(), story.SaysWhatWaits()));
        Assert.True(story.WouldNeverBeFixed(0));
    }

    [Fact]
    public void A_swap_finds_what_the_zap_left_mapped()
    {
        var story = new Story<NoSrcuWait>();
        story.Fault(0);
        story.Resolve(0);
        story.MarkInvalid(slotPages: 64);
        story.ZapForMemslotUpdate();
        story.Finish(0);
        Assert.Equal(0u, story.StaleMappings);
        story.PutNewMemslotInPlace();
        Assert.Equal(1u, story.StaleMappings);
    }
}
