using System.Collections.Immutable;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;

namespace SoakHost.Configuration;

/// <summary>The section <c>Soak</c> of the configuration.</summary>
internal sealed record SoakOptions
{
    /// <summary>The most cohorts: each has some fifty metric series.</summary>
    public const int CohortsMax = FleetOptions.CohortsMax;

    /// <summary>The most VMs of all cohorts together. They take memory.</summary>
    public const int VmsMax = FleetOptions.VmsMax;

    /// <summary>Worker threads; 0 is one for each processor. <see cref="SoakSettings"/> has the ranges of these.</summary>
    public int Workers { get; init; }

    /// <summary>Share of each worker's time that is spent soaking.</summary>
    public double DutyCycle { get; init; } = 1.0;

    /// <summary>Seed of every VM's random stream.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>The part of the fleet that this process runs.</summary>
    public FleetPart Part { get; init; } = FleetPart.Whole;

    /// <summary>Ticks of a slice, a multiple of <see cref="Shard.ObservationTicks"/>. No result depends on it.</summary>
    public int SliceTicks { get; init; } = 4 * Shard.ObservationTicks;

    /// <summary>Consecutive retries after which a vCPU counts as starved or hung.</summary>
    public uint StallRetries { get; init; } = 1000;

    /// <summary>Time between two reports of the watchdog.</summary>
    public TimeSpan WatchdogInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Time without a finished slice after which a worker is silent: at least twice <see cref="WatchdogInterval"/>.
    /// </summary>
    public TimeSpan StallAfter { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Ticks after which every VM stops, a multiple of <see cref="Shard.ObservationTicks"/>; 0 is never.</summary>
    public long TicksMax { get; init; }

    /// <summary>The folder of the database; created where it does not exist.</summary>
    public string DataDirectory { get; init; } = "./data";

    /// <summary>Time between two checkpoints.</summary>
    public TimeSpan CheckpointInterval { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>What to do where the data directory holds a run of another fleet, seed or model.</summary>
    public MismatchChoice OnMismatch { get; init; }

    /// <summary>Incidents that are kept, and as many crossings; the oldest go first.</summary>
    public int IncidentsMax { get; init; } = 20_000;

    /// <summary>Whether the VMs that other processes of this host run are watched too.</summary>
    public bool Watch { get; init; }

    /// <summary>The folder in which the watch keeps evidence of hangs; empty for none.</summary>
    public string WatchEvidence { get; init; } = "";

    /// <summary>The token that interventions need; null for none.</summary>
    public string? ApiToken { get; init; }

    /// <summary>The file with that token; empty for none.</summary>
    public string ApiTokenFile { get; init; } = "";

    /// <summary>More tokens, names unique.</summary>
    public IReadOnlyList<NamedToken> ApiTokens { get; init; } = [];

    /// <summary>The token that the alert webhook needs; null for none.</summary>
    public string? AlertToken { get; init; }

    /// <summary>Host names besides those of loopback.</summary>
    public IReadOnlyList<string> HostNames { get; init; } = [];

    /// <summary>The address of the listener for probes and scrapes; <c>auto</c> or <c>none</c>.</summary>
    public string HealthUrl { get; init; } = "auto";

    /// <summary>The look of log lines.</summary>
    public LogFormat LogFormat { get; init; }

    /// <summary>The cohorts, 1 to 100, with 1,000,000 VMs in all.</summary>
    public required ImmutableArray<CohortOptions> Fleet { get; init; }

    /// <summary>Every token that interventions may have.</summary>
    public IEnumerable<NamedToken> AllTokens() =>
        ApiToken is null ? ApiTokens : ApiTokens.Prepend(new NamedToken(NamedToken.DefaultName, ApiToken));

    /// <summary>Why this machine cannot run all of these cohorts, or null where it can.</summary>
    public static string? WhyUnsupported(IEnumerable<CohortOptions> cohorts) =>
        cohorts.FirstOrDefault(cohort => cohort.Unsupported is not null) is { } first
            ? $"Cohort \"{first.Cohort.Name}\" cannot run here. {first.Unsupported}" : null;

    /// <summary>The same for the engine.</summary>
    public FleetOptions ToFleetOptions() => new()
    {
        Cohorts = [.. Fleet.Select(cohort => cohort.Cohort)],
        Workers = Workers == 0 ? Environment.ProcessorCount : Workers,
        DutyCycle = DutyCycle,
        SliceTicks = SliceTicks,
        TicksMax = TicksMax == 0 ? long.MaxValue : TicksMax,
        Shards = ToShardOptions(),
    };

    /// <summary>What a VM's history and findings depend on besides its cohort.</summary>
    public ShardOptions ToShardOptions() => new() { Seed = Seed, StallRetries = StallRetries, Part = Part };
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

/// <summary>What to do where the data directory holds another run.</summary>
internal enum MismatchChoice
{
    /// <summary>Log what differs and start a new run.</summary>
    New,

    /// <summary>Report what differs and refuse to start.</summary>
    Refuse,
}
