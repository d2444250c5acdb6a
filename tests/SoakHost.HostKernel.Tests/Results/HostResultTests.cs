using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Results;
using SoakHost.HostKernel.Statistics;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel.Tests.Results;

/// <summary>From what a run showed to the result that is kept.</summary>
public sealed class HostResultTests
{
    private const long Boundary31 = 1L << 31;

    private static readonly DateTimeOffset Noon = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);

    private static readonly HostVcpuSnapshot Vcpu = new(
        0, VcpuRole.Soaked, VcpuState.Resting, 5000, 100, new FaultCounters(900, 800, 0, 0, 0, 2000, 0), null, Noon, 0, 0, 0,
        null, null);

    private static readonly HostVmSnapshot Vm = new(
        0, HostVmPhase.Finished, Boundary31 + 1024, Boundary31 + 1024, 0, null, null, null, [Crossing(Boundary31)], 0, [Vcpu]);

    [Fact]
    public void A_pass_is_named_by_the_boundaries_that_every_VM_crossed_with_faults_on_both_sides()
    {
        HostVmSnapshot both = Vm with { Crossings = [Crossing(1000), Crossing(Boundary31), Crossing(1L << 32)] };
        HostVmSnapshot idle = Vm with { Crossings = [Crossing(Boundary31), Crossing(1L << 32) with { ProbesInFlight = 0 }] };

        Assert.Equal("pass for 2^31 and 2^32", Of(Verdict.Pass, both).VerdictName);
        Assert.Equal("pass for 2^31", Of(Verdict.Pass, both, idle with { Index = 1 }).VerdictName);
        Assert.Equal(["1000", "2^31", "2^32"], Of(Verdict.Pass, both).Crossed);
        Assert.True(Of(Verdict.Pass, both).PassesBoundary);
    }

    [Fact]
    public void A_hang_is_named_by_the_side_of_2_to_31_on_which_it_was()
    {
        HostVmSnapshot past = Hung(Boundary31 + 5);

        Assert.Equal(
            ("violation past 2^31", "0x80000005"), Names(Of(Verdict.Violation, past, Vm with { Index = 1 })));
        Assert.Equal(("violation", "0x7fffffff"), Names(Of(Verdict.Violation, past, Hung(Boundary31 - 1))));
        Assert.Equal(("inconclusive", null), Names(Of(Verdict.Inconclusive, Vm)));

        static (string, string?) Names(HostResult result) => (result.VerdictName, result.HungAt);
    }

    [Theory]
    [InlineData(Verdict.Inconclusive, true, "quick pass, not for 2^31")]
    [InlineData(Verdict.Inconclusive, false, "inconclusive (quick)")]
    [InlineData(Verdict.Violation, false, "violation (quick)")]
    [InlineData(Verdict.Pass, true, "pass (quick)")]
    public void A_quick_check_says_so_in_its_verdicts_name(Verdict verdict, bool isAllElseSeen, string name)
    {
        var cohort = new HostCohort("here", new HostCohortOptions().WithoutLongCount());
        HostSoakSnapshot end = Snapshot(Vm) with
        {
            Missing = isAllElseSeen ? [HostEvidence.Quick] : [HostEvidence.Quick, "madvise failed."],
        };

        var result = HostResult.Of(new HostCohortReader(cohort).Read(end, Noon, isStopping: false), verdict, [], "1.2.3");

        Assert.Equal((name, true, false), (result.VerdictName, result.Quick, result.PassesBoundary));
    }

    [Fact]
    public void A_quick_check_that_is_not_over_or_saw_a_hang_is_no_quick_pass()
    {
        var reader = new HostCohortReader(new HostCohort("here", new HostCohortOptions().WithoutLongCount()));
        HostSoakSnapshot end = Snapshot(Vm) with { Missing = [HostEvidence.Quick] };

        Assert.True(reader.Read(end, Noon, isStopping: false).IsQuickPass);
        Assert.Empty(reader.Read(end, Noon, isStopping: false).Failures);
        Assert.False(reader.Read(end with { IsOver = false }, Noon, isStopping: false).IsQuickPass);
        Assert.False(reader.Read(end with { Violations = ["hung"] }, Noon, isStopping: false).IsQuickPass);
    }

    [Fact]
    public void Names_at_the_edges()
    {
        HostSnapshot seen = new HostCohortReader(new HostCohort("here", new HostCohortOptions()))
            .Read(Snapshot(Vm), Noon, isStopping: false);

        Assert.Equal("pass for 2^31", HostVerdictName.Of(Verdict.Pass, seen));
        Assert.Equal("pass (quick)", HostVerdictName.Of(Verdict.Pass, seen with { IsQuick = true }));
        Assert.Equal("pass", HostVerdictName.Of(Verdict.Pass, seen with { Crossed = [] }));
        Assert.Equal("violation past 2^31", HostVerdictName.Of(Verdict.Violation, seen with { HungAt = 1UL << 31 }));
        Assert.Equal("unsupported", HostVerdictName.Of(Verdict.Unsupported, seen));
    }

    /// <summary>It says nothing about hangs, and a hang says more than it.</summary>
    [Fact]
    public void A_violation_at_another_boundary_has_its_name()
    {
        HostSnapshot seen = new HostCohortReader(new HostCohort("here", new HostCohortOptions())).Read(
            Snapshot(Vm) with
            {
                Violations = ["dirty-ring: violation."],
                Missing = ["madvise failed."],
                OtherProgress = new BoundaryProgress(BoundaryNames.DirtyRing, "pages dirtied", 1, 2, 0),
                Others =
                [
                    new BoundaryResult(BoundaryNames.MmioGeneration, Verdict.Pass, "It did."),
                    new BoundaryResult(BoundaryNames.DirtyRing, Verdict.Violation, "It did not."),
                ],
            },
            Noon, isStopping: false);

        Assert.Equal("violation: dirty-ring", HostVerdictName.Of(Verdict.Violation, seen));
        Assert.Equal(
            [new("mmio-generation", "pass", "It did."), new("dirty-ring", "violation", "It did not.")],
            HostResult.Of(seen, Verdict.Violation, [], "1.2.3").OtherBoundaries);
        Assert.Equal("not covered", new BoundaryResult("a", Verdict.Unsupported, "").VerdictName);
        Assert.Equal("violation past 2^31", HostVerdictName.Of(Verdict.Violation, seen with { HungAt = 1UL << 31 }));
        Assert.Equal(["madvise failed."], seen.Failures);
        Assert.Equal("dirty-ring: 1 of 2 pages dirtied, 0 a second", seen.Progress);
        Assert.Contains(seen.NotCovered, gap => gap.StartsWith("No kernel with the defect ran here", StringComparison.Ordinal));
    }

    [Fact]
    public void The_result_has_where_when_and_what_was_seen()
    {
        HostResult result = Of(Verdict.Pass, Vm);

        Assert.Equal(
            (Noon, "pass", "npt, tdp_mmu=Y", "a CPU", "1.2.3", 1, Boundary31 + 1024, 60.0),
            (result.CheckedAt, result.Verdict, result.Mmu, result.Cpu, result.SoakHostVersion, result.Vms, result.Invalidations,
                result.ElapsedSeconds));
        Assert.Equal(["because"], result.Reasons);
        Assert.Equal("a gap", result.NotCovered[0]);
        Assert.Equal(
            new WorkloadCoverage("madvise(MADV_DONTNEED)", Boundary31 + 1024, 450, 350, true), Assert.Single(result.Coverage));
        Assert.Null(result.CounterSource);
        HostResult read = Of(Verdict.Pass, Vm with { Counter = new KernelCounter(true, 5, 0x80000400, 1, [], 0, false) });
        Assert.Equal(("kvm_mmu_spte_requested", "0x80000400"), (read.CounterSource, read.CounterLast));
    }

    [Theory]
    [InlineData(HostResult.ReasonsMax, HostResult.ReasonsMax, "reason 50")]
    [InlineData(HostResult.ReasonsMax + 1, HostResult.ReasonsMax + 1, "And 1 more.")]
    [InlineData(4000, HostResult.ReasonsMax + 1, "And 3950 more.")]
    public void Of_thousands_of_reasons_the_first_are_kept_and_the_others_counted(int given, int kept, string last)
    {
        HostResult result = Of(Verdict.Violation, [.. Enumerable.Range(1, given).Select(i => $"reason {i}")], Vm);

        Assert.Equal((kept, "reason 1", last), (result.Reasons.Length, result.Reasons[0], result.Reasons[^1]));
    }

    [Fact]
    public void A_violation_is_one_and_nothing_else_is()
    {
        Assert.True(Of(Verdict.Violation, Vm).IsViolation);
        Assert.False(Of(Verdict.Pass, Vm).IsViolation);
        Assert.False(Of(Verdict.Inconclusive, Vm).IsViolation);
    }

    [Fact]
    public void Without_statistics_the_faults_that_a_workload_had_fixed_are_unknown() => Assert.Equal(
        new WorkloadCoverage("madvise(MADV_DONTNEED)", Boundary31 + 1024, null, null, true),
        Assert.Single(Of(Verdict.Pass, Vm with { Vcpus = [Vcpu with { Faults = null }] }).Coverage));

    private static BoundaryCrossing Crossing(long boundary) => new(boundary, Noon, boundary + 10, 1, 500, 450, 400, 350, 350);

    private static HostVmSnapshot Hung(long at) => Vm with
    {
        Vcpus =
        [
            Vcpu with
            {
                State = VcpuState.Hung,
                Evidence = new HangEvidence(HangProof.Statistics, Noon, Noon, Noon, at, at, null, null, null, null),
            },
        ],
    };

    private static HostSoakSnapshot Snapshot(params HostVmSnapshot[] vms) => new()
    {
        At = Noon,
        Elapsed = TimeSpan.FromMinutes(1),
        IsOver = true,
        Violations = [],
        Missing = [],
        Seen = [],
        NotCovered = ["a gap"],
        Machine = new HostMachine("6.18.0", "npt, tdp_mmu=Y", "a CPU"),
        Vms = [.. vms],
    };

    private static HostResult Of(Verdict verdict, params HostVmSnapshot[] vms) => Of(verdict, ["because"], vms);

    private static HostResult Of(Verdict verdict, string[] reasons, params HostVmSnapshot[] vms)
    {
        var options = new HostCohortOptions { Boundaries = [1000, Boundary31, 1L << 32], Vms = vms.Length };
        var reader = new HostCohortReader(new HostCohort("here", options));
        return HostResult.Of(reader.Read(Snapshot(vms), Noon, isStopping: false), verdict, reasons, "1.2.3");
    }
}
