using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;
using SoakHost.Configuration;
using SoakHost.Engine;
using SoakHost.Model;
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

    /// <summary>Kernels by name, several separated by commas.</summary>
    public static Option<Kernel[]> Kernels(string description, Func<Kernel[]> defaultValue) => new("--kernel")
    {
        Description = description,
        HelpName = "names",
        DefaultValueFactory = _ => defaultValue(),
        AllowMultipleArgumentsPerToken = true,
        CustomParser = result => [.. Words(result).Select(word => FindKernel(result, word)).OfType<Kernel>()],
    };

    /// <summary>One kernel by name, or null when it is not given.</summary>
    public static Option<Kernel?> Kernel(string description) => new("--kernel")
    {
        Description = description,
        HelpName = "name",
        CustomParser = result => FindKernel(result, result.Tokens[0].Value),
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

    private static IEnumerable<string> Words(ArgumentResult result) =>
        result.Tokens.SelectMany(token => token.Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries));

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

    private static Kernel? FindKernel(ArgumentResult result, string name)
    {
        if (Model.Kernels.Kernel.Find(name) is { } kernel)
            return kernel;
        IEnumerable<string> names = Model.Kernels.Kernel.All.Select(candidate => candidate.Info.Name);
        result.AddError($"--kernel is \"{name}\"; allowed is one of {string.Join(", ", names)}");
        return null;
    }
}

/// <summary>A cohort described by options instead of the configuration's fleet.</summary>
internal sealed class CohortArguments
{
    private readonly Option<Kernel?> _kernel = CommonOptions.Kernel("Soak this kernel, beside a control, instead of the configured fleet.");
    private readonly Option<int> _vms = CommonOptions.Number("--vms", "VMs of that cohort.", 256, 1, SoakOptions.VmsMax);
    private readonly Option<int> _vcpus = CommonOptions.Number("--vcpus", "vCPUs of each VM.", 4, 1, VmParameters.VcpusMax);
    private readonly Option<int> _invalidators =
        CommonOptions.Number("--invalidators", "Concurrent invalidators of each VM.", 1, 1, VmParameters.InvalidatorsMax);

    private readonly Option<int> _pages = CommonOptions.Number("--pages", "Guest pages of each VM.", 32, 1, VmParameters.PagesMax);
    private readonly Option<int> _rangePages =
        CommonOptions.Number("--range-pages", "Longest range of one invalidation, at most all pages.", 16, 1, VmParameters.PagesMax);

    private readonly Option<bool> _memslotUpdates = new("--memslot-updates") { Description = "Update memslots now and then." };
    private readonly Option<ulong> _start = CommonOptions.Number(
        "--start", "Where mmu_invalidate_seq starts, such as 2^31-100000.", (1UL << 31) - 100_000, ulong.MinValue, ulong.MaxValue);

    private readonly Option<Defect> _expect =
        CommonOptions.Choice("--expect", "What must be seen for the cohort to pass.", Expectations.ByName, Defect.None);

    /// <summary>All of them, to add to a command.</summary>
    public IEnumerable<Option> Options =>
        [_kernel, _vms, _vcpus, _invalidators, _pages, _rangePages, _memslotUpdates, _start, _expect];

    /// <summary>The cohort that the arguments describe, or null when they name no kernel.</summary>
    public Cohort? Read(ParseResult parsed)
    {
        if (parsed.GetValue(_kernel) is not { } kernel)
            return null;
        int pages = parsed.GetValue(_pages);
        return new Cohort
        {
            Name = kernel.Info.Name.Replace('.', '-'),
            Kernel = kernel,
            Vms = parsed.GetValue(_vms),
            Expected = parsed.GetValue(_expect),
            Vm = new VmParameters
            {
                Vcpus = parsed.GetValue(_vcpus),
                Invalidators = parsed.GetValue(_invalidators),
                MemslotUpdates = parsed.GetValue(_memslotUpdates),
                Pages = pages,
                RangePages = Math.Min(pages, parsed.GetValue(_rangePages)),
                InvalidateSeqStart = parsed.GetValue(_start),
            },
        };
    }

    /// <summary>The known-bad cohort that runs beside it.</summary>
    public static Cohort Control { get; } = new()
    {
        Name = "control",
        Kernel = Kernel.Of<Linux61>(),
        Vms = 64,
        Expected = Defect.Hang,
        Vm = new VmParameters { InvalidateSeqStart = (1UL << 31) - 20_000 },
    };
}
