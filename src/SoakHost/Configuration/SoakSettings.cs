using SoakHost.Engine.Soak;

namespace SoakHost.Configuration;

/// <summary>The keys of <c>Soak</c>, except the cohorts of <c>Soak:Fleet</c>.</summary>
internal static class SoakSettings
{
    /// <summary>All of them.</summary>
    public static SettingTable<SoakOptions> Table { get; } = new(
        new SoakOptions { Fleet = [] },
        new Setting<SoakOptions, int>(
            nameof(SoakOptions.Workers), "worker threads; 0 starts one for each processor", new WorkerCount(min: 0),
            options => options.Workers, (options, value) => options with { Workers = value }),
        new Setting<SoakOptions, double>(
            nameof(SoakOptions.DutyCycle), "share of each worker's time that is spent soaking", new Fraction(new(0.01, 1)),
            options => options.DutyCycle, (options, value) => options with { DutyCycle = value }),
        new Setting<SoakOptions, ulong>(
            nameof(SoakOptions.Seed), "seed of every VM's random stream; the same seed gives the same history",
            new WholeNumber<ulong>(0, ulong.MaxValue),
            options => options.Seed, (options, value) => options with { Seed = value }),
        new Setting<SoakOptions, FleetPart>(
            nameof(SoakOptions.Part),
            "the part of the fleet that this process runs: VM n of each cohort is in part n modulo N",
            new PartSyntax(),
            options => options.Part, (options, value) => options with { Part = value }),
        new Setting<SoakOptions, int>(
            nameof(SoakOptions.SliceTicks),
            $"ticks that a shard advances at a time, a multiple of {Shard.ObservationTicks}; no result depends on it",
            new WholeNumber<int>(Shard.ObservationTicks, 1 << 20),
            options => options.SliceTicks, (options, value) => options with { SliceTicks = value }),
        new Setting<SoakOptions, uint>(
            nameof(SoakOptions.StallRetries), "consecutive retries after which a vCPU counts as starved or hung",
            new WholeNumber<uint>(2, 1u << 30),
            options => options.StallRetries, (options, value) => options with { StallRetries = value }),
        new Setting<SoakOptions, TimeSpan>(
            nameof(SoakOptions.WatchdogInterval), "time between two reports of the watchdog",
            new Duration(new(TimeSpan.FromMilliseconds(100), TimeSpan.FromMinutes(1))),
            options => options.WatchdogInterval, (options, value) => options with { WatchdogInterval = value }),
        new Setting<SoakOptions, TimeSpan>(
            nameof(SoakOptions.StallAfter),
            "time without a finished slice after which a worker is reported as silent, at least twice `WatchdogInterval`",
            new Duration(new(TimeSpan.FromSeconds(1), TimeSpan.FromHours(1))),
            options => options.StallAfter, (options, value) => options with { StallAfter = value }),
        new Setting<SoakOptions, long>(
            nameof(SoakOptions.TicksMax),
            $"ticks after which every VM stops, a multiple of {Shard.ObservationTicks}; 0 never stops them",
            new WholeNumber<long>(0, 1L << 60),
            options => options.TicksMax, (options, value) => options with { TicksMax = value }),
        new Setting<SoakOptions, string>(
            nameof(SoakOptions.DataDirectory), "folder of the database; created where it does not exist",
            Words.Path("the path of a folder"),
            options => options.DataDirectory, (options, value) => options with { DataDirectory = value }),
        new Setting<SoakOptions, TimeSpan>(
            nameof(SoakOptions.CheckpointInterval), "time between two checkpoints",
            new Duration(new(TimeSpan.FromMilliseconds(20), TimeSpan.FromHours(1))),
            options => options.CheckpointInterval, (options, value) => options with { CheckpointInterval = value }),
        new Setting<SoakOptions, MismatchChoice>(
            nameof(SoakOptions.OnMismatch),
            "what to do where the data directory holds a run of another fleet, seed or model: `new` starts a new run, `refuse` "
            + "ends with exit code 64",
            new Choice<MismatchChoice>("", ("new", MismatchChoice.New), ("refuse", MismatchChoice.Refuse)),
            options => options.OnMismatch, (options, value) => options with { OnMismatch = value }),
        new Setting<SoakOptions, int>(
            nameof(SoakOptions.IncidentsMax),
            "incidents that are kept, and as many crossings; the oldest of the cohort with the most go first",
            new WholeNumber<int>(1, 10_000_000),
            options => options.IncidentsMax, (options, value) => options with { IncidentsMax = value }),
        new Setting<SoakOptions, bool>(
            nameof(SoakOptions.Watch),
            "also watch the VMs that other processes of this host run, as `soakhost watch` does", new Flag(),
            options => options.Watch, (options, value) => options with { Watch = value }),
        new Setting<SoakOptions, string>(
            nameof(SoakOptions.WatchEvidence), "folder in which that watch keeps evidence of hangs",
            new Words("the path of a folder", "path", _ => true, range: ""),
            options => options.WatchEvidence, (options, value) => options with { WatchEvidence = value })
        { DefaultText = "not set" },
        new Setting<SoakOptions, string>(
            nameof(SoakOptions.ApiToken),
            $"token that interventions need, at least {NamedToken.LengthMin} characters; without any token only clients on this "
            + "machine may intervene",
            OneToken(), options => options.ApiToken ?? "",
            (options, value) => options with { ApiToken = value.Length == 0 ? null : value })
        { IsSecret = true, DefaultText = "not set" },
        new Setting<SoakOptions, string>(
            nameof(SoakOptions.ApiTokenFile),
            "file with that token, such as a secret of a container; where there is none, `serve` creates it with a random token",
            new Words("the path of a file", "path", _ => true, range: ""),
            options => options.ApiTokenFile, (options, value) => options with { ApiTokenFile = value })
        { DefaultText = "not set" },
        new Setting<SoakOptions, IReadOnlyList<NamedToken>>(
            nameof(SoakOptions.ApiTokens),
            "list of more tokens, each `name:token`: an intervention is recorded with the name of its token",
            new Several<NamedToken>(new NamedTokenSyntax()),
            options => options.ApiTokens, (options, value) => options with { ApiTokens = value })
        { IsSecret = true, DefaultText = "empty" },
        new Setting<SoakOptions, string>(
            nameof(SoakOptions.AlertToken),
            $"token that Alertmanager's webhook needs, at least {NamedToken.LengthMin} characters; without one everybody may "
            + "post",
            OneToken(), options => options.AlertToken ?? "",
            (options, value) => options with { AlertToken = value.Length == 0 ? null : value })
        { IsSecret = true, DefaultText = "not set" },
        new Setting<SoakOptions, IReadOnlyList<string>>(
            nameof(SoakOptions.HostNames),
            "list of host names besides localhost that requests may be for while only loopback is listened on, such as that "
            + "of a proxy",
            new Several<string>(new Words("a host name without a port", "name", IsHostName, range: "")),
            options => options.HostNames, (options, value) => options with { HostNames = value })
        { DefaultText = "empty" },
        new Setting<SoakOptions, string>(
            nameof(SoakOptions.HealthUrl),
            "address for `/health` and `/metrics` alone, with connections of its own; `auto` is loopback, 10_000 above the first "
            + "port; `none` is none",
            new Words("auto, none, or an address such as http://127.0.0.1:18080", "address", _ => true, range: ""),
            options => options.HealthUrl, (options, value) => options with { HealthUrl = value }),
        new Setting<SoakOptions, LogFormat>(
            nameof(SoakOptions.LogFormat),
            "look of log lines: `text`, `json` (one compact log event a line), or `auto` for text on a terminal and JSON "
            + "elsewhere",
            new Choice<LogFormat>("", ("auto", LogFormat.Auto), ("text", LogFormat.Text), ("json", LogFormat.Json)),
            options => options.LogFormat, (options, value) => options with { LogFormat = value }));

    // An empty text is no token: environments of containers often set it so.
    private static Words OneToken() => new(
        $"at least {NamedToken.LengthMin} characters of ASCII without blanks", "token",
        text => text.Length == 0 || NamedToken.IsToken(text), range: "");

    private static bool IsHostName(string text) => Uri.CheckHostName(text.Trim('[', ']')) != UriHostNameType.Unknown;
}
