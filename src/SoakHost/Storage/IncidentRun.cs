using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;

namespace SoakHost.Storage;

/// <summary>How the run goes that has an incident: all that is needed to see it again.</summary>
/// <param name="Run">The run's number in the data directory; 0 for a run that is not kept.</param>
/// <param name="Cohort">The cohort as it came into the fleet; null where nothing brings it back: its VMs were real ones, or this program has no such kernel any more.</param>
/// <param name="Options">The run's seed and stall threshold.</param>
/// <param name="Interventions">What was done to the cohort, in the order in which it was recorded.</param>
internal sealed record IncidentRun(long Run, SimulatedCohort? Cohort, ShardOptions Options, IReadOnlyCollection<ShardIntervention> Interventions)
{
    /// <summary>The run as the data directory knows it; null where it has no such incident.</summary>
    /// <param name="directory">The data directory.</param>
    /// <param name="id">The incident.</param>
    /// <param name="run">The run, or null for the newest that has such an incident.</param>
    /// <exception cref="ConfigurationException">The database cannot be read.</exception>
    public static IncidentRun? Recorded(string directory, IncidentId id, long? run = null)
    {
        using SoakDatabase? database = SoakDatabase.OpenForReading(directory);
        if (database?.RunOf(id, run) is not { } recorded)
            return null;
        ShardIntervention[] interventions = InterventionsOn(database, recorded.Id, id.Cohort);
        SimulatedCohort? cohort = recorded.Identity.Fleet.FirstOrDefault(cohort => cohort.Name == id.Cohort)?.ToCohort();
        var options = new ShardOptions { Seed = recorded.Identity.Seed, StallRetries = recorded.Identity.StallRetries };
        return new IncidentRun(recorded.Id, First(cohort, interventions), options, interventions);
    }

    /// <summary>A run that goes on now, which may not have recorded the incident yet.</summary>
    /// <param name="run">The run's number in the data directory.</param>
    /// <param name="directory">The data directory.</param>
    /// <param name="fleet">What the run began with.</param>
    /// <param name="cohort">The name of the cohort.</param>
    /// <exception cref="ConfigurationException">The database cannot be read.</exception>
    public static IncidentRun Current(long run, string directory, FleetOptions fleet, string cohort)
    {
        using SoakDatabase? database = SoakDatabase.OpenForReading(directory);
        ShardIntervention[] interventions = database is null ? [] : InterventionsOn(database, run, cohort);
        return new IncidentRun(run, First(fleet.Cohorts.FirstOrDefault(candidate => candidate.Name == cohort), interventions), fleet.Shards, interventions);
    }

    /// <summary>Whether the run's interventions decide how the VM went, so that nobody without them can see it again.</summary>
    public bool HasInterventions => Interventions.Any(intervention => intervention.Kind != InterventionKind.AddCohort);

    /// <summary>The cohort as it came into the fleet: with the run, or by an intervention.</summary>
    private static SimulatedCohort? First(Cohort? began, ShardIntervention[] interventions) =>
        (began ?? interventions.FirstOrDefault()?.Cohort) as SimulatedCohort;

    private static ShardIntervention[] InterventionsOn(SoakDatabase database, long run, string cohort) =>
        [.. database.Interventions(run).Where(record => record.Cohort == cohort).Select(record => record.Intervention)];
}
