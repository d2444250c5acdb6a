using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.HostKernel;

namespace SoakHost.Configuration;

/// <summary>From the configuration's text to options that are known to be valid.</summary>
internal static class SoakConfiguration
{
    /// <summary>The section.</summary>
    public const string Section = "Soak";

    /// <summary>Reads and validates the section <c>Soak</c>.</summary>
    /// <param name="configuration">All of the configuration.</param>
    /// <param name="probe">Asks a KVM device what it allows, for cohorts of real VMs alone; null asks the machine's own.</param>
    /// <exception cref="ConfigurationException">Lists every error.</exception>
    public static SoakOptions Read(IConfiguration configuration, Func<string, HostKernelSupport>? probe = null)
    {
        var errors = new ConfigurationErrors();
        var reader = new SettingReader(configuration.GetSection(Section), errors);
        SoakOptions options = reader.Read(SoakSettings.Table, SoakSettings.Table.Defaults) with
        {
            Fleet = [.. reader.List(nameof(SoakOptions.Fleet))
                .Select(entry => ReadCohort(entry, errors, probe ?? HostKernelSupport.Probe))],
        };
        reader.RejectUnknownKeys();
        UnknownKeys.CheckSections(configuration, errors);
        options = ReadTokenFile(reader, options);
        CheckTokens(reader, options);
        CheckTimes(reader, options);
        CheckSlices(reader, options);
        CheckNames(options.Fleet, errors);
        CheckSize(reader, options.Fleet);
        if (WhyNotInParts(options.Part, options.Fleet.Select(cohort => cohort.Cohort)) is { } why)
            reader.Wrong(nameof(SoakOptions.Part), $"is {options.Part}; {why}");
        errors.ThrowIfAny();
        return options;
    }

    /// <summary>Why a fleet cannot be split so, or null where it can: each part has a VM of each cohort.</summary>
    public static string? WhyNotInParts(FleetPart part, IEnumerable<Cohort> cohorts)
    {
        if (part.IsWhole)
            return null;
        Cohort[] all = [.. cohorts];
        if (Array.Find(all, cohort => cohort is not SimulatedCohort) is { } real)
            return $"cohort \"{real.Name}\" has real VMs, and only simulated VMs can be split into parts";
        Cohort? smallest = all.MinBy(cohort => cohort.Vms);
        return smallest?.Vms >= part.Count ? null
            : $"cohort \"{smallest?.Name}\" has {smallest?.Vms} VMs; each part needs at least one, so there must be at most "
                + $"{smallest?.Vms} parts";
    }

    private static CohortOptions ReadCohort(
        IConfigurationSection entry, ConfigurationErrors errors, Func<string, HostKernelSupport> probe)
    {
        var reader = new SettingReader(entry, errors);
        CohortOptions cohort = entry[SimulatedCohortSettings.Kernel.Key] == HostCohortSettings.KernelName
            ? ReadHost(reader, entry, errors, probe) : ReadSimulated(reader, entry);
        reader.RejectUnknownKeys();
        return cohort;
    }

    private static CohortOptions ReadSimulated(SettingReader reader, IConfigurationSection entry)
    {
        reader.Refuse(HostCohortSettings.SectionName,
            $"it is for the kernel \"{HostCohortSettings.KernelName}\", and this one is simulated");
        SettingTable<SimulatedCohort> table = SimulatedCohortSettings.Table;
        SimulatedCohort cohort = reader.Read(table, table.Defaults with { Name = Unnamed(entry) });
        cohort = SimulatedCohortSettings.Complete(
            cohort, reader.IsGiven(SimulatedCohortSettings.RangePages.Key), (setting, error) => reader.Wrong(setting.Key, error));
        return new CohortOptions { Key = entry.Path, Cohort = cohort };
    }

    private static CohortOptions ReadHost(
        SettingReader reader, IConfigurationSection entry, ConfigurationErrors errors, Func<string, HostKernelSupport> probe)
    {
        _ = reader.Text(SimulatedCohortSettings.Kernel.Key);
        foreach ((string key, string instead) in HostCohortSettings.NotForRealVms)
            reader.Refuse(key, $"it is for simulated VMs; {instead}");
        string name = reader
            .Read(
                new SettingTable<SimulatedCohort>(SimulatedCohortSettings.Table.Defaults, SimulatedCohortSettings.Name),
                SimulatedCohortSettings.Table.Defaults with
                {
                    Name = Unnamed(entry),
                })
            .Name;
        SettingReader section = reader.Section(HostCohortSettings.SectionName);
        HostCohortOptions options = section.Read(HostCohortSettings.Section,
            reader.Read(HostCohortSettings.Cohort, HostCohortSettings.Cohort.Defaults));
        section.RejectUnknownKeys();
        HostKernelSupport support = probe(options.DevicePath);
        options = HostCohortSettings.Complete(
            options, section.IsGiven(HostCohortSettings.MemoryBytes.Key), support,
            (setting, error) => (HostCohortSettings.Cohort.Settings.Contains(setting) ? reader : section)
                .Wrong(setting.Key, error));
        return OfHost(entry.Path, name, options, support);
    }

    /// <summary>An entry for this machine's own kernel.</summary>
    public static CohortOptions OfHost(string key, string name, HostCohortOptions options, HostKernelSupport support) => new()
    {
        Key = key,
        Cohort = new HostCohort(name, options),
        Unsupported = support.Reason,
    };

    // An entry without a name has errors of its own kinds too, and they are reported together.
    private static string Unnamed(IConfigurationSection entry) => $"cohort-{entry.Key.ToLowerInvariant()}";

    /// <summary>Names of cohorts become labels of metrics, and must tell the cohorts apart.</summary>
    private static void CheckNames(IEnumerable<CohortOptions> fleet, ConfigurationErrors errors)
    {
        var first = new Dictionary<string, string>();
        foreach (CohortOptions cohort in fleet)
        {
            string key = $"{cohort.Key}:{nameof(Cohort.Name)}";
            if (!first.TryAdd(cohort.Cohort.Name, key))
                errors.Add($"{key} is \"{cohort.Cohort.Name}\", the name of {first[cohort.Cohort.Name]}; names must be unique "
                    + "in the fleet");
        }
    }

    /// <summary>A fleet has something in it, and fits into memory.</summary>
    private static void CheckSize(SettingReader reader, IReadOnlyCollection<CohortOptions> fleet)
    {
        if (fleet.Count is < 1 or > SoakOptions.CohortsMax)
            reader.Wrong(nameof(SoakOptions.Fleet), $"has {fleet.Count} cohorts; it must have 1 to {SoakOptions.CohortsMax}");
        long vms = fleet.Sum(cohort => (long)cohort.Cohort.Vms);
        if (vms > SoakOptions.VmsMax)
        {
            reader.Wrong(
                nameof(SoakOptions.Fleet),
                $"has {NumberSyntax.Format(vms)} VMs in all; it must have at most {NumberSyntax.Format(SoakOptions.VmsMax)}");
        }
    }

    /// <summary>The token of the file, where there is one.</summary>
    private static SoakOptions ReadTokenFile(SettingReader reader, SoakOptions options)
    {
        const string Key = nameof(SoakOptions.ApiTokenFile);
        if (options.ApiTokenFile.Length == 0)
            return options;
        if (options.ApiToken is not null)
            reader.Wrong(Key, $"is set, and so is {nameof(SoakOptions.ApiToken)}; it must be one of them");
        try
        {
            string token = File.ReadAllText(options.ApiTokenFile).Trim();
            if (NamedToken.IsToken(token))
                return options with { ApiToken = token };
            reader.Wrong(
                Key,
                $"is \"{options.ApiTokenFile}\"; the file must have at least {NamedToken.LengthMin} characters of ASCII without "
                    + "blanks, and nothing else");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            reader.Wrong(Key, $"is \"{options.ApiTokenFile}\"; the file cannot be read: {exception.Message}");
        }

        return options;
    }

    /// <summary>A token must tell who intervenes.</summary>
    private static void CheckTokens(SettingReader reader, SoakOptions options)
    {
        IEnumerable<string> twice = options.AllTokens().GroupBy(token => token.Name).Where(same => same.Count() > 1)
            .Select(same => same.Key);
        foreach (string name in twice)
            reader.Wrong(nameof(SoakOptions.ApiTokens), $"has the name \"{name}\" more than once; names must be unique");
        if (options.AllTokens().GroupBy(token => token.Token).Any(same => same.Count() > 1))
            reader.Wrong(nameof(SoakOptions.ApiTokens), "has a token more than once; each name needs one of its own");
    }

    /// <summary>Only a watchdog that looked more than once can call a worker silent.</summary>
    private static void CheckTimes(SettingReader reader, SoakOptions options)
    {
        if (options.StallAfter < 2 * options.WatchdogInterval)
        {
            reader.Wrong(
                nameof(SoakOptions.StallAfter),
                $"is {DurationSyntax.Format(options.StallAfter)}; it must be at least twice "
                + $"{nameof(SoakOptions.WatchdogInterval)}, "
                + $"{DurationSyntax.Format(options.WatchdogInterval)}");
        }
    }

    /// <summary>A shard looks at its VMs on a fixed grid, and a slice ends on it.</summary>
    private static void CheckSlices(SettingReader reader, SoakOptions options)
    {
        foreach ((string key, long ticks) in (ReadOnlySpan<(string, long)>)[(nameof(options.SliceTicks), options.SliceTicks),
            (nameof(options.TicksMax), options.TicksMax)])
        {
            if (ticks % Shard.ObservationTicks != 0)
                reader.Wrong(key, string.Create(CultureInfo.InvariantCulture,
                    $"is {ticks}; it must be a multiple of {Shard.ObservationTicks}"));
        }
    }
}
