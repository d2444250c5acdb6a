using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Watchdogs;
using SoakHost.HostKernel.Results;
using SoakHost.HostKernel.Statistics;
using SoakHost.HostKernel.Watch;
using SoakHost.Model.Kernels;
using VcpuState = SoakHost.HostKernel.Watch.VcpuState;

namespace SoakHost.HostKernel.Tests;

/// <summary>What the fleet is told of real VMs, from scripted snapshots: none of these needs a kernel.</summary>
public sealed class HostCohortReaderTests
{
    private const long Boundary = 1L << 31;

    private static readonly DateTimeOffset Noon = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);
    private static readonly HostCohortOptions Options = new()
    {
        Until = Boundary + 1000,
        Boundaries = [Boundary, 3_000_000, 1L << 32],
    };
    private static readonly HostMachine Machine = new("6.18.0", "npt, tdp_mmu=Y", "a CPU");

    private static readonly HostCohort Cohort = new("here", Options);

    private static readonly HostVcpuSnapshot Healthy = new(
        0,
        VcpuRole.Soaked,
        VcpuState.Running,
        5000,
        100,
        new FaultCounters(900, 800, 20, 3, 0, 2000, 0),
        TimeSpan.FromSeconds(1),
        Noon,
        0,
        0,
        0,
        null,
        null);

    private static readonly HostVcpuSnapshot Sibling = Healthy with { Index = 1, Role = VcpuRole.Sibling, Faults = null };

    private static readonly HangEvidence Evidence = new(
        HangProof.Statistics,
        Noon,
        Noon.AddSeconds(1),
        Noon.AddSeconds(3),
        Boundary + 5,
        Boundary + 5,
        default,
        default(FaultCounters),
        new FaultCounters { Taken = 2444 },
        (1UL << 30) + (7 * 4096));

    private static readonly HostVcpuSnapshot Hung = Healthy with { State = VcpuState.Hung, Evidence = Evidence };

    private readonly HostCohortReader _reader = new(Cohort);

    [Fact]
    public void Totals_are_what_the_kernel_counts_and_nothing_that_nobody_can_see()
    {
        CohortTotals totals = Read(Vm(Healthy, Sibling)).Totals;

        Assert.Equal(
            ((long?)1000, (long?)10_000, (long?)800, (long?)(900 - 800 - 20 - 3)),
            (totals.Invalidations, totals.GuestAccesses, totals.Fixed, totals.Retried));
        Assert.Equal(default((long?, long?, long?)), (totals.UnjustifiedRetries, totals.UnsafeInstalls, totals.AccountingErrors));
    }

    [Fact]
    public void Where_the_kernel_counts_no_faults_their_numbers_are_unknown_and_not_0()
    {
        CohortTotals totals = Read(Vm(Healthy with { Faults = null })).Totals;

        Assert.Equal(default((long?, long?)), (totals.Fixed, totals.Retried));
        Assert.Equal((1000, 1000L), (totals.Operations, totals.Invalidations));
    }

    [Fact]
    public void Retries_never_fall_though_faults_in_flight_are_fixed_in_the_end()
    {
        Read(Vm(Healthy));
        HostVcpuSnapshot later = Healthy with { Faults = Healthy.Faults!.Value with { Fixed = 801 } };

        Assert.Equal(77, Read(Vm(later)).Totals.Retried);
    }

    [Fact]
    public void The_counter_of_each_VM_lies_between_the_invalidations_ended_and_begun()
    {
        HostVmSnapshot vm = Vm(Healthy);
        CounterSpread seq = Read(
            vm with { InvalidationsEnded = 30, InvalidationsBegun = 30 },
            vm with { Index = 1, InvalidationsEnded = 10, InvalidationsBegun = 12 },
            vm with { Index = 2, InvalidationsEnded = 20, InvalidationsBegun = 52 }).InvalidateSeq!.Value;

        Assert.Equal(new CounterSpread(new(10, 12), new(20, 52), new(20, 52)), seq);
        Assert.Equal((false, "0xa-0xc"), (seq.IsExact, seq.Min.ToString()));
    }

    [Theory]
    [InlineData(VcpuState.Resting, VcpuCondition.Running)]
    [InlineData(VcpuState.Running, VcpuCondition.Running)]
    [InlineData(VcpuState.Suspect, VcpuCondition.Running)]
    [InlineData(VcpuState.Quiescing, VcpuCondition.Running)]
    [InlineData(VcpuState.Starved, VcpuCondition.Starved)]
    [InlineData(VcpuState.Hung, VcpuCondition.Hung)]
    public void A_state_that_is_a_condition_is_shown_as_it_and_is_no_failure(VcpuState state, VcpuCondition condition)
    {
        CohortSnapshot read = Read(Vm(Healthy with { State = state }));

        Assert.Equal([condition], read.Conditions.SelectMany(run => run));
        Assert.Empty(read.Failures);
    }

    [Theory]
    [InlineData(VcpuState.FixedInVain, "makes no progress although its faults are fixed")]
    [InlineData(VcpuState.LoopingInGuest, "is looping in the guest")]
    [InlineData(VcpuState.NotScheduled, "is not scheduled")]
    [InlineData(VcpuState.Halted, "is halted")]
    [InlineData(VcpuState.RunFailed, "failed: KVM_RUN gave up on the guest")]
    [InlineData(VcpuState.Unexplained, "makes no progress, and nothing that can be read here says why")]
    public void A_stop_of_another_kind_is_a_failure_by_its_true_name_and_no_hang_and_no_finding(VcpuState state, string name)
    {
        CohortSnapshot read = Read(Vm(Healthy with { State = state, StopReason = "errno 14" }, Sibling));

        Assert.StartsWith($"vCPU 0 of VM 0 {name}", Assert.Single(read.Failures), StringComparison.Ordinal);
        Assert.EndsWith("(errno 14). That is not the defect.", read.Failures[0], StringComparison.Ordinal);
        Assert.DoesNotContain("(", Read(Vm(Healthy with { State = state })).Failures[0], StringComparison.Ordinal);
        Assert.Equal([VcpuCondition.Stopped, VcpuCondition.Running], read.Conditions.SelectMany(run => run));
        Assert.Empty(read.Findings);
        Assert.Empty(read.Stalled);
    }

    [Fact]
    public void No_state_is_left_without_a_name() => Assert.All(Enum.GetValues<VcpuState>(), state =>
    {
        CohortSnapshot read = Read(Vm(Healthy with { State = state }));
        Assert.Equal(read.Conditions[0][0] == VcpuCondition.Stopped ? 1 : 0, read.Failures.Length);
    });

    [Fact]
    public void A_hang_is_found_once_with_its_page_and_counter_and_shown_for_as_long_as_it_lasts()
    {
        Read(Vm(Healthy, Sibling));
        CohortSnapshot first = Read(Vm(Hung, Sibling));
        CohortSnapshot second = Read(Vm(Hung, Sibling));

        Finding finding = Assert.Single(first.Findings);
        Assert.Equal((FindingKind.VcpuHung, 0, (int?)0, (int?)7, (CounterRange?)CounterRange.Exactly((ulong)Boundary + 5)),
            (finding.Kind, finding.Vm, finding.Vcpu, finding.Page, finding.InvalidateSeq));
        Assert.Equal((null, TimeSpan.FromMinutes(1), null), (finding.Time.Tick, finding.Time.Elapsed, finding.Snapshot));
        Assert.Empty(second.Findings);
        Assert.Equal(first.Stalled, second.Stalled);
        StalledVcpu stall = Assert.Single(second.Stalled);
        Assert.Equal((VcpuCondition.Hung, (int?)7, (DateTimeOffset?)Noon), (stall.Condition, stall.Page, stall.LastProgress));
    }

    [Fact]
    public void A_hang_that_was_over_before_anybody_looked_is_found_all_the_same()
    {
        CohortSnapshot read = Read(Vm(Healthy with { Evidence = Evidence, Recoveries = 1 }));

        Assert.Equal([FindingKind.VcpuHung, FindingKind.VcpuRecovered], read.Findings.Select(finding => finding.Kind));
        Assert.Empty(read.Stalled);
        Assert.Equal(1, read.Totals.Recoveries);
    }

    [Fact]
    public void A_stall_keeps_the_moment_at_which_it_was_first_seen()
    {
        Read(Vm(Hung));
        HostSnapshot later = Read(Snapshot(Vm(Hung)) with { Elapsed = TimeSpan.FromMinutes(2) });

        Assert.Equal(FindingTime.After(TimeSpan.FromMinutes(1)), Assert.Single(later.Stalled).Time);
    }

    [Fact]
    public void Stalled_vCPUs_are_listed_by_VM_and_number()
    {
        HostVcpuSnapshot second = Hung with { Index = 1 };

        Assert.Equal(
            [(0, 0), (0, 1), (1, 0), (1, 1)],
            Read(Vm(second, Hung) with { Index = 1 }, Vm(Hung, second)).Stalled.Select(vcpu => (vcpu.Vm, vcpu.Vcpu)));
    }

    [Fact]
    public void The_counter_of_a_hang_lies_between_the_invalidations_ended_and_begun()
    {
        HangEvidence evidence = Evidence with { InvalidationsBegun = Evidence.InvalidationsEnded + 7 };

        Assert.Equal(
            new CounterRange((ulong)Boundary + 5, (ulong)Boundary + 12),
            Assert.Single(Read(Vm(Hung with { Evidence = evidence })).Findings).InvalidateSeq);
    }

    [Fact]
    public void A_vCPU_that_hangs_again_is_found_again()
    {
        Read(Vm(Hung));
        Read(Vm(Hung with { State = VcpuState.Running, Recoveries = 1 }));

        Assert.Equal([FindingKind.VcpuHung], Read(Vm(Hung with { Recoveries = 1 })).Findings.Select(finding => finding.Kind));
    }

    [Fact]
    public void Each_starvation_is_found_and_is_not_a_hang()
    {
        Read(Vm(Healthy));
        CohortSnapshot read = Read(Vm(Healthy with { State = VcpuState.Starved, Starvations = 2 }));

        Assert.Equal([FindingKind.VcpuStarved, FindingKind.VcpuStarved], read.Findings.Select(finding => finding.Kind));
        Assert.Equal(VcpuCondition.Starved, Assert.Single(read.Stalled).Condition);
        Assert.Equal(Verdict.Inconclusive, VerdictOf(read));
        Assert.Empty(Read(Vm(Healthy with { State = VcpuState.Starved, Starvations = 2 })).Findings);
    }

    [Fact]
    public void A_crossing_is_found_and_counted_once_and_only_with_probes_in_flight()
    {
        HostVmSnapshot vm = Vm(Healthy) with
        {
            Crossings = [Crossing(3_000_000, probes: 0), Crossing(Boundary, probes: 1)],
            InvalidationsEnded = Boundary + 9,
        };
        CohortSnapshot first = Read(vm);
        CohortSnapshot second = Read(vm);

        Assert.Equal(
            ["BoundaryCrossedIdle 3000000 0x2dc6c0-0x2dc6ca", "BoundaryCrossed 2^31 0x80000000-0x8000000a"],
            first.Findings.Select(finding => $"{finding.Kind} {finding.Boundary} {finding.InvalidateSeq}"));
        Assert.Empty(second.Findings);
        Assert.Equal(
            ["3000000: 0", "2^31: 1", "2^32: 0"],
            second.Totals.Crossings.Select(each => $"{each.Boundary}: {each.Vms}"));
    }

    [Fact]
    public void A_boundary_of_its_own_counts_as_a_crossing_too()
    {
        CohortTotals totals = Read(Vm(Healthy) with { Crossings = [Crossing(3_000_000, probes: 1)] }).Totals;

        Assert.Equal(1, totals.CrossingsInAll);
    }

    [Fact]
    public void A_crossing_is_expected_when_the_last_VM_gets_there_and_not_past_the_end_of_the_run()
    {
        HostVmSnapshot near = Vm(Healthy) with
        {
            InvalidationsPerSecond = 1000,
            NextBoundary = 3_000_000,
            ExpectedCrossing = Noon.AddSeconds(50),
        };
        HostVmSnapshot far = near with { Index = 1, ExpectedCrossing = Noon.AddSeconds(90) };
        CounterForecast forecast = Read(near, far).Forecast!;

        Assert.Equal(
            [
                new BoundaryForecast(new(3_000_000), Noon.AddSeconds(90)),
                new(new((ulong)Boundary), Noon.AddSeconds((Boundary - 1000) / 1000.0)),
            ],
            forecast.Crossings);
    }

    [Theory]
    [InlineData(0, 3_000_000)]
    [InlineData(2_000_000, 1_500_000)]
    public void A_boundary_that_is_reached_is_no_longer_expected(long start, long ended)
    {
        HostVmSnapshot vm = Vm(Healthy) with { Start = start, InvalidationsPerSecond = 1000, InvalidationsEnded = ended };

        Assert.DoesNotContain(
            new Engine.Cohorts.Boundary(3_000_000), Read(vm).Forecast!.Crossings.Select(crossing => crossing.Boundary));
    }

    [Theory]
    [InlineData(1000, true)]
    [InlineData(1001, false)]
    public void A_boundary_at_the_very_end_of_the_run_is_still_expected(long below, bool isExpected)
    {
        HostVmSnapshot vm = Vm(Healthy) with { Start = Boundary - below, InvalidationsPerSecond = 1000 };

        Assert.Equal(isExpected, Read(vm).Forecast!.Crossings.Any(crossing => crossing.Boundary.Count == 1UL << 32));
    }

    [Fact]
    public void A_rate_close_to_nothing_is_as_good_as_none()
    {
        HostVmSnapshot slow = Vm(Healthy) with
        {
            InvalidationsPerSecond = 1e-9,
            NextBoundary = 3_000_000,
            ExpectedCrossing = null,
        };

        Assert.Empty(Read(slow).Forecast!.Crossings);
    }

    [Fact]
    public void Without_a_rate_no_crossing_is_expected() => Assert.Empty(Read(Vm(Healthy)).Forecast!.Crossings);

    [Fact]
    public void What_its_VMs_show_decides_its_verdict()
    {
        HostVmSnapshot vm = Vm(Healthy) with { Crossings = [Crossing(Boundary, probes: 1)] };
        HostSoakSnapshot over = Snapshot(vm) with { IsOver = true, Seen = ["seen"] };

        Assert.Equal(Verdict.Pass, VerdictOf(Read(over)));
        Assert.Equal(Verdict.Inconclusive, VerdictOf(Read(Snapshot(vm))));
        Assert.Equal(Verdict.Inconclusive, VerdictOf(Read(over with { Missing = ["missing"] })));
        Assert.Equal(Verdict.Violation, VerdictOf(Read(Snapshot(vm) with { Violations = ["hung"] })));
        Assert.Equal(Verdict.Unsupported, VerdictOf(_reader.Refused("no")));
    }

    [Fact]
    public void A_run_that_is_not_over_says_how_far_it_is() => Assert.Equal(
        ["The run is not over: VM 0 has made 1000 of 2147484648 invalidations; 2^31 is expected at 2026-01-01 12:30:00Z."],
        Read(Vm(Healthy) with { NextBoundary = Boundary, ExpectedCrossing = Noon.AddMinutes(30) }).Missing);

    [Fact]
    public void What_was_not_covered_is_passed_on_and_that_the_detector_met_no_real_hang_is_added()
    {
        ImmutableArray<string> gaps = Read(Snapshot(Vm(Healthy)) with { NotCovered = ["a gap"] }).NotCovered;

        Assert.Equal("a gap", gaps[0]);
        Assert.StartsWith("No kernel with the defect ran here", gaps[1], StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_that_saw_a_hang_does_not_say_that_no_kernel_with_the_defect_ran()
    {
        HostSnapshot read = Read(Snapshot(Vm(Hung)) with { Violations = ["hung"], NotCovered = ["a gap"] });

        Assert.Equal(["a gap"], read.NotCovered);
        Assert.DoesNotContain(read.Remarks, line => line.Contains("No kernel with the defect", StringComparison.Ordinal));
        Assert.Equal(new VcpuHang(0, 0, true, Evidence), Assert.Single(read.Hangs));
        Assert.Equal((ulong)Boundary + 5, read.HungAt);
    }

    [Fact]
    public void A_hang_that_recovered_or_whose_vCPU_stopped_well_below_the_boundary_is_not_past_it()
    {
        Assert.Null(Read(Snapshot(Vm(Healthy with { Evidence = Evidence, Recoveries = 1 }))).HungAt);
        Assert.Null(Read(Snapshot(Vm(Hung with { Recoveries = 1 }))).HungAt);
        Assert.Equal((ulong)Boundary - 500_000, HungAt(Boundary - 500_000));
        Assert.Equal((ulong)Boundary + 5, HungAt(Boundary - 100_000));
        Assert.Equal((ulong)Boundary - (1 << 18) - 1, HungAt(Boundary - (1 << 18) - 1));
        Assert.Equal((ulong)Boundary + 5, HungAt(Boundary - (1 << 18)));

        // A kernel that hangs vCPUs below it as well has another defect.
        HostVcpuSnapshot early = Hung with { Evidence = Evidence with { AtLastHeartbeat = new(7, 7) } };
        Assert.Equal(7UL, Read(Snapshot(Vm(early, Hung))).HungAt);

        ulong? HungAt(long alive) => Read(Snapshot(Vm(
            Hung with { Evidence = Evidence with { AtLastHeartbeat = new(alive, alive) } }))).HungAt;
    }

    [Fact]
    public void The_counter_and_its_crossings_count_from_where_it_started()
    {
        HostVmSnapshot vm = Vm(Healthy) with
        {
            Start = Boundary - 100_000,
            InvalidationsPerSecond = 1000,
            InvalidationsEnded = 40_000,
            InvalidationsBegun = 40_512,
            NextBoundary = Boundary,
            ExpectedCrossing = Noon.AddSeconds(60),
        };

        HostSnapshot read = Read(vm);

        Assert.Equal("0x7fff15a0-0x7fff17a0", read.InvalidateSeq!.Value.Min.ToString());
        Assert.Equal(
            [new BoundaryForecast(new((ulong)Boundary), Noon.AddSeconds(60))],
            read.Forecast!.Crossings);
        Assert.Equal(40_000, read.Totals.Invalidations);
    }

    [Theory]
    [InlineData(300, "300 of 2,147.5 million invalidations, 20 a second")]
    [InlineData(99_999, "99,999 of 2,147.5 million invalidations, 20 a second")]
    [InlineData(100_000, "0.10 million of 2,147.5 million invalidations, 20 a second")]
    [InlineData(10_000_000, "10.0 million of 2,147.5 million invalidations, 20 a second")]
    [InlineData(20_000_000, "20.0 million of 2,147.5 million invalidations, 20 a second")]
    public void Progress_never_rounds_to_nothing(long ended, string progress) => Assert.StartsWith(
        progress, Read(Vm(Healthy) with { InvalidationsEnded = ended, InvalidationsPerSecond = 20 }).Progress,
        StringComparison.Ordinal);

    [Fact]
    public void Why_a_run_ended_early_is_a_failure_unless_it_was_asked_to()
    {
        HostSoakSnapshot end = Snapshot(Vm(Healthy)) with { IsOver = true, Missing = ["madvise failed."] };

        Assert.Equal(["madvise failed."], _reader.Read(end, Noon, isStopping: false).Failures);
        Assert.Empty(_reader.Read(end, Noon, isStopping: true).Failures);
    }

    [Fact]
    public void A_cohort_that_nobody_looks_at_any_more_says_so_until_it_is_over()
    {
        DateTimeOffset late = Noon + HostCohortReader.SilenceMax + TimeSpan.FromTicks(1);

        Assert.Empty(_reader.Read(Snapshot(Vm(Healthy)), late.AddTicks(-1), isStopping: false).Failures);

        Assert.StartsWith(
            "The thread that drives the VMs has published nothing since",
            Assert.Single(_reader.Read(Snapshot(Vm(Healthy)), late, isStopping: false).Failures),
            StringComparison.Ordinal);
        Assert.Empty(_reader.Read(Snapshot(Vm(Healthy)) with { IsOver = true }, late, isStopping: false).Failures);
    }

    [Fact]
    public void With_a_VM_lost_to_a_hang_the_others_have_nothing_more_to_show()
    {
        HostVmSnapshot lost = Vm(Hung) with { Phase = HostVmPhase.Lost };

        Assert.True(Read(Snapshot(lost, Vm(Healthy) with { Index = 1 }) with { Violations = ["hung"] }).IsOver);
    }

    [Theory]
    [InlineData(-1, null)]
    [InlineData(0, 0)]
    [InlineData((2 << 20) - 1, 511)]
    [InlineData(2 << 20, null)]
    public void An_address_is_a_page_of_the_soaked_memory_or_none(long offset, int? page)
    {
        HostVcpuSnapshot hung = Hung with { Evidence = Evidence with { FaultingAddress = (ulong)((1L << 30) + offset) } };

        Assert.Equal(page, Assert.Single(Read(Vm(hung)).Stalled).Page);
    }

    [Fact]
    public void The_slowest_VM_says_how_far_the_cohort_is_and_sums_are_over_all()
    {
        HostVmSnapshot second = Vm(Healthy with { Recoveries = 1 }) with { Index = 1, InvalidationsEnded = 500 };
        HostSnapshot read = Read(Vm(Healthy with { Recoveries = 1 }), second);

        Assert.Equal(500.0 / (Boundary + 1000), read.Share, 1e-12);
        Assert.Equal(["The run is not over: VM 1 has made 500 of 2147484648 invalidations."], read.Missing);
        Assert.Equal((154, 2, 1500), (read.Totals.Retried, read.Totals.Recoveries, read.Totals.Invalidations));
    }

    [Fact]
    public void A_cohort_is_over_early_only_with_a_violation_and_a_VM_that_is_lost()
    {
        Assert.False(Read(Snapshot(Vm(Hung)) with { Violations = ["hung"] }).IsOver);
        Assert.False(Read(Vm(Healthy) with { Phase = HostVmPhase.Lost }).IsOver);
        Assert.Equal((true, true), (_reader.Refused("no").IsOver, _reader.Refused("no").IsOutOfService));
    }

    [Theory]
    [InlineData(-20, 40)]
    [InlineData(5, 60)]
    [InlineData(-70, 60)]
    [InlineData(0, 60)]
    public void A_crossing_has_its_own_time_unless_the_clock_was_set(int seconds, int elapsed)
    {
        HostVmSnapshot vm = Vm(Healthy) with
        {
            Crossings = [Crossing(Boundary, probes: 1) with { At = Noon.AddSeconds(seconds) }],
        };

        Assert.Equal(FindingTime.After(TimeSpan.FromSeconds(elapsed)), Assert.Single(Read(vm).Findings).Time);
    }

    [Fact]
    public void Coverage_counts_the_faults_after_the_highest_boundary_also_beside_a_sibling_without_statistics()
    {
        HostVmSnapshot vm = Vm(Healthy, Sibling) with
        {
            Crossings = [Crossing(3_000_000, probes: 1) with { FaultsFixedAfter = 9 }, Crossing(Boundary, probes: 1)],
        };

        Assert.Equal(new WorkloadCoverage("madvise(MADV_DONTNEED)", 1000, 450, 350, true), Assert.Single(Read(vm).Coverage));
    }

    [Fact]
    public void A_boundary_after_the_next_is_expected_from_where_the_counter_is()
    {
        HostVmSnapshot vm = Vm(Healthy) with
        {
            Start = 2_000_000,
            InvalidationsPerSecond = 1000,
            NextBoundary = 3_000_000,
            ExpectedCrossing = Noon.AddSeconds(999),
        };

        Assert.Equal(
            new BoundaryForecast(new((ulong)Boundary), Noon.AddSeconds((Boundary - 2_001_000) / 1000.0)),
            Read(vm).Forecast!.Crossings[1]);
    }

    [Fact]
    public void Coverage_is_the_plain_invalidations_and_then_each_workload_over_all_VMs()
    {
        HostVcpuSnapshot others = Healthy with { Index = 2, Role = VcpuRole.Workload, Faults = new FaultCounters { Fixed = 33 } };
        HostVmSnapshot vm = Vm(Healthy, others) with
        {
            Crossings = [Crossing(Boundary, 1)],
            Workloads = [new("fork", 3, 10, 20, null, null), new("ksm", 0, 0, 0, "no KSM", null)],
        };

        Assert.Equal(
            [
                new("madvise(MADV_DONTNEED)", 2000, 900, 700, true), new("fork", 5, 21, 42, true), new("ksm", 0, 0, 0, false),
            ],
            Read(vm, vm with { Index = 1, Workloads = [new("fork", 2, 11, 22, null, null), vm.Workloads[1]] }).Coverage);
        HostVmSnapshot refused = vm with { Index = 1, Workloads = [new("fork", 0, 0, 0, "no memory", null)] };
        Assert.True(Read(vm, refused).Coverage[1].Offered);
        Assert.Equal(
            new WorkloadCoverage("fork", 1, null, null, true),
            Read(vm with { Workloads = [new("fork", 1, null, null, null, null)] }).Coverage[1]);
    }

    [Fact]
    public void A_stale_mapping_is_a_finding_once_and_a_violation_with_its_evidence()
    {
        HostVmSnapshot vm = Vm(Healthy) with { Index = 2, Phase = HostVmPhase.Lost, Stale = Workloads.StaleMappingTests.Found };
        HostSnapshot read = Read(Snapshot(vm) with { IsOver = true, Violations = ["VM 2: stale."] });

        Finding finding = Assert.Single(read.Findings);
        Assert.Equal((FindingKind.StaleMapping, 2, (int?)null), (finding.Kind, finding.Vm, finding.Vcpu));
        Assert.Equal(new CounterRange(100, 140), finding.InvalidateSeq);
        Assert.Equal((1L, new VmStaleMapping(2, vm.Stale)), (read.Totals.StaleMappings, Assert.Single(read.StaleMappings)));
        Assert.Equal(Verdict.Violation, VerdictOf(read));
        Assert.Equal("violation: stale mapping", HostVerdictName.Of(Verdict.Violation, read));
        Assert.Empty(Read(vm).Findings);
    }

    [Fact]
    public void Stale_mappings_are_counted_only_where_a_workload_looked_for_them()
    {
        Assert.Null(Read(Vm(Healthy)).Totals.StaleMappings);
        Assert.Null(Read(Vm(Healthy) with { Workloads = [new("fork", 0, 0, 0, null, null)] }).Totals.StaleMappings);
        HostVmSnapshot looked = Vm(Healthy) with { Workloads = [new("fork", 1, 0, 0, null, null)] };
        Assert.Equal(0, Read(looked).Totals.StaleMappings);
        Assert.Equal(0, Read(looked, Vm(Healthy) with { Index = 1 }).Totals.StaleMappings);
    }

    private static BoundaryCrossing Crossing(long boundary, int probes) =>
        new(boundary, Noon, boundary + 10, probes, 500, 450, 400, 350, 350);

    private static HostVmSnapshot Vm(params HostVcpuSnapshot[] vcpus) =>
        new(0, HostVmPhase.Soaking, 1000, 1000, 0, null, null, null, [], 0, [.. vcpus]);

    private static HostSoakSnapshot Snapshot(params HostVmSnapshot[] vms) =>
        new()
        {
            At = Noon,
            Elapsed = TimeSpan.FromMinutes(1),
            IsOver = false,
            Violations = [],
            Missing = [],
            Seen = [],
            NotCovered = [],
            Machine = Machine,
            Vms = [.. vms],
        };

    private static Verdict VerdictOf(CohortSnapshot snapshot) => Verdicts.OfCohort(Defect.None, snapshot, default).Verdict;

    private HostSnapshot Read(params HostVmSnapshot[] vms) => Read(Snapshot(vms));

    private HostSnapshot Read(HostSoakSnapshot snapshot) => _reader.Read(snapshot, Noon, isStopping: false);
}
