using System.Globalization;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;

namespace SoakHost.Reports;

/// <summary>
/// The command that reproduces an incident. It names everything that the VM's history depends on: it needs no configuration and
/// shows the same on any machine. For a cohort with interventions it also needs the data directory, where they are recorded.
/// </summary>
internal static class ReplayCommandLine
{
    // Some seconds of replay: a command that any machine can run is worth them.
    private const long TicksFromStartMax = 1 << 25;

    /// <summary>The command for one incident of the present run; null for one of a real VM, which cannot be replayed.</summary>
    public static string? Of(CohortReport cohort, SoakOptions run, IncidentId incident, VmOrigin? origin)
    {
        // The origin of a vCPU that stalled long ago may be a later one.
        VmOrigin? before = origin?.Tick < incident.Time.Tick ? origin : null;
        bool hasInterventions = cohort.Snapshot is SimulatedSnapshot { HasInterventions: true };
        string? record = NeedsRecord(hasInterventions, before, incident) ? run.DataDirectory : null;
        return Of(cohort.WholeCohort, run.ToShardOptions(), incident, before, record);
    }

    /// <summary>
    /// Whether an incident must be told from what the data directory has of it: no options describe it, or it would take too long
    /// from the start of its life.
    /// </summary>
    /// <param name="hasInterventions">Whether the VM's history depends on interventions.</param>
    /// <param name="origin">From where the incident can be told.</param>
    /// <param name="incident">The incident.</param>
    public static bool NeedsRecord(bool hasInterventions, VmOrigin? origin, IncidentId incident) => hasInterventions
        || (origin is { IsStart: false } && incident.Time.Tick - origin.LifeTick > TicksFromStartMax);

    /// <summary>The command for one incident; null for one of a real VM, which cannot be replayed.</summary>
    /// <param name="cohort">The cohort that it happened in.</param>
    /// <param name="run">The run's seed and stall threshold.</param>
    /// <param name="incident">The incident.</param>
    /// <param name="origin">From where the incident can be told; null where that is not known.</param>
    /// <param name="dataDirectory">Where the incident is recorded; null where it need not be.</param>
    public static string? Of(
        Cohort cohort, ShardOptions run, IncidentId incident, VmOrigin? origin = null, string? dataDirectory = null)
    {
        if (cohort is not SimulatedCohort simulated)
            return null;
        if (dataDirectory is not null)
            return $"Soak__DataDirectory='{Path.GetFullPath(dataDirectory).Replace("'", @"'\''", StringComparison.Ordinal)}' "
                + $"soakhost replay {incident}";

        // When a vCPU counts as hung or deadlocked depends on the threshold; other incidents do not.
        string threshold = incident.Kind is FindingKind.VcpuHung or FindingKind.Deadlock
            ? string.Create(CultureInfo.InvariantCulture, $" --stall-retries {run.StallRetries}") : "";
        bool isLater = origin is { LifeTick: > 0 } && origin.LifeTick < incident.Time.Tick;
        string life = isLater ? $" {LifeSyntax.Option} {LifeSyntax.ArgumentOf(origin!)}" : "";
        return string.Create(
            CultureInfo.InvariantCulture,
            $"soakhost replay {incident} {SimulatedCohortSettings.CommandLine(simulated)} --seed {run.Seed}{threshold}{life}");
    }
}
