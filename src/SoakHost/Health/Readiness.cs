using SoakHost.Engine.Watchdogs;

namespace SoakHost.Health;

/// <summary>Whether the service does what it is there for.</summary>
internal enum ReadinessStatus
{
    /// <summary>It does.</summary>
    Ready,

    /// <summary>It does, for a part of the fleet.</summary>
    Degraded,

    /// <summary>It does not, or not yet.</summary>
    NotReady,
}

/// <summary>Readiness and, unless all is well, why.</summary>
internal sealed record Readiness(ReadinessStatus Status, IReadOnlyList<string> Reasons)
{
    /// <summary>Judges the watchdog's latest report.</summary>
    /// <param name="report">The report.</param>
    /// <param name="cohorts">How many cohorts it should have figures of.</param>
    /// <param name="age">How old the report is.</param>
    /// <param name="reportAgeMax">From what age on a report is too old to say anything.</param>
    /// <param name="storageFailure">Why nothing can be stored, or null.</param>
    public static Readiness Of(
        FleetReport report, int cohorts, TimeSpan age, TimeSpan reportAgeMax, string? storageFailure = null)
    {
        List<string> reasons = [];
        if (report.Cohorts.Length < cohorts)
            reasons.Add($"{cohorts - report.Cohorts.Length} of {cohorts} cohorts have no figures yet");
        if (age > reportAgeMax)
            reasons.Add($"the watchdog's last report is from {report.Time:O}");
        reasons.AddRange(report.SilentWorkers.Select(worker => $"worker {worker} is silent"));
        if (reasons.Count > 0)
            return new Readiness(ReadinessStatus.NotReady, reasons);
        foreach (CohortReport cohort in report.Cohorts.Where(cohort => cohort.Snapshot.Failures.Length > 0))
        {
            int others = cohort.Snapshot.Failures.Length - 1;
            reasons.Add($"{cohort.Cohort.Name}: {cohort.Snapshot.Failures[0]}{(others > 0 ? $" and {others} more failures" : "")}");
        }

        if (!report.Cohorts.IsEmpty && report.Cohorts.All(cohort => cohort.Snapshot.IsOutOfService))
            return new Readiness(ReadinessStatus.NotReady, reasons);
        if (storageFailure is not null)
            reasons.Add(storageFailure);
        return new Readiness(reasons.Count > 0 ? ReadinessStatus.Degraded : ReadinessStatus.Ready, reasons);
    }
}
