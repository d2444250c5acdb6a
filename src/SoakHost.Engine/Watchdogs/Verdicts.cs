using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Watchdogs;

/// <summary>
/// When a run may be called a pass. Any unexpected defect is a violation; an expected one that did not show, a boundary
/// that was not crossed with a fault in flight, or a fleet in which nothing was meant to hang, leaves it inconclusive.
/// </summary>
public static class Verdicts
{
    /// <summary>The verdict on one cohort.</summary>
    /// <param name="expected">What the cohort is meant to show.</param>
    /// <param name="totals">Its sums.</param>
    /// <param name="incidents">Its incidents.</param>
    /// <param name="failures">Why VMs were taken out of service, if any were.</param>
    public static (Verdict Verdict, string Reason) OfCohort(
        Defect expected, in Totals totals, in IncidentCounts incidents, IReadOnlyCollection<string> failures)
    {
        if (totals.UnsafeInstalls > 0 && expected != Defect.UnsafeInstall)
            return (Verdict.Violation, $"{totals.UnsafeInstalls} unsafe installs");

        // A page that is unsafely installed before the primary MMU changes it becomes a stale mapping as it does.
        if (totals.StaleMappings > 0 && expected is not (Defect.StaleMapping or Defect.UnsafeInstall))
            return (Verdict.Violation, $"{totals.StaleMappings} stale mappings");
        if (totals.AccountingErrors > 0 && expected != Defect.AccountingError)
            return (Verdict.Violation, $"{totals.AccountingErrors} accounting errors");
        if (incidents.Hangs > 0 && expected != Defect.Hang)
            return (Verdict.Violation, $"{incidents.Hangs} vCPUs hung");
        if (totals.UnjustifiedRetries > 0 && expected != Defect.Hang)
            return (Verdict.Violation, $"{totals.UnjustifiedRetries} unjustified retries");
        if (failures.Count > 0)
            return (Verdict.Inconclusive, $"{failures.Count} shards failed; the first: {failures.First()}");
        return expected switch
        {
            Defect.Hang when incidents.Hangs == 0 => (Verdict.Inconclusive, "no vCPU hung, though the cohort is meant to"),
            Defect.UnsafeInstall when totals.UnsafeInstalls == 0 =>
                (Verdict.Inconclusive, "no unsafe install, though the cohort is meant to show one"),
            Defect.StaleMapping when totals.StaleMappings == 0 =>
                (Verdict.Inconclusive, "no stale mapping, though the cohort is meant to show one"),
            Defect.AccountingError when totals.AccountingErrors == 0 =>
                (Verdict.Inconclusive, "no accounting error, though the cohort is meant to show one"),
            Defect.None when totals.Crossings == 0 =>
                (Verdict.Inconclusive, "no VM crossed a boundary with a fault in flight yet"),
            Defect.None => (Verdict.Pass, $"{totals.Crossings} crossings with faults in flight, and nothing amiss"),
            _ => (Verdict.Pass, "showed the defect it is meant to show"),
        };
    }

    /// <summary>
    /// The verdict on a cohort of real VMs: its own, since it alone can tell a hang from a storm. A hang that was once told is a
    /// violation for good, and without a crossing with a probe in flight there is no pass.
    /// </summary>
    /// <param name="host">What it says of itself.</param>
    /// <param name="totals">Its sums.</param>
    /// <param name="incidents">Its incidents.</param>
    public static (Verdict Verdict, string Reason) OfHost(HostFigures host, in Totals totals, in IncidentCounts incidents)
    {
        if (incidents.Hangs > 0 && host.Verdict != Verdict.Violation)
            return (Verdict.Violation, $"{incidents.Hangs} vCPUs hung");
        return host.Verdict == Verdict.Pass && totals.Crossings == 0
            ? (Verdict.Inconclusive, "no VM crossed a boundary with a probe in flight")
            : (host.Verdict, string.Join(" ", host.Reasons));
    }

    /// <summary>
    /// The verdict on a run: the worst of its cohorts, and inconclusive where no cohort is meant to hang, or one has no figures yet.
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
            reasons.AddRange(cohorts.Where(cohort => cohort.Verdict == bad).Select(cohort => VerdictReason.Of(cohort, ReasonKind.Cohort)));
        }

        CohortReport[] violators = [.. removed.Where(cohort => cohort.Verdict == Verdict.Violation)];
        reasons.AddRange(violators.Select(cohort => VerdictReason.Of(cohort, ReasonKind.RemovedCohort)));
        bool hasControl = cohorts.Any(cohort => cohort.Cohort.Expected == Defect.Hang);
        if (cohorts.Count < cohortsInAll)
            reasons.Add(new(ReasonKind.NoFigures, Verdict.Inconclusive, $"{cohortsInAll - cohorts.Count} of {cohortsInAll} cohorts have no figures yet"));
        else if (!hasControl)
            reasons.Add(new(ReasonKind.NoControl, Verdict.Inconclusive, "no cohort is expected to hang, so nothing shows that a hang would be detected"));
        Verdict verdict =
            cohorts.Any(cohort => cohort.Verdict == Verdict.Violation) || violators.Length > 0 ? Verdict.Violation
            : cohorts.Any(cohort => cohort.Verdict == Verdict.Unsupported) ? Verdict.Unsupported
            : reasons.Count > 0 ? Verdict.Inconclusive : Verdict.Pass;
        return (verdict, reasons);
    }
}
