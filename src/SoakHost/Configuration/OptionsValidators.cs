using System.Globalization;
using System.Text.RegularExpressions;
using SoakHost.Engine.Soak;

namespace SoakHost.Configuration;

/// <summary>Checks one facet of the options that no single value shows.</summary>
internal interface IOptionsValidator
{
    /// <summary>Notes all errors of this facet.</summary>
    void Validate(SoakOptions options, ConfigurationErrors errors);
}

/// <summary>The facets.</summary>
internal static class OptionsValidators
{
    /// <summary>All of them.</summary>
    public static IReadOnlyList<IOptionsValidator> All { get; } = [new CohortNames(), new FleetSize(), new Times(), new Slices()];
}

/// <summary>Names of cohorts become labels of metrics, and must tell the cohorts apart.</summary>
internal sealed partial class CohortNames : IOptionsValidator
{
    /// <summary>What a name may be.</summary>
    public const string Allowed = "1 to 63 of a-z, 0-9 and -, unique in the fleet";

    public void Validate(SoakOptions options, ConfigurationErrors errors)
    {
        var first = new Dictionary<string, string>();
        foreach (CohortOptions cohort in options.Fleet)
        {
            string key = $"{cohort.Key}:{nameof(CohortOptions.Name)}";
            if (!Name().IsMatch(cohort.Name))
                errors.Add(key, cohort.Name, Allowed);
            else if (!first.TryAdd(cohort.Name, key))
                errors.Add($"{key} is \"{cohort.Name}\", as {first[cohort.Name]} is; allowed is a name that no other cohort has");
        }
    }

    [GeneratedRegex(@"\A[a-z0-9-]{1,63}\z")]
    private static partial Regex Name();
}

/// <summary>A fleet has something in it, and fits into memory.</summary>
internal sealed class FleetSize : IOptionsValidator
{
    public void Validate(SoakOptions options, ConfigurationErrors errors)
    {
        const string Key = $"{SoakConfiguration.Section}:{nameof(SoakOptions.Fleet)}";
        if (options.Fleet.Length is < 1 or > SoakOptions.CohortsMax)
            errors.Add($"{Key} has {options.Fleet.Length} cohorts; allowed is 1 to {SoakOptions.CohortsMax}");
        long vms = options.Fleet.Sum(cohort => (long)cohort.Vms);
        if (vms > SoakOptions.VmsMax)
            errors.Add($"{Key} has {NumberSyntax.Format(vms)} VMs in all; allowed is up to {NumberSyntax.Format(SoakOptions.VmsMax)}");
    }
}

/// <summary>A worker can only be called silent by a watchdog that looked more than once.</summary>
internal sealed class Times : IOptionsValidator
{
    public void Validate(SoakOptions options, ConfigurationErrors errors)
    {
        if (options.StallAfter < 2 * options.WatchdogInterval)
        {
            errors.Add(
                $"{SoakConfiguration.Section}:{nameof(SoakOptions.StallAfter)}",
                DurationSyntax.Format(options.StallAfter),
                $"at least twice {nameof(SoakOptions.WatchdogInterval)}, which is {DurationSyntax.Format(options.WatchdogInterval)}");
        }
    }
}

/// <summary>A shard looks at its VMs on a fixed grid, and a slice ends on it.</summary>
internal sealed class Slices : IOptionsValidator
{
    public void Validate(SoakOptions options, ConfigurationErrors errors)
    {
        if (options.SliceTicks % Shard.ObservationTicks != 0)
        {
            errors.Add(
                $"{SoakConfiguration.Section}:{nameof(SoakOptions.SliceTicks)}",
                options.SliceTicks.ToString(CultureInfo.InvariantCulture),
                $"a multiple of {Shard.ObservationTicks}");
        }

        if (options.TicksMax % Shard.ObservationTicks != 0)
        {
            errors.Add(
                $"{SoakConfiguration.Section}:{nameof(SoakOptions.TicksMax)}",
                options.TicksMax.ToString(CultureInfo.InvariantCulture),
                $"a multiple of {Shard.ObservationTicks}, or 0 for no end");
        }
    }
}
