using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Watchdogs;

/// <summary>The verdict on a cohort of any kind, from nothing but the contract.</summary>
public sealed class VerdictsTests
{
    private static readonly CohortTotals Crossed = new() { Crossings = [new(Boundary.AtPower(31), 1)] };
    private static readonly Snapshot Clean = new()
    {
        Vms = 1,
        Totals = Crossed,
        InvalidateSeq = null,
        Conditions = [],
        Stalled = [],
        Findings = [],
    };

    [Fact]
    public void A_pass_needs_a_crossing_with_a_fault_in_flight()
    {
        Assert.Equal((Verdict.Pass, "1 crossings with faults in flight, and no defect"), Of(Clean));
        Assert.Equal(
            (Verdict.Inconclusive, "no VM has crossed a boundary with a fault in flight yet"),
            Of(Clean with { Totals = new CohortTotals { Crossings = [new(Boundary.AtPower(31), 0)] } }));
    }

    [Fact]
    public void The_sentences_of_a_kind_justify_its_verdict()
    {
        Assert.Equal((Verdict.Pass, "One. Two."), Of(Clean with { Seen = ["One.", "Two."] }));
        Assert.Equal((Verdict.Inconclusive, "One. Two."), Of(Clean with { Missing = ["One.", "Two."], Failures = ["Three."] }));
        Assert.Equal((Verdict.Violation, "One. Two."), Of(Clean with { Violations = ["One.", "Two."], Missing = ["Three."] }));
        Assert.Equal((Verdict.Unsupported, "One."), Of(Clean with { Unsupported = "One.", Violations = ["Two."] }));
    }

    [Fact]
    public void A_hang_remains_a_violation_after_a_recovery() =>
        Assert.Equal(
            (Verdict.Violation, "1 vCPUs hung"),
            Of(Clean with { Seen = ["One."] }, incidents: new IncidentCounts(1, 0, 0, 0)));

    [Fact]
    public void A_failure_leaves_a_cohort_inconclusive_unless_there_is_worse()
    {
        Assert.Equal((Verdict.Inconclusive, "why"), Of(Clean with { Failures = ["why"] }));
        Assert.Equal((Verdict.Inconclusive, "2 failures; the first: why"), Of(Clean with { Failures = ["why", "more"] }));
        Assert.Equal(
            Verdict.Violation,
            Of(Clean with { Failures = ["why"], Totals = Crossed with { UnsafeInstalls = 1 } }).Verdict);
    }

    [Fact]
    public void What_a_kind_cannot_measure_neither_condemns_nor_clears_it()
    {
        Assert.Null(Crossed.UnsafeInstalls);
        Assert.Equal(Verdict.Pass, Of(Clean).Verdict);
        Assert.Equal(
            (Verdict.Inconclusive, "expected an unsafe install, and there was none"), Of(Clean, Defect.UnsafeInstall));
        Assert.Equal(
            (Verdict.Inconclusive, "expected an accounting error, and there was none"), Of(Clean, Defect.AccountingError));
    }

    [Fact]
    public void An_expected_defect_must_show_and_others_must_not()
    {
        Assert.Equal((Verdict.Inconclusive, "expected at least one hang, and no vCPU hung"), Of(Clean, Defect.Hang));
        Assert.Equal((Verdict.Pass, "showed the expected defect"), Of(Clean, Defect.Hang, new IncidentCounts(1, 0, 0, 0)));
        Snapshot retries = Clean with { Totals = Crossed with { UnjustifiedRetries = 3 } };
        Assert.Equal((Verdict.Violation, "3 unjustified retries"), Of(retries));
        Assert.Equal(Verdict.Pass, Of(retries, Defect.Hang, new IncidentCounts(1, 0, 0, 0)).Verdict);
        Snapshot errors = Clean with { Totals = Crossed with { AccountingErrors = 2 } };
        Assert.Equal((Verdict.Violation, "2 accounting errors"), Of(errors, Defect.Hang, new IncidentCounts(1, 0, 0, 0)));
        Assert.Equal(Verdict.Pass, Of(errors, Defect.AccountingError).Verdict);
    }

    [Fact]
    public void A_control_and_a_run_say_how_often_it_hung()
    {
        CohortTotals caught = Crossed with { HangsCaught = 10_233, HangsMissed = 0 };
        Assert.Equal(
            (Verdict.Pass, "hung in 10,233 of 10,233 crossings"),
            Of(Clean with { Totals = caught }, Defect.Hang, new IncidentCounts(1, 0, 0, 0)));
        Assert.Equal("", Verdicts.Evidence([]));
        CohortReport clean = Report(Defect.None, Crossed with { Crossings = [new(Boundary.AtPower(31), 41_200)] }, Verdict.Pass);
        CohortReport control = Report(Defect.Hang, caught, Verdict.Pass);
        Assert.Equal("41,200 crossings clean; the control hung in 10,233 of 10,233", Verdicts.Evidence([control, clean]));
        CohortReport blind = Report(Defect.Hang, caught with { HangsMissed = 2 }, Verdict.Inconclusive);
        Assert.Equal(
            "41,200 crossings clean; the controls hung in 20,466 of 20,468", Verdicts.Evidence([control, clean, blind]));

        // Crossings of a cohort with a violation are not clean.
        Assert.Equal("0 crossings clean", Verdicts.Evidence([clean with { Verdict = Verdict.Violation }, Report(
            Defect.None, Crossed with { Crossings = [] }, Verdict.Inconclusive)]));
    }

    private static CohortReport Report(Defect expected, CohortTotals totals, Verdict verdict) => new()
    {
        Cohort = new SimulatedCohort { Name = "any", Kernel = Kernel.Of<Linux61>(), Vms = 1, Expected = expected },
        Snapshot = Clean with { Totals = totals },
        Running = 4,
        Starved = 0,
        Hung = 0,
        Incidents = default,
        Stalls = [],
        Verdict = verdict,
        Reasons = [],
    };

    [Fact]
    public void A_stale_mapping_is_a_violation_unless_it_or_an_unsafe_install_is_expected()
    {
        Snapshot stale = Clean with { Totals = Crossed with { StaleMappings = 2 } };
        Assert.Equal((Verdict.Violation, "2 stale mappings"), Of(stale));
        Assert.Equal((Verdict.Violation, "2 stale mappings"), Of(stale, Defect.Hang, new IncidentCounts(1, 0, 0, 0)));
        Assert.Equal((Verdict.Pass, "showed the expected defect"), Of(stale, Defect.StaleMapping));
        Assert.Equal((Verdict.Inconclusive, "expected a stale mapping, and there was none"), Of(Clean, Defect.StaleMapping));
        Snapshot both = Clean with { Totals = Crossed with { StaleMappings = 2, UnsafeInstalls = 1 } };
        Assert.Equal((Verdict.Pass, "showed the expected defect"), Of(both, Defect.UnsafeInstall));
    }

    [Fact]
    public void Overcautious_retries_are_no_violation() =>
        Assert.Equal(Verdict.Pass, Of(Clean with { Totals = Crossed with { OvercautiousRetries = 1_000_000 } }).Verdict);

    private static (Verdict Verdict, string Reason) Of(
        CohortSnapshot snapshot, Defect expected = Defect.None, IncidentCounts incidents = default)
    {
        (Verdict verdict, ImmutableArray<string> reasons) = Verdicts.OfCohort(expected, snapshot, incidents);
        return (verdict, string.Join(" ", reasons));
    }

    /// <summary>A kind that has nothing beyond the contract.</summary>
    private sealed record Snapshot : CohortSnapshot
    {
        public override string KernelName => "any";
    }
}
