using System.CommandLine;
using SoakHost.Configuration;
using SoakHost.Engine.Soak;
using SoakHost.HostKernel;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Commands;

/// <summary>A cohort that options describe, instead of the configuration.</summary>
internal sealed class CohortArguments
{
    /// <summary>The option that leaves the long count out.</summary>
    public const string Quick = "--quick";

    private const long PastBoundary = 1_000_000;
    private const string Boundary = "--boundary";

    // Far enough below for faults to be under way, near enough to be crossed at once.
    private const ulong BelowBoundary = 20_000;

    private static readonly Several<UInt128> Boundaries = new(new WholeNumber<UInt128>(1, UInt128.One << 64), min: 1, max: 64);

    private readonly bool _takesHost;
    private readonly Dictionary<string, Option> _options = [];

    /// <summary>Creates the options.</summary>
    /// <param name="takesHost">Whether the command can run real VMs.</param>
    /// <param name="kernel">What the option <c>--kernel</c> means to the command, without a full stop.</param>
    /// <param name="takesBoundary">Whether <c>--boundary</c> may say where counters start.</param>
    public CohortArguments(bool takesHost, string kernel, bool takesBoundary = true)
    {
        _takesHost = takesHost;
        var option = new Option<string?>(SimulatedCohortSettings.Kernel.Option)
        {
            Description = CommonOptions.Describe(kernel, "", ""),
            HelpName = "name",
        };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && WhyNotKernel(token.Value) is { } why)
                result.AddError(why);
        });
        _options.Add(option.Name, option);
        foreach (Setting<SimulatedCohort> setting in Simulated)
        {
            Setting<HostCohortOptions>? real = HostCohortSettings.Cohort.Settings
                .FirstOrDefault(real => takesHost && real.Option == setting.Option);
            string more = real is null ? "" : $" Real VMs: {real.Range}, default: {HostCohortSettings.Cohort.Default(real)}.";
            Add(setting, setting.IsFlag ? CommonOptions.Describe(setting.Sentence, "", "")
                : CommonOptions.Describe(setting.Sentence, setting.Range, SimulatedCohortSettings.Table.Default(setting)) + more
                    + (setting.Option == AutoStart.Name ? $" {AutoStart.Help}" : ""));
        }

        foreach (Setting<HostCohortOptions> setting in takesHost ? HostCohortSettings.Section.Settings : [])
            Add(setting, CommonOptions.Describe($"real VMs: {setting.Sentence}", setting.Range,
                HostCohortSettings.Section.Default(setting)));
        if (takesBoundary)
            AddBoundary();
    }

    /// <summary>All of them, to add to a command.</summary>
    public IEnumerable<Option> Options => _options.Values;

    /// <summary>The known-bad cohort that runs beside it.</summary>
    public static SimulatedCohort Control { get; } = new()
    {
        Name = "control",
        Kernel = Kernel.Of<Linux61>(),
        Vms = 64,
        Expected = Defect.Hang,
        Vm = new VmParameters { InvalidateSeqStart = (1UL << 31) - BelowBoundary },
    };

    private static IEnumerable<Setting<SimulatedCohort>> Simulated =>
        [.. SimulatedCohortSettings.Shape, SimulatedCohortSettings.Expect];

    /// <summary>The cohort that the arguments describe, or null where they name no kernel.</summary>
    /// <param name="parsed">The arguments.</param>
    /// <param name="isQuick">Whether real VMs do without the long count.</param>
    /// <exception cref="ConfigurationException">Lists every error.</exception>
    public CohortOptions? Read(ParseResult parsed, bool isQuick = false)
    {
        var errors = new ConfigurationErrors("on the command line");
        string? kernel = Text(parsed, SimulatedCohortSettings.Kernel.Option);
        CohortOptions? cohort = kernel switch
        {
            null => RefuseAll(parsed, errors),
            HostCohortSettings.KernelName => ReadHost(parsed, errors, isQuick),
            _ => ReadSimulated(parsed, errors, Kernel.Find(kernel)!),
        };
        if (isQuick && kernel != HostCohortSettings.KernelName)
            errors.Add($"{Quick} is for real VMs: it needs --kernel {HostCohortSettings.KernelName}");
        errors.ThrowIfAny();
        return cohort;
    }

    private static string? Unknown(string name) => Kernel.Find(name) is not null ? null
        : $"--kernel is \"{name}\"; it must be "
            + $"{SimulatedCohortSettings.Kernel.Allowed}{Suggestion.For(name, SimulatedCohortSettings.Kernel.Names)}";

    private string? WhyNotKernel(string name) =>
        name != HostCohortSettings.KernelName ? Unknown(name) : _takesHost ? null : CommonOptions.WhyNoSimulatedKernel(name);

    private CohortOptions? RefuseAll(ParseResult parsed, ConfigurationErrors errors)
    {
        foreach (Option option in Options.Where(option => parsed.IsGiven(option)))
            errors.Add($"{option.Name} needs --kernel");
        return null;
    }

    private CohortOptions ReadSimulated(ParseResult parsed, ConfigurationErrors errors, Kernel kernel)
    {
        foreach (Option option in Options.Where(option => parsed.IsGiven(option))
            .ExceptBy(Simulated.Select(setting => setting.Option), option => option.Name))
        {
            if (option.Name != SimulatedCohortSettings.Kernel.Option && option.Name != Boundary)
                errors.Add($"{option.Name} is for real VMs: it needs --kernel {HostCohortSettings.KernelName}");
        }

        SimulatedCohort cohort = SimulatedCohortSettings.Table.Defaults with
        {
            Name = kernel.Info.Name.Replace('.', '-'),
            Kernel = kernel,
        };
        bool isAuto = Text(parsed, AutoStart.Name) == AutoStart.Word;
        cohort = Read(parsed, errors, Simulated.Where(setting => !isAuto || setting.Option != AutoStart.Name), cohort);
        if (isAuto)
            cohort = SimulatedCohortSettings.SetStarts(cohort, [AutoStart.ForSoak(kernel, cohort.Vm)]);
        if (_options.ContainsKey(Boundary) && Text(parsed, Boundary) is { } boundaries)
            cohort = StartBelow(parsed, errors, cohort, boundaries);
        cohort = SimulatedCohortSettings.Complete(
            cohort, parsed.IsGiven(_options[SimulatedCohortSettings.RangePages.Option]),
            (setting, error) => errors.Add($"{setting.Option} {error}"));
        return new CohortOptions { Key = "--kernel", Cohort = cohort };
    }

    /// <summary>Starts the counters a little below boundaries. For real VMs the same option says where to look closely.</summary>
    private SimulatedCohort StartBelow(ParseResult parsed, ConfigurationErrors errors, SimulatedCohort cohort, string text)
    {
        if (parsed.IsGiven(_options[AutoStart.Name]))
            errors.Add($"{Boundary} and {AutoStart.Name} both say where the counter starts; give one of them");
        else if (Boundaries.TryParse(text, out IReadOnlyList<UInt128> values))
            return SimulatedCohortSettings.SetStarts(cohort, [.. values.Select(value => (ulong)(value - Below(value)))]);
        else
            errors.Add(Boundary, text, Boundaries.Allowed);
        return cohort;

        static UInt128 Below(UInt128 boundary) => UInt128.Min(boundary, BelowBoundary);
    }

    private CohortOptions ReadHost(ParseResult parsed, ConfigurationErrors errors, bool isQuick)
    {
        foreach ((string key, string instead) in HostCohortSettings.NotForRealVms)
        {
            string option = SimulatedCohortSettings.Table[key].Option;
            if (parsed.IsGiven(_options[option]))
                errors.Add($"{option} is for simulated VMs; {InsteadAsOption(instead)}");
        }

        HostCohortOptions options = Read(
            parsed, errors, [.. HostCohortSettings.Cohort.Settings, .. HostCohortSettings.Section.Settings],
            HostCohortSettings.Section.Defaults);
        if (isQuick)
        {
            foreach (string key in (string[])
                [nameof(HostCohortOptions.Until), nameof(HostCohortOptions.Boundaries), nameof(HostCohortOptions.CounterStart)])
            {
                string option = HostCohortSettings.Section[key].Option;
                if (parsed.IsGiven(_options[option]))
                    errors.Add($"{Quick} and {option} exclude each other");
            }

            options = options.WithoutLongCount();
        }
        else if (options.CounterStart is { } start
            && Text(parsed, HostCohortSettings.Section[nameof(HostCohortOptions.Until)].Option) is null)
        {
            // From there the first boundary may be close: nobody starts a counter there to count to 2^31 once more.
            long first = options.Boundaries.Where(boundary => boundary > start).DefaultIfEmpty(start).Min();
            options = options with { Until = first - start + PastBoundary };
        }

        HostKernelSupport support = HostKernelSupport.Probe(options.DevicePath);
        options = HostCohortSettings.Complete(
            options, parsed.IsGiven(_options[HostCohortSettings.MemoryBytes.Option]), support,
            (setting, error) => errors.Add($"{setting.Option} {error}"));
        return SoakConfiguration.OfHost("--kernel", HostCohortSettings.KernelName, options, support);
    }

    /// <summary>What to set instead, by the name of its option.</summary>
    private static string InsteadAsOption(string instead) => HostCohortSettings.Section.Settings
        .FirstOrDefault(setting => instead.EndsWith($":{setting.Key}", StringComparison.Ordinal)) is { } setting
            ? $"give {setting.Option}" : instead;

    private TOptions Read<TOptions>(ParseResult parsed, ConfigurationErrors errors, IEnumerable<Setting<TOptions>> settings,
        TOptions options)
    {
        foreach (Setting<TOptions> setting in settings)
        {
            if (Text(parsed, setting.Option) is { } text && !setting.TryRead(options, text, out options))
                errors.Add(setting.Option, text, setting.Allowed + Suggestion.For(text, setting.Names));
        }

        return options;
    }

    private string? Text(ParseResult parsed, string name) => _options[name] switch
    {
        Option<bool> flag => parsed.GetValue(flag) ? "true" : null,
        Option<string[]> several => parsed.IsGiven(several) ? string.Join(',', parsed.GetValue(several)!) : null,
        var option => parsed.GetValue((Option<string?>)option),
    };

    private void AddBoundary()
    {
        string counted = string.Join(", ", Control.NoTotals.Crossings.Select(crossings => crossings.Boundary));
        string meaning = CommonOptions.Describe(
            $"mmu_invalidate_seq starts {NumberSyntax.Format(BelowBoundary)} below this, or below each of several, instead of at "
                + $"{AutoStart.Name}. Crossings are counted at {counted}; a pass needs one of 2^31 or higher",
            Boundaries.Range, "");
        if (_options.TryGetValue(Boundary, out Option? real))
        {
            real.Description = $"{meaning} {real.Description}";
            return;
        }

        _options.Add(Boundary, new Option<string[]>(Boundary)
        {
            Description = meaning,
            HelpName = Boundaries.Placeholder,
            AllowMultipleArgumentsPerToken = true,
        });
    }

    private void Add<TOptions>(Setting<TOptions> setting, string description)
    {
        Option option = setting.IsFlag ? new Option<bool>(setting.Option)
            : setting.IsList ? new Option<string[]>(setting.Option) : new Option<string?>(setting.Option);
        option.Description = description;
        option.AllowMultipleArgumentsPerToken = setting.IsList;
        if (!setting.IsFlag)
            option.HelpName = setting.Placeholder;
        _options.Add(setting.Option, option);
    }
}
