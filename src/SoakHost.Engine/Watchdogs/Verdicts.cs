using System.Collections.Immutable;
using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Watchdogs;

/// <summary>
/// When a run may be called a pass. Any unexpected defect is a violation. An expected defect that did not show, a boundary that
/// was not crossed with a fault in flight, or a fleet in which nothing is expected to hang, leaves the run inconclusive.
/// </summary>
public static class Verdicts
{
    /// <summary>The verdict on one cohort, of any kind.</summary>
    /// <param name="expected">The defect that the cohort is expected to show.</param>
    /// <param name="snapshot">Its figures.</param>
    /// <param name="incidents">Its incidents since the run began: a violation remains one after a recovery.</param>
    /// <returns>The verdict, and the sentences that justify it.</returns>
    public static (Verdict Verdict, ImmutableArray<string> Reasons) OfCohort(
        Defect expected, CohortSnapshot snapshot, in IncidentCounts incidents)
    {
        if (snapshot.Unsupported is { } unsupported)
            return (Verdict.Unsupported, [unsupported]);
        if (FindViolations(expected, snapshot, incidents) is { Length: > 0 } violations)
            return (Verdict.Violation, violations);
        if (FindMissing(expected, snapshot, incidents) is { Length: > 0 } missing)
            return (Verdict.Inconclusive, missing);
        return (Verdict.Pass, snapshot.Seen.Length > 0 ? snapshot.Seen : [Describe(expected, snapshot)]);
    }

    /// <summary>
    /// The verdict on a run: the worst of its cohorts, and inconclusive where no cohort is expected to hang, or one has no
    /// figures yet.
    /// </summary>
    /// <param name="cohorts">The cohorts that have figures.</param>
    /// <param name="cohortsInAll">How many there are.</param>
    /// <param name="removed">Cohorts that were removed: a violation that one of them showed remains one.</param>
    public static (Verdict Verdict, IReadOnlyList<VerdictReason> Reasons) OfFleet(
        IReadOnlyCollection<CohortReport> cohorts, int cohortsInAll, IReadOnlyCollection<CohortReport> removed)
    {
        List<VerdictReason> reasons = [];
        foreach (Verdict bad in new[] { Verdict.Violation, Verdict.Inconclusive, Verdict.Unsupported })
        {
            reasons.AddRange(
                cohorts.Where(cohort => cohort.Verdict == bad).Select(cohort => VerdictReason.Of(cohort, ReasonKind.Cohort)));
        }

        CohortReport[] violators = [.. removed.Where(cohort => cohort.Verdict == Verdict.Violation)];
        reasons.AddRange(violators.Select(cohort => VerdictReason.Of(cohort, ReasonKind.RemovedCohort)));
        bool hasControl = cohorts.Any(cohort => cohort.Cohort.Expected == Defect.Hang);
        if (cohorts.Count < cohortsInAll)
            reasons.Add(
                new(
                    ReasonKind.NoFigures,
                    Verdict.Inconclusive,
                    $"{cohortsInAll - cohorts.Count} of {cohortsInAll} cohorts have no figures yet"));
        else if (!hasControl)
            reasons.Add(
                new(
                    ReasonKind.NoControl,
                    Verdict.Inconclusive,
                    "no cohort is expected to hang, so nothing shows that a hang would be detected"));
        Verdict verdict =
            cohorts.Any(cohort => cohort.Verdict == Verdict.Violation) || violators.Length > 0 ? Verdict.Violation
            : cohorts.Any(cohort => cohort.Verdict == Verdict.Unsupported) ? Verdict.Unsupported
            : reasons.Count > 0 ? Verdict.Inconclusive : Verdict.Pass;
        return (verdict, reasons);
    }

    /// <summary>
    /// What was seen, in one line: "41,200 crossings clean; the control hung in 10,233 of 10,233; 310 of 360 interleavings of
    /// crossings seen". Empty before anything was.
    /// </summary>
    /// <param name="cohorts">The cohorts that have figures.</param>
    public static string Evidence(IReadOnlyCollection<CohortReport> cohorts)
    {
        CohortReport[] clean =
        [
            .. cohorts.Where(cohort => cohort.Cohort.Expected == Defect.None && cohort.Verdict != Verdict.Violation),
        ];
        CohortReport[] controls = [.. cohorts.Where(cohort => cohort.Totals.HangsCaught + cohort.Totals.HangsMissed > 0)];
        List<string> parts = [];
        if (clean.Length > 0)
            parts.Add(string.Create(
                CultureInfo.InvariantCulture, $"{clean.Sum(cohort => cohort.Totals.CrossingsInAll):N0} crossings clean"));
        if (controls.Length > 0)
        {
            long caught = controls.Sum(cohort => cohort.Totals.HangsCaught ?? 0);
            long missed = controls.Sum(cohort => cohort.Totals.HangsMissed ?? 0);
            parts.Add(string.Create(
                CultureInfo.InvariantCulture,
                $"the {(controls.Length == 1 ? "control" : "controls")} hung in {caught:N0} of {caught + missed:N0}"));
        }

        CrossingCoverage[] coverages =
        [
            .. clean.Select(cohort => (cohort.Snapshot as SimulatedSnapshot)?.Coverage).OfType<CrossingCoverage>()
                .Where(coverage => coverage.Seen > 0),
        ];
        if (coverages.Length > 0)
            parts.Add(string.Create(
                CultureInfo.InvariantCulture,
                $"{coverages.Sum(coverage => coverage.Seen):N0} of {coverages.Sum(coverage => coverage.PossibleInAll):N0} "
                    + $"interleavings of crossings seen"));
        return string.Join("; ", parts);
    }

    private static ImmutableArray<string> FindViolations(Defect expected, CohortSnapshot snapshot, in IncidentCounts incidents)
    {
        CohortTotals totals = snapshot.Totals;
        if (totals.UnsafeInstalls > 0 && expected != Defect.UnsafeInstall)
            return [$"{totals.UnsafeInstalls} unsafe installs"];

        // An unsafe install becomes a stale mapping when the primary MMU changes the page, so a kernel expected to show the
        // first may show the second.
        if (totals.StaleMappings > 0 && expected is not (Defect.StaleMapping or Defect.UnsafeInstall))
            return [$"{totals.StaleMappings} stale mappings"];
        if (totals.AccountingErrors > 0 && expected != Defect.AccountingError)
            return [$"{totals.AccountingErrors} accounting errors"];
        if (incidents.Deadlocks > 0 && expected != Defect.Deadlock)
            return [$"{incidents.Deadlocks} vCPUs deadlocked"];

        // A prefault that is deadlocked in one VM may hang on an obsolete root in another.
        if (expected is Defect.Hang or Defect.Deadlock)
            return [];
        if (snapshot.Violations.Length > 0)
            return snapshot.Violations;
        if (incidents.Hangs > 0)
            return [$"{incidents.Hangs} vCPUs hung"];
        return totals.UnjustifiedRetries > 0 ? [$"{totals.UnjustifiedRetries} unjustified retries"] : [];
    }

    private static ImmutableArray<string> FindMissing(Defect expected, CohortSnapshot snapshot, in IncidentCounts incidents)
    {
        if (snapshot.Missing.Length > 0)
            return snapshot.Missing;
        CohortTotals totals = snapshot.Totals;
        if (snapshot.Failures is [string first, .. var others])
            return [others.Length == 0 ? first : $"{snapshot.Failures.Length} failures; the first: {first}"];
        return expected switch
        {
            Defect.Hang when incidents.Hangs == 0 => ["expected at least one hang, and no vCPU hung"],
            Defect.Deadlock when incidents.Deadlocks == 0 => ["expected a deadlock, and no vCPU was deadlocked"],
            Defect.UnsafeInstall when totals.UnsafeInstalls is null or 0 => ["expected an unsafe install, and there was none"],
            Defect.StaleMapping when totals.StaleMappings is null or 0 => ["expected a stale mapping, and there was none"],
            Defect.AccountingError when totals.AccountingErrors is null or 0 =>
            [
                "expected an accounting error, and there was none",
            ],
            Defect.None when totals.CrossingsInAll == 0 => ["no VM has crossed a boundary with a fault in flight yet"],
            _ => [],
        };
    }

    private static string Describe(Defect expected, CohortSnapshot snapshot)
    {
        CohortTotals totals = snapshot.Totals;
        CrossingCoverage? coverage = (snapshot as SimulatedSnapshot)?.Coverage;
        string covered = coverage is null ? "" : string.Create(
            CultureInfo.InvariantCulture, $" in {coverage.Seen:N0} of {coverage.PossibleInAll:N0} interleavings");
        return (expected, totals.HangsCaught) switch
        {
            (Defect.None, _) => string.Create(
                CultureInfo.InvariantCulture,
                $"{totals.CrossingsInAll:N0} crossings with faults in flight{covered}, and no defect"),
            (Defect.Hang, > 0 and var caught) => string.Create(
                CultureInfo.InvariantCulture, $"hung in {caught:N0} of {caught + totals.HangsMissed:N0} crossings"),
            _ => "showed the expected defect",
        };
    }
}
