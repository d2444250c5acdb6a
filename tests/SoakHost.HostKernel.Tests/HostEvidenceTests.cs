using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Statistics;
using SoakHost.HostKernel.Watch;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.HostKernel.Tests;

public sealed class HostEvidenceTests
{
    private static readonly DateTimeOffset Noon = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);
    private static readonly HostCohortOptions Options = new() { Until = (1L << 31) + 1000, Boundaries = [1L << 31, 1L << 32] };

    private static readonly HostVcpuSnapshot Healthy = new(
        0,
        VcpuRole.Soaked,
        VcpuState.Resting,
        5000,
        100,
        new FaultCounters(900, 800, 0, 0, 0, 2000, 0),
        TimeSpan.FromSeconds(1),
        Noon,
        0,
        0,
        0,
        null,
        null);

    private static readonly BoundaryCrossing Seen = new(1L << 31, Noon, (1L << 31) + 10, 1, 500, 450, 400, 350, 350);

    private static readonly HostVmSnapshot Vm = new(
        0, HostVmPhase.Finished, (1L << 31) + 1024, (1L << 31) + 1024, 0, null, null, null, [Seen], 0, [Healthy]);

    private static readonly HostMachine Here = new("6.1", "npt", "a CPU");

    [Fact]
    public void A_finished_run_that_saw_its_boundary_misses_nothing_and_says_what_it_saw()
    {
        Assert.Empty(HostEvidence.Missing(Options, [Vm]));
        Assert.Empty(HostEvidence.Violations([Vm]));
        Assert.StartsWith("VM 0 crossed 2^31 with 1 vCPUs at work", HostEvidence.Seen([Vm])[0], StringComparison.Ordinal);
    }

    [Fact]
    public void A_hang_is_a_violation_and_stays_one_after_a_recovery()
    {
        var evidence = new HangEvidence(
            HangProof.Statistics, Noon, Noon, Noon.AddSeconds(2), 1L << 31, 1L << 31, default, default(FaultCounters),
            new FaultCounters { Taken = 2444 }, 0x40000000);
        HostVmSnapshot vm = Vm with { Vcpus = [Healthy with { Evidence = evidence, Recoveries = 1 }] };
        Assert.Contains("2444 faults were taken and none fixed", Assert.Single(HostEvidence.Violations([vm])));
    }

    [Fact]
    public void A_run_that_no_boundary_lies_in_shows_nothing() => Assert.Equal(
        ["No boundary lies within the run, so none was crossed."],
        HostEvidence.Missing(Options with { Boundaries = [1L << 32] }, [Vm]));

    [Fact]
    public void A_run_that_ends_below_2_to_31_is_inconclusive_whatever_it_crossed()
    {
        HostCohortOptions low = Options with { Until = 300_000, Boundaries = [100_000, 1L << 31] };
        HostVmSnapshot vm = Vm with { InvalidationsEnded = 300_032, Crossings = [Seen with { Boundary = 100_000 }] };

        Assert.Equal(
            ["The run ends below 2^31: a kernel with the defect passes there too."], HostEvidence.Missing(low, [vm]));
    }

    /// <summary>A lower boundary beside 2^31 takes nothing from it.</summary>
    [Fact]
    public void A_run_across_a_lower_boundary_and_2_to_31_misses_nothing() => Assert.Empty(HostEvidence.Missing(
        Options with { Boundaries = [100_000, 1L << 31] }, [Vm with { Crossings = [Seen with { Boundary = 100_000 }, Seen] }]));

    [Theory]
    [InlineData(0, 1L << 31, HostEvidence.EndsBelow)]
    [InlineData(0, (1L << 31) + 1, HostEvidence.NotWatched)]
    [InlineData(1000, (1L << 31) - 999, HostEvidence.NotWatched)]
    [InlineData(1000, (1L << 31) - 1000, HostEvidence.EndsBelow)]
    public void A_run_past_2_to_31_that_nobody_watched_there_is_told_from_one_that_ends_below(
        long start, long until, string reason) => Assert.Equal(
        [reason],
        HostEvidence.Missing(
            Options with { Until = until, Boundaries = [100_000] },
            [Vm with { Start = start, Crossings = [Seen with { Boundary = 100_000 }] }]));

    [Fact]
    public void A_quick_run_is_inconclusive_and_says_that_it_was_quick()
    {
        HostCohortOptions quick = new HostCohortOptions().WithoutLongCount();
        HostVmSnapshot vm = Vm with
        {
            InvalidationsEnded = quick.Until,
            Crossings = [Seen with { Boundary = quick.Boundaries[0] }],
        };

        Assert.Equal([HostEvidence.Quick], HostEvidence.Missing(quick, [vm]));
        Assert.Equal(2, HostEvidence.Missing(quick, [vm with { Crossings = [] }]).Length);
    }

    [Fact]
    public void A_crossing_that_no_vCPU_was_at_work_across_is_inconclusive() =>
        Inconclusive(
            Vm with
            {
                Crossings = [Seen with { ProbesInFlight = 0 }],
            },
            "crossed 2^31 with no vCPU at work, which shows nothing");

    [Fact]
    public void A_crossing_after_which_no_fault_was_fixed_is_inconclusive() =>
        Inconclusive(
            Vm with
            {
                Crossings = [Seen with { FaultsFixedAfter = 0 }],
            },
            "and no fault was seen to be fixed after it: that shows nothing yet, and may be the defect");

    [Fact]
    public void Where_no_faults_are_counted_progress_across_the_crossing_stands_for_them() =>
        Assert.True((Seen with { FaultsTakenBefore = 0, FaultsTakenAfter = 0, FaultsFixedAfter = 0 }).IsSeen);

    [Fact]
    public void A_boundary_not_crossed_is_inconclusive() => Inconclusive(Vm with { Crossings = [] }, "did not cross 2^31");

    [Fact]
    public void A_guest_that_took_no_faults_shows_nothing() =>
        Inconclusive(Vm with { Vcpus = [Healthy with { Faults = default(FaultCounters) }] }, "its fault path was not tested");

    [Theory]
    [InlineData(VcpuState.Halted)]
    [InlineData(VcpuState.RunFailed)]
    [InlineData(VcpuState.LoopingInGuest)]
    [InlineData(VcpuState.NotScheduled)]
    [InlineData(VcpuState.FixedInVain)]
    public void A_stop_of_another_kind_is_inconclusive_and_never_the_defect(VcpuState state) =>
        Inconclusive(Vm with { Vcpus = [Healthy with { State = state }] }, $"ended as {state}");

    [Theory]
    [InlineData(
        VcpuState.Suspect,
        "ended as a suspect: it made no progress, and there was no time to confirm why. It may be the defect.")]
    [InlineData(VcpuState.Quiescing, "ended as a suspect")]
    [InlineData(VcpuState.Unexplained, "nothing that can be read says why. It may be the defect.")]
    public void A_stop_that_was_not_explained_exonerates_nobody(VcpuState state, string sentence)
    {
        string missing = Assert.Single(HostEvidence.Missing(Options, [Vm with { Vcpus = [Healthy with { State = state }] }]));

        Assert.Contains(sentence, missing, StringComparison.Ordinal);
        Assert.DoesNotContain("not the defect", missing, StringComparison.Ordinal);
    }

    [Fact]
    public void Boundaries_are_those_of_the_counter_where_its_start_is_known()
    {
        HostCohortOptions near = Options with { Until = 300_000, CounterStart = (1L << 31) - 100_000 };
        HostVmSnapshot vm = Vm with { Start = near.CounterStart!.Value, InvalidationsEnded = 300_032 };

        Assert.Empty(HostEvidence.Missing(near, [vm]));
        Assert.Equal(["VM 0 did not cross 2^31."], HostEvidence.Missing(near, [vm with { Crossings = [] }]));
        Assert.Equal("VM 0: its counter started at 0x7ffe7960, as declared.", HostEvidence.Seen([vm])[0]);
        Assert.Equal(
            "VM 0: its counter started at 0x7ffe7960, as read.", HostEvidence.Seen([vm with { IsStartRead = true }])[0]);
        Assert.Contains(
            "2^32 lies past the end of the run.",
            HostEvidence.NotCovered(near, new HostMachine("6.1", "npt", "a CPU"), [], null, vm.Start));
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(4096, false)]
    [InlineData(4097, true)]
    [InlineData(-1, true)]
    public void A_counter_that_did_not_start_where_it_was_declared_to_is_inconclusive(long off, bool isWrong)
    {
        HostCohortOptions near = Options with { Until = 300_000, CounterStart = (1L << 31) - 100_000 };
        HostVmSnapshot vm = Vm with { Start = near.CounterStart!.Value + off, IsStartRead = true, InvalidationsEnded = 300_032 };

        Assert.Equal(isWrong, HostEvidence.Missing(near, [vm]).Any(each => each.Contains(
            "as the kernel shows it, and not at 0x7ffe7960, as was declared", StringComparison.Ordinal)));
        Assert.Empty(HostEvidence.Missing(near, [vm with { IsStartRead = false }]));
    }

    [Fact]
    public void A_long_time_without_a_look_around_a_boundary_is_inconclusive()
    {
        Assert.Empty(HostEvidence.Missing(Options, [Vm with { LookGap = TimeSpan.FromSeconds(6) }]));
        Inconclusive(
            Vm with { LookGap = TimeSpan.FromSeconds(6.1) },
            "VM 0 was not looked at for 6.1 s around a boundary: what its vCPUs did meanwhile is not known.");
    }

    [Fact]
    public void Without_statistics_no_number_of_faults_is_said()
    {
        HostVmSnapshot vm = Vm with
        {
            Vcpus = [Healthy with { Faults = null }],
            Crossings = [Seen with { FaultsTakenBefore = 0, FaultsTakenAfter = 0, FaultsFixedAfter = 0 }],
        };

        Assert.Equal(
            [
                "VM 0 crossed 2^31 with 1 vCPUs at work; since then they have read 350 pages (this kernel counts no faults).",
                "VM 0: after 2147484672 invalidations every vCPU makes progress.",
            ],
            HostEvidence.Seen([vm]));
    }

    [Fact]
    public void What_lies_past_the_end_is_named_as_not_covered()
    {
        ImmutableArray<string> gaps = HostEvidence.NotCovered(
            Options,
            new HostMachine("6.1", "npt, tdp_mmu=Y", "a CPU"),
            ["no pf_taken"],
            "bpf(2) is not permitted");
        Assert.Contains("2^32 lies past the end of the run.", gaps);
        Assert.Contains("no pf_taken", gaps);
        Assert.Contains(gaps, each => each.Contains("kernel 6.1, MMU mode npt, tdp_mmu=Y", StringComparison.Ordinal));
    }

    [Fact]
    public void That_the_counter_was_not_read_is_said_with_the_reason_and_only_then()
    {
        const string reason = "bpf(2) is not permitted: it takes CAP_BPF and CAP_PERFMON, or root";
        var machine = new HostMachine("6.1", "npt", "a CPU");

        Assert.Contains(
            $"The kernel's counter was not read ({reason}): it lies between the invalidations ended and begun, plus those of "
                + "other sources.",
            HostEvidence.NotCovered(Options, machine, [], reason));
        Assert.DoesNotContain(
            HostEvidence.NotCovered(Options, machine, [], null),
            gap => gap.Contains("counter was not", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(0, false, "It lay within the counted bounds all along.")]
    [InlineData(7, false, "It ran ahead of the count by up to 7: other sources, such as compaction, moved it too.")]
    [InlineData(7, true, "It did not lie within the counted bounds.")]
    public void What_the_kernel_showed_of_the_counter_is_said(ulong ahead, bool isBelow, string bounds)
    {
        var counter = new KernelCounter(
            true, 5, 0x80000400, 800,
            [new(Boundary.AtPower(31), 350, 0x80000001, 0x80000400), new(Boundary.AtPower(32), 0, null, null)], ahead, isBelow);

        Assert.Equal(
            "VM 0: the kernel's counter, as read at kvm_mmu_spte_requested, went from 0x5 to 0x80000400; 350 faults were fixed "
                + $"with a snapshot of 2^31 or above, the first at 0x80000001, the last at 0x80000400. {bounds}",
            HostEvidence.Seen([Vm with { Counter = counter }])[1]);
    }

    [Fact]
    public void A_counter_below_the_count_is_inconclusive() => Inconclusive(
        Vm with { Counter = new KernelCounter(false, 5, 6, 0, [], 0, IsBelow: true) },
        "below the invalidations that had ended, so the count is wrong");

    /// <summary>Whole sentences: what is left out of one is missed by nobody else.</summary>
    [Fact]
    public void What_is_missing_is_said_in_full()
    {
        HostVmSnapshot vm = Vm with
        {
            InvalidationsEnded = 12,
            Crossings = [],
            Counter = new KernelCounter(false, 5, 6, 0, [], 0, IsBelow: true),
            Vcpus =
            [
                Healthy with
                {
                    State = VcpuState.Halted,
                    StopReason = "KVM_RUN ended with KVM_EXIT_HLT",
                    Faults = default(FaultCounters),
                    Rounds = 0,
                },
                Healthy with { Index = 1, Role = VcpuRole.Sibling, Faults = default(FaultCounters), Rounds = 0 },
                Healthy with { Index = 2, State = VcpuState.Hung },
            ],
        };

        Assert.Equal(
            [
                "VM 0 made 12 of 2147484648 invalidations.",
                "VM 0 did not cross 2^31.",
                "VM 0: the kernel's counter was below the invalidations that had ended, so the count is wrong.",
                "vCPU 0 of VM 0 ended as Halted (KVM_RUN ended with KVM_EXIT_HLT). That is not the defect, and no pass either.",
                "vCPU 0 of VM 0 had no fault fixed, so its fault path was not tested.",
                "vCPU 0 of VM 0 finished no probe.",
                "vCPU 2 of VM 0 ended hung.",
            ],
            HostEvidence.Missing(Options, [vm]));
    }

    [Fact]
    public void What_was_seen_and_what_was_not_covered_is_said_in_full()
    {
        Assert.Equal(
            [
                "VM 0 crossed 2^31 with 1 vCPUs at work; since then 400 faults were taken and 350 fixed for them.",
                "VM 0: after 2147484672 invalidations every vCPU makes progress; 900 faults taken, 800 fixed.",
            ],
            HostEvidence.Seen([Vm]));
        Assert.Equal(
            [
                "This is about kernel 6.1, MMU mode npt and CPU a CPU, and nothing else.",
                "Nesting, migration to another host and private memory (of confidential VMs) were not tested.",
                "Boundaries that were not asked for: mmio-generation, async-pf-token, dirty-ring (--boundaries).",
                "The dirty ring was not tested: a VM has it or the bitmap (--workloads all,-dirty-log,dirty-ring).",
                "2^32 lies past the end of the run.",
                "a shortcoming",
            ],
            HostEvidence.NotCovered(Options, new HostMachine("6.1", "npt", "a CPU"), ["a shortcoming"], null));
        Assert.Equal(
            "VM 0 crossed 2^31, and no fault was seen to be fixed after it: that shows nothing yet, and may be the defect.",
            Assert.Single(HostEvidence.Missing(Options, [Vm with { Crossings = [Seen with { FaultsFixedAfter = 0 }] }])));
        Assert.Equal(
            "VM 0 crossed 2^31 with no vCPU at work, which shows nothing.",
            Assert.Single(HostEvidence.Missing(Options, [Vm with { Crossings = [Seen with { ProbesInFlight = 0 }] }])));
    }

    [Fact]
    public void Workloads_that_did_not_run_are_named_with_the_reason()
    {
        string[] chosen = ["fork", "ksm", "mremap", "thp", "file", "memfd"];
        HostVmSnapshot vm = Vm with
        {
            Workloads =
            [
                new("fork", 3, 4, 5, null, null), new("ksm", 0, 0, 0, "this kernel has no KSM", null),
                new("mremap", 2, 4, 0, null, "could not move"), new("thp", 0, 0, 0, null, null),
                new("file", 0, 0, 0, null, null), new("memfd", 2, 4, 0, null, null), new("fork", 1, null, null, null, null),
            ],
        };
        string off = $"Workloads that were switched off: {string.Join(", ", WorkloadNames.Usual.Except(chosen))}.";

        Assert.Equal(
            [
                off, "The workload ksm did not run: this kernel has no KSM.", "The workload mremap ended early: could not move.",
                "The workload memfd had no fault fixed past the last boundary that was crossed.",
                "Workloads that had no time to run: thp, file.",
            ],
            Gaps(isOver: true, vm));
        Assert.Equal(3, Gaps(isOver: false, vm).Count());
        Assert.Equal([off, "No workload could run: no room."], Gaps(isOver: true, Vm with { WhyNoWorkloads = "no room" }));
        Assert.Equal(
            ["All workloads were switched off: the guests read private anonymous memory through 4 KiB mappings."],
            Named(HostEvidence.NotCovered(Options with { Workloads = [] }, Here, [], null, 0, [Vm], true)));

        IEnumerable<string> Gaps(bool isOver, HostVmSnapshot vm) =>
            Named(HostEvidence.NotCovered(Options with { Workloads = chosen }, Here, [], null, 0, [vm], isOver));

        static IEnumerable<string> Named(IEnumerable<string> gaps) =>
            gaps.Where(gap => gap.Contains("orkload", StringComparison.Ordinal)
                && !gap.Contains("dirty-ring", StringComparison.Ordinal));
    }

    [Fact]
    public void One_VM_whose_workload_had_no_fault_fixed_past_the_boundary_is_enough_to_say_so()
    {
        HostVmSnapshot unfixed = Vm with { Workloads = [new("fork", 3, 4, 0, null, null)] };
        HostVmSnapshot below = unfixed with { Index = 1, Crossings = [], Workloads = [new("fork", 3, 4, 5, null, null)] };
        const string gap = "The workload fork had no fault fixed past the last boundary that was crossed.";

        Assert.Contains(gap, HostEvidence.NotCovered(Options, Here, [], null, 0, [unfixed, below], isOver: true));
        Assert.DoesNotContain(
            gap, HostEvidence.NotCovered(Options, Here, [], null, 0, [unfixed with { Crossings = [] }, below], isOver: true));
    }

    [Fact]
    public void A_stale_mapping_is_a_violation_before_all_others()
    {
        HostVmSnapshot vm = Vm with { Index = 3, Stale = Workloads.StaleMappingTests.Found };

        Assert.Equal([$"VM 3: {Workloads.StaleMappingTests.Found}."], HostEvidence.Violations([Vm, vm]));
    }

    [Fact]
    public void Every_VM_must_reach_a_boundary_from_2_to_31_on()
    {
        HostCohortOptions options = Options with { Until = 300_000, Boundaries = [100_000, 1L << 31] };
        HostVmSnapshot near = Vm with { Start = (1L << 31) - 100_000, InvalidationsEnded = 300_000 };
        HostVmSnapshot low = near with { Index = 1, Start = 0, Crossings = [Seen with { Boundary = 100_000 }] };
        HostVmSnapshot past = near with { Index = 1, Start = 1L << 31, Crossings = [] };

        Assert.Empty(HostEvidence.Missing(options, [near]));
        Assert.Equal([HostEvidence.EndsBelow], HostEvidence.Missing(options, [near, low]));
        Assert.Equal(
            ["No boundary lies within the run, so none was crossed."], HostEvidence.Missing(options, [near, past]));
    }

    [Fact]
    public void What_lies_past_the_end_counts_from_where_the_counter_started()
    {
        HostCohortOptions options = Options with { Until = 100, Boundaries = [50, 150, 1000, 151] };

        Assert.Equal(
            ["151 lies past the end of the run.", "1000 lies past the end of the run."],
            HostEvidence.NotCovered(options, new HostMachine("6.1", "npt", "a CPU"), [], null, start: 50).Skip(4));
    }

    /// <summary>A counter that is first read has been moved a little by others: that is no start of its own.</summary>
    [Theory]
    [InlineData(4096, false)]
    [InlineData(4097, true)]
    public void Where_a_counter_started_is_said_once_it_is_far_from_0(long start, bool isSaid) => Assert.Equal(
        isSaid, HostEvidence.Seen([Vm with { Start = start }])[0] == "VM 0: its counter started at 0x1001, as declared.");

    [Fact]
    public void An_end_without_a_reason_is_said_without_one() => Assert.Equal(
        ["vCPU 0 of VM 0 ended as Halted. That is not the defect, and no pass either."],
        HostEvidence.Missing(Options, [Vm with { Vcpus = [Healthy with { State = VcpuState.Halted }] }]));

    [Fact]
    public void A_counter_read_at_each_fault_is_said_to_be_so_and_a_sibling_without_statistics_hides_no_faults()
    {
        var counter = new KernelCounter(false, 5, 9, 8, [new(new Boundary(6), 3, 7, 9)], 0, false);
        ImmutableArray<string> seen = HostEvidence.Seen(
            [Vm with { Counter = counter, Vcpus = [Healthy, Healthy with { Index = 1, Faults = null }] }]);

        Assert.Equal(
            "VM 0: the kernel's counter, as read at kvm_page_fault, went from 0x5 to 0x9; 3 faults were fixed with the counter "
            + "at 6 or above, the first at 0x7, the last at 0x9. It lay within the counted bounds all along.",
            seen[1]);
        Assert.EndsWith("400 faults were taken and 350 fixed for them.", seen[0], StringComparison.Ordinal);
        Assert.EndsWith("; 900 faults taken, 800 fixed.", seen[2], StringComparison.Ordinal);
    }

    private static void Inconclusive(HostVmSnapshot vm, string reason) =>
        Assert.Contains(reason, Assert.Single(HostEvidence.Missing(Options, [vm])));
}
