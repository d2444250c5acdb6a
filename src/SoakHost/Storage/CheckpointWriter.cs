using SoakHost.Engine.Cohorts;
using SoakHost.Configuration;
using SoakHost.Engine.Fleets;

namespace SoakHost.Storage;

/// <summary>
/// Takes checkpoints in rounds, and writes them in batches: states of shards, and the findings of all kinds of cohorts, which
/// reach the database in no other way. If the disk cannot be written to, states are dropped, since the next round brings newer
/// ones, and findings are kept in memory. Used by the storage thread alone.
/// </summary>
internal sealed class CheckpointWriter(StoredRun run, StorageHealth health, SoakOptions options, TimeProvider time)
{
    // Written in one transaction, and so the most that is in memory at once: some 5 MB.
    private const int BatchShards = 512;

    // A run of defective VMs on a full disk must not use up the memory.
    private const int FindingsMax = 1_000_000;

    private readonly CheckpointRounds _rounds = new(time);
    private readonly List<ShardCheckpoint> _batch = [];
    private readonly List<(string Cohort, Finding Finding)> _findings = [];
    private bool _hasFailed;
    private long _lost;

    /// <summary>Begins a round, unless the one before is still under way.</summary>
    /// <param name="request">
    /// Requests a checkpoint of each shard and each external cohort in the round of this number, and returns how many will come.
    /// </param>
    public void BeginRound(Func<int, int> request)
    {
        if (_rounds.IsUnderWay)
            return;
        if (_rounds.IsIncomplete)
            Flush(isComplete: false);
        _hasFailed = false;
        if (_rounds.Begin(request))
            Flush(isComplete: true);
    }

    /// <summary>Takes a checkpoint of a round.</summary>
    public void Take(ShardCheckpoint checkpoint, int round)
    {
        Take(checkpoint);
        if (_rounds.Answer(round))
            Flush(isComplete: true);
    }

    /// <summary>Ends the rounds, and writes what has come and the last checkpoint.</summary>
    /// <param name="takeCheckpoint">Takes it, of shards that have stopped; null where some have not.</param>
    public void Finish(Action<Action<ShardCheckpoint>>? takeCheckpoint)
    {
        // Requests that workers had not answered yet are answered here.
        _rounds.End();
        takeCheckpoint?.Invoke(Take);
        Flush(isComplete: takeCheckpoint is not null);
    }

    private void Take(ShardCheckpoint checkpoint)
    {
        if (checkpoint.State.Length > 0)
            _batch.Add(checkpoint);
        foreach (Finding finding in checkpoint.Findings)
        {
            if (_findings.Count < FindingsMax)
                _findings.Add((checkpoint.Cohort, finding));
            else
                _lost++;
        }

        if (_batch.Count >= BatchShards)
            Flush(isComplete: false);
    }

    private void Flush(bool isComplete)
    {
        try
        {
            DateTimeOffset now = time.GetUtcNow();
            SoakDatabase database = run.OpenForWriting(now);
            database.AddCheckpoints(run.Id, _batch, _findings, options.IncidentsMax, now);
            _findings.Clear();
            if (isComplete && !_hasFailed)
            {
                health.Succeed(now, _lost);
                _lost = 0;
            }
        }
        catch (Exception exception) when (StorageHealth.IsUnavailable(exception) || exception is ConfigurationException)
        {
            _hasFailed = true;
            health.Fail(exception);
        }

        _batch.Clear();
    }
}
