using System.CommandLine;
using System.Numerics;
using SoakHost.Configuration;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Commands;

/// <summary>Options that several commands share.</summary>
internal static class CommonOptions
{
    /// <summary><c>--json</c>.</summary>
    public static Option<bool> Json() =>
        new("--json") { Description = "Print one JSON document on standard output, and nothing else there." };

    /// <summary>The address of a service.</summary>
    public static Option<Uri?> Url(string description) => new("--url")
    {
        Description = description,
        HelpName = "http://host:port",
        CustomParser = result =>
        {
            if (Uri.TryCreate(result.Tokens[0].Value, UriKind.Absolute, out Uri? value) && value.Scheme is "http" or "https")
                return value;
            result.AddError($"--url is \"{result.Tokens[0].Value}\"; it must be an absolute http or https address");
            return null;
        },
    };

    /// <summary>A whole number in a range.</summary>
    /// <param name="name">The option's name.</param>
    /// <param name="sentence">What it means, without a full stop.</param>
    /// <param name="defaultValue">Its value where it is not given.</param>
    /// <param name="min">The least.</param>
    /// <param name="max">The greatest.</param>
    /// <param name="defaultText">What the help calls the default; null for the number.</param>
    public static ValueOption<T> Number<T>(string name, string sentence, T defaultValue, T min, T max, string? defaultText = null)
        where T : IBinaryInteger<T> => new(name, sentence, new WholeNumber<T>(min, max), defaultValue, defaultText);

    /// <summary>Several such numbers, each an argument of its own or separated by commas.</summary>
    public static ValueOption<IReadOnlyList<T>> Numbers<T>(
        string name, string sentence, IReadOnlyList<T> defaultValue, T min, T max, string? defaultText = null)
        where T : IBinaryInteger<T> =>
            new(name, sentence, new Several<T>(new WholeNumber<T>(min, max)), defaultValue, defaultText);

    /// <summary>Simulated kernels by name, several separated by commas.</summary>
    public static ValueOption<IReadOnlyList<Kernel>> Kernels(string sentence, IReadOnlyList<Kernel> defaultValue,
        string? defaultText = null) => new(
        SimulatedCohortSettings.Kernel.Option,
        sentence,
        new Several<Kernel>(new KernelName()),
        defaultValue,
        defaultText,
        WhyNoSimulatedKernel);

    /// <summary>Why a name is not that of a simulated kernel; null where it is one, or only misspelled.</summary>
    public static string? WhyNoSimulatedKernel(string name) => name == HostCohortSettings.KernelName
        ? $"--kernel is \"{name}\": this machine's own kernel can only be soaked; see \"soakhost check --help\"" : null;

    /// <summary>The seed; null where the configuration's is meant.</summary>
    public static Option<string?> Seed() => Of(SoakSettings.Table[nameof(SoakOptions.Seed)], "the configuration's");

    /// <summary>The stall threshold; null where the configuration's is meant.</summary>
    public static Option<string?> StallRetries() =>
        Of(SoakSettings.Table[nameof(SoakOptions.StallRetries)], "the configuration's");

    /// <summary>The workers; null where the configuration's are meant.</summary>
    public static Option<string?> Workers() => Of(SoakSettings.Table[nameof(SoakOptions.Workers)], "the configuration's");

    /// <summary>The last tick; null where the configuration's is meant.</summary>
    public static Option<string?> TicksMax() =>
        Of(SoakSettings.Table[nameof(SoakOptions.TicksMax)], "the configuration's");

    /// <summary>The crossings that a pass needs.</summary>
    public static ValueOption<long> MinCrossings() => Number(
        "--min-crossings", "crossings of 2^31 or a higher boundary, with a fault in flight, that each simulated cohort under "
            + "test must have for a pass", 1L, 1, long.MaxValue, "1");

    /// <summary>The part of the fleet; null where the configuration's is meant.</summary>
    public static Option<string?> FleetPart() => Of(SoakSettings.Table[nameof(SoakOptions.Part)], "the configuration's");

    /// <summary>The part of a list of work.</summary>
    /// <param name="items">What the list has, such as "kernels".</param>
    public static ValueOption<FleetPart> ListPart(string items) => new(
        "--part",
        $"one part of the {items}: number n of them is in part n modulo N; soakhost merge makes one report of all parts",
        new PartSyntax(), Engine.Soak.FleetPart.Whole);

    /// <summary>A file for the JSON document.</summary>
    public static Option<FileInfo?> Report() => new("--report")
    {
        Description = "Write the JSON document to this file too. It appears as a whole.",
        HelpName = "file",
    };

    /// <summary>The text of an option's help.</summary>
    /// <param name="sentence">What it means, without a full stop.</param>
    /// <param name="range">What is allowed, or nothing.</param>
    /// <param name="defaultText">The default, or nothing.</param>
    public static string Describe(string sentence, string range, string defaultText)
    {
        string plain = sentence.Replace("`", "", StringComparison.Ordinal);
        string first = plain.StartsWith("vCPU", StringComparison.Ordinal) ? plain : char.ToUpperInvariant(plain[0]) + plain[1..];
        return $"{first}{(range.Length > 0 ? $" ({range})" : "")}.{(defaultText.Length > 0 ? $" Default: {defaultText}." : "")}";
    }

    /// <summary>Whether the arguments have this option, rather than its default.</summary>
    public static bool IsGiven(this ParseResult parsed, Option option) => parsed.GetResult(option) is { Implicit: false };

    /// <summary>Reads a setting into options where its option is given.</summary>
    public static SoakOptions With(this SoakOptions options, ParseResult parsed, params Option<string?>[] given)
    {
        foreach (Option<string?> option in given)
        {
            if (parsed.GetValue(option) is { } text)
                _ = SoakSettings.Table.Settings.First(setting => setting.Option == option.Name)
                    .TryRead(options, text, out options);
        }

        return options;
    }

    private static Option<string?> Of(Setting<SoakOptions> setting, string defaultText)
    {
        var option = new Option<string?>(setting.Option)
        {
            Description = Describe(setting.Sentence, setting.Range, defaultText),
            HelpName = setting.Placeholder,
        };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && !setting.TryRead(SoakSettings.Table.Defaults, token.Value, out _))
                result.AddError($"{setting.Option} is \"{token.Value}\"; it must be {setting.Allowed}");
        });
        return option;
    }
}
