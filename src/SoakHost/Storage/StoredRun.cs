using System.Globalization;
using SoakHost.Configuration;
using SoakHost.Engine.Fleets;
using SoakHost.Logging;

namespace SoakHost.Storage;

/// <summary>
/// The run that the data directory keeps. When the service starts, the run there is resumed if it is the one that is configured;
/// otherwise a new one begins. If the directory cannot be used then, a new run begins there as soon as it can be.
/// </summary>
internal sealed class StoredRun : IDisposable
{
    // Each is named by `soakhost data check`.
    private const int RefusalsLogged = 10;

    private readonly SoakOptions _options;
    private readonly RunIdentity _identity;
    private readonly ILogger _log;
    private readonly TimeProvider _time;
    private readonly Action<TimeSpan>? _committed;
    private SoakDatabase? _database;
    private long? _rescued;
    private long _id;

    /// <summary>Opens the data directory, and resumes its run or begins a new one.</summary>
    /// <exception cref="ConfigurationException">
    /// The directory must not be used, or the run in it must not be replaced.
    /// </exception>
    public StoredRun(
        SoakOptions options,
        StorageHealth health,
        TimeProvider time,
        ILogger log,
        Action<TimeSpan>? committed = null)
    {
        (_options, _time, _log, _committed) = (options, time, log, committed);
        FleetOptions fleet = options.ToFleetOptions();
        _identity = RunIdentity.Of(fleet);
        bool hasDatabase = SoakDatabase.IsIn(options.DataDirectory);
        try
        {
            _database = Open();
            if (_database.CommitsLost != 0)
                log.CommitsLost(_database.CommitsLost?.ToString(CultureInfo.InvariantCulture) ?? "an unknown number of");
            if (FindSame() is { } run)
                ResumeState = Resume(run, fleet, health);
            else
                Begin(time.GetUtcNow());
        }
        catch (Exception exception) when (StorageHealth.IsUnavailable(exception))
        {
            _database?.Dispose();
            _database = null;
            if (hasDatabase)
            {
                throw new ConfigurationException(
                    $"{Path.GetFullPath(options.DataDirectory)} has a database, and it cannot be used now: "
                        + $"{exception.Message}. Without it the "
                        + "service would begin a new run and never resume this one. Make it writable, or use another "
                            + "Soak:DataDirectory"
                );
            }

            health.Fail(exception);
        }
        catch
        {
            _database?.Dispose();
            throw;
        }
    }

    /// <summary>What the fleet is resumed from, or null when a new run begins.</summary>
    public ResumeState? ResumeState { get; }

    /// <summary>The run's number in the data directory; 0 until it is there. Any thread may read it.</summary>
    public long Id => Volatile.Read(ref _id);

    /// <summary>
    /// The database to write to, with this run in it. Where it could not be opened before, it is opened now, unless it turns out
    /// to have another run. Where its files were removed, it is written anew.
    /// </summary>
    /// <exception cref="StorageUnavailableException">It cannot be written to, or has another run.</exception>
    /// <exception cref="ConfigurationException">It must not be used.</exception>
    public SoakDatabase OpenForWriting(DateTimeOffset now)
    {
        if (_database?.WhyGone() is { } gone)
        {
            _database.Rescue();
            _rescued = _database.Id;
            _database = null;
            _log.DatabaseRescued(gone, _id);
        }

        if (_database is not null && _id != 0)
            return _database;
        _database ??= Open();
        if (_database.Id == _rescued)
            return _database;
        if (_database.Runs.Latest() is { } other)
        {
            throw new StorageUnavailableException(
                $"{Path.GetFullPath(_options.DataDirectory)} could not be used when the service started, and turns out to have "
                    + $"run {other.Id}. "
                + "Nothing is written over it: restart the service to resume it");
        }

        Begin(now);
        return _database;
    }

    /// <summary>
    /// Throws if the run's files are gone, until a checkpoint has written them anew, or are read-only: nothing else is recorded.
    /// </summary>
    /// <exception cref="StorageUnavailableException">They are gone or read-only.</exception>
    public void ThrowIfUnusable()
    {
        if ((_database?.WhyGone() ?? _database?.WhyReadOnly()) is { } why)
            throw new StorageUnavailableException(why);
    }

    /// <inheritdoc/>
    public void Dispose() => _database?.Dispose();

    private SoakDatabase Open() => SoakDatabase.Open(_options.DataDirectory, _time, _committed);

    private void Begin(DateTimeOffset now)
    {
        RunRecord? before = _database!.Runs.Latest();
        _id = _database.AddRun(_identity, now);
        if (before is not null)
            _log.RunReplaced(before.Id, string.Join("; ", before.Identity.DifferencesFrom(_identity)), _id);
    }

    /// <summary>The run in the database, if it is the configured one.</summary>
    private RunRecord? FindSame()
    {
        if (_database!.Runs.Latest() is not { } latest)
            return null;
        IReadOnlyList<string> differences = latest.Identity.DifferencesFrom(_identity);
        if (differences.Count == 0)
            return latest;
        if (_options.OnMismatch == MismatchChoice.Refuse)
        {
            throw new ConfigurationException(
                $"the run in {Path.GetFullPath(_options.DataDirectory)} is another one: {string.Join("; ", differences)}. "
                + "Soak:OnMismatch is refuse; with new, a new run begins");
        }

        return null;
    }

    private ResumeState Resume(RunRecord run, FleetOptions fleet, StorageHealth health)
    {
        string[] refused = [.. _database!.Refusals()];
        foreach (string refusal in refused.Take(RefusalsLogged))
            _log.RecordRefused(refusal, refused.Length);
        ResumeState resume = CheckpointLoader.Load(_database!, run.Id, fleet, _log);
        _id = run.Id;
        health.Succeed(run.Checkpointed, lost: 0);
        IEnumerable<long> ticks = resume.Shards.Values.Select(shard => shard.Tick).DefaultIfEmpty();
        _log.RunResumed(_id, run.Started, resume.Shards.Count, ticks.Min(), ticks.Max());
        return resume;
    }
}
