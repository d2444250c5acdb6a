using SoakHost.Watch.Samples;
using static SoakHost.Watch.Verdicts.Tests.Sampled;

namespace SoakHost.Watch.Verdicts.Tests;

/// <summary>
/// What public reports gave as figures, and what turned out to be true. The numbers are those of the reports (kvm list, May to
/// August 2023 and January 2024, and public issue trackers).
/// </summary>
public sealed class FieldCaseTests
{
    /// <summary>Case 1: sums of a VM with four hung vCPUs, 5 s apart. On running totals it looked healthy.</summary>
    [Fact]
    public void A_VM_whose_faults_all_fail_without_a_single_TLB_flush_is_hung()
    {
        VcpuVerdict verdict = VcpuHistory.Judge(
        [
            At(0, null) with
            {
                Stats = Faults(74486522452, 27039604264, 12353, 2348694, 56), VmStats = new(1731549762, 3092024754),
            },
            At(5, null) with
            {
                Stats = Faults(74499574212, 27039604264, 12353, 2348694, 56), VmStats = new(1731549762, 3092024754),
            },
        ])!;

        Assert.Equal((WatchState.Hung, HangProof.Quiet), (verdict.State, verdict.Proof));
        Assert.Equal(2610352, verdict.UnresolvedPerSecond!.Value);
        Assert.Equal(5, verdict.SinceSeconds);
        Assert.Contains(verdict.Reasons, reason => reason.Contains("sums over the VM's vCPUs", StringComparison.Ordinal));
    }

    /// <summary>Cases 2 and 4: one vCPU, a fault each 2.4 and 2.0 us, an interrupt injected before every entry.</summary>
    [Theory]
    [InlineData(2.4e-6, 0xffffffffc0771aa2, 0x2594fe0, 0x683)]
    [InlineData(2.0e-6, 0xffffffffb0e9bed0, 0x16e5b2ff8, 0x83)]
    public void An_interrupt_that_is_injected_and_never_delivered_is_no_progress(
        double period, ulong rip, ulong gpa, ulong errorCode)
    {
        VcpuSample Sample(double t) => At(t) with
        {
            Stats = Faults((ulong)(t / period), exits: (ulong)(2 * t / period)),
            Trace = new(rip, gpa, errorCode, (ulong)(t / period)),
            Counter = new(0x8002c058, 0),
        };

        VcpuVerdict verdict = Judge(5, 1, Sample);

        Assert.Equal((WatchState.Hung, HangProof.Counter), (verdict.State, verdict.Proof));
    }

    /// <summary>Case 5: a host thought healthy, two vCPUs, seen by a trace alone.</summary>
    [Fact]
    public void Two_hung_vCPUs_that_nobody_had_noticed_are_named()
    {
        var host = new HostHistory();
        (int Vcpu, ulong Lines)[] runs = [(0, 1926), (1, 215722), (0, 66280), (1, 18609437)];
        foreach ((int i, (int vcpu, ulong lines)) in runs.Index())
            host.Add(At(i, vcpu) with { Trace = new(Repeats: lines), Counter = new(0x8009c7eb, 0) });

        Assert.Equal(2, host.Vcpus.Count);
        Assert.All(host.Vcpus, vcpu => Assert.Equal(
            (WatchState.Hung, HangProof.Counter), (vcpu.Verdict.State, vcpu.Verdict.Proof)));
    }

    /// <summary>Case 6: six runs of one address while the counter stands still.</summary>
    [Theory]
    [InlineData(true, HangProof.Counter)]
    [InlineData(false, HangProof.Repeats)]
    [InlineData(null, HangProof.Repeats)]
    public void One_address_over_and_over_while_the_counter_stands_still_is_a_hang(bool? affected, HangProof proof)
    {
        ulong[] runs = [4983329, 7585048, 1234546, 865885, 4548972, 1091282];

        VcpuVerdict verdict = VcpuHistory.Judge(runs.Select((lines, i) => At(i) with
        {
            Kernel = new(null, affected),
            Trace = new(Repeats: lines),
            Counter = new(0x8002c058, 0),
        }))!;

        Assert.Equal((WatchState.Hung, proof), (verdict.State, verdict.Proof));
    }

    /// <summary>Case 8: the trace that proved the defect, one sample of each of two vCPUs.</summary>
    [Theory]
    [InlineData(11615602)]
    [InlineData(11598962)]
    public void One_sample_is_enough_where_the_counter_can_never_match(ulong repeats)
    {
        VcpuVerdict verdict = VcpuHistory.Judge(
        [
            At(5) with { Trace = new(0xffffffff814e6ca5, 0x1343fa0b0, null, repeats), Counter = new(0x8002dc25, 0) },
        ])!;

        Assert.Equal((WatchState.Hung, HangProof.Counter), (verdict.State, verdict.Proof));
        Assert.Contains(verdict.Reasons, reason => reason.Contains("0x8002dc25", StringComparison.Ordinal));
        Assert.Contains(verdict.Reasons, reason => reason.Contains("0x1343fa0b0", StringComparison.Ordinal));
    }

    /// <summary>Case 9: 1,958 faults a second for 5 min while invalidations go on; the counter moves by 64.</summary>
    [Theory]
    [InlineData(true, true, WatchState.Hung)]
    [InlineData(true, false, WatchState.Stalled)]
    [InlineData(null, true, WatchState.Stalled)]
    [InlineData(false, true, WatchState.Starved)]
    public void A_hang_while_invalidations_go_on_shows_by_the_counter_alone(
        bool? affected, bool isCounterRead, WatchState expected)
    {
        VcpuSample Sample(double t) => At(t) with
        {
            Kernel = new(null, affected),
            Stats = Faults((ulong)(1958 * t)),
            Counter = isCounterRead ? new(0x80854227 + (ulong)(t * 0x46 / 300), 1) : new(),
        };

        VcpuVerdict verdict = Judge(300, 5, Sample);

        Assert.Equal(expected, verdict.State);
        Assert.Equal(expected == WatchState.Hung ? HangProof.Counter : null, verdict.Proof);
    }

    /// <summary>Case 11: how long 2^31 takes at the rates that were seen.</summary>
    [Theory]
    [InlineData(100, 248.6)]
    [InlineData(1000, 24.9)]
    [InlineData(5000, 5.0)]
    public void The_crossing_is_forecast_from_the_rate(double perSecond, double days)
    {
        var forecast = new CounterForecast();
        for (int t = 0; t <= 100; t++)
            forecast.Add(At(t) with { Counter = new((ulong)(t * perSecond), 0) });

        CrossingForecast crossing = forecast.Forecast(affected: true)!;

        Assert.Equal(perSecond, crossing.PerSecond!.Value, 3);
        Assert.Equal(days, (crossing.Expected!.Value - DateTimeOffset.UnixEpoch).TotalDays, 0.06);
    }

    /// <summary>Case 12: exits of all kinds, twice at one instruction and then on.</summary>
    [Fact]
    public void Two_faults_at_one_instruction_are_ordinary()
    {
        VcpuSample Sample(double t) => At(t) with
        {
            Stats = new(Exits: (ulong)(4000 * t), HaltExits: (ulong)(200 * t)),
            Trace = new(t % 2 < 1 ? 0x7ff45260dd24u : 0x7ff45260df88u, 0x1000, null, 2),
        };

        Assert.Equal(WatchState.Running, Judge(4, 1, Sample).State);
    }

    /// <summary>Case 14: a hung guest is migrated, and goes on; its new VM's counter starts at 0.</summary>
    [Fact]
    public void A_migrated_guest_starts_a_new_history()
    {
        var history = new VcpuHistory();
        VcpuSample Old(double t) => At(t) with { Stats = Faults((ulong)(400_000 * t) + 9000, 100), Counter = new(0x8002dc25, 0) };
        VcpuSample New(double t) => At(t) with
        {
            Stats = Faults((ulong)(100 * t), (ulong)(100 * t), exits: (ulong)(500 * t)),
            Counter = new((ulong)(100 * t), 0),
        };
        history.Add(Old(0));

        Assert.Equal(WatchState.Hung, history.Add(Old(5)).State);
        Assert.Equal(WatchState.Unknown, history.Add(New(10)).State);
        Assert.Equal(WatchState.Running, history.Add(New(15)).State);
        Assert.Equal(1, history.Restarts);
    }

    /// <summary>Case 15: pf_taken climbs while nothing else does.</summary>
    [Fact]
    public void Faults_that_lead_nowhere_in_quiet_are_a_hang() => Assert.Equal(
        WatchState.Hung,
        Judge(5, 1, t => At(t) with { Stats = Faults((ulong)(500_000 * t)), Host = new(Invalidations: 0) }).State);

    /// <summary>Case 16: a freeze of 20 s by NUMA balancing. Each zap lasts seconds; the counter moves at its end.</summary>
    [Theory]
    [InlineData(19, WatchState.Starved)]
    [InlineData(20, WatchState.Starved)]
    [InlineData(25, WatchState.Running)]
    public void A_freeze_that_ends_is_starvation_and_its_cause_is_named(double until, WatchState expected)
    {
        double[] zaps = [2.291, 2.343, 2.316, 1.663, .682, 2.706, 3.132, 4.846];
        VcpuSample Sample(double t)
        {
            double left = t;
            ulong ended = (ulong)zaps.TakeWhile(zap => (left -= zap) >= 0).Count();
            bool isFrozen = t < 19.979;
            double after = Math.Max(0, t - 19.979);
            return At(t) with
            {
                Kernel = Sound,
                Stats = Faults((ulong)(300_000 * Math.Min(t, 19.979)) + (ulong)(2000 * after), (ulong)(2000 * after)),
                Counter = new(1000 + ended, isFrozen ? 1UL : 0),
                Trace = new(0x10, 0x20, null, isFrozen ? (ulong)(300_000 * t) : 1),
                Host = new(NumaBalancing: true, KsmRunning: false),
            };
        }

        VcpuVerdict verdict = Judge(until, 0.5, Sample);

        Assert.Equal(expected, verdict.State);
        Assert.Equal(expected == WatchState.Starved ? "NUMA balancing" : null, verdict.Cause);
    }

    /// <summary>An hour without a resolved fault is no hang while nothing says whether anything is invalidated.</summary>
    [Fact]
    public void Time_alone_proves_nothing() => Assert.Equal(
        WatchState.Stalled, Judge(3600, 5, t => At(t) with { Stats = Faults((ulong)(300_000 * t)) }).State);

    /// <summary>Case 18: thousands of unmaps a second, vCPU threads hot. Linux 5.15 has no such defect.</summary>
    [Fact]
    public void A_storm_of_unmaps_starves()
    {
        VcpuSample Sample(double t) => At(t) with
        {
            Kernel = new("5.15.0-1092-azure"),
            Stats = Faults((ulong)(200_000 * t), (ulong)(300 * t)),
            VmStats = new((ulong)(4000 * t), (ulong)(4000 * t)),
            Host = new(NumaBalancing: true, Invalidations: 4000),
        };

        VcpuVerdict verdict = Judge(10, 1, Sample);

        Assert.Equal((WatchState.Starved, "NUMA balancing"), (verdict.State, verdict.Cause));
    }

    /// <summary>Case 20: a healthy Windows guest since its start. Fast fixes are counted among the fixed ones.</summary>
    [Fact]
    public void Fast_fixes_are_among_the_fixed_ones()
    {
        VcpuVerdict verdict = VcpuHistory.Judge(
        [
            At(0) with { Stats = new(0, 0, 0, 0, 0, 0, 0, 0, 0) },
            At(100) with
            {
                Stats = new(11455007, 11410566, 38873, 7, 5377009, 28094008, 1173865, 6536664, 0),
            },
        ])!;

        Assert.Equal(WatchState.Running, verdict.State);
        Assert.Equal(55.61, verdict.UnresolvedPerSecond!.Value, 2);
    }

    /// <summary>Case 22: emulated MMIO takes faults and fixes none.</summary>
    [Fact]
    public void Emulated_devices_are_no_hang()
    {
        VcpuVerdict verdict = VcpuHistory.Judge(
        [
            At(0) with { Stats = Faults(0, exits: 0) },
            At(60) with { Stats = Faults(254434, 0, 254397, 37, 0, 587162), VmStats = new(0, 0), Counter = new(0x8002dc25, 0) },
        ])!;

        Assert.Equal(WatchState.Running, verdict.State);
        Assert.Equal(0, verdict.UnresolvedPerSecond);
    }

    /// <summary>Case 22 with the figures that the report gave of its other vCPU: pf_emulate was not among them.</summary>
    [Theory]
    [InlineData(3023, WatchState.Running)]
    [InlineData(0, WatchState.Unknown)]
    public void Without_pf_emulate_few_fixes_prove_no_hang(ulong fixedFaults, WatchState expected)
    {
        VcpuVerdict verdict = VcpuHistory.Judge(
        [
            At(0) with { Stats = new(0, 0), VmStats = new(0, 0), Counter = new(0x8002dc25, 0) },
            At(60) with { Stats = new(128580, fixedFaults), VmStats = new(0, 0), Counter = new(0x8002dc25, 0) },
        ])!;

        Assert.Equal(expected, verdict.State);
    }

    /// <summary>Case 23: exits are HLT, the thread takes a processor, no faults. Beside it the healthy figures.</summary>
    [Theory]
    [InlineData(40833, 40960, 1.0, WatchState.HaltSpin)]
    [InlineData(40833, 40960, null, WatchState.HaltSpin)]
    [InlineData(40833, 40960, 0.1, WatchState.Running)]
    [InlineData(106, 588, 0.03, WatchState.Running)]
    [InlineData(106, 588, null, WatchState.Running)]
    public void A_vCPU_that_does_nothing_but_halt_spins(ulong halts, ulong exits, double? cpuSeconds, WatchState expected)
    {
        VcpuVerdict verdict = VcpuHistory.Judge(
        [
            At(0) with { Stats = Faults(7, 7, exits: 0) with { HaltExits = 0 }, Thread = new("R", cpuSeconds * 0) },
            At(1.2) with { Stats = Faults(7, 7, exits: exits) with { HaltExits = halts }, Thread = new("R", cpuSeconds * 1.2) },
        ])!;

        Assert.Equal(expected, verdict.State);
    }

    /// <summary>Case 25: a fault that the host cannot resolve goes to user space with EFAULT, again and again.</summary>
    [Theory]
    [InlineData(14)]
    [InlineData(null)]
    [InlineData(0)]
    public void Faults_that_end_in_user_space_are_a_failed_run(int? error)
    {
        VcpuSample Sample(double t) => At(t) with
        {
            Stats = Faults((ulong)(3000 * t)),
            VmStats = new(5, 5),
            Exits = new((ulong)(3000 * t), 0, error),
            Trace = new(1, 0x3fef42812000, 0x181, (ulong)(3000 * t)),
        };

        Assert.Equal(WatchState.RunFailed, Judge(301, 7, Sample).State);
    }

    /// <summary>Case 27: nested; the instruction is emulated, and that fails.</summary>
    [Fact]
    public void An_instruction_that_cannot_be_emulated_has_its_name()
    {
        VcpuSample Sample(double t) => At(t) with
        {
            Stats = Faults((ulong)(5000 * t), 0, (ulong)(5000 * t), exits: (ulong)(9000 * t)),
            Trace = new(0xfffff802987d6169, 0xfebd0000, 0x181, (ulong)(5000 * t)),
            Exits = new(0, (ulong)(5000 * t), 0),
        };

        Assert.Equal(WatchState.EmulationFailed, Judge(3, 1, Sample).State);
    }

    /// <summary>Case 29: the thread waits in the block driver for 10 s and more.</summary>
    [Fact]
    public void A_thread_in_D_state_is_blocked_in_the_host()
    {
        VcpuVerdict verdict = Judge(10, 5, t => At(t) with
        {
            Stats = Faults(100, 100, exits: 500),
            Thread = new("D", 12.5, "drbd_make_request"),
        });

        Assert.Equal((WatchState.BlockedInHost, "drbd_make_request"), (verdict.State, verdict.Cause));
    }

    /// <summary>Cases 30 and 32: the guest complains, and of the host there is no figure.</summary>
    [Fact]
    public void No_figure_no_verdict()
    {
        VcpuVerdict verdict = Judge(23, 1, t => At(t) with { Host = new(NumaBalancing: true) });

        Assert.Equal(WatchState.Unknown, verdict.State);
        Assert.Contains("no figures", verdict.Reasons[0], StringComparison.Ordinal);
    }
}
