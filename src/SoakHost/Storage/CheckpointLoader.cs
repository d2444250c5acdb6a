using SoakHost.Configuration;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Logging;

namespace SoakHost.Storage;

/// <summary>Reads what a fleet is resumed from. A checkpoint that cannot be used is reported and removed, and the one before it is used.</summary>
internal static class CheckpointLoader
{
    /// <summary>Reads a run.</summary>
    /// <param name="database">The database, open for writing.</param>
    /// <param name="runId">The run.</param>
    /// <param name="fleet">The fleet that the run began with.</param>
    /// <param name="log">Where damage is reported.</param>
    /// <exception cref="ConfigurationException">An intervention of the run names a kernel that this program does not have.</exception>
    public static ResumeState Load(SoakDatabase database, long runId, FleetOptions fleet, ILogger log)
    {
        Dictionary<ShardKey, Shard> shards = [];
        var resume = new ResumeState(
            shards, database.Interventions.Of(runId).ToLookup(record => record.Cohort, record => record.Intervention));
        var cohorts = fleet.Cohorts.OfType<SimulatedCohort>().Concat(resume.Added).ToDictionary(cohort => cohort.Name);
        List<CheckpointRecord> damaged = [];
        foreach (CheckpointRecord checkpoint in database.Checkpoints.Of(runId).Where(checkpoint => !shards.ContainsKey(checkpoint.Shard)))
        {
            try
            {
                shards.Add(checkpoint.Shard, Read(checkpoint, cohorts, fleet.Shards));
            }
            catch (ShardStateException exception)
            {
                damaged.Add(checkpoint);
                log.CheckpointDamaged(checkpoint.Shard.Cohort, checkpoint.Shard.FirstVm, checkpoint.Tick, exception.Message);
            }
        }

        database.RemoveCheckpoints(runId, damaged);
        foreach (ShardKey lost in damaged.Select(checkpoint => checkpoint.Shard).Where(shard => !shards.ContainsKey(shard)).Distinct())
            log.ShardStartsOver(lost.Cohort, lost.FirstVm);
        return resume;
    }

    private static Shard Read(CheckpointRecord checkpoint, Dictionary<string, SimulatedCohort> cohorts, ShardOptions options) =>
        checkpoint.State is null ? throw new ShardStateException("its record does not match its checksum")
        : cohorts.TryGetValue(checkpoint.Shard.Cohort, out SimulatedCohort? cohort)
            ? ShardState.Read(checkpoint.State, cohort, checkpoint.Shard.FirstVm, FleetOptions.ShardVms, options)
            : throw new ShardStateException("the run has no such cohort");
}
