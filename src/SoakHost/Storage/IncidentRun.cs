using SoakHost.Configuration;
using SoakHost.Engine;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;

namespace SoakHost.Storage;

/// <summary>How the run goes that has an incident: all that is needed to see it again.</summary>
/// <param name="Run">The run's number in the data directory; 0 for a run that is not kept.</param>
/// <param name="Cohort">The cohort as it came into the fleet; null where nothing brings it back: its VMs were real ones, or this program has no such kernel any more.</param>
/// <param name="Options">The run's seed and stall threshold.</param>
/// <param name="Operations">What was done to the cohort, in the order in which it was recorded.</param>
internal sealed record IncidentRun(long Run, Cohort? Cohort, ShardOptions Options, IReadOnlyCollection<ShardOperation> Operations)
{
    /// <summary>The run as the data directory knows it; null where it has no such incident.</summary>
    /// <param name="directory">The data directory.</param>
    /// <param name="id">The incident.</param>
    /// <param name="run">The run, or null for the newest that has such an incident.</param>
    /// <exception cref="ConfigurationException">The database cannot be read.</exception>
    public static IncidentRun? Recorded(string directory, IncidentId id, long? run = null)
    {
        using SoakDatabase? database = SoakDatabase.OpenForReading(directory);
        return database?.RunOf(id, run) is { } recorded ? Of(database, recorded, id.Cohort) : null;
    }

    /// <summary>A run as the data directory knows it, for an incident that is not recorded yet; null where there is no such run.</summary>
    /// <exception cref="ConfigurationException">The database cannot be read.</exception>
    public static IncidentRun? Unrecorded(string directory, IncidentId id, long run)
    {
        using SoakDatabase? database = SoakDatabase.OpenForReading(directory);
        return database?.FindRun(run) is { } found ? Of(database, found, id.Cohort) : null;
    }

    private static IncidentRun Of(SoakDatabase database, RunRecord run, string name)
    {
        ShardOperation[] operations = [.. database.Operations(run.Id).Where(record => record.Cohort == name).Select(record => record.Operation)];

        // A cohort that was added while the fleet ran is described by the operation that added it.
        Cohort? cohort = run.Identity.Fleet.FirstOrDefault(cohort => cohort.Name == name)?.ToCohort() ?? operations.FirstOrDefault()?.Cohort;
        var options = new ShardOptions { Seed = run.Identity.Seed, StallRetries = run.Identity.StallRetries };
        return new IncidentRun(run.Id, cohort is { Kernel.Info.IsSimulated: true } ? cohort : null, options, operations);
    }
}
