using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;

namespace SoakHost.Storage;

/// <summary>All that a replay of an incident needs.</summary>
/// <param name="Run">The run's number in the data directory; 0 for a run that is not kept.</param>
/// <param name="Cohort">
/// The cohort as it joined the fleet; null where it cannot be replayed: its VMs were real ones, or this program does not have its
/// kernel.
/// </param>
/// <param name="Options">The run's seed and stall threshold.</param>
/// <param name="Interventions">What was done to the cohort, in the order in which it was recorded.</param>
/// <param name="Origin">From where the incident can be told; null where that is not known.</param>
internal sealed record ReplayInput(
    long Run,
    SimulatedCohort? Cohort,
    ShardOptions Options,
    IReadOnlyCollection<ShardIntervention> Interventions,
    VmOrigin? Origin = null)
{
    /// <summary>Whether interventions decided the VM's history, so that it cannot be replayed without them.</summary>
    public bool HasInterventions => Interventions.Any(intervention => intervention.Kind != InterventionKind.AddCohort);

    /// <summary>The input for an incident that the data directory has; null where it has none of this id.</summary>
    /// <param name="directory">The data directory.</param>
    /// <param name="id">The incident.</param>
    /// <param name="run">The run, or null for the newest that has such an incident.</param>
    /// <exception cref="ConfigurationException">The database cannot be read.</exception>
    public static ReplayInput? OfRecorded(string directory, IncidentId id, long? run = null)
    {
        using SoakDatabase? database = SoakDatabase.OpenForReading(directory);
        if (database?.Runs.Of(id, run) is not { } recorded)
            return null;
        ShardIntervention[] interventions = InterventionsOn(database, recorded.Id, id.Cohort);
        SimulatedCohort? cohort = recorded.Identity.Fleet.FirstOrDefault(cohort => cohort.Name == id.Cohort)?.ToCohort();
        var options = new ShardOptions { Seed = recorded.Identity.Seed, StallRetries = recorded.Identity.StallRetries };
        VmOrigin? origin = database.Incidents.Find(recorded.Id, id)?.Origin;
        return new ReplayInput(recorded.Id, First(cohort, interventions), options, interventions, origin);
    }

    /// <summary>The input for a cohort of the run that goes on now, which may not have recorded the incident yet.</summary>
    /// <param name="run">The run's number in the data directory.</param>
    /// <param name="directory">The data directory.</param>
    /// <param name="fleet">The fleet that the run began with.</param>
    /// <param name="cohort">The name of the cohort.</param>
    /// <exception cref="ConfigurationException">The database cannot be read.</exception>
    public static ReplayInput OfCurrent(long run, string directory, FleetOptions fleet, string cohort)
    {
        using SoakDatabase? database = SoakDatabase.OpenForReading(directory);
        ShardIntervention[] interventions = database is null ? [] : InterventionsOn(database, run, cohort);
        return new ReplayInput(
            run,
            First(fleet.Cohorts.FirstOrDefault(candidate => candidate.Name == cohort), interventions),
            fleet.Shards,
            interventions);
    }

    /// <summary>The cohort as it joined the fleet: with the run, or by an intervention.</summary>
    private static SimulatedCohort? First(Cohort? began, ShardIntervention[] interventions) =>
        (began ?? interventions.FirstOrDefault()?.Cohort) as SimulatedCohort;

    private static ShardIntervention[] InterventionsOn(SoakDatabase database, long run, string cohort) =>
        [.. database.Interventions.Of(run).Where(record => record.Cohort == cohort).Select(record => record.Intervention)];
}
