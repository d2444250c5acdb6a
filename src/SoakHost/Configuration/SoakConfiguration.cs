using System.Collections.Frozen;
using SoakHost.Engine.Soak;
using SoakHost.HostKernel;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Configuration;

/// <summary>From the configuration's text to options that are known to be valid.</summary>
internal static class SoakConfiguration
{
    /// <summary>The section.</summary>
    public const string Section = "Soak";

    private static readonly FrozenDictionary<string, LogFormat> LogFormats = new Dictionary<string, LogFormat>
    {
        ["auto"] = LogFormat.Auto,
        ["text"] = LogFormat.Text,
        ["json"] = LogFormat.Json,
    }.ToFrozenDictionary();

    private static readonly FrozenDictionary<string, MismatchChoice> MismatchChoices = new Dictionary<string, MismatchChoice>
    {
        ["new"] = MismatchChoice.New,
        ["refuse"] = MismatchChoice.Refuse,
    }.ToFrozenDictionary();

    // Null is this machine's own kernel.
    private static readonly FrozenDictionary<string, Kernel?> Kernels = Kernel.All.Select(kernel => KeyValuePair.Create(kernel.Info.Name, (Kernel?)kernel))
        .Append(new(HostCohort.KindName, null)).ToFrozenDictionary();

    /// <summary>Reads and validates the section <c>Soak</c>.</summary>
    /// <param name="configuration">All of the configuration.</param>
    /// <param name="probe">Asks a KVM device what it allows, for cohorts of real VMs alone; null for the machine's own.</param>
    /// <exception cref="ConfigurationException">Lists every error.</exception>
    public static SoakOptions Read(IConfiguration configuration, Func<string, HostKernelSupport>? probe = null)
    {
        var errors = new ConfigurationErrors();
        SoakOptions options =
            ReadSoak(new SettingReader(configuration.GetSection(Section), errors), errors, probe ?? HostKernelSupport.Probe);
        foreach (IOptionsValidator validator in OptionsValidators.All)
            validator.Validate(options, errors);
        errors.ThrowIfAny();
        return options;
    }

    /// <summary>Reads and validates a cohort that is added to a running fleet.</summary>
    /// <exception cref="ConfigurationException">Lists every error.</exception>
    public static CohortOptions ReadSimulatedCohort(IConfigurationSection entry)
    {
        var errors = new ConfigurationErrors();
        CohortOptions cohort = ReadCohort(entry, errors, HostKernelSupport.Probe);
        if (cohort.Kernel is null)
        {
            errors.Add($"{entry.Path}:{nameof(CohortOptions.Kernel)} is \"{HostCohort.KindName}\": cohorts of real VMs cannot be added to a running "
                + "fleet; configure them");
        }

        new CohortNames().Validate(new SoakOptions { Fleet = [cohort] }, errors);
        errors.ThrowIfAny();
        return cohort;
    }

    private static SoakOptions ReadSoak(SettingReader reader, ConfigurationErrors errors, Func<string, HostKernelSupport> probe)
    {
        var defaults = new SoakOptions { Fleet = [] };
        var options = new SoakOptions
        {
            Workers = reader.Number(nameof(SoakOptions.Workers), defaults.Workers, 0, 1024),
            DutyCycle = reader.Fraction(nameof(SoakOptions.DutyCycle), defaults.DutyCycle, 0.01, 1),
            Seed = reader.Number(nameof(SoakOptions.Seed), defaults.Seed, ulong.MinValue, ulong.MaxValue),
            SliceTicks = reader.Number(nameof(SoakOptions.SliceTicks), defaults.SliceTicks, Shard.ObservationTicks, 1 << 20),
            StallRetries = reader.Number(nameof(SoakOptions.StallRetries), defaults.StallRetries, 2u, 1u << 30),
            WatchdogInterval = reader.Duration(
                nameof(SoakOptions.WatchdogInterval), defaults.WatchdogInterval, TimeSpan.FromMilliseconds(100), TimeSpan.FromMinutes(1)),
            StallAfter = reader.Duration(
                nameof(SoakOptions.StallAfter), defaults.StallAfter, TimeSpan.FromSeconds(1), TimeSpan.FromHours(1)),
            TicksMax = reader.Number(nameof(SoakOptions.TicksMax), defaults.TicksMax, 0, 1L << 60),
            DataDirectory = reader.Words(nameof(SoakOptions.DataDirectory), defaults.DataDirectory, "the path of a folder"),
            CheckpointInterval = reader.Duration(
                nameof(SoakOptions.CheckpointInterval), defaults.CheckpointInterval, TimeSpan.FromMilliseconds(20), TimeSpan.FromHours(1)),
            OnMismatch = reader.Choice(nameof(SoakOptions.OnMismatch), defaults.OnMismatch, MismatchChoices),
            IncidentsMax = reader.Number(nameof(SoakOptions.IncidentsMax), defaults.IncidentsMax, 1, 10_000_000),
            ApiToken = reader.Secret(nameof(SoakOptions.ApiToken), 16),
            LogFormat = reader.Choice(nameof(SoakOptions.LogFormat), defaults.LogFormat, LogFormats),
            Fleet = [.. reader.List(nameof(SoakOptions.Fleet)).Select(entry => ReadCohort(entry, errors, probe))],
        };
        reader.RejectUnknownKeys();
        return options;
    }

    private static CohortOptions ReadCohort(
        IConfigurationSection entry, ConfigurationErrors errors, Func<string, HostKernelSupport> probe)
    {
        var reader = new SettingReader(entry, errors);
        var defaults = new CohortOptions
        {
            Key = entry.Path,
            Name = reader.Required(nameof(CohortOptions.Name), CohortNames.Allowed) ?? $"cohort-{entry.Key}",
            Kernel = reader.Choice(nameof(CohortOptions.Kernel), Kernel.Of<Linux61Stable>(), Kernels, isRequired: true),
        };
        CohortOptions cohort = defaults.Kernel is not null
            ? ReadSimulated(reader, defaults) : HostCohortConfiguration.Read(reader, defaults, errors, probe);
        reader.RejectUnknownKeys();
        return cohort;
    }

    private static CohortOptions ReadSimulated(SettingReader reader, CohortOptions defaults)
    {
        reader.Refuse(nameof(CohortOptions.Host), $"it is for the kernel \"{HostCohort.KindName}\", and this one is simulated");
        int pages = reader.Number(nameof(CohortOptions.Pages), defaults.Pages, 1, VmParameters.PagesMax);
        return defaults with
        {
            Vms = reader.Number(nameof(CohortOptions.Vms), defaults.Vms, 1, SoakOptions.VmsMax),
            Vcpus = reader.Number(nameof(CohortOptions.Vcpus), defaults.Vcpus, 1, VmParameters.VcpusMax),
            Invalidators = reader.Number(nameof(CohortOptions.Invalidators), defaults.Invalidators, 1, VmParameters.InvalidatorsMax),
            MemslotUpdates = reader.Flag(nameof(CohortOptions.MemslotUpdates), defaults.MemslotUpdates),
            Pages = pages,
            RangePages = reader.Number(nameof(CohortOptions.RangePages), Math.Min(defaults.RangePages, pages), 1, pages),
            InvalidateSeqStart = reader.Number(
                nameof(CohortOptions.InvalidateSeqStart), defaults.InvalidateSeqStart, ulong.MinValue, ulong.MaxValue),
            Expect = reader.Choice(nameof(CohortOptions.Expect), defaults.Expect, Expectations.ByName),
        };
    }
}
