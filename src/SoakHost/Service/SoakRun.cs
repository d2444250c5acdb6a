using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Interventions;
using SoakHost.Storage;

namespace SoakHost.Service;

/// <summary>One fleet and the watchdog over it, from start to stop.</summary>
internal sealed class SoakRun : IDisposable
{
    private static readonly TimeSpan StorageStopTimeout = TimeSpan.FromSeconds(1);

    private readonly TimeProvider _time;
    private readonly Fleet _fleet;
    private readonly Watchdog _watchdog;
    private readonly SoakStorage? _storage;
    private readonly InterventionRunner? _interventions;

    /// <summary>Builds every VM; nothing runs yet.</summary>
    /// <param name="options">Valid options.</param>
    /// <param name="time">The clock of workers and watchdog.</param>
    /// <param name="reported">Called on the watchdog's thread with each report; it must not throw.</param>
    /// <param name="storage">Keeps the run on disk; null where it is not kept.</param>
    public SoakRun(SoakOptions options, TimeProvider time, Action<FleetReport>? reported = null, SoakStorage? storage = null)
    {
        (Options, _storage, _time) = (options, storage, time);
        _fleet = new Fleet(options.ToFleetOptions(), time, storage?.ResumeState);
        if (storage is not null)
        {
            _fleet.KeepFindings();
            _interventions = new InterventionRunner(_fleet, storage, time);
        }

        _watchdog = new Watchdog(_fleet, time, options.WatchdogInterval, options.StallAfter, reported);
    }

    /// <summary>What was configured.</summary>
    public SoakOptions Options { get; }

    /// <summary>What the fleet was built from: the cohorts that the run began with.</summary>
    public FleetOptions FleetOptions => _fleet.Options;

    /// <summary>The cohorts that there are now.</summary>
    public IReadOnlyList<Cohort> Cohorts => [.. _fleet.Cohorts.Select(source => source.Cohort)];

    /// <summary>The watchdog's latest report.</summary>
    public FleetReport Latest => _watchdog.Latest;

    /// <summary>The run's number in the data directory; 0 where it is not kept.</summary>
    public long RunId => _storage?.RunId ?? 0;

    /// <summary>Whether the run is kept on disk.</summary>
    public StorageStatus Storage => _storage?.Status ?? new StorageStatus(null, null);

    /// <summary>Does an intervention, as <see cref="InterventionRunner.RunAsync"/> does.</summary>
    public Task<InterventionRecord> InterveneAsync(
        string cohort,
        ShardIntervention intervention,
        CancellationToken cancellation,
        Requester? by = null) =>
        _interventions?.RunAsync(cohort, intervention, cancellation, by)
            ?? throw new StorageUnavailableException("this run is not kept on disk");

    /// <summary>Starts the workers, the watchdog and the checkpoints.</summary>
    public void Start()
    {
        _fleet.Start();
        _watchdog.Start();
        _storage?.Start(_fleet.RequestCheckpoint);
    }

    /// <summary>Stops the workers at the end of their slices, makes a last report and writes a last checkpoint.</summary>
    /// <param name="timeout">How long to wait for the workers.</param>
    /// <param name="isComplete">Whether all workers stopped in time; if not, the report misses what they did last.</param>
    /// <param name="isStored">Whether the disk took the last checkpoint in time, at most a second after that.</param>
    public FleetReport Stop(TimeSpan timeout, out bool isComplete, out bool isStored)
    {
        long began = _time.GetTimestamp();
        isComplete = _fleet.Stop(timeout);
        FleetReport report = _watchdog.Stop();
        TimeSpan left = timeout + StorageStopTimeout - _time.GetElapsedTime(began);
        isStored =
            _storage?.Stop(isComplete ? _fleet.Checkpoint : null, left > StorageStopTimeout ? left : StorageStopTimeout) ?? true;
        _interventions?.GiveUp();
        return report;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _interventions?.Dispose();
        _fleet.Dispose();
        _watchdog.Dispose();
    }
}
