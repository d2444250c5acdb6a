using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;
using SoakHost.Configuration;
using SoakHost.HostKernel;
using SoakHost.Model.Kernels;

namespace SoakHost.Commands;

/// <summary>Options that several commands share, each read in one place.</summary>
internal static class CommonOptions
{
    /// <summary><c>--json</c>.</summary>
    public static Option<bool> Json() => new("--json") { Description = "One JSON document on standard output, and nothing else there." };

    /// <summary>The address of a service.</summary>
    public static Option<Uri?> Url(string description) => new("--url")
    {
        Description = description,
        HelpName = "http://host:port",
        CustomParser = result =>
        {
            if (Uri.TryCreate(result.Tokens[0].Value, UriKind.Absolute, out Uri? value) && value.Scheme is "http" or "https")
                return value;
            result.AddError($"--url is \"{result.Tokens[0].Value}\"; allowed is an absolute http or https address");
            return null;
        },
    };

    /// <summary>A whole number in a range, as people write them: 123, 1_000, 0x7fff, 2^31-2, 2e9.</summary>
    public static Option<T> Number<T>(string name, string description, T defaultValue, T min, T max)
        where T : INumber<T> => new(name)
        {
            Description = description,
            HelpName = "number",
            DefaultValueFactory = _ => defaultValue,
            CustomParser = result => Parse(result, name, result.Tokens[0].Value, min, max),
        };

    /// <summary>Several such numbers, each an argument of its own or separated by commas.</summary>
    public static Option<T[]> Numbers<T>(string name, string description, T[] defaultValue, T min, T max)
        where T : INumber<T> => new(name)
        {
            Description = description,
            HelpName = "numbers",
            DefaultValueFactory = _ => defaultValue,
            AllowMultipleArgumentsPerToken = true,
            CustomParser = result => [.. Words(result).Select(word => Parse(result, name, word, min, max))],
        };

    /// <summary>Simulated kernels by name, several separated by commas.</summary>
    public static Option<Kernel[]> Kernels(string description, Func<Kernel[]> defaultValue) => new("--kernel")
    {
        Description = description,
        HelpName = "names",
        DefaultValueFactory = _ => defaultValue(),
        AllowMultipleArgumentsPerToken = true,
        CustomParser = result => [.. Words(result).Select(word => FindSimulated(result, word)).OfType<Kernel>()],
    };

    /// <summary>The name of one kernel, simulated or this machine's own, or null when it is not given.</summary>
    public static Option<string?> KernelName(string description) => new("--kernel")
    {
        Description = description,
        HelpName = "name",
        CustomParser = result => result.Tokens[0].Value is HostCohort.KindName and var host ? host : Find(result, result.Tokens[0].Value)?.Info.Name,
    };

    /// <summary>The name of one simulated kernel, or null when it is not given.</summary>
    public static Option<string?> SimulatedKernelName(string description) => new("--kernel")
    {
        Description = description,
        HelpName = "name",
        CustomParser = result => FindSimulated(result, result.Tokens[0].Value)?.Info.Name,
    };

    /// <summary>One of some named values.</summary>
    public static Option<T> Choice<T>(string name, string description, IReadOnlyDictionary<string, T> values, T defaultValue) => new(name)
    {
        Description = $"{description} One of {string.Join(", ", values.Keys)}.",
        HelpName = "name",
        DefaultValueFactory = _ => defaultValue,
        CustomParser = result =>
        {
            if (values.TryGetValue(result.Tokens[0].Value, out T? value))
                return value;
            result.AddError($"{name} is \"{result.Tokens[0].Value}\"; allowed is one of {string.Join(", ", values.Keys)}");
            return defaultValue;
        },
    };

    /// <summary>Whether the arguments have this option, rather than its default.</summary>
    public static bool IsGiven(this ParseResult parsed, Option option) => parsed.GetResult(option) is { Implicit: false };

    /// <summary>A whole number in a range, or an error on the argument.</summary>
    public static T Parse<T>(ArgumentResult result, string name, string text, T min, T max)
        where T : INumber<T>
    {
        if (NumberSyntax.TryParse(text, out BigInteger value)
            && value >= BigInteger.CreateChecked(min) && value <= BigInteger.CreateChecked(max))
        {
            return T.CreateChecked(value);
        }

        result.AddError(string.Create(CultureInfo.InvariantCulture, $"{name} is \"{text}\"; allowed is a whole number from {min} to {max}"));
        return min;
    }

    private static IEnumerable<string> Words(ArgumentResult result) =>
        result.Tokens.SelectMany(token => token.Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries));

    private static Kernel? FindSimulated(ArgumentResult result, string name)
    {
        if (name != HostCohort.KindName)
            return Find(result, name);
        result.AddError($"--kernel is \"{name}\": this machine's own kernel can only be soaked; see \"soakhost check --help\"");
        return null;
    }

    private static Kernel? Find(ArgumentResult result, string name)
    {
        if (Kernel.Find(name) is { } kernel)
            return kernel;
        IEnumerable<string> names = Kernel.All.Select(candidate => candidate.Info.Name).Append(HostCohort.KindName);
        result.AddError($"--kernel is \"{name}\"; allowed is one of {string.Join(", ", names)}");
        return null;
    }
}
