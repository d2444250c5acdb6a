using SoakHost.Engine.Watchdogs;

namespace SoakHost.Health;

/// <summary>Whether the service does its work.</summary>
internal enum ReadinessStatus
{
    /// <summary>The whole fleet is soaked and watched.</summary>
    Ready,

    /// <summary>Only a part of the fleet is soaked, or nothing can be stored.</summary>
    Degraded,

    /// <summary>It does not work, or not yet.</summary>
    NotReady,
}

/// <summary>Readiness, with reasons unless the service is ready.</summary>
internal sealed record Readiness(ReadinessStatus Status, IReadOnlyList<string> Reasons)
{
    /// <summary>Judges the watchdog's latest report.</summary>
    /// <param name="report">The report.</param>
    /// <param name="cohorts">The number of cohorts that must have figures.</param>
    /// <param name="age">The report's age.</param>
    /// <param name="reportAgeMax">The age above which a report says nothing about now.</param>
    /// <param name="storageFailure">Why nothing can be stored, or null.</param>
    public static Readiness Of(
        FleetReport report, int cohorts, TimeSpan age, TimeSpan reportAgeMax, string? storageFailure = null)
    {
        List<string> reasons = [];
        if (report.Cohorts.Length < cohorts)
            reasons.Add($"{cohorts - report.Cohorts.Length} of {cohorts} cohorts have no figures yet");
        if (age > reportAgeMax)
            reasons.Add($"the watchdog has not reported since {report.Time:O}");
        reasons.AddRange(report.SilentWorkers.Select(worker => $"worker {worker} finishes no slices"));
        if (reasons.Count > 0)
            return new Readiness(ReadinessStatus.NotReady, reasons);
        foreach (CohortReport cohort in report.Cohorts.Where(cohort => cohort.Snapshot.Failures.Length > 0))
        {
            int others = cohort.Snapshot.Failures.Length - 1;
            reasons.Add(
                $"{cohort.Cohort.Name}: {cohort.Snapshot.Failures[0]}{(others > 0 ? $" and {others} more failures" : "")}");
        }

        if (!report.Cohorts.IsEmpty && report.Cohorts.All(cohort => cohort.Snapshot.IsOutOfService))
            return new Readiness(ReadinessStatus.NotReady, reasons);
        if (storageFailure is not null)
            reasons.Add(storageFailure);
        return new Readiness(reasons.Count > 0 ? ReadinessStatus.Degraded : ReadinessStatus.Ready, reasons);
    }
}
