using System.Collections.Concurrent;
using Microsoft.Data.Sqlite;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Logging;

namespace SoakHost.Storage;

/// <summary>How storage gets on.</summary>
/// <param name="LastSuccess">When every shard's checkpoint was last written, or null.</param>
/// <param name="Failure">Why nothing can be written now, or null.</param>
internal sealed record StorageStatus(DateTimeOffset? LastSuccess, string? Failure);

/// <summary>
/// Keeps a run on disk: takes checkpoints on a timer, and writes them, what was found, and interventions, on the one thread that uses the
/// database. A disk that cannot be written to stops nothing: the soak goes on, what was found is kept in memory, and every checkpoint is
/// another attempt.
/// </summary>
internal sealed class SoakStorage : IDisposable
{
    // Written in one transaction, and so the most that is in memory at once: some 5 MB.
    private const int BatchShards = 512;

    // A run of defective VMs on a full disk must not eat the memory.
    private const int FindingsMax = 1_000_000;
    private static readonly TimeSpan RecordTimeout = TimeSpan.FromSeconds(5);

    private readonly SoakOptions _options;
    private readonly RunIdentity _identity;
    private readonly TimeProvider _time;
    private readonly ILogger<SoakStorage> _log;
    private readonly BlockingCollection<Action> _work = [];
    private readonly List<ShardCheckpoint> _batch = [];
    private readonly List<(string Cohort, Finding Finding)> _findings = [];
    private readonly CheckpointRounds _rounds;
    private readonly Thread _thread;
    private ITimer? _timer;
    private SoakDatabase? _database;
    private long _runId;
    private bool _hasFailed;
    private long _dropped;
    private StorageStatus _status = new(null, null);

    /// <summary>Opens the data directory, and finds out whether its run goes on or a new one begins.</summary>
    /// <exception cref="ConfigurationException">The directory must not be used, or the run in it must not be replaced.</exception>
    public SoakStorage(SoakOptions options, TimeProvider time, ILogger<SoakStorage> log)
    {
        (_options, _time, _log) = (options, time, log);
        _rounds = new CheckpointRounds(time);
        FleetOptions fleet = options.ToFleetOptions();
        _identity = RunIdentity.Of(fleet);
        _thread = new Thread(Run) { Name = "soak-storage", IsBackground = true };
        bool hasDatabase = SoakDatabase.IsIn(options.DataDirectory);
        try
        {
            _database = SoakDatabase.Open(options.DataDirectory);
            ResumeState = Resume(fleet);
        }
        catch (Exception exception) when (IsUnavailable(exception))
        {
            _database?.Dispose();
            _database = null;
            if (hasDatabase)
            {
                throw new ConfigurationException(
                    $"{Path.GetFullPath(options.DataDirectory)} has a database already, and cannot be used now: {exception.Message}. A service that began without "
                    + "it would begin anew, and never go on with the run in it: let it be written to, or give this service a Soak:DataDirectory of its own");
            }

            Fail(exception);
        }
        catch
        {
            _database?.Dispose();
            throw;
        }
    }

    /// <summary>What the fleet is to be resumed from, or null when a new run begins.</summary>
    public ResumeState? ResumeState { get; }

    /// <summary>The run's number in the data directory; 0 as long as it could not be written there.</summary>
    public long RunId => Volatile.Read(ref _runId);

    /// <summary>How it gets on now.</summary>
    public StorageStatus Status => Volatile.Read(ref _status);

    /// <summary>Starts to take checkpoints of a fleet whose workers were started.</summary>
    public void Start(Fleet fleet)
    {
        _thread.Start();
        _timer = _time.CreateTimer(_ => Post(() => Ask(fleet)), null, _options.CheckpointInterval, _options.CheckpointInterval);
    }

    /// <summary>Does something to a cohort, or adds it, recorded before it takes effect.</summary>
    /// <exception cref="StorageUnavailableException">It cannot be recorded, and so does not happen.</exception>
    public InterventionRecord Intervene(Fleet fleet, string cohort, ShardIntervention intervention)
    {
        var recorded = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        int decided = 0;
        DateTimeOffset now = _time.GetUtcNow();
        ShardIntervention applied = intervention.Cohort is { } added ? fleet.Add(added, Keep) : fleet.Apply(cohort, intervention, Keep);
        return new InterventionRecord(recorded.Task.Result, _runId, cohort, applied, now);

        void Keep(ShardIntervention timed)
        {
            // Whoever gives up waiting takes the intervention back, so that it is not recorded after all; once that has begun, nobody gives up.
            using var patience = new CancellationTokenSource(RecordTimeout, _time);
            using CancellationTokenRegistration _ = patience.Token.Register(() =>
            {
                if (Decide())
                    recorded.SetException(new StorageUnavailableException("the disk did not answer in time"));
            });
            Post(() =>
            {
                if (Decide())
                    Record(cohort, timed, now, recorded);
            });
            recorded.Task.GetAwaiter().GetResult();
        }

        bool Decide() => Interlocked.Exchange(ref decided, 1) == 0;
    }

    /// <summary>Keeps what was found of real VMs, to be written with the next checkpoint. What is found of simulated ones comes with theirs.</summary>
    public void Keep(FleetReport report)
    {
        (string, Finding)[] found =
            [.. report.Cohorts.Where(cohort => cohort.Cohort is ExternalCohort).SelectMany(cohort => cohort.Findings, (cohort, finding) => (cohort.Cohort.Name, finding))];
        if (found.Length > 0)
            Post(() => Array.ForEach(found, entry => Keep(entry.Item1, entry.Item2)));
    }

    /// <summary>Writes a last checkpoint. The fleet's workers must have stopped; if not all did, there is none of their last slices.</summary>
    public void Stop(Fleet fleet, bool isStopped)
    {
        _timer?.Dispose();
        if (!_thread.IsAlive)
            return;
        Post(() =>
        {
            // What workers still had to answer they answer here.
            _rounds.End();
            if (isStopped)
                fleet.Checkpoint(Take);
            Flush(isComplete: isStopped);
        });
        _work.CompleteAdding();
        _thread.Join();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _timer?.Dispose();
        if (!_work.IsAddingCompleted)
            _work.CompleteAdding();
        if (_thread.IsAlive)
            _thread.Join();
        _work.Dispose();
        _database?.Dispose();
    }

    private static bool IsUnavailable(Exception exception) =>
        exception is StorageUnavailableException or SqliteException or IOException or UnauthorizedAccessException;

    private ResumeState? Resume(FleetOptions fleet)
    {
        RunRecord? latest = _database!.LatestRun();
        IReadOnlyList<string> differences = latest?.Identity.DifferencesFrom(_identity) ?? [];
        if (latest is null || differences.Count > 0)
        {
            if (latest is not null && _options.OnMismatch == MismatchChoice.Refuse)
            {
                throw new ConfigurationException(
                    $"the run in {Path.GetFullPath(_options.DataDirectory)} is another one: {string.Join("; ", differences)}. Soak:OnMismatch is refuse; "
                    + "with new, a new run begins");
            }

            _runId = _database.AddRun(_identity, _time.GetUtcNow());
            if (latest is not null)
                _log.RunReplaced(latest.Id, string.Join("; ", differences), _runId);
            return null;
        }

        ILookup<string, ShardIntervention> interventions =
            _database.Interventions(latest.Id).ToLookup(record => record.Cohort, record => record.Intervention);
        Dictionary<ShardKey, Shard> shards = [];
        var resume = new ResumeState(shards, interventions);
        Load(latest.Id, shards, fleet.Cohorts.OfType<SimulatedCohort>().Concat(resume.Added).ToDictionary(cohort => cohort.Name), fleet.Shards);
        _runId = latest.Id;
        _status = new(latest.Checkpointed, null);
        _log.RunResumed(
            _runId, latest.Started, shards.Count, shards.Values.Select(shard => shard.Tick).DefaultIfEmpty().Min(),
            shards.Values.Select(shard => shard.Tick).DefaultIfEmpty().Max());
        return resume;
    }

    private void Load(long run, Dictionary<ShardKey, Shard> shards, Dictionary<string, SimulatedCohort> cohorts, ShardOptions options)
    {
        List<CheckpointRecord> damaged = [];
        foreach (CheckpointRecord checkpoint in _database!.Checkpoints(run))
        {
            ShardKey key = checkpoint.Shard;
            if (shards.ContainsKey(key))
                continue;
            try
            {
                if (!cohorts.TryGetValue(key.Cohort, out SimulatedCohort? cohort))
                    throw new ShardStateException("this run has no such cohort");
                shards.Add(key, ShardState.Read(checkpoint.State, cohort, key.FirstVm, FleetOptions.ShardVms, options));
            }
            catch (ShardStateException exception)
            {
                damaged.Add(checkpoint);
                _log.CheckpointDamaged(key.Cohort, key.FirstVm, checkpoint.Tick, exception.Message);
            }
        }

        foreach (CheckpointRecord checkpoint in damaged)
            _database.RemoveCheckpoint(run, checkpoint);
        foreach (ShardKey shard in damaged.Select(checkpoint => checkpoint.Shard).Where(shard => !shards.ContainsKey(shard)).Distinct())
            _log.ShardStartsOver(shard.Cohort, shard.FirstVm);
    }

    private void Post(Action work)
    {
        try
        {
            _work.Add(work);
        }
        catch (InvalidOperationException)
        {
            // It has stopped, and what comes now comes too late.
        }
    }

    private void Run()
    {
        foreach (Action work in _work.GetConsumingEnumerable())
            work();
    }

    /// <summary>Begins a round of checkpoints, unless the one before is still on its way.</summary>
    private void Ask(Fleet fleet)
    {
        if (_rounds.IsUnderWay)
            return;
        if (_rounds.IsIncomplete)
            Flush(isComplete: false);
        _hasFailed = false;

        // A fleet of real VMs alone has no state to write, but there may be findings.
        if (_rounds.Begin(round => fleet.RequestCheckpoint(checkpoint => Post(() => Take(checkpoint, round)))))
            Flush(isComplete: true);
    }

    private void Take(ShardCheckpoint checkpoint, int round)
    {
        Take(checkpoint);
        if (_rounds.Answer(round))
            Flush(isComplete: true);
    }

    private void Take(ShardCheckpoint checkpoint)
    {
        if (checkpoint.State.Length > 0)
            _batch.Add(checkpoint);
        foreach (Finding finding in checkpoint.Findings)
            Keep(checkpoint.Cohort, finding);
        if (_batch.Count >= BatchShards)
            Flush(isComplete: false);
    }

    private void Keep(string cohort, Finding finding)
    {
        if (_findings.Count < FindingsMax)
            _findings.Add((cohort, finding));
        else
            _dropped++;
    }

    /// <summary>Writes what has come. Checkpoints that cannot be written are dropped, for newer ones will come; what was found is kept.</summary>
    private void Flush(bool isComplete)
    {
        try
        {
            DateTimeOffset now = _time.GetUtcNow();
            Database(now).AddCheckpoints(_runId, _batch, _findings, _options.IncidentsMax, now);
            _findings.Clear();
            if (isComplete && !_hasFailed)
                Succeed(now);
        }
        catch (Exception exception) when (IsUnavailable(exception) || exception is ConfigurationException)
        {
            _hasFailed = true;
            Fail(exception);
        }

        _batch.Clear();
    }

    private void Record(string cohort, ShardIntervention intervention, DateTimeOffset now, TaskCompletionSource<long> recorded)
    {
        try
        {
            recorded.SetResult(Database(now).AddIntervention(_runId, cohort, intervention, now));
        }
        catch (Exception exception) when (IsUnavailable(exception) || exception is ConfigurationException)
        {
            recorded.SetException(new StorageUnavailableException($"the intervention cannot be recorded: {exception.Message}", exception));
        }
    }

    /// <summary>The database; opened now, with a new run in it, where it could not be opened before and there is none that was to go on.</summary>
    private SoakDatabase Database(DateTimeOffset now)
    {
        if (_database is { } open && _runId != 0)
            return open;
        _database ??= SoakDatabase.Open(_options.DataDirectory);
        if (_database.LatestRun() is { } other)
        {
            throw new StorageUnavailableException(
                $"{Path.GetFullPath(_options.DataDirectory)}, which could not be opened as the service started, has run {other.Id}, and nothing is written over it: "
                + "start the service again to go on with it");
        }

        _runId = _database.AddRun(_identity, now);
        return _database;
    }

    private void Fail(Exception exception)
    {
        string failure = exception is SqliteException ? $"{Path.GetFullPath(_options.DataDirectory)} cannot be written to: {exception.Message}" : exception.Message;
        if (Status.Failure is null)
            _log.StorageFailed(failure);
        Volatile.Write(ref _status, Status with { Failure = failure });
    }

    private void Succeed(DateTimeOffset now)
    {
        if (Status.Failure is not null)
            _log.StorageRecovered(_dropped);
        _dropped = 0;
        Volatile.Write(ref _status, new StorageStatus(now, null));
    }
}
