using SoakHost.Configuration;
using SoakHost.Engine;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;

namespace SoakHost.Storage;

/// <summary>How the run goes that has an incident: all that is needed to see it again.</summary>
/// <param name="Run">The run's number in the data directory; 0 for a run that is not kept.</param>
/// <param name="Cohort">The cohort; null where nothing brings it back: its VMs were real ones, or this program has no such kernel any more.</param>
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
        if (database?.RunOf(id, run) is not { } recorded)
            return null;
        Cohort? cohort = recorded.Identity.Fleet.FirstOrDefault(cohort => cohort.Name == id.Cohort)?.ToCohort();
        var options = new ShardOptions { Seed = recorded.Identity.Seed, StallRetries = recorded.Identity.StallRetries };
        return new IncidentRun(recorded.Id, cohort is { Kernel.Info.IsSimulated: true } ? cohort : null, options, OperationsOn(database, recorded.Id, id.Cohort));
    }

    /// <summary>What was done to one of the cohorts of a run, as the data directory knows it.</summary>
    /// <exception cref="ConfigurationException">The database cannot be read.</exception>
    public static IReadOnlyCollection<ShardOperation> RecordedOperations(string directory, long run, string cohort)
    {
        using SoakDatabase? database = SoakDatabase.OpenForReading(directory);
        return database is null ? [] : OperationsOn(database, run, cohort);
    }

    private static ShardOperation[] OperationsOn(SoakDatabase database, long run, string cohort) =>
        [.. database.Operations(run).Where(record => record.Cohort == cohort).Select(record => record.Operation)];
}
