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

    private readonly FakeTimeProvider time = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
    private readonly VcpuWatch watch;
    private VcpuObservation vcpu = new()
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
        watch = new VcpuWatch(new VcpuWatchOptions(), time);
        watch.Observe(vcpu);
    }

    [Fact]
    public void A_vCPU_whose_faults_climb_unfixed_is_suspected_then_quiesced_then_called_hung_with_proof()
    {
        Play(10, Hang);
        Assert.Equal(VcpuState.Suspect, watch.State);
        Assert.True(watch.WantsQuiesce);
        Assert.Null(watch.Evidence);

        vcpu = vcpu with
        {
            InvalidationsStopped = true,
            InvalidationsEnded = (1L << 31) + 512,
            AtAccess = true,
            AccessAddress = 0x4000_3000,
        };
        Play(1, Hang);
        Assert.Equal(VcpuState.Quiescing, watch.State);
        Play(19, Hang);
        Assert.Equal(VcpuState.Quiescing, watch.State);
        Play(1, Hang);
        Assert.Equal(VcpuState.Hung, watch.State);
        Assert.False(watch.WantsQuiesce);

        HangEvidence evidence = Assert.IsType<HangEvidence>(watch.Evidence);
        Assert.Equal(HangProof.Statistics, evidence.Proof);
        Assert.Equal(((1L << 31) + 512, (1L << 31) + 512), (evidence.InvalidationsEnded, evidence.InvalidationsBegun));
        Assert.Equal(20 * HungFaultsATick, evidence.FaultsAfter!.Value.Taken - evidence.FaultsAtQuiesce!.Value.Taken);
        Assert.Equal(50ul, evidence.FaultsAfter.Value.Fixed);
        Assert.Equal(0x4000_3000ul, evidence.FaultingAddress);
        Assert.Equal(
            "hung at 2147484160 invalidations, reading guest address 0x40003000: in 2 s without any invalidation, 12220 faults "
                + "were taken and none fixed",
            evidence.ToString());
    }

    [Fact]
    public void A_hung_vCPU_stays_hung_however_long_and_a_heartbeat_is_a_recovery()
    {
        BringToHung();
        Play(400, Hang);
        Assert.Equal((VcpuState.Hung, 1, 0), (watch.State, watch.Suspicions, watch.Recoveries));
        Play(1, Progress);
        Assert.Equal((VcpuState.Running, 1), (watch.State, watch.Recoveries));
        Assert.NotNull(watch.Evidence);
    }

    [Fact]
    public void A_healthy_vCPU_in_a_storm_is_never_suspected_while_its_heartbeat_moves()
    {
        // 1032 taken and 38 fixed in a second.
        Play(50, each => Progress(Faults(each, taken: 103, @fixed: 4)));
        Assert.Equal((VcpuState.Running, 0, 0), (watch.State, watch.Suspicions, watch.Starvations));
    }

    [Fact]
    public void A_storm_in_which_faults_are_fixed_without_progress_is_starvation_and_not_suspicion()
    {
        Play(30, each => Faults(each, taken: 103, @fixed: 4));
        Assert.Equal((VcpuState.Starved, 0, 1), (watch.State, watch.Suspicions, watch.Starvations));
        Play(1, Progress);
        Assert.Equal(VcpuState.Running, watch.State);
    }

    [Fact]
    public void A_suspect_that_goes_on_when_the_storm_stops_was_starved_and_not_hung()
    {
        Play(10, each => Faults(each, taken: 103, @fixed: 0));
        Assert.Equal(VcpuState.Suspect, watch.State);
        vcpu = vcpu with { InvalidationsStopped = true };
        Play(1, each => each);
        Assert.Equal(VcpuState.Quiescing, watch.State);
        Play(1, each => Progress(Faults(each, taken: 1, @fixed: 1)));
        Assert.Equal((VcpuState.Starved, 1), (watch.State, watch.Starvations));
        Assert.False(watch.WantsQuiesce);
        Assert.Null(watch.Evidence);

        vcpu = vcpu with { InvalidationsStopped = false };
        Play(1, Progress);
        Assert.Equal(VcpuState.Running, watch.State);
    }

    [Fact]
    public void A_suspect_whose_heartbeat_moves_before_the_storm_is_stopped_runs()
    {
        Play(10, Hang);
        Play(1, Progress);
        Assert.Equal((VcpuState.Running, 0), (watch.State, watch.Starvations));
    }

    [Fact]
    public void Siblings_of_a_hung_vCPU_that_touch_mapped_pages_run()
    {
        // No faults at all, and a heartbeat: a VM-wide sum would mask the hung one, a watch for each does not.
        vcpu = vcpu with { InvalidationsStopped = true };
        Play(50, Progress);
        Assert.Equal((VcpuState.Running, 0), (watch.State, watch.Suspicions));
    }

    [Fact]
    public void Fixes_by_pf_fast_do_not_hide_a_hang()
    {
        // A write to a present, write-protected page is fixed without a look at the counter.
        Func<VcpuObservation, VcpuObservation> hang = each => Faults(each, HungFaultsATick, @fixed: 3, fast: 3);
        Play(10, hang);
        Assert.Equal(VcpuState.Suspect, watch.State);
        vcpu = vcpu with { InvalidationsStopped = true };
        Play(21, hang);
        Assert.Equal(VcpuState.Hung, watch.State);
    }

    [Fact]
    public void A_fix_just_before_the_hang_neither_hides_it_nor_counts_as_a_storm()
    {
        Play(5, Hang);
        Play(1, each => Faults(each, taken: 1, @fixed: 1));
        Play(9, Hang);
        Assert.Equal((VcpuState.Running, 0), (watch.State, watch.Starvations));
        Play(1, Hang);
        Assert.Equal((VcpuState.Suspect, 0), (watch.State, watch.Starvations));
    }

    [Fact]
    public void Faults_fixed_in_quiet_without_progress_are_not_called_the_defect()
    {
        Play(10, Hang);
        vcpu = vcpu with { InvalidationsStopped = true };
        Play(21, each => Faults(each, taken: 5, @fixed: 5));
        Assert.Equal(VcpuState.FixedInVain, watch.State);
        Assert.Null(watch.Evidence);
    }

    [Fact]
    public void Without_pf_taken_the_heartbeat_and_quiescing_decide_and_the_proof_says_so()
    {
        vcpu = vcpu with { Faults = null };
        watch.Observe(Progress(vcpu));
        Play(12, Spin);
        Assert.Equal(VcpuState.Suspect, watch.State);
        vcpu = vcpu with { InvalidationsStopped = true, AtAccess = true };
        Play(21, Spin);
        Assert.Equal(VcpuState.Hung, watch.State);
        Assert.Equal(HangProof.HeartbeatAlone, watch.Evidence!.Proof);
        Assert.Contains("rests on the heartbeat alone", watch.Evidence.ToString());
    }

    [Fact]
    public void Without_pf_taken_a_storm_is_still_told_from_a_hang()
    {
        vcpu = vcpu with { Faults = null };
        Play(12, Spin);
        vcpu = vcpu with { InvalidationsStopped = true };
        Play(1, Spin);
        Play(1, Progress);
        Assert.Equal(VcpuState.Starved, watch.State);
    }

    [Fact]
    public void Without_pf_taken_a_guest_that_loops_elsewhere_is_not_called_hung()
    {
        vcpu = vcpu with { Faults = null };
        Play(12, Spin);
        vcpu = vcpu with { InvalidationsStopped = true, AtAccess = false };
        Play(21, Spin);
        Assert.Equal(VcpuState.LoopingInGuest, watch.State);
    }

    [Fact]
    public void A_guest_that_runs_without_faults_or_heartbeat_loops()
    {
        Play(30, Spin);
        Assert.Equal((VcpuState.LoopingInGuest, 0), (watch.State, watch.Suspicions));
        Play(1, Progress);
        Assert.Equal(VcpuState.Running, watch.State);
    }

    [Fact]
    public void A_loop_that_begins_to_fault_without_fixes_becomes_a_suspect()
    {
        Play(12, Spin);
        Assert.Equal(VcpuState.LoopingInGuest, watch.State);
        Play(11, Hang);
        Assert.Equal(VcpuState.Suspect, watch.State);
    }

    [Fact]
    public void A_thread_without_processor_time_is_not_scheduled()
    {
        Play(30, each => each);
        Assert.Equal((VcpuState.NotScheduled, 0), (watch.State, watch.Suspicions));
    }

    [Fact]
    public void A_suspect_that_gets_no_processor_time_in_quiet_is_not_called_hung()
    {
        Play(10, Hang);
        vcpu = vcpu with { InvalidationsStopped = true };
        Play(21, each => each);
        Assert.Equal(VcpuState.NotScheduled, watch.State);
    }

    [Fact]
    public void Without_processor_times_a_stop_without_faults_stays_unexplained()
    {
        vcpu = vcpu with { ProcessorTime = null };
        watch.Observe(Progress(vcpu));
        vcpu = Progress(vcpu);
        Play(12, each => each);
        Assert.Equal(VcpuState.Unexplained, watch.State);
    }

    [Theory]
    [InlineData(VcpuStop.Halted, VcpuState.Halted)]
    [InlineData(VcpuStop.Failed, VcpuState.RunFailed)]
    public void A_vCPU_that_ended_has_the_name_of_its_end(VcpuStop stop, VcpuState expected)
    {
        Play(30, each => Hang(each) with { Stop = stop });
        Assert.Equal(expected, watch.State);
        Assert.False(watch.WantsQuiesce);
    }

    [Fact]
    public void A_vCPU_that_was_asked_for_nothing_rests_however_long()
    {
        vcpu = vcpu with { ProgressDue = false };
        Play(100, each => each);
        Assert.Equal((VcpuState.Resting, 0), (watch.State, watch.Suspicions));
        vcpu = vcpu with { ProgressDue = true };
        Play(9, Hang);
        Assert.Equal(VcpuState.Running, watch.State);
    }

    [Fact]
    public void The_quiet_time_starts_again_when_invalidations_were_resumed_for_another_reason()
    {
        Play(10, Hang);
        vcpu = vcpu with { InvalidationsStopped = true };
        Play(15, Hang);
        vcpu = vcpu with { InvalidationsStopped = false };
        Play(1, Hang);
        Assert.Equal(VcpuState.Suspect, watch.State);
        vcpu = vcpu with { InvalidationsStopped = true };
        Play(15, Hang);
        Assert.Equal(VcpuState.Quiescing, watch.State);
        Play(6, Hang);
        Assert.Equal(VcpuState.Hung, watch.State);
    }

    private void BringToHung()
    {
        Play(10, Hang);
        vcpu = vcpu with { InvalidationsStopped = true };
        Play(21, Hang);
        Assert.Equal(VcpuState.Hung, watch.State);
    }

    private void Play(int ticks, Func<VcpuObservation, VcpuObservation> change)
    {
        for (int tick = 0; tick < ticks; tick++)
        {
            time.Advance(Tick);
            vcpu = change(vcpu);
            watch.Observe(vcpu);
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
