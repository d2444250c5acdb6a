using SoakHost.Configuration;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;

namespace SoakHost.Storage;

/// <summary>
/// Keeps a run on disk: resumes it, takes checkpoints on a timer, and records interventions. All writing is done by one thread. A
/// disk that cannot be written to stops nothing: the soak goes on, findings are kept in memory, and each checkpoint tries again.
/// </summary>
internal sealed class SoakStorage : IDisposable
{
    private static readonly TimeSpan RecordTimeout = TimeSpan.FromSeconds(5);

    // A sync of a healthy disk under load takes less.
    private static readonly TimeSpan HangsAfter = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan WatchInterval = TimeSpan.FromSeconds(1);

    // A stop waits for a disk that takes one commit after another, and not for one that takes none: it must end within 5 s.
    private static readonly TimeSpan StopWithoutCommit = TimeSpan.FromSeconds(1.5);
    private static readonly TimeSpan StopPace = TimeSpan.FromMilliseconds(50);

    private readonly SoakOptions _options;
    private readonly TimeProvider _time;
    private readonly StorageHealth _health;
    private readonly StoredRun _run;
    private readonly CheckpointWriter _checkpoints;
    private readonly StorageThread _thread;
    private ITimer? _timer;
    private ITimer? _watch;
    private int _roundIsPosted;
    private long _commits;
    private DataDirectoryUsage? _usage;

    /// <summary>Opens the data directory, and resumes its run or begins a new one.</summary>
    /// <param name="options">Valid options.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">Where events go.</param>
    /// <param name="committed">Called on any thread after each commit, with the time that it took.</param>
    /// <exception cref="ConfigurationException">
    /// The directory must not be used, or the run in it must not be replaced.
    /// </exception>
    public SoakStorage(
        SoakOptions options,
        TimeProvider time,
        ILogger<SoakStorage> log,
        Action<TimeSpan>? committed = null)
    {
        (_options, _time) = (options, time);
        _thread = new StorageThread(time);
        _health = new StorageHealth(options.DataDirectory, time, log);
        _run = new StoredRun(options, _health, time, log, NoteCommit);
        _usage = DataDirectoryUsage.Of(options.DataDirectory);

        void NoteCommit(TimeSpan took)
        {
            Interlocked.Increment(ref _commits);
            committed?.Invoke(took);
        }
        _checkpoints = new CheckpointWriter(_run, _health, options, time);
    }

    /// <summary>What the fleet is resumed from, or null when a new run begins.</summary>
    public ResumeState? ResumeState => _run.ResumeState;

    /// <summary>The run's number in the data directory; 0 until it is there.</summary>
    public long RunId => _run.Id;

    /// <summary>Whether the run is kept on disk.</summary>
    public StorageStatus Status => _health.Status;

    /// <summary>
    /// What the data directory took at the last checkpoint; null where that is not known. Any thread may read it.
    /// </summary>
    public DataDirectoryUsage? Usage => Volatile.Read(ref _usage);

    /// <summary>Whether a write has not ended for longer than a healthy disk takes.</summary>
    public bool Hangs => _thread.BusyFor >= HangsAfter;

    /// <summary>Starts to take checkpoints.</summary>
    /// <param name="requestCheckpoint">
    /// Requests a checkpoint of each shard and external cohort, and returns how many will come.
    /// </param>
    public void Start(Func<Action<ShardCheckpoint>, int> requestCheckpoint)
    {
        _thread.Start();
        _watch = _time.CreateTimer(_ => ReportHang(), null, WatchInterval, WatchInterval);
        _timer = _time.CreateTimer(
            _ => PostRound(),
            null,
            _options.CheckpointInterval,
            _options.CheckpointInterval);

        // One waits at most: while the disk hangs, the timer goes on.
        void PostRound()
        {
            if (Interlocked.Exchange(ref _roundIsPosted, 1) == 0)
                _thread.TryPost(BeginRound);
        }

        void BeginRound()
        {
            Volatile.Write(ref _roundIsPosted, 0);
            _checkpoints.BeginRound(RequestRound);
            Volatile.Write(ref _usage, DataDirectoryUsage.Of(_options.DataDirectory));
        }

        int RequestRound(int round) =>
            requestCheckpoint(checkpoint => _thread.TryPost(() => _checkpoints.Take(checkpoint, round)));
    }

    /// <summary>
    /// Records an intervention. When the task completes, it is on the disk; when it fails, it is not, and never will be.
    /// </summary>
    /// <param name="cohort">The cohort's name.</param>
    /// <param name="intervention">The intervention with its tick.</param>
    /// <param name="cancellation">Gives it up, unless the write has begun.</param>
    /// <param name="by">Who asked for it.</param>
    /// <exception cref="StorageUnavailableException">It cannot be recorded, or the disk did not begin within 5 s.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> was cancelled in time.</exception>
    public async Task<InterventionRecord> RecordAsync(
        string cohort,
        ShardIntervention intervention,
        CancellationToken cancellation,
        Requester? by = null)
    {
        DateTimeOffset now = _time.GetUtcNow();
        var record = new PendingWrite<InterventionRecord>(() => Record(cohort, intervention, now, by));
        if (Hangs)
            throw new StorageUnavailableException($"the disk has not answered for {_thread.BusyFor.TotalSeconds:0} s");
        if (!_thread.TryPost(record.Run))
            throw new StorageUnavailableException("the service is being stopped");
        using var timeout = new CancellationTokenSource(RecordTimeout, _time);
        using CancellationTokenRegistration tooLate = timeout.Token.Register(
            () => record.GiveUp(new StorageUnavailableException("the disk did not answer in time")));
        using CancellationTokenRegistration cancelled = cancellation.Register(
            () => record.GiveUp(new OperationCanceledException(cancellation)));
        return await record.Outcome;
    }

    /// <summary>
    /// Writes a last checkpoint, closes the database, and ends the thread, unless the disk does not answer in time: it is given
    /// up after 1.5 s without a commit.
    /// </summary>
    /// <param name="takeCheckpoint">
    /// Takes a checkpoint of shards that have stopped; null where some have not, and the last slices are lost.
    /// </param>
    /// <param name="timeout">How long to wait for the disk at most.</param>
    /// <returns>Whether it answered.</returns>
    public bool Stop(Action<Action<ShardCheckpoint>>? takeCheckpoint, TimeSpan timeout)
    {
        _watch?.Dispose();
        _timer?.Dispose();
        if (_thread.IsRunning)
            _thread.TryPost(() => _checkpoints.Finish(takeCheckpoint));
        PostClose();
        (TimeSpan waited, TimeSpan lastCommit, long commits) = (TimeSpan.Zero, TimeSpan.Zero, Volatile.Read(ref _commits));
        while (!_thread.Stop(StopPace))
        {
            waited += StopPace;
            if (Volatile.Read(ref _commits) is var now && now != commits)
                (lastCommit, commits) = (waited, now);
            if (waited >= timeout || waited - lastCommit >= StopWithoutCommit)
                return false;
        }

        return true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _timer?.Dispose();
        _watch?.Dispose();
        PostClose();
        _thread.Dispose();
    }

    /// <summary>Has the thread close the database as its last work: that writes too, and a disk may hang in it.</summary>
    private void PostClose()
    {
        if (_thread.TryPost(_run.Dispose) && !_thread.IsRunning)
            _thread.Start();
    }

    /// <summary>Reports a write that does not end; the next complete checkpoint ends the report.</summary>
    private void ReportHang()
    {
        if (_thread.BusyFor is var busy && busy >= HangsAfter)
        {
            _health.Fail(new StorageUnavailableException(
                $"the disk of {Path.GetFullPath(_options.DataDirectory)} has not answered for {busy.TotalSeconds:0} s"));
        }
    }

    private InterventionRecord Record(string cohort, ShardIntervention intervention, DateTimeOffset now, Requester? by)
    {
        try
        {
            _run.ThrowIfUnusable();
            return _run.OpenForWriting(now).AddIntervention(_run.Id, cohort, intervention, now, by);
        }
        catch (Exception exception) when (StorageHealth.IsUnavailable(exception) || exception is ConfigurationException)
        {
            _health.Fail(exception);
            string message = $"the intervention cannot be recorded: {exception.Message}";
            throw exception is CommitUndecidedException ? new CommitUndecidedException(message, exception)
                : new StorageUnavailableException(message, exception);
        }
    }
}
