using CsCheck;
using SoakHost.Watch.Samples;
using static SoakHost.Watch.Verdicts.Tests.Sampled;

namespace SoakHost.Watch.Verdicts.Tests;

/// <summary>Each rule of the verdict, at its edges.</summary>
public sealed class VcpuHistoryTests
{
    private static readonly CounterReading Still = new(77, 0);

    [Fact]
    public void There_is_no_verdict_before_a_sample() => Assert.Null(VcpuHistory.Judge([]));

    [Fact]
    public void One_sample_is_not_enough()
    {
        VcpuVerdict verdict = VcpuHistory.Judge([At(0) with { Stats = Faults(1_000_000) }])!;

        Assert.Equal(WatchState.Unknown, verdict.State);
        Assert.Contains("a state takes two", verdict.Reasons[0], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(99_999UL, null, WatchState.Unknown)]
    [InlineData(100_000UL, null, WatchState.Unknown)]
    [InlineData(999UL, 0x80000000UL, WatchState.Unknown)]
    [InlineData(1000UL, 0x80000000UL, WatchState.Hung)]
    [InlineData(1000UL, 0x7fffffffUL, WatchState.Unknown)]
    public void One_sample_proves_a_hang_beyond_the_boundary_alone(ulong repeats, ulong? seq, WatchState expected) =>
        Assert.Equal(
            expected, VcpuHistory.Judge([At(0) with { Trace = new(1, 2, 3, repeats), Counter = new(seq, 0) }])!.State);

    [Theory]
    [InlineData(99_999UL, WatchState.Unknown)]
    [InlineData(100_000UL, WatchState.Hung)]
    public void With_statistics_one_sample_must_repeat_as_often_as_everywhere(ulong repeats, WatchState expected) =>
        Assert.Equal(expected, VcpuHistory.Judge(
            [At(0) with { Stats = Faults(7), Trace = new(1, 2, 3, repeats), Counter = new(0x80000000, 0) }])!.State);

    [Theory]
    [InlineData(null)]
    [InlineData(7_000_000UL)]
    public void In_one_sample_an_address_alone_may_be_a_device_s_and_proves_nothing(ulong? taken) =>
        Assert.Equal(
            WatchState.Unknown,
            VcpuHistory.Judge(
            [
                At(0) with
                {
                    Stats = taken is { } faults ? Faults(faults) : new(),
                    Trace = new(null, 0xfebd0000, 3, 1_000_000),
                    Counter = new(0x80000000, 0),
                },
            ])!.State);

    [Fact]
    public void Without_statistics_an_address_alone_never_proves_anything()
    {
        VcpuVerdict verdict = Judge(60, 5, t => At(t) with
        {
            Kernel = Sound,
            Trace = new(null, 0xfebd0000, 3, 1_000_000 + (ulong)t),
            Thread = new("R", t),
            Counter = Still,
        });

        Assert.Equal(WatchState.Unknown, verdict.State);
    }

    [Fact]
    public void With_statistics_an_address_alone_is_as_good_as_an_instruction()
    {
        VcpuVerdict verdict = VcpuHistory.Judge(Enumerable.Range(0, 2).Select(t => At(t) with
        {
            Stats = Faults((ulong)t * 500_000),
            Trace = new(null, 0x1000, 3, (ulong)t * 500_000),
            Counter = new(77, 0),
        }))!;

        Assert.Equal((WatchState.Hung, HangProof.Repeats), (verdict.State, verdict.Proof));
        Assert.Contains("Guest address 0x1000 faulted 500000 times in a row.", verdict.Reasons);
    }

    [Fact]
    public void A_vCPU_that_faults_at_another_address_has_moved_on()
    {
        VcpuVerdict verdict = VcpuHistory.Judge(Enumerable.Range(0, 2).Select(t => At(t) with
        {
            Stats = Faults((ulong)t * 500_000),
            Trace = new(null, 0x1000u + (ulong)t, 3, 500_000),
            Counter = new(77, 0),
        }))!;

        // None of its faults was resolved in quiet: that proves it, and not the address.
        Assert.Equal((WatchState.Hung, HangProof.Quiet), (verdict.State, verdict.Proof));
    }

    [Fact]
    public void A_sample_must_be_later_than_the_one_before()
    {
        var history = new VcpuHistory();
        history.Add(At(5) with { Stats = Faults(1) });

        foreach (double t in (double[])[5, 4.9])
        {
            string message = Assert.Throws<ArgumentException>(() => history.Add(At(t) with { Stats = Faults(2) })).Message;
            Assert.Contains($"time_seconds is {t}", message, StringComparison.Ordinal);
            Assert.Contains("at 5", message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(15UL, WatchState.Running)]
    [InlineData(16UL, WatchState.Stalled)]
    public void Few_faults_are_no_faults(ulong taken, WatchState expected) => Assert.Equal(
        expected, Judge(1, 1, t => At(t) with { Stats = Faults(t > 0 ? taken : 0, exits: (ulong)(t * 50)) }).State);

    [Theory]
    [InlineData(31UL, 16UL, WatchState.Running)]
    [InlineData(32UL, 16UL, WatchState.Running)]
    [InlineData(100_000UL, 10_000UL, WatchState.Stalled)]
    [InlineData(100_000UL, 10_001UL, WatchState.Running)]
    [InlineData(1_111UL, 111UL, WatchState.Stalled)]
    [InlineData(1_110UL, 111UL, WatchState.Running)]
    public void Retries_show_once_they_are_nearly_all(ulong taken, ulong fixedFaults, WatchState expected) => Assert.Equal(
        expected, Judge(1, 1, t => At(t) with { Stats = Faults((ulong)(taken * t), (ulong)(fixedFaults * t)) }).State);

    [Theory]
    [InlineData(100_000UL, 90_000UL, WatchState.Unknown)]
    [InlineData(100_000UL, 90_001UL, WatchState.Running)]
    [InlineData(10_000UL, 9_000UL, WatchState.Unknown)]
    [InlineData(9_990UL, 8_991UL, WatchState.Running)]
    public void In_a_sum_one_hung_vCPU_may_hide(ulong taken, ulong fixedFaults, WatchState expected)
    {
        VcpuVerdict verdict = Judge(1, 1, t => At(t, null) with { Stats = Faults((ulong)(taken * t), (ulong)(fixedFaults * t)) });

        Assert.Equal(expected, verdict.State);
        Assert.Contains(verdict.Reasons, reason => reason.StartsWith("These are sums", StringComparison.Ordinal));
    }

    [Fact]
    public void A_vCPU_of_its_own_is_no_sum() => Assert.DoesNotContain(
        Judge(1, 1, t => At(t) with { Stats = Faults((ulong)(9 * t), exits: (ulong)t) }).Reasons,
        reason => reason.Contains("sums", StringComparison.Ordinal));

    /// <summary>Beyond the boundary no vCPU's fault is fixed; the others may emulate devices and fix without the check.</summary>
    [Theory]
    [InlineData(0UL, 0UL, WatchState.Hung)]
    [InlineData(5UL, 5UL, WatchState.Hung)]
    [InlineData(6UL, 5UL, WatchState.Unknown)]
    public void A_sum_beyond_the_boundary_shows_a_hang_among_healthy_vCPUs(ulong fixedFaults, ulong fast, WatchState expected) =>
        Assert.Equal(expected, Judge(1, 1, t => At(t, null) with
        {
            Stats = Faults(
                (ulong)(100_000 * t), (ulong)(fixedFaults * t), (ulong)(40_000 * t), (ulong)(9_000 * t), (ulong)(fast * t)),
            Counter = new(0x80000001, 0),
        }).State);

    [Theory]
    [InlineData(50_000UL, WatchState.Hung)]
    [InlineData(50_001UL, WatchState.Running)]
    public void Beyond_the_boundary_most_faults_must_be_unresolved(ulong emulated, WatchState expected) => Assert.Equal(
        expected, Judge(1, 1, t => At(t) with
        {
            Stats = Faults((ulong)(100_000 * t), emulate: (ulong)(emulated * t)),
            Counter = new(0x80000001, 0),
        }).State);

    [Fact]
    public void A_vCPU_that_runs_beyond_the_boundary_is_warned_of()
    {
        VcpuVerdict verdict = Judge(1, 1, t => At(t) with
        {
            Stats = Faults(1, 1, exits: (ulong)t),
            Counter = new(0x80000000, 0),
        });

        Assert.Equal(WatchState.Running, verdict.State);
        Assert.Contains(verdict.Reasons, reason => reason.Contains("0x80000000", StringComparison.Ordinal)
            && reason.Contains("hangs it", StringComparison.Ordinal));
        Assert.Single(Judge(1, 1, t => At(t) with
        {
            Kernel = Sound,
            Stats = Faults(1, 1, exits: (ulong)t),
            Counter = new(0x80000000, 0),
        }).Reasons);
    }

    [Fact]
    public void The_counter_of_an_earlier_sample_holds()
    {
        VcpuVerdict verdict = Judge(2, 1, t => At(t) with
        {
            Stats = Faults((ulong)(5000 * t)),
            Counter = t == 0 ? new(0x90000000, 1) : new(),
        });

        Assert.Equal((WatchState.Hung, HangProof.Counter), (verdict.State, verdict.Proof));
    }

    [Fact]
    public void Beyond_2_64_less_2_31_the_check_matches_again() => Assert.Equal(
        WatchState.Starved, Judge(2, 1, t => At(t) with
        {
            Stats = Faults((ulong)(5000 * t)),
            Counter = new(0xffffffff80000000 + (ulong)t, 1),
        }).State);

    [Theory]
    [InlineData(0.49, WatchState.Stalled)]
    [InlineData(0.5, WatchState.Hung)]
    public void A_still_counter_proves_a_hang_at_once(double seconds, WatchState expected)
    {
        VcpuVerdict verdict = Judge(seconds, seconds, t => At(t) with
        {
            Kernel = Sound,
            Stats = Faults((ulong)(400_000 * t)),
            Counter = Still,
        });

        Assert.Equal((expected, expected == WatchState.Hung ? HangProof.Quiet : null), (verdict.State, verdict.Proof));
    }

    /// <summary>A clock counts from 1970, and not from the first sample.</summary>
    [Theory]
    [InlineData(0.25, WatchState.Stalled)]
    [InlineData(0.5, WatchState.Hung)]
    public void What_counts_is_how_long_a_counter_stands_still_and_not_the_clock(double seconds, WatchState expected)
    {
        const double start = 1_700_000_000;
        VcpuSample Sample(double t) => At(start + t) with
        {
            Kernel = Sound,
            Stats = Faults((ulong)(400_000 * t)),
            Counter = Still,
        };

        Assert.Equal(expected, VcpuHistory.Judge([Sample(0), Sample(seconds)])!.State);
    }

    [Theory]
    [InlineData(1.9, WatchState.Stalled)]
    [InlineData(2, WatchState.Hung)]
    public void Two_seconds_without_an_invalidation_prove_a_hang(double seconds, WatchState expected) => Assert.Equal(
        expected, Judge(seconds, seconds, t => At(t) with
        {
            Stats = Faults((ulong)(400_000 * t)),
            Host = new(Invalidations: 0),
        }).State);

    [Theory]
    [InlineData(4.9, WatchState.Stalled)]
    [InlineData(5, WatchState.Hung)]
    public void Five_seconds_without_a_TLB_flush_prove_a_hang(double seconds, WatchState expected) => Assert.Equal(
        expected, Judge(seconds, seconds, t => At(t) with
        {
            Stats = Faults((ulong)(400_000 * t)),
            VmStats = new(9, 9),
        }).State);

    [Theory]
    [InlineData(499UL, WatchState.Stalled)]
    [InlineData(500UL, WatchState.Hung)]
    public void A_few_unresolved_faults_a_second_prove_nothing(ulong taken, WatchState expected) => Assert.Equal(
        expected, Judge(5, 5, t => At(t) with
        {
            Kernel = Sound,
            Stats = Faults((ulong)(taken * t / 5)),
            Counter = Still,
            VmStats = new(9, 9),
        }).State);

    [Fact]
    public void The_release_says_whether_the_kernel_is_affected_where_the_recording_does_not()
    {
        VcpuSample Sample(double t, KernelFacts kernel) => At(t) with
        {
            Kernel = kernel,
            Stats = Faults((ulong)(9000 * t)),
            Counter = new(0x80000000, 1),
        };

        Assert.Equal(WatchState.Hung, Judge(5, 5, t => Sample(t, new("6.1.38"))).State);
        Assert.Equal(WatchState.Starved, Judge(5, 5, t => Sample(t, new("6.1.38", false))).State);
        Assert.Equal(WatchState.Starved, Judge(5, 5, t => Sample(t, new("6.1.50"))).State);
    }

    [Fact]
    public void Emulated_and_spurious_faults_are_resolved_ones() => Assert.Equal(
        WatchState.Running, Judge(5, 5, t => At(t) with
        {
            Kernel = Sound,
            Stats = Faults((ulong)(180 * t), emulate: (ulong)t, spurious: (ulong)t),
            Counter = Still,
        }).State);

    [Fact]
    public void The_newest_counter_is_the_one_that_counts() => Assert.Equal(
        WatchState.Hung, Judge(5, 5, t => At(t) with
        {
            Stats = Faults((ulong)(9000 * t)),
            Counter = new(t == 0 ? 5UL : 0x80000000, 1),
        }).State);

    [Fact]
    public void A_hang_by_the_counter_began_when_the_stall_did()
    {
        var history = new VcpuHistory();
        VcpuSample Sample(double t) => At(t) with
        {
            Stats = Faults((ulong)(9000 * t)),
            Counter = t > 25 ? new(0x80000000, 1) : new(),
        };
        foreach (double t in (double[])[10, 20, 30, 40])
            history.Add(Sample(t));

        Assert.Equal((WatchState.Hung, 10.0, 40.0), (history.Verdict!.State, history.Verdict.Since, history.Verdict.At));
        Assert.Equal(10, VcpuHistory.Judge([Sample(30), Sample(40)])!.SinceSeconds);
    }

    [Fact]
    public void A_hang_of_one_sample_began_there() => Assert.Equal(
        0, VcpuHistory.Judge([At(7) with { Trace = new(Repeats: 5000), Counter = new(0x80000000, 0) }])!.SinceSeconds);

    [Fact]
    public void Starvation_that_shows_by_retries_alone_lasts_without_a_word_on_invalidations()
    {
        var history = new VcpuHistory();
        VcpuSample Sample(double t, bool isSeen) => At(t) with
        {
            Stats = Faults((ulong)(9000 * t), (ulong)(9 * t)),
            Host = new(Invalidations: isSeen ? 5 : null),
        };
        history.Add(Sample(0, true));

        Assert.Equal(WatchState.Starved, history.Add(Sample(1, true)).State);
        Assert.Equal(WatchState.Starved, history.Add(Sample(2, false)).State);
    }

    [Theory]
    [InlineData(16UL, WatchState.RunFailed)]
    [InlineData(15UL, WatchState.Unknown)]
    public void A_failed_run_takes_as_many_faults_as_any_verdict(ulong taken, WatchState expected) => Assert.Equal(
        expected, Judge(1, 1, t => At(t) with { Stats = Faults((ulong)(taken * t)), Exits = new((ulong)(taken * t)) }).State);

    [Fact]
    public void Rates_are_a_second_and_not_a_sample()
    {
        Assert.Equal(WatchState.Running, Judge(100, 100, t => At(t) with
        {
            Stats = new(Exits: (ulong)(500 * t), HaltExits: (ulong)(500 * t)),
        }).State);
        Assert.Equal(WatchState.HaltSpin, Judge(0.1, 0.1, t => At(t) with
        {
            Stats = new(Exits: (ulong)(2000 * t), HaltExits: (ulong)(2000 * t)),
        }).State);
        Assert.Equal(WatchState.Running, Judge(100, 100, t => At(t) with { Stats = new(Exits: (ulong)(500 * t)) }).State);
        Assert.Equal(WatchState.Unknown, Judge(0.1, 0.1, t => At(t) with { Stats = new(Exits: (ulong)(2000 * t)) }).State);
    }

    [Theory]
    [InlineData(1000UL, 0UL, WatchState.Unknown)]
    [InlineData(999UL, 0UL, WatchState.Running)]
    [InlineData(5000UL, 500UL, WatchState.Running)]
    public void Exits_of_unknown_kind_count_from_1000_a_second(ulong exits, ulong mmio, WatchState expected) => Assert.Equal(
        expected, Judge(1, 1, t => At(t) with
        {
            Stats = new(Exits: (ulong)(exits * t), MmioExits: (ulong)(mmio * t)),
        }).State);

    [Fact]
    public void A_thread_that_is_seen_in_D_twice_is_blocked_and_once_is_not()
    {
        Assert.Equal(WatchState.Unknown, Judge(1, 1, t => At(t) with { Thread = new(t == 0 ? "S" : "D") }).State);
        Assert.Equal(WatchState.BlockedInHost, Judge(1, 1, t => At(t) with { Thread = new("D") }).State);
        Assert.Equal(WatchState.BlockedInHost, Judge(1, 1, t => At(t) with
        {
            Stats = new(Exits: 5),
            Thread = new(t == 0 ? "S" : "D"),
        }).State);
        Assert.Equal(WatchState.BlockedInHost, Judge(1, 1, t => At(t) with { Thread = new(t == 0 ? "S" : "D", 3) }).State);
    }

    [Theory]
    [InlineData("kvm_vcpu_check_block")]
    [InlineData("kvm_arch_vcpu_ioctl_run")]
    [InlineData("vcpu_block")]
    [InlineData("vcpu_run")]
    public void An_idle_guest_is_known_by_where_its_vCPU_waits(string wait) => Assert.Equal(
        WatchState.Running, Judge(5, 5, t => At(t) with { Stats = Faults(1, 1, exits: 5), Thread = new("S", 1, wait) }).State);

    [Theory]
    [InlineData(null, 1UL)]
    [InlineData(1UL, null)]
    public void An_address_that_is_known_once_is_no_move(ulong? before, ulong? now) => Assert.Equal(
        HangProof.Repeats, Judge(1, 1, t => At(t) with
        {
            Stats = Faults((ulong)(400_000 * t)),
            Counter = Still,
            Trace = new(t == 0 ? before : now, 2, 3, 400_000),
        }).Proof);

    [Fact]
    public void Quiet_windows_add_up_and_the_weakest_evidence_counts()
    {
        VcpuSample Sample(double t) => At(t) with
        {
            Stats = Faults((ulong)(400_000 * t)),
            VmStats = new(9, 9),
            Host = new(Invalidations: t == 1 ? null : 0),
        };

        Assert.Equal(WatchState.Stalled, Judge(4, 1, Sample).State);
        Assert.Equal(WatchState.Hung, Judge(5, 1, Sample).State);
    }

    [Theory]
    [InlineData("counter moves")]
    [InlineData("in progress before")]
    [InlineData("in progress now")]
    [InlineData("in progress unknown")]
    [InlineData("flushed")]
    [InlineData("flush requested")]
    [InlineData("invalidations")]
    [InlineData("nothing known")]
    public void Whatever_speaks_against_quiet_prevails(string what)
    {
        VcpuSample Sample(double t) => At(t) with
        {
            Kernel = Sound,
            Stats = Faults((ulong)(400_000 * t)),
            VmStats = what switch
            {
                "flushed" => new((ulong)t, 9),
                "flush requested" => new(9, (ulong)t),
                "nothing known" or "in progress unknown" => new(),
                _ => new(9, 9),
            },
            Counter = what switch
            {
                "counter moves" => new((ulong)t, 0),
                "in progress before" => new(7, t == 0 ? 1UL : 0),
                "in progress now" => new(7, t == 0 ? 0UL : 1),
                "in progress unknown" => new(7),
                _ => new(),
            },
            Host = new(Invalidations: what == "invalidations" ? 3 : null),
        };

        VcpuVerdict verdict = Judge(10, 10, Sample);

        bool isSeen = what is "counter moves" or "in progress before" or "in progress now" or "invalidations";
        Assert.Equal((isSeen ? WatchState.Starved : WatchState.Stalled, null), (verdict.State, verdict.Proof));
    }

    [Fact]
    public void A_still_counter_prevails_over_TLB_flushes_and_over_invalidations_elsewhere() => Assert.Equal(
        WatchState.Hung, Judge(1, 1, t => At(t) with
        {
            Kernel = Sound,
            Stats = Faults((ulong)(400_000 * t)),
            Counter = Still,
            VmStats = new((ulong)t, (ulong)t),
            Host = new(Invalidations: 5),
        }).State);

    [Theory]
    [InlineData(99_999UL, 1UL, HangProof.Quiet)]
    [InlineData(100_000UL, 1UL, HangProof.Repeats)]
    [InlineData(100_000UL, 2UL, HangProof.Quiet)]
    public void An_address_must_be_the_same_to_prove_anything(ulong repeats, ulong rip, HangProof expected) => Assert.Equal(
        expected, Judge(1, 1, t => At(t) with
        {
            Stats = Faults((ulong)(400_000 * t)),
            Counter = Still,
            Trace = new(t == 0 ? 1 : rip, 2, 3, repeats),
        }).Proof);

    [Fact]
    public void Another_guest_address_is_another_fault() => Assert.Equal(
        HangProof.Quiet, Judge(1, 1, t => At(t) with
        {
            Stats = Faults((ulong)(400_000 * t)),
            Counter = Still,
            Trace = new(1, (ulong)t, 3, 200_000),
        }).Proof);

    [Fact]
    public void What_is_proven_stays_so_until_a_fault_is_fixed()
    {
        var history = new VcpuHistory();
        VcpuSample Sample(double t, ulong fixedFaults = 0, ulong emulated = 0) => At(t) with
        {
            Kernel = Sound,
            Stats = Faults((ulong)(400_000 * t) + fixedFaults, fixedFaults, emulated),
            Counter = new(7, t > 5 ? 1UL : 0),
        };
        history.Add(Sample(0));

        Assert.Equal(WatchState.Hung, history.Add(Sample(5)).State);
        VcpuVerdict inStorm = history.Add(Sample(10));
        Assert.Equal((WatchState.Hung, HangProof.Quiet, 10.0), (inStorm.State, inStorm.Proof, inStorm.SinceSeconds));
        Assert.Equal(WatchState.Hung, history.Add(Sample(15, 0, 30)).State);
        VcpuVerdict after = history.Add(Sample(20, 50, 30));
        Assert.Equal((WatchState.Running, null), (after.State, after.Proof));
        Assert.Contains(after.Reasons, reason => reason.Contains("has recovered", StringComparison.Ordinal));
    }

    [Fact]
    public void A_stall_that_ends_was_starvation_and_then_it_is_over()
    {
        var history = new VcpuHistory();
        VcpuSample Sample(double t, ulong taken, ulong fixedFaults) => At(t) with { Stats = Faults(taken, fixedFaults) };
        history.Add(Sample(0, 0, 0));

        Assert.Equal(WatchState.Stalled, history.Add(Sample(10, 3_000_000, 0)).State);
        Assert.Equal(WatchState.Stalled, history.Add(Sample(20, 6_000_000, 0)).State);
        Assert.Equal(20, history.Verdict!.SinceSeconds);
        Assert.Equal(WatchState.Starved, history.Add(Sample(30, 7_000_000, 500)).State);
        Assert.Equal(WatchState.Starved, history.Add(Sample(40, 9_000_000, 900)).State);
        Assert.Equal(WatchState.Running, history.Add(Sample(50, 9_001_000, 1800)).State);
        Assert.Equal(10, history.Verdict!.SinceSeconds);
        Assert.Equal(WatchState.Running, history.Add(Sample(60, 9_002_000, 2700)).State);
        Assert.Equal(20, history.Verdict!.SinceSeconds);
    }

    [Fact]
    public void A_stall_that_the_guest_gives_up_is_over()
    {
        var history = new VcpuHistory();
        history.Add(At(0) with { Stats = Faults(0, exits: 0) });
        history.Add(At(1) with { Stats = Faults(9000, exits: 9000) });

        Assert.Equal(WatchState.Running, history.Add(At(2) with { Stats = Faults(9000, exits: 9100) }).State);
        Assert.Equal(WatchState.Running, history.Add(At(3) with { Stats = Faults(9100, 100, exits: 9300) }).State);
    }

    [Theory]
    [InlineData("kvm_id")]
    [InlineData("pid")]
    [InlineData("release")]
    [InlineData("taken")]
    [InlineData("cpu")]
    [InlineData("counter")]
    [InlineData("flush")]
    public void Another_KVM_instance_starts_again(string what)
    {
        var history = new VcpuHistory();
        VcpuSample Sample(double t, bool isNew) => At(t) with
        {
            KvmId = isNew && what == "kvm_id" ? "b" : "a",
            Pid = isNew && what == "pid" ? 2 : 1,
            Kernel = isNew && what == "release" ? new("6.1.39", true) : Affected,
            Stats = Faults(isNew && what == "taken" ? 5 : (ulong)(9000 * t)),
            Thread = new("R", isNew && what == "cpu" ? 0 : 10 + t),
            Counter = new(isNew && what == "counter" ? 1UL : 0x90000000),
            VmStats = new(isNew && what == "flush" ? 1UL : 9),
        };
        history.Add(Sample(0, false));
        Assert.Equal(WatchState.Hung, history.Add(Sample(5, false)).State);

        VcpuVerdict verdict = history.Add(Sample(10, true));

        Assert.Equal((WatchState.Unknown, 1), (verdict.State, history.Restarts));
        Assert.Contains("new KVM instance", verdict.Reasons[0], StringComparison.Ordinal);
    }

    [Fact]
    public void What_becomes_known_is_no_other_instance()
    {
        var history = new VcpuHistory();
        history.Add(At(0) with { Stats = Faults(0), Kernel = new() });
        history.Add(At(1) with { Stats = Faults(9000), KvmId = "a", Pid = 1 });
        history.Add(At(2) with { Stats = Faults(18000), Counter = new(5, 0) });

        Assert.Equal((0, 2.0), (history.Restarts, history.Verdict!.SinceSeconds));
    }

    [Fact]
    public void The_counter_of_another_instance_is_forgotten()
    {
        var history = new VcpuHistory();
        history.Add(At(0) with { KvmId = "a", Stats = Faults(0), Counter = new(0x90000000, 0) });
        history.Add(At(1) with { KvmId = "b", Stats = Faults(0) });

        Assert.Equal(WatchState.Stalled, history.Add(At(2) with { KvmId = "b", Stats = Faults(9000) }).State);
    }

    [Fact]
    public void A_sample_without_figures_is_unknown_and_loses_no_history()
    {
        var history = new VcpuHistory();
        history.Add(At(0) with { Stats = Faults(0) });
        history.Add(At(1) with { Stats = Faults(9000) });

        Assert.Equal(WatchState.Unknown, history.Add(At(2)).State);
        VcpuVerdict verdict = history.Add(At(3) with { Stats = Faults(27000) });
        Assert.Equal((WatchState.Stalled, 3.0, 9000.0), (verdict.State, verdict.SinceSeconds, verdict.UnresolvedPerSecond));
    }

    [Fact]
    public void A_first_sample_without_figures_counts_as_none()
    {
        var history = new VcpuHistory();
        history.Add(At(0));

        Assert.Equal(WatchState.Unknown, history.Add(At(1) with { Stats = Faults(5) }).State);
        Assert.Equal(WatchState.Stalled, history.Add(At(2) with { Stats = Faults(9000) }).State);
    }

    [Theory]
    [InlineData(null, 5UL, 5UL, "pf_fixed is")]
    [InlineData(5UL, null, 5UL, "pf_emulate is")]
    [InlineData(5UL, 5UL, null, "pf_spurious is")]
    [InlineData(5UL, null, null, "pf_emulate and pf_spurious are")]
    public void A_kind_of_resolution_that_is_not_known_leaves_no_verdict(
        ulong? fixedFaults, ulong? emulated, ulong? spurious, string expected)
    {
        VcpuVerdict verdict = Judge(9, 9, t => At(t) with
        {
            Stats = new((ulong)(9000 * t), fixedFaults, emulated, spurious),
            VmStats = new(9, 9),
            Counter = new(0x80000000, 0),
        });

        Assert.Equal(WatchState.Unknown, verdict.State);
        Assert.Contains(expected, verdict.Reasons[0], StringComparison.Ordinal);
        Assert.Null(verdict.UnresolvedPerSecond);
    }

    [Theory]
    [InlineData(1, 0, 0)]
    [InlineData(0, 1, 0)]
    [InlineData(0, 0, 1)]
    public void A_resolved_fault_is_progress_though_another_kind_is_unknown(double a, double b, double c) => Assert.Equal(
        WatchState.Running, Judge(9, 9, t => At(t) with
        {
            Stats = new(
                (ulong)(9000 * t), a > 0 ? (ulong)t : null, b > 0 ? (ulong)t : a > 0 ? null : 5, c > 0 ? (ulong)t : null),
        }).State);

    [Fact]
    public void Fixes_of_the_fast_path_are_no_proof_of_health()
    {
        VcpuSample Sample(double t) => At(t) with
        {
            Stats = Faults((ulong)(9000 * t), (ulong)(50 * t), fast: (ulong)(50 * t)),
            Counter = new(0x80000000, 3),
        };

        Assert.Equal(WatchState.Hung, Judge(5, 5, Sample).State);
    }

    [Fact]
    public void Figures_that_run_ahead_are_not_unresolved()
    {
        VcpuVerdict verdict = Judge(5, 5, t => At(t) with
        {
            Stats = Faults((ulong)(100 * t), (ulong)(110 * t), fast: (ulong)(120 * t)),
        });

        Assert.Equal((WatchState.Running, 0.0), (verdict.State, verdict.UnresolvedPerSecond));
    }

    [Theory]
    [InlineData(4, WatchState.Running)]
    [InlineData(-0, WatchState.Running)]
    [InlineData(11, WatchState.Running)]
    [InlineData(14, WatchState.RunFailed)]
    [InlineData(5, WatchState.RunFailed)]
    public void A_signal_is_no_failure(int error, WatchState expected) => Assert.Equal(
        expected, Judge(5, 5, t => At(t) with { Stats = Faults(0, exits: (ulong)t), Exits = new(RunError: error) }).State);

    [Theory]
    [InlineData(4500UL, WatchState.RunFailed)]
    [InlineData(4499UL, WatchState.Stalled)]
    public void Exits_to_user_space_at_every_other_fault_are_a_failed_run(ulong exits, WatchState expected) => Assert.Equal(
        expected, Judge(1, 1, t => At(t) with { Stats = Faults((ulong)(9000 * t)), Exits = new((ulong)(exits * t)) }).State);

    [Fact]
    public void Devices_in_user_space_are_no_failed_run()
    {
        Assert.Equal(WatchState.Running, Judge(1, 1, t => At(t) with
        {
            Stats = Faults((ulong)(9000 * t), emulate: (ulong)(9000 * t)),
            Exits = new((ulong)(9000 * t)),
        }).State);
        Assert.Equal(WatchState.Running, Judge(1, 1, t => At(t) with
        {
            Stats = Faults((ulong)(15 * t), exits: (ulong)(40 * t)),
            Exits = new((ulong)(40 * t)),
        }).State);
    }

    [Theory]
    [InlineData(1UL, 0UL, WatchState.EmulationFailed)]
    [InlineData(0UL, 0UL, WatchState.Running)]
    [InlineData(499UL, 500UL, WatchState.Running)]
    [InlineData(500UL, 500UL, WatchState.EmulationFailed)]
    public void Failed_emulation_counts_unless_faults_are_fixed(ulong failures, ulong fixedFaults, WatchState expected) =>
        Assert.Equal(expected, Judge(1, 1, t => At(t) with
        {
            Stats = Faults((ulong)(1000 * t), (ulong)(fixedFaults * t), (ulong)((1000 - fixedFaults) * t), exits: (ulong)t),
            Exits = new(EmulationFailures: (ulong)(failures * t)),
        }).State);

    [Fact]
    public void A_vCPU_that_gave_up_has_not_recovered()
    {
        var history = new VcpuHistory();
        VcpuSample Sample(double t, ulong exits, ulong failures, double cpu) => At(t) with
        {
            Stats = Faults(0, exits: exits),
            Exits = new(EmulationFailures: failures),
            Thread = new("S", cpu, "futex_wait_queue"),
        };
        history.Add(Sample(0, 0, 0, 0));

        Assert.Equal(WatchState.EmulationFailed, history.Add(Sample(1, 9, 1, 1)).State);
        Assert.Equal(WatchState.EmulationFailed, history.Add(Sample(2, 9, 1, 1)).State);
        Assert.Equal(WatchState.Running, history.Add(Sample(3, 19, 1, 1)).State);
        Assert.Equal(WatchState.BlockedInHost, history.Add(Sample(4, 19, 1, 1)).State);
    }

    [Theory]
    [InlineData(1000UL, 1000UL, 1.0, WatchState.HaltSpin)]
    [InlineData(999UL, 999UL, 1.0, WatchState.Running)]
    [InlineData(9500UL, 10000UL, 1.0, WatchState.HaltSpin)]
    [InlineData(9499UL, 10000UL, 1.0, WatchState.Running)]
    [InlineData(10000UL, 10000UL, 0.5, WatchState.HaltSpin)]
    [InlineData(10000UL, 10000UL, 0.4, WatchState.Running)]
    public void A_spin_is_fast_and_nothing_but_halts(ulong halts, ulong exits, double cpu, WatchState expected) => Assert.Equal(
        expected, Judge(1, 1, t => At(t) with
        {
            Stats = new(0, 0, 0, 0, 0, (ulong)(exits * t), (ulong)(halts * t)),
            Thread = new("R", cpu * t),
        }).State);

    [Theory]
    [InlineData(100UL, WatchState.HaltSpin)]
    [InlineData(101UL, WatchState.Running)]
    public void A_few_faults_do_not_hide_a_spin(ulong faults, WatchState expected) => Assert.Equal(
        expected, Judge(1, 1, t => At(t) with
        {
            Stats = new((ulong)(faults * t), (ulong)(faults * t), 0, 0, 0, (ulong)(10_000 * t), (ulong)(9900 * t)),
        }).State);

    [Theory]
    [InlineData("D", "io_schedule", 5UL, 1.0, WatchState.BlockedInHost, "io_schedule")]
    [InlineData("D", "", 5UL, 1.0, WatchState.BlockedInHost, null)]
    [InlineData("D", "0", null, 1.0, WatchState.BlockedInHost, null)]
    [InlineData("D", null, null, null, WatchState.BlockedInHost, null)]
    [InlineData("T", "do_signal_stop", 5UL, null, WatchState.BlockedInHost, "do_signal_stop")]
    [InlineData("t", "ptrace_stop", 5UL, null, WatchState.BlockedInHost, "ptrace_stop")]
    [InlineData("R", "", 5UL, 1.0, WatchState.BlockedInHost, null)]
    [InlineData("S", "futex_wait_queue", 5UL, 1.0, WatchState.BlockedInHost, "futex_wait_queue")]
    [InlineData("S", "kvm_vcpu_block", 5UL, 1.0, WatchState.Running, null)]
    [InlineData("S", "kvm_vcpu_halt", null, 1.0, WatchState.Running, null)]
    [InlineData("S", "", 5UL, 1.0, WatchState.Unknown, null)]
    [InlineData("Z", "", 5UL, 1.0, WatchState.Unknown, null)]
    [InlineData(null, null, 5UL, null, WatchState.Unknown, null)]
    [InlineData("R", "", null, null, WatchState.Unknown, null)]
    public void A_vCPU_that_does_nothing_is_idle_or_blocked(
        string? state, string? wait, ulong? exits, double? cpu, WatchState expected, string? cause)
    {
        VcpuVerdict verdict = Judge(10, 5, t => At(t) with
        {
            Stats = new(3, 3, 0, 0, 0, exits, 2),
            Thread = new(state, cpu, wait),
        });

        Assert.Equal((expected, cause), (verdict.State, verdict.Cause));
    }

    [Fact]
    public void A_guest_that_never_halted_is_not_idle() => Assert.Equal(
        WatchState.BlockedInHost, Judge(5, 5, t => At(t) with
        {
            Stats = new(3, 3, 0, 0, 0, 5, 0),
            Thread = new("S", 1, ""),
        }).State);

    [Theory]
    [InlineData(0.009, WatchState.BlockedInHost)]
    [InlineData(0.01, WatchState.Running)]
    public void A_thread_that_runs_is_not_blocked(double share, WatchState expected) => Assert.Equal(
        expected, Judge(5, 5, t => At(t) with { Stats = Faults(1, 1), Thread = new("D", share * t, "x") }).State);

    [Theory]
    [InlineData(null, null, WatchState.Unknown)]
    [InlineData(0UL, null, WatchState.Running)]
    [InlineData(null, 0UL, WatchState.Running)]
    public void A_busy_thread_alone_is_no_sign_of_health(ulong? taken, ulong? exits, WatchState expected) => Assert.Equal(
        expected, Judge(5, 5, t => At(t) with { Stats = new(taken, Exits: exits), Thread = new("R", t, "") }).State);

    [Theory]
    [InlineData(0.009, "Its thread sleeps")]
    [InlineData(0.01, "Its thread runs, and its faults are not known")]
    public void A_hundredth_of_a_processor_is_a_busy_thread(double share, string why)
    {
        VcpuVerdict verdict = Judge(1, 1, t => At(t) with { Thread = new("S", share * t) });

        Assert.Equal(WatchState.Unknown, verdict.State);
        Assert.StartsWith(why, verdict.Reasons[0], StringComparison.Ordinal);
    }

    [Fact]
    public void A_loop_in_the_guest_runs()
    {
        VcpuVerdict verdict = Judge(5, 5, t => At(t) with { Stats = Faults(9, 9, exits: 9), Thread = new("R", t, "") });

        Assert.Equal(WatchState.Running, verdict.State);
        Assert.Equal("Its thread ran for 5 s.", verdict.Reasons[0]);
    }

    [Theory]
    [InlineData(900UL, 0UL, WatchState.Running)]
    [InlineData(5000UL, 0UL, WatchState.Unknown)]
    [InlineData(5000UL, 499UL, WatchState.Unknown)]
    [InlineData(5000UL, 600UL, WatchState.Running)]
    public void A_kernel_that_counts_no_faults_taken_leaves_busy_exits_unexplained(ulong exits, ulong known, WatchState expected)
    {
        VcpuVerdict verdict = Judge(1, 1, t => At(t) with
        {
            Stats = new(null, 7, null, null, null, (ulong)(exits * t), (ulong)(known / 3 * t), (ulong)(known / 3 * t),
                (ulong)(known / 3 * t)),
        });

        Assert.Equal(expected, verdict.State);
    }

    [Fact]
    public void A_fix_explains_exits_of_a_kernel_that_counts_no_faults_taken() => Assert.Equal(
        WatchState.Running, Judge(1, 1, t => At(t) with { Stats = new(null, (ulong)(7 * t), Exits: (ulong)(5000 * t)) }).State);

    [Fact]
    public void A_trace_alone_shows_a_guest_that_moves_on()
    {
        Assert.Equal(WatchState.Running, Judge(1, 1, t => At(t) with { Trace = new((ulong)(5 + t), 2, 3, 2) }).State);
        Assert.Equal(WatchState.Unknown, Judge(1, 1, t => At(t) with { Trace = new(5, 2, 3, 2) }).State);
    }

    [Theory]
    [InlineData(true, true, true, "NUMA balancing, KSM, compaction")]
    [InlineData(false, true, false, "KSM")]
    [InlineData(null, null, true, "compaction")]
    [InlineData(false, false, false, null)]
    [InlineData(null, null, null, null)]
    public void The_cause_of_a_stall_is_named_from_the_hosts_facts(bool? numa, bool? ksm, bool? compaction, string? expected)
    {
        HostFacts facts = new(numa, ksm, compaction);

        Assert.Equal(expected, Judge(1, 1, t => At(t) with { Stats = Faults((ulong)(9000 * t)), Host = facts }).Cause);
        Assert.Equal(expected, Judge(1, 1, t => At(t) with
        {
            Stats = Faults((ulong)(9000 * t)),
            Host = facts,
            Counter = new(9, 1),
        }).Cause);
        Assert.Null(Judge(1, 1, t => At(t) with { Stats = Faults((ulong)(9000 * t)), Host = facts, Counter = Still }).Cause);
        Assert.Null(Judge(1, 1, t => At(t) with { Stats = Faults(0, exits: (ulong)t), Host = facts }).Cause);
    }

    /// <summary>Neither where the totals start nor the clock's origin matters.</summary>
    [Fact]
    public void Only_differences_count()
    {
        Gen<ulong> step = Gen.OneOf(Gen.Const(0UL), Gen.ULong[0, 30], Gen.ULong[0, 1_000_000]);
        Gen.Select(Gen.Select(step, step, step, step, step).Array[2, 8], Gen.ULong[0, 1UL << 60], Gen.Double[0, 1e9])
            .Sample((steps, origin, time) =>
            {
                Assert.Equal(
                    VcpuHistory.Judge(Totals(steps, 0, 0))!.State,
                    VcpuHistory.Judge(Totals(steps, origin, Math.Round(time)))!.State);
            });
    }

    /// <summary>Without a counter, a trace or a word on invalidations there is no proof, whatever the statistics are.</summary>
    [Fact]
    public void Statistics_alone_never_prove_a_hang()
    {
        Gen<ulong> step = Gen.OneOf(Gen.Const(0UL), Gen.ULong[0, 30], Gen.ULong[0, 1_000_000]);
        Gen.Select(step, step, step, step, step).Array[1, 12].Sample(
            steps => VcpuHistory.Judge(Totals(steps, 0, 0))!.State != WatchState.Hung);
    }

    private static IEnumerable<VcpuSample> Totals((ulong, ulong, ulong, ulong, ulong)[] steps, ulong origin, double time)
    {
        (ulong Taken, ulong Fixed, ulong Emulated, ulong Spurious, ulong Exits) sum = (origin, origin, origin, origin, origin);
        foreach ((int i, (ulong taken, ulong fixedFaults, ulong emulated, ulong spurious, ulong exits)) in steps.Index())
        {
            sum = (sum.Taken + taken, sum.Fixed + fixedFaults, sum.Emulated + emulated, sum.Spurious + spurious,
                sum.Exits + exits);
            yield return At(time + i) with
            {
                Stats = new(sum.Taken, sum.Fixed, sum.Emulated, sum.Spurious, origin, sum.Exits),
            };
        }
    }
}
