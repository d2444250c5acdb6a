using SoakHost.Watch.Samples;
using static SoakHost.Watch.Verdicts.Tests.Sampled;

namespace SoakHost.Watch.Verdicts.Tests;

/// <summary>
/// An invalidation that began and does not end: the counter stands still, in_progress too, and no fault in its range is resolved.
/// It may take long or be stuck. No invalidation of any report took more than 4.846 s.
/// </summary>
public sealed class HeldInvalidationTests
{
    [Theory]
    [InlineData(5.9, WatchState.Starved)]
    [InlineData(6, WatchState.Hung)]
    public void It_starves_a_vCPU_for_as_long_as_any_was_seen_to_last_and_then_hangs_it(double seconds, WatchState expected)
    {
        VcpuVerdict verdict = Judge(seconds, seconds / 4, t => Held(t));

        Assert.Equal((expected, expected == WatchState.Hung ? HangProof.Quiet : null), (verdict.State, verdict.Proof));
        Assert.Equal(seconds, verdict.SinceSeconds);
    }

    [Fact]
    public void How_often_it_is_looked_at_does_not_matter()
    {
        Assert.Equal(WatchState.Hung, Judge(60, 60, t => Held(t)).State);
        Assert.Equal(WatchState.Hung, Judge(6, 0.25, t => Held(t)).State);
    }

    [Theory]
    [InlineData(99_999UL, HangProof.Quiet)]
    [InlineData(100_000UL, HangProof.Repeats)]
    public void One_address_a_hundred_thousand_times_is_the_stronger_proof(ulong repeats, HangProof expected)
    {
        VcpuVerdict Verdict(double seconds) => Judge(seconds, 1, t => Held(t) with { Trace = new(null, 2, 3, repeats) });

        Assert.Equal((WatchState.Starved, null), (Verdict(5).State, Verdict(5).Proof));
        Assert.Equal((WatchState.Hung, expected), (Verdict(6).State, Verdict(6).Proof));
    }

    [Fact]
    public void An_address_that_changes_is_no_repeat() => Assert.Equal(
        HangProof.Quiet, Judge(6, 6, t => Held(t) with { Trace = new(null, (ulong)t, 3, 500_000) }).Proof);

    [Fact]
    public void A_trace_alone_is_enough() => Assert.Equal(
        (WatchState.Starved, WatchState.Hung),
        (Judge(5, 1, t => Traced(t)).State, Judge(6, 1, t => Traced(t)).State));

    [Fact]
    public void When_it_ends_the_vCPU_has_recovered()
    {
        var history = new VcpuHistory();
        for (double t = 0; t <= 12; t++)
            history.Add(Held(t));

        Assert.Equal((WatchState.Hung, 12.0), (history.Verdict!.State, history.Verdict.SinceSeconds));

        VcpuVerdict after = history.Add(Held(13) with { Stats = Faults(120_500, 500), Counter = new(78, 0) });
        Assert.Equal(WatchState.Running, after.State);
        Assert.Equal(["500 of 500 faults taken were resolved.", "It was hung and has recovered."], after.Reasons);
    }

    /// <summary>One took longer than any before it, and others follow: a freeze, not a hang.</summary>
    [Fact]
    public void When_it_ends_and_another_begins_the_vCPU_is_starved_again()
    {
        var history = new VcpuHistory();
        for (double t = 0; t <= 7; t++)
            history.Add(Held(t));

        Assert.Equal(WatchState.Hung, history.Verdict!.State);
        for (double t = 8; t <= 13; t++)
            Assert.Equal(WatchState.Starved, history.Add(Held(t) with { Counter = new(78, 1) }).State);
        Assert.Equal(WatchState.Hung, history.Add(Held(14) with { Counter = new(78, 1) }).State);
    }

    /// <summary>As <c>munmap</c> of a large range: one that takes its seconds and ends.</summary>
    [Fact]
    public void One_that_takes_five_seconds_is_never_called_a_hang()
    {
        var history = new VcpuHistory();
        for (double t = 0; t <= 5; t++)
            Assert.NotEqual(WatchState.Hung, history.Add(Held(t)).State);

        VcpuVerdict after = history.Add(Held(6) with { Stats = Faults(50_500, 500), Counter = new(78, 0) });
        Assert.Equal(WatchState.Starved, after.State);
        Assert.Contains("None had been resolved before.", after.Reasons);
    }

    [Theory]
    [InlineData("another one ended")]
    [InlineData("another one began")]
    [InlineData("one of two ended unseen")]
    [InlineData("a TLB was flushed")]
    [InlineData("a TLB flush was asked for")]
    [InlineData("a fault was resolved")]
    [InlineData("a device was emulated")]
    [InlineData("none was in progress once")]
    public void What_shows_that_something_goes_on_starts_the_time_again(string what)
    {
        var history = new VcpuHistory();
        VcpuSample Sample(double t)
        {
            bool isAfter = t >= 4;
            VcpuSample held = Held(t);
            return what switch
            {
                "another one ended" => held with { Counter = new(isAfter ? 78UL : 77, 1) },
                "another one began" => held with { Counter = new(77, isAfter ? 2UL : 1) },
                "one of two ended unseen" => held with { Counter = new(77, isAfter ? 1UL : 2) },
                "a TLB was flushed" => held with { VmStats = new(isAfter ? 10UL : 9, 9) },
                "a TLB flush was asked for" => held with { VmStats = new(9, isAfter ? 10UL : 9) },
                "a fault was resolved" => held with { Stats = Faults((ulong)(10_000 * t), isAfter ? 1UL : 0) },
                "a device was emulated" => held with { Stats = Faults((ulong)(10_000 * t), emulate: isAfter ? 1UL : 0) },
                _ => held with { Counter = new(77, t is 4 ? 0UL : 1) },
            };
        }

        for (double t = 0; t <= 9; t++)
            Assert.NotEqual(WatchState.Hung, history.Add(Sample(t)).State);
        Assert.Contains(
            WatchState.Hung, Enumerable.Range(10, 2).Select(t => history.Add(Sample(t)).State));
    }

    /// <summary>Each ends just before it would be called a hang, and the next begins at once.</summary>
    [Fact]
    public void A_storm_of_long_ones_starves_for_an_hour()
    {
        var history = new VcpuHistory();
        for (double t = 0; t <= 3600; t++)
        {
            VcpuVerdict verdict = history.Add(Held(t) with { Counter = new(77 + (ulong)(t / 5), 1) });
            Assert.Equal(t == 0 ? WatchState.Unknown : WatchState.Starved, verdict.State);
        }
    }

    /// <summary>KVM flushes as one begins. Flushes later on show that something else takes pages from the guest.</summary>
    [Fact]
    public void While_TLBs_are_flushed_it_starves_however_long_it_takes() => Assert.Equal(
        WatchState.Starved,
        Judge(300, 5, t => Held(t) with { VmStats = new((ulong)t, (ulong)t), Host = new(NumaBalancing: true) }).State);

    [Fact]
    public void A_few_unresolved_faults_a_second_prove_nothing() => Assert.Equal(
        WatchState.Starved, Judge(60, 5, t => Held(t) with { Stats = Faults((ulong)(99 * t)) }).State);

    [Fact]
    public void A_counter_that_was_not_read_is_not_still() => Assert.Equal(
        WatchState.Starved, Judge(60, 5, t => Held(t) with { Counter = new(null, 1), VmStats = new() }).State);

    [Fact]
    public void It_hangs_a_vCPU_of_any_kernel()
    {
        foreach (KernelFacts kernel in (KernelFacts[])[Affected, Sound, new()])
            Assert.Equal((WatchState.Hung, HangProof.Quiet), ProofOf(Judge(6, 1, t => Held(t) with { Kernel = kernel })));
    }

    [Fact]
    public void Beyond_the_boundary_of_an_affected_kernel_the_counter_is_the_proof() => Assert.Equal(
        (WatchState.Hung, HangProof.Counter),
        ProofOf(Judge(1, 1, t => Held(t) with { Kernel = Affected, Counter = new(0x80000000, 1) })));

    [Fact]
    public void A_sum_of_which_nothing_is_resolved_is_hung() => Assert.Equal(
        (WatchState.Hung, HangProof.Quiet), ProofOf(Judge(6, 1, t => Held(t) with { Vcpu = null })));

    [Fact]
    public void What_is_said_while_it_may_end() => Assert.Equal(
        [
            "10000 faults were taken in 1 s and none was resolved.",
            "An invalidation has been in progress for 5 s and has not ended. The vCPU waits for its end.",
        ],
        VcpuHistory.Judge(Enumerable.Range(0, 6).Select(i => Held(i) with { TimeSeconds = 1_700_000_000 + i }))!.Reasons);

    [Fact]
    public void What_is_said_when_it_has_lasted_too_long() => Assert.Equal(
        [
            "10000 faults were taken in 1 s and none was resolved.",
            "An invalidation has been in progress for 6 s and has not ended: the counter stood still at 0x4d. The longest of "
            + "any report took 4.8 s. The vCPU waits for its end, and recovers if it comes. Look for the thread that began it: "
            + "one of the VMM's, or of the kernel's that move and free memory.",
        ],
        Judge(6, 1, t => Held(t)).Reasons);

    [Fact]
    public void What_is_said_of_several_at_one_address() => Assert.Equal(
        [
            "10000 faults were taken in 1 s and none was resolved.",
            "One instruction 0xabc at guest address 0xdef faulted 400000 times in a row.",
            "2 invalidations have been in progress for 6 s and none has ended: the counter stood still at 0x4d. The longest of "
            + "any report took 4.8 s. The vCPU waits for their end, and recovers if it comes. Look for the threads that began "
            + "them: some of the VMM's, or of the kernel's that move and free memory.",
        ],
        Judge(6, 1, t => Held(t) with { Counter = new(77, 2), Trace = new(0xabc, 0xdef, 3, 400_000) }).Reasons);

    private static (WatchState, HangProof?) ProofOf(VcpuVerdict verdict) => (verdict.State, verdict.Proof);

    private static VcpuSample Held(double t) => At(t) with
    {
        Kernel = Sound,
        Stats = Faults((ulong)(10_000 * t)),
        Counter = new(77, 1),
        VmStats = new(9, 9),
    };

    private static VcpuSample Traced(double t) => At(t) with
    {
        Kernel = Sound,
        Trace = new(1, 2, 3, 150_000),
        Counter = new(77, 1),
    };
}
