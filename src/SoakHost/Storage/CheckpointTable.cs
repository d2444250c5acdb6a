using Microsoft.Data.Sqlite;
using SoakHost.Engine.Fleets;

namespace SoakHost.Storage;

/// <summary>States of shards: the last two of each, and the last one of a shard without VMs.</summary>
internal sealed class CheckpointTable(DatabaseConnection connection)
{
    private const int PerShard = 2;
    private const int PerLastShard = 1;

    // Which shard, with the parameters of Key.
    private const string OfShard = "run_id = $run AND cohort = $cohort AND first_vm = $vm AND start_tick = $start_tick";

    /// <summary>A run's checkpoints, shard by shard, the newest first. Of a refused one the state is null.</summary>
    public IEnumerable<CheckpointRecord> Of(long runId) =>
        connection.Query(
            $"SELECT {StoredTable.Checkpoints.IsIntact}, cohort, first_vm, start_tick, tick, state FROM checkpoints WHERE "
                + "run_id = $run "
                + "ORDER BY cohort, first_vm, start_tick, tick DESC",
            row => new CheckpointRecord(
                new ShardKey(row.GetString(1), row.GetInt32(2), row.GetInt64(3)),
                row.GetInt64(4),
                row.GetInt64(0) == 0 ? null : row.GetFieldValue<byte[]>(5)),
            ("$run", runId));

    /// <summary>
    /// Adds checkpoints. Keeps the last two of each shard, and only the last one of a shard whose VMs were removed.
    /// </summary>
    public void Add(long runId, IEnumerable<ShardCheckpoint> checkpoints)
    {
        using SqliteCommand insert = connection.Prepare(
            "INSERT OR REPLACE INTO checkpoints (run_id, cohort, first_vm, start_tick, tick, state, checksum) VALUES ($run, "
                + "$cohort, $vm, $start_tick, $tick, $state, $checksum)");
        using SqliteCommand prune = connection.Prepare(
            $"DELETE FROM checkpoints WHERE {OfShard} AND tick < (SELECT min(tick) FROM (SELECT tick "
            + $"FROM checkpoints WHERE {OfShard} ORDER BY tick DESC LIMIT $keep))");
        foreach (ShardCheckpoint checkpoint in checkpoints)
        {
            (string, object?)[] key = Key(runId, checkpoint.Shard);

            // The checksum is computed here, and not by SQL, which would copy each state to the function.
            ShardKey shard = checkpoint.Shard;
            long checksum = StoredTable.Checksum(
                [runId, shard.Cohort, (long)shard.FirstVm, shard.StartTick, checkpoint.Tick, checkpoint.State]);
            DatabaseConnection.Execute(
                insert, [.. key, ("$tick", checkpoint.Tick), ("$state", checkpoint.State), ("$checksum", checksum)]);
            DatabaseConnection.Execute(prune, [.. key, ("$keep", checkpoint.IsLast ? PerLastShard : PerShard)]);
        }
    }

    /// <summary>Removes a checkpoint that cannot be read.</summary>
    public void Remove(long runId, CheckpointRecord checkpoint) =>
        connection.Execute(
            $"DELETE FROM checkpoints WHERE {OfShard} AND tick = $tick",
            [.. Key(runId, checkpoint.Shard), ("$tick", checkpoint.Tick)]);

    /// <summary>Removes the checkpoints of a run and all before it.</summary>
    public void RemoveRunsUpTo(long runId) => connection.Execute("DELETE FROM checkpoints WHERE run_id <= $run", ("$run", runId));

    private static (string, object?)[] Key(long runId, in ShardKey shard) =>
        [("$run", runId), ("$cohort", shard.Cohort), ("$vm", shard.FirstVm), ("$start_tick", shard.StartTick)];
}
