using SoakHost.Configuration;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Watchdogs;

namespace SoakHost.Service;

/// <summary>One fleet and the watchdog over it, from start to stop.</summary>
internal sealed class SoakRun : IDisposable
{
    private readonly Fleet _fleet;
    private readonly Watchdog _watchdog;

    /// <summary>Builds every VM; nothing runs yet.</summary>
    /// <param name="options">Valid options.</param>
    /// <param name="time">The clock of workers and watchdog.</param>
    /// <param name="reported">Called on the watchdog's thread with each report; it must not throw.</param>
    public SoakRun(SoakOptions options, TimeProvider time, Action<FleetReport>? reported = null)
    {
        Options = options;
        _fleet = new Fleet(options.ToFleetOptions(), time, SoakOptions.HostCohorts(options.Fleet, time));
        _watchdog = new Watchdog(_fleet, time, options.WatchdogInterval, options.StallAfter, reported);
    }

    /// <summary>What was configured.</summary>
    public SoakOptions Options { get; }

    /// <summary>What the engine was told of it.</summary>
    public FleetOptions FleetOptions => _fleet.Options;

    /// <summary>The watchdog's latest report.</summary>
    public FleetReport Latest => _watchdog.Latest;

    /// <summary>Lets the workers and the watchdog go.</summary>
    public void Start()
    {
        _fleet.Start();
        _watchdog.Start();
    }

    /// <summary>Stops the workers at the end of their slices, and looks a last time.</summary>
    /// <param name="timeout">How long to wait for the workers.</param>
    /// <param name="isComplete">Whether all workers stopped in time; if not, the report misses what they did last.</param>
    public FleetReport Stop(TimeSpan timeout, out bool isComplete)
    {
        isComplete = _fleet.Stop(timeout);
        return _watchdog.Stop();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _fleet.Dispose();
        _watchdog.Dispose();
    }
}
