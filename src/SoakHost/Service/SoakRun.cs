using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Storage;

namespace SoakHost.Service;

/// <summary>One fleet and the watchdog over it, from start to stop.</summary>
internal sealed class SoakRun : IDisposable
{
    private readonly Fleet _fleet;
    private readonly Watchdog _watchdog;
    private readonly SoakStorage? _storage;

    /// <summary>Builds every VM; nothing runs yet.</summary>
    /// <param name="options">Valid options.</param>
    /// <param name="time">The clock of workers and watchdog.</param>
    /// <param name="reported">Called on the watchdog's thread with each report; it must not throw.</param>
    /// <param name="storage">What keeps the run on disk, or null.</param>
    public SoakRun(SoakOptions options, TimeProvider time, Action<FleetReport>? reported = null, SoakStorage? storage = null)
    {
        (Options, _storage) = (options, storage);
        _fleet = new Fleet(options.ToFleetOptions(), time, storage?.ResumeState);
        if (storage is not null)
            _fleet.KeepFindings();
        _watchdog = new Watchdog(_fleet, time, options.WatchdogInterval, options.StallAfter, report =>
        {
            storage?.Keep(report);
            reported?.Invoke(report);
        });
    }

    /// <summary>What was configured.</summary>
    public SoakOptions Options { get; }

    /// <summary>What the engine was told of it: the cohorts that the run began with.</summary>
    public FleetOptions FleetOptions => _fleet.Options;

    /// <summary>The cohorts that there are now.</summary>
    public IReadOnlyList<Cohort> Cohorts => [.. _fleet.Cohorts.Select(source => source.Cohort)];

    /// <summary>The watchdog's latest report.</summary>
    public FleetReport Latest => _watchdog.Latest;

    /// <summary>The run's number in the data directory; 0 where it is not kept.</summary>
    public long RunId => _storage?.RunId ?? 0;

    /// <summary>How the run's storage gets on.</summary>
    public StorageStatus Storage => _storage?.Status ?? new StorageStatus(null, null);

    /// <summary>Does something to a cohort, or adds it, recorded before it takes effect.</summary>
    /// <exception cref="StorageUnavailableException">It cannot be recorded, and so does not happen.</exception>
    public InterventionRecord Intervene(string cohort, ShardIntervention intervention) =>
        _storage?.Intervene(_fleet, cohort, intervention) ?? throw new StorageUnavailableException("this run is not kept");

    /// <summary>Lets the workers and the watchdog go.</summary>
    public void Start()
    {
        _fleet.Start();
        _watchdog.Start();
        _storage?.Start(_fleet);
    }

    /// <summary>Stops the workers at the end of their slices, and looks a last time.</summary>
    /// <param name="timeout">How long to wait for the workers.</param>
    /// <param name="isComplete">Whether all workers stopped in time; if not, the report misses what they did last.</param>
    public FleetReport Stop(TimeSpan timeout, out bool isComplete)
    {
        isComplete = _fleet.Stop(timeout);
        FleetReport report = _watchdog.Stop();
        _storage?.Stop(_fleet, isComplete);
        return report;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _fleet.Dispose();
        _watchdog.Dispose();
    }
}
