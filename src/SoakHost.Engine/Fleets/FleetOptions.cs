using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;

namespace SoakHost.Engine.Fleets;

/// <summary>How a fleet is run. What decides its results is the cohorts, the seed and the stall threshold alone.</summary>
public sealed record FleetOptions
{
    /// <summary>
    /// VMs in a shard, unless a cohort has fewer: enough to amortise a slice, few enough to share among workers.
    /// </summary>
    public const int ShardVms = 64;

    /// <summary>The most cohorts that a fleet has at a time.</summary>
    public const int CohortsMax = 100;

    /// <summary>The most cohorts that a run has in all, those that were removed too: each keeps its totals.</summary>
    public const int CohortsEverMax = 1000;

    /// <summary>The most VMs that a fleet has at a time. What they take is memory.</summary>
    public const int VmsMax = 1_000_000;

    /// <summary>The most VMs that a run has in all, those that are gone too: each 64 of them keep some hundred bytes.</summary>
    public const int VmsEverMax = 10 * VmsMax;

    /// <summary>The cohorts that the run starts with, names unique.</summary>
    public required IReadOnlyList<Cohort> Cohorts { get; init; }

    /// <summary>Worker threads, at least 1; more than a few for each processor only wait for each other.</summary>
    public required int Workers { get; init; }

    /// <summary>Share of each worker's time that is spent soaking, above 0, at most 1.</summary>
    public double DutyCycle { get; init; } = 1.0;

    /// <summary>Ticks of a slice, a multiple of <see cref="Shard.ObservationTicks"/>.</summary>
    public int SliceTicks { get; init; } = 4 * Shard.ObservationTicks;

    /// <summary>Ticks after which a shard stands still, a multiple of <see cref="SliceTicks"/>; the default is never.</summary>
    public long TicksMax { get; init; } = long.MaxValue;

    /// <summary>Seed, stall threshold and vector width.</summary>
    public ShardOptions Shards { get; init; } = new();
}
