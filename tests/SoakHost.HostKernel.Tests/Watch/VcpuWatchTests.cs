using Microsoft.Extensions.Time.Testing;
using SoakHost.HostKernel.Statistics;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel.Tests.Watch;

/// <summary>Scripted vCPUs, with the figures that real kernels with and without the defect showed (HOST-KERNEL.md).</summary>
public sealed class VcpuWatchTests
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100);

    // 2444 faults in 0.4 s, none fixed: a vCPU of a kernel with the defect.
    private const ulong HungFaultsATick = 611;

    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
    private readonly VcpuWatch _watch;
    private VcpuObservation _vcpu = new()
    {
        Heartbeat = 1000,
        ProgressDue = true,
        InvalidationsStopped = false,
        Faults = new FaultCounters(Taken: 50, Fixed: 50, Emulate: 0, Spurious: 0, Fast: 0, Exits: 60, SignalExits: 0),
        ProcessorTime = TimeSpan.FromSeconds(5),
        InvalidationsEnded = 1L << 31,
        InvalidationsBegun = (1L << 31) + 512,
    };

    public VcpuWatchTests()
    {
        _watch = new VcpuWatch(new VcpuWatchOptions(), _time);
        _watch.Observe(_vcpu);
    }

    [Fact]
    public void A_vCPU_whose_faults_climb_unfixed_is_suspected_then_quiesced_then_called_hung_with_proof()
    {
        Play(10, Hang);
        Assert.Equal(VcpuState.Suspect, _watch.State);
        Assert.True(_watch.WantsQuiesce);
        Assert.Null(_watch.Evidence);

        _vcpu = _vcpu with
        {
            InvalidationsStopped = true,
            InvalidationsEnded = (1L << 31) + 512,
            AtAccess = true,
            AccessAddress = 0x4000_3000,
        };
        Play(1, Hang);
        Assert.Equal(VcpuState.Quiescing, _watch.State);
        Play(19, Hang);
        Assert.Equal(VcpuState.Quiescing, _watch.State);
        Play(1, Hang);
        Assert.Equal(VcpuState.Hung, _watch.State);
        Assert.False(_watch.WantsQuiesce);

        HangEvidence evidence = Assert.IsType<HangEvidence>(_watch.Evidence);
        Assert.Equal(HangProof.Statistics, evidence.Proof);
        Assert.Equal(((1L << 31) + 512, (1L << 31) + 512), (evidence.InvalidationsEnded, evidence.InvalidationsBegun));
        Assert.Equal(20 * HungFaultsATick, evidence.FaultsAfter!.Value.Taken - evidence.FaultsAtQuiesce!.Value.Taken);
        Assert.Equal(50ul, evidence.FaultsAfter.Value.Fixed);
        Assert.Equal(0x4000_3000ul, evidence.FaultingAddress);
        Assert.Equal(
            "hung, with invalidations stopped at 2147484160, reading guest address 0x40003000: in 2 s without any invalidation, "
                + "12220 faults were taken and none fixed; its heartbeat last moved at 2147483648 to 2147484160, and its last "
                + "fix was at 2147483648 to 2147484160",
            evidence.ToString());
    }

    [Fact]
    public void A_hung_vCPU_stays_hung_however_long_and_a_heartbeat_is_a_recovery()
    {
        BringToHung();
        Play(400, Hang);
        Assert.Equal((VcpuState.Hung, 1, 0), (_watch.State, _watch.Suspicions, _watch.Recoveries));
        Play(1, Progress);
        Assert.Equal((VcpuState.Running, 1), (_watch.State, _watch.Recoveries));
        Assert.NotNull(_watch.Evidence);
    }

    [Fact]
    public void A_healthy_vCPU_in_a_storm_is_never_suspected_while_its_heartbeat_moves()
    {
        // 1032 taken and 38 fixed in a second.
        Play(50, each => Progress(Faults(each, taken: 103, @fixed: 4)));
        Assert.Equal((VcpuState.Running, 0, 0), (_watch.State, _watch.Suspicions, _watch.Starvations));
    }

    [Fact]
    public void A_storm_in_which_faults_are_fixed_without_progress_is_starvation_and_not_suspicion()
    {
        Play(30, each => Faults(each, taken: 103, @fixed: 4));
        Assert.Equal((VcpuState.Starved, 0, 1), (_watch.State, _watch.Suspicions, _watch.Starvations));
        Play(1, Progress);
        Assert.Equal(VcpuState.Running, _watch.State);
    }

    [Fact]
    public void A_suspect_that_goes_on_when_the_storm_stops_was_starved_and_not_hung()
    {
        Play(10, each => Faults(each, taken: 103, @fixed: 0));
        Assert.Equal(VcpuState.Suspect, _watch.State);
        _vcpu = _vcpu with { InvalidationsStopped = true };
        Play(1, each => each);
        Assert.Equal(VcpuState.Quiescing, _watch.State);
        Play(1, each => Progress(Faults(each, taken: 1, @fixed: 1)));
        Assert.Equal((VcpuState.Starved, 1), (_watch.State, _watch.Starvations));
        Assert.False(_watch.WantsQuiesce);
        Assert.Null(_watch.Evidence);

        _vcpu = _vcpu with { InvalidationsStopped = false };
        Play(1, Progress);
        Assert.Equal(VcpuState.Running, _watch.State);
    }

    [Fact]
    public void A_suspect_whose_heartbeat_moves_before_the_storm_is_stopped_runs()
    {
        Play(10, Hang);
        Play(1, Progress);
        Assert.Equal((VcpuState.Running, 0), (_watch.State, _watch.Starvations));
    }

    [Fact]
    public void Siblings_of_a_hung_vCPU_that_touch_mapped_pages_run()
    {
        // No faults at all, and a heartbeat: a VM-wide sum would mask the hung one, a watch for each does not.
        _vcpu = _vcpu with { InvalidationsStopped = true };
        Play(50, Progress);
        Assert.Equal((VcpuState.Running, 0), (_watch.State, _watch.Suspicions));
    }

    [Fact]
    public void Fixes_by_pf_fast_do_not_hide_a_hang()
    {
        // A write to a present, write-protected page is fixed without a look at the counter.
        Func<VcpuObservation, VcpuObservation> hang = each => Faults(each, HungFaultsATick, @fixed: 3, fast: 3);
        Play(10, hang);
        Assert.Equal(VcpuState.Suspect, _watch.State);
        _vcpu = _vcpu with { InvalidationsStopped = true };
        Play(21, hang);
        Assert.Equal(VcpuState.Hung, _watch.State);
    }

    [Fact]
    public void A_fix_just_before_the_hang_neither_hides_it_nor_counts_as_a_storm()
    {
        Play(5, Hang);
        Play(1, each => Faults(each, taken: 1, @fixed: 1));
        Play(9, Hang);
        Assert.Equal((VcpuState.Running, 0), (_watch.State, _watch.Starvations));
        Play(1, Hang);
        Assert.Equal((VcpuState.Suspect, 0), (_watch.State, _watch.Starvations));
    }

    [Fact]
    public void Faults_fixed_in_quiet_without_progress_are_not_called_the_defect()
    {
        Play(10, Hang);
        _vcpu = _vcpu with { InvalidationsStopped = true };
        Play(21, each => Faults(each, taken: 5, @fixed: 5));
        Assert.Equal(VcpuState.FixedInVain, _watch.State);
        Assert.Null(_watch.Evidence);
    }

    [Fact]
    public void Without_pf_taken_the_heartbeat_and_quiescing_decide_and_the_proof_says_so()
    {
        _vcpu = _vcpu with { Faults = null };
        _watch.Observe(Progress(_vcpu));
        Play(12, Spin);
        Assert.Equal(VcpuState.Suspect, _watch.State);
        _vcpu = _vcpu with { InvalidationsStopped = true, AtAccess = true };
        Play(21, Spin);
        Assert.Equal(VcpuState.Hung, _watch.State);
        Assert.Equal(HangProof.HeartbeatAlone, _watch.Evidence!.Proof);
        Assert.Contains("rests on the heartbeat alone", _watch.Evidence.ToString());
    }

    [Fact]
    public void Without_pf_taken_a_storm_is_still_told_from_a_hang()
    {
        _vcpu = _vcpu with { Faults = null };
        Play(12, Spin);
        _vcpu = _vcpu with { InvalidationsStopped = true };
        Play(1, Spin);
        Play(1, Progress);
        Assert.Equal(VcpuState.Starved, _watch.State);
    }

    [Fact]
    public void The_evidence_has_the_counter_at_the_last_heartbeat_the_last_fix_and_the_stop()
    {
        _vcpu = _vcpu with { InvalidationsEnded = 1000, InvalidationsBegun = 1512 };
        Play(1, Progress);
        _vcpu = _vcpu with { InvalidationsEnded = 2000, InvalidationsBegun = 2512 };
        Play(1, each => Faults(each, taken: 1, @fixed: 1));
        _vcpu = _vcpu with { InvalidationsEnded = 5000, InvalidationsBegun = 5512 };
        Play(11, Hang);
        _vcpu = _vcpu with { InvalidationsStopped = true, InvalidationsEnded = 6000, InvalidationsBegun = 6000 };
        Play(21, Hang);

        HangEvidence evidence = _watch.Evidence!;
        Assert.Equal(
            (new CounterBounds(1000, 1512), new CounterBounds(2000, 2512), new CounterBounds(6000, 6000)),
            (evidence.AtLastHeartbeat!.Value, evidence.AtLastFix!.Value, evidence.Stopped));
        Assert.Equal("1000 to 1512 6000", $"{evidence.AtLastHeartbeat} {evidence.Stopped}");
    }

    [Fact]
    public void Without_pf_taken_a_sweep_that_stands_still_at_any_instruction_is_hung()
    {
        StopWithoutStatistics();
        Play(21, each => Sample(each, at: 0x1000));

        Assert.Equal(VcpuState.Hung, _watch.State);
        Assert.Equal((HangProof.HeartbeatAlone, null), (_watch.Evidence!.Proof, _watch.Evidence.AtLastFix));
        Assert.Contains("heartbeat last moved at", _watch.Evidence.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Without_pf_taken_a_sweep_that_moves_in_quiet_or_was_hardly_looked_at_is_unexplained_and_not_looping()
    {
        StopWithoutStatistics();
        ulong at = 0x1000;
        Play(21, each => Sample(each, at++));
        Assert.Equal(VcpuState.Unexplained, _watch.State);

        StopWithoutStatistics();
        Play(2, each => Sample(each, at: 0x1000));
        Play(19, Spin);
        Assert.Equal((VcpuState.Unexplained, (HangEvidence?)null), (_watch.State, _watch.Evidence));
    }

    [Theory]
    [InlineData(3, VcpuState.Unexplained)]
    [InlineData(4, VcpuState.Hung)]
    public void Three_looks_at_one_instruction_after_the_first_are_enough(int looks, VcpuState expected)
    {
        StopWithoutStatistics();
        Play(looks, each => Sample(each, at: 0x1000));
        Play(21 - looks, Spin);

        Assert.Equal(expected, _watch.State);
    }

    [Fact]
    public void Without_pf_taken_a_sweep_that_gets_no_processor_time_is_not_scheduled()
    {
        StopWithoutStatistics();
        Play(21, each => Sample(each, at: 0x1000) with { ProcessorTime = each.ProcessorTime });

        Assert.Equal(VcpuState.NotScheduled, _watch.State);
    }

    [Fact]
    public void A_sweep_that_runs_without_faults_or_heartbeat_is_unexplained()
    {
        _vcpu = _vcpu with { CannotStandStill = true };
        Play(30, Spin);
        Assert.Equal(VcpuState.Unexplained, _watch.State);
    }

    [Fact]
    public void Without_pf_taken_a_guest_that_loops_elsewhere_is_not_called_hung()
    {
        _vcpu = _vcpu with { Faults = null };
        Play(12, Spin);
        _vcpu = _vcpu with { InvalidationsStopped = true, AtAccess = false };
        Play(21, Spin);
        Assert.Equal((VcpuState.LoopingInGuest, 1), (_watch.State, _watch.Suspicions));

        // To ask again would stop the soak for ever.
        _vcpu = _vcpu with { InvalidationsStopped = false };
        Play(40, Spin);
        Assert.Equal((VcpuState.LoopingInGuest, 1), (_watch.State, _watch.Suspicions));
    }

    [Fact]
    public void A_guest_that_runs_without_faults_or_heartbeat_loops()
    {
        Play(10, Spin);
        for (int look = 0; look < 40; look++)
        {
            Assert.Equal((VcpuState.LoopingInGuest, 0, 0), (_watch.State, _watch.Suspicions, _watch.Starvations));
            Play(1, Spin);
        }

        Play(1, Progress);
        Assert.Equal(VcpuState.Running, _watch.State);
    }

    [Fact]
    public void A_loop_that_begins_to_fault_without_fixes_becomes_a_suspect()
    {
        Play(12, Spin);
        Assert.Equal(VcpuState.LoopingInGuest, _watch.State);
        Play(11, Hang);
        Assert.Equal(VcpuState.Suspect, _watch.State);
    }

    [Fact]
    public void A_thread_without_processor_time_is_not_scheduled()
    {
        Play(30, each => each);
        Assert.Equal((VcpuState.NotScheduled, 0), (_watch.State, _watch.Suspicions));
    }

    [Fact]
    public void A_suspect_that_gets_no_processor_time_in_quiet_is_not_called_hung()
    {
        Play(10, Hang);
        _vcpu = _vcpu with { InvalidationsStopped = true };
        Play(21, each => each);
        Assert.Equal(VcpuState.NotScheduled, _watch.State);

        // Nothing was fixed, so nothing was fixed in vain.
        Play(5, each => each);
        Assert.Equal((VcpuState.NotScheduled, 0), (_watch.State, _watch.Starvations));
    }

    [Fact]
    public void A_vCPU_that_stalls_while_nothing_is_invalidated_is_judged_from_then_on()
    {
        _vcpu = _vcpu with { InvalidationsStopped = true };
        Play(10, Hang);
        Assert.Equal((VcpuState.Quiescing, 1), (_watch.State, _watch.Suspicions));
        Play(19, Hang);
        Assert.Equal(VcpuState.Quiescing, _watch.State);
        Play(1, Hang);
        Assert.Equal(VcpuState.Hung, _watch.State);
    }

    [Fact]
    public void Fixes_without_progress_are_starvation_after_twice_the_time_of_a_suspicion()
    {
        Play(19, each => Faults(each, taken: 103, @fixed: 4));
        Assert.Equal(VcpuState.Running, _watch.State);
        Play(1, each => Faults(each, taken: 103, @fixed: 4));
        Assert.Equal(VcpuState.Starved, _watch.State);
    }

    [Fact]
    public void Without_processor_times_a_stop_without_faults_stays_unexplained()
    {
        _vcpu = _vcpu with { ProcessorTime = null };
        _watch.Observe(Progress(_vcpu));
        _vcpu = Progress(_vcpu);
        Play(12, each => each);
        Assert.Equal(VcpuState.Unexplained, _watch.State);
    }

    [Fact]
    public void A_processor_time_that_is_no_longer_known_explains_nothing()
    {
        _vcpu = _vcpu with { ProcessorTime = null };
        Play(12, each => each);
        Assert.Equal(VcpuState.Unexplained, _watch.State);
    }

    [Theory]
    [InlineData(VcpuStop.Halted, VcpuState.Halted)]
    [InlineData(VcpuStop.Failed, VcpuState.RunFailed)]
    public void A_vCPU_that_ended_has_the_name_of_its_end(VcpuStop stop, VcpuState expected)
    {
        Play(30, each => Hang(each) with { Stop = stop });
        Assert.Equal(expected, _watch.State);
        Assert.False(_watch.WantsQuiesce);
    }

    [Fact]
    public void A_vCPU_that_was_asked_for_nothing_rests_however_long()
    {
        _vcpu = _vcpu with { ProgressDue = false };
        Play(100, each => each);
        Assert.Equal((VcpuState.Resting, 0), (_watch.State, _watch.Suspicions));
        _vcpu = _vcpu with { ProgressDue = true };
        Play(9, Hang);
        Assert.Equal(VcpuState.Running, _watch.State);
    }

    [Fact]
    public void The_quiet_time_starts_again_when_invalidations_were_resumed_for_another_reason()
    {
        Play(10, Hang);
        _vcpu = _vcpu with { InvalidationsStopped = true };
        Play(15, Hang);
        _vcpu = _vcpu with { InvalidationsStopped = false };
        Play(1, Hang);
        Assert.Equal(VcpuState.Suspect, _watch.State);
        _vcpu = _vcpu with { InvalidationsStopped = true };
        Play(15, Hang);
        Assert.Equal(VcpuState.Quiescing, _watch.State);
        Play(6, Hang);
        Assert.Equal(VcpuState.Hung, _watch.State);
    }

    [Theory]
    [InlineData(15, VcpuState.LoopingInGuest)]
    [InlineData(16, VcpuState.Suspect)]
    public void Sixteen_faults_without_a_fix_make_a_suspect_and_fewer_do_not(ulong taken, VcpuState expected)
    {
        Play(1, each => Faults(each, taken, @fixed: 0));
        Play(9, Spin);
        Assert.Equal(expected, _watch.State);
    }

    [Theory]
    [InlineData(15, VcpuState.LoopingInGuest)]
    [InlineData(16, VcpuState.Hung)]
    public void Sixteen_faults_in_quiet_are_a_hang_and_fewer_are_not(ulong taken, VcpuState expected)
    {
        Play(10, Hang);
        _vcpu = _vcpu with { InvalidationsStopped = true };
        Play(1, Spin);
        Play(1, each => Faults(each, taken, @fixed: 0));
        Play(18, Spin);
        Assert.Equal(VcpuState.Quiescing, _watch.State);
        Play(1, Spin);
        Assert.Equal(expected, _watch.State);
    }

    [Theory]
    [InlineData(9, VcpuState.NotScheduled)]
    [InlineData(10, VcpuState.LoopingInGuest)]
    public void A_hundredth_of_the_time_on_a_processor_is_scheduled_and_less_is_not(int milliseconds, VcpuState expected)
    {
        Play(1, each => each with { ProcessorTime = each.ProcessorTime + TimeSpan.FromMilliseconds(milliseconds) });
        Play(9, each => each);
        Assert.Equal(expected, _watch.State);
    }

    [Fact]
    public void More_fast_fixes_than_fixes_are_no_fix()
    {
        Play(10, each => Faults(each, HungFaultsATick, @fixed: 1, fast: 5));
        Assert.Equal(VcpuState.Suspect, _watch.State);
    }

    [Fact]
    public void A_fix_beside_a_fast_one_is_a_fix()
    {
        Play(30, each => Faults(each, HungFaultsATick, @fixed: 2, fast: 1));
        Assert.Equal((VcpuState.Starved, 0), (_watch.State, _watch.Suspicions));
    }

    [Fact]
    public void A_hung_vCPU_that_is_asked_for_nothing_stays_hung_and_every_recovery_counts()
    {
        BringToHung();
        Play(5, each => each with { ProgressDue = false });
        Assert.Equal((VcpuState.Hung, 0), (_watch.State, _watch.Recoveries));
        _vcpu = _vcpu with { ProgressDue = true };
        Play(1, Progress);
        _vcpu = _vcpu with { InvalidationsStopped = false };
        Play(1, Progress);
        BringToHung();
        Play(1, Progress);
        Assert.Equal((VcpuState.Running, 2, 2), (_watch.State, _watch.Recoveries, _watch.Suspicions));
    }

    [Fact]
    public void The_evidence_is_that_of_the_first_hang()
    {
        BringToHung();
        HangEvidence first = _watch.Evidence!;
        _vcpu = _vcpu with { InvalidationsStopped = false };
        Play(1, Progress);
        BringToHung();

        Assert.Same(first, _watch.Evidence);
        Assert.Equal(
            (_time.Start, _time.Start + (11 * Tick), _time.Start + (31 * Tick)),
            (first.LastHeartbeatAt, first.QuiescedAt, first.ConfirmedAt));
    }

    [Fact]
    public void Its_last_progress_is_its_last_heartbeat_or_when_it_was_given_work()
    {
        Assert.Null(new VcpuWatch(new VcpuWatchOptions(), _time).LastProgressAt);
        Play(3, Progress);
        Play(4, Hang);
        Assert.Equal(_time.Start + (3 * Tick), _watch.LastProgressAt);
        Play(1, each => each with { ProgressDue = false });
        Play(5, each => each with { ProgressDue = true });
        Assert.Equal(_time.Start + (9 * Tick), _watch.LastProgressAt);
    }

    [Fact]
    public void A_vCPU_that_moved_in_quiet_stays_starved_until_it_moves_in_a_storm()
    {
        Play(10, Hang);
        _vcpu = _vcpu with { InvalidationsStopped = true };
        Play(2, Hang);
        Play(3, Progress);
        Assert.Equal((VcpuState.Starved, 1), (_watch.State, _watch.Starvations));
        _vcpu = _vcpu with { ProgressDue = false };
        Play(1, Progress);
        Assert.Equal(VcpuState.Starved, _watch.State);
        _vcpu = _vcpu with { InvalidationsStopped = false };
        Play(1, Progress);
        Assert.Equal(VcpuState.Resting, _watch.State);
    }

    [Fact]
    public void Without_a_look_at_its_registers_a_stop_in_quiet_without_statistics_is_a_hang()
    {
        _vcpu = _vcpu with { Faults = null };
        Play(12, Spin);
        _vcpu = _vcpu with { InvalidationsStopped = true };
        Play(21, Spin);
        Assert.Equal((VcpuState.Hung, (ulong?)null), (_watch.State, _watch.Evidence!.FaultingAddress));
        Assert.DoesNotContain("reading guest address", _watch.Evidence.ToString(), StringComparison.Ordinal);
    }

    /// <summary>A sweep, without statistics, that is suspected; from the next look on its invalidations are stopped.</summary>
    private void StopWithoutStatistics()
    {
        _vcpu = _vcpu with
        {
            Faults = null,
            CannotStandStill = true,
            InvalidationsStopped = false,
            AtAccess = null,
            InstructionPointer = null,
        };
        Play(1, Progress);
        Play(12, Spin);
        Assert.Equal(VcpuState.Suspect, _watch.State);
        _vcpu = _vcpu with { InvalidationsStopped = true };
    }

    /// <summary>A look at the registers of a guest that runs, elsewhere than at the instruction that reads a page.</summary>
    private static VcpuObservation Sample(VcpuObservation vcpu, ulong at) =>
        Spin(vcpu) with { AtAccess = false, InstructionPointer = at, Samples = vcpu.Samples + 1 };

    private void BringToHung()
    {
        Play(10, Hang);
        _vcpu = _vcpu with { InvalidationsStopped = true };
        Play(21, Hang);
        Assert.Equal(VcpuState.Hung, _watch.State);
    }

    private void Play(int ticks, Func<VcpuObservation, VcpuObservation> change)
    {
        for (int tick = 0; tick < ticks; tick++)
        {
            _time.Advance(Tick);
            _vcpu = change(_vcpu);
            _watch.Observe(_vcpu);
        }
    }

    private static VcpuObservation Hang(VcpuObservation vcpu) => Faults(vcpu, HungFaultsATick, @fixed: 0);

    private static VcpuObservation Progress(VcpuObservation vcpu) => Spin(vcpu) with { Heartbeat = vcpu.Heartbeat + 7 };

    private static VcpuObservation Spin(VcpuObservation vcpu) => vcpu with { ProcessorTime = vcpu.ProcessorTime + Tick };

    private static VcpuObservation Faults(VcpuObservation vcpu, ulong taken, ulong @fixed, ulong fast = 0)
    {
        FaultCounters faults = vcpu.Faults!.Value;
        return Spin(vcpu) with
        {
            Faults = faults with
            {
                Taken = faults.Taken + taken,
                Fixed = faults.Fixed + @fixed,
                Fast = faults.Fast + fast,
                Exits = faults.Exits + taken,
            },
        };
    }
}
