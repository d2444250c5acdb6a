using System.Collections.Immutable;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;

namespace SoakHost.Configuration;

/// <summary>The section <c>Soak</c> of the configuration.</summary>
internal sealed record SoakOptions
{
    /// <summary>The most cohorts: each has some fifty metric series.</summary>
    public const int CohortsMax = FleetOptions.CohortsMax;

    /// <summary>The most VMs of all cohorts together. What they take is memory: the README says how much.</summary>
    public const int VmsMax = FleetOptions.VmsMax;

    /// <summary>Worker threads, 0 to 1024; 0 is one for each processor. Default 0.</summary>
    public int Workers { get; init; }

    /// <summary>Share of each worker's time that is spent soaking, 0.01 to 1. Default 1.</summary>
    public double DutyCycle { get; init; } = 1.0;

    /// <summary>Seed of every VM's random stream, any 64-bit number. Default 1.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Ticks of a slice, a multiple of 1024 up to 2^20. Default 4096. No result depends on it.</summary>
    public int SliceTicks { get; init; } = 4 * Shard.ObservationTicks;

    /// <summary>Consecutive retries from which on a vCPU is starved or hung, 2 to 2^30. Default 1000.</summary>
    public uint StallRetries { get; init; } = 1000;

    /// <summary>Time between two reports of the watchdog, 100 ms to 1 min. Default 1 s.</summary>
    public TimeSpan WatchdogInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// How long a worker may finish no slice before it is reported as silent, 1 s to 1 h and at least twice
    /// <see cref="WatchdogInterval"/>. Default 10 s.
    /// </summary>
    public TimeSpan StallAfter { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Ticks after which every VM stands still, a multiple of 1024; 0 is never. Default 0.</summary>
    public long TicksMax { get; init; }

    /// <summary>The folder of the database; created when it is not there. Default ./data.</summary>
    public string DataDirectory { get; init; } = "./data";

    /// <summary>Time between two checkpoints, 20 ms to 1 h. Default 10 s.</summary>
    public TimeSpan CheckpointInterval { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>What to do when the data directory holds a run of another fleet, seed or model: new or refuse. Default new.</summary>
    public MismatchChoice OnMismatch { get; init; }

    /// <summary>The most incidents that are kept, and the most crossings, the newest ones: 1 to 10,000,000. Default 100,000.</summary>
    public int IncidentsMax { get; init; } = 100_000;

    /// <summary>The token that interventions need, at least 16 characters; null for none. Default null.</summary>
    public string? ApiToken { get; init; }

    /// <summary>How log lines look: text, json, or auto for text on a terminal and JSON elsewhere. Default auto.</summary>
    public LogFormat LogFormat { get; init; }

    /// <summary>The cohorts, 1 to 100, with 1,000,000 VMs in all.</summary>
    public required ImmutableArray<CohortOptions> Fleet { get; init; }

    /// <summary>Why this machine cannot run all of these cohorts, or null where it can.</summary>
    public static string? WhyUnsupported(IEnumerable<CohortOptions> cohorts) =>
        cohorts.FirstOrDefault(cohort => cohort.Unsupported is not null) is { } first
            ? $"Cohort \"{first.Name}\" cannot be run here. {first.Unsupported}" : null;

    /// <summary>What the engine needs to know of it.</summary>
    public FleetOptions ToFleetOptions() => new()
    {
        Cohorts = [.. Fleet.Select(cohort => cohort.ToCohort())],
        Workers = Workers == 0 ? Environment.ProcessorCount : Workers,
        DutyCycle = DutyCycle,
        SliceTicks = SliceTicks,
        TicksMax = TicksMax == 0 ? long.MaxValue : TicksMax,
        Shards = ToShardOptions(),
    };

    /// <summary>What a VM's history and findings depend on beside its cohort.</summary>
    public ShardOptions ToShardOptions() => new() { Seed = Seed, StallRetries = StallRetries };
}

/// <summary>How log lines look.</summary>
internal enum LogFormat
{
    /// <summary>Text on a terminal, JSON elsewhere.</summary>
    Auto,

    /// <summary>For people.</summary>
    Text,

    /// <summary>One JSON object a line (compact log event format).</summary>
    Json,
}

/// <summary>What to do when the data directory holds another run.</summary>
internal enum MismatchChoice
{
    /// <summary>Say what differs and start a new run.</summary>
    New,

    /// <summary>Say what differs and refuse to start.</summary>
    Refuse,
}
