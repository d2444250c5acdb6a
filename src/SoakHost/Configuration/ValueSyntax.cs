using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Globalization;
using System.Numerics;
using SoakHost.HostKernel;
using SoakHost.Model.Kernels;

namespace SoakHost.Configuration;

/// <summary>
/// How a value is written and which values are allowed: the same in configuration, on the command line and in the API.
/// </summary>
internal abstract class ValueSyntax<T>
{
    /// <summary>What a value must be, such as "a whole number from 1 to 8".</summary>
    public abstract string Allowed { get; }

    /// <summary>The same in a few characters for tables, such as "1 to 8"; empty where the setting's sentence says it.</summary>
    public virtual string Range => Allowed;

    /// <summary>What usage texts call a value.</summary>
    public virtual string Placeholder => "value";

    /// <summary>Reads a value.</summary>
    /// <returns>False where the text is no value, or one that is not allowed.</returns>
    public abstract bool TryParse(string text, out T value);

    /// <summary>Writes a value for people, in a form that <see cref="TryParse"/> reads back.</summary>
    public virtual string Format(T value) => string.Create(CultureInfo.InvariantCulture, $"{value}");

    /// <summary>Writes a value for a command line: no shell changes it.</summary>
    public virtual string FormatArgument(T value) => Format(value);

    /// <summary>The names that are allowed, for suggestions; empty unless values are names.</summary>
    public virtual IEnumerable<string> Names => [];

    /// <summary>Whether values are whole numbers.</summary>
    public virtual bool IsNumber => false;

    /// <summary>Whether a text may hold several values, separated by commas.</summary>
    public virtual bool IsList => false;
}

/// <summary>Whole numbers, as <see cref="NumberSyntax"/> reads them.</summary>
internal sealed class WholeNumber<T>(T min, T max) : ValueSyntax<T>
    where T : IBinaryInteger<T>
{
    private readonly BigInteger _min = BigInteger.CreateChecked(min);
    private readonly BigInteger _max = BigInteger.CreateChecked(max);

    public WholeNumber(ValueRange<T> range)
        : this(range.Min, range.Max)
    {
    }

    public override string Allowed => $"a whole number from {Range}";

    public override string Range => $"{NumberSyntax.Format(_min)} to {NumberSyntax.Format(_max)}";

    public override string Placeholder => "number";

    public override bool IsNumber => true;

    public override bool TryParse(string text, out T value)
    {
        bool isAllowed = NumberSyntax.TryParse(text, out BigInteger number) && number >= _min && number <= _max;
        value = isAllowed ? T.CreateChecked(number) : T.Zero;
        return isAllowed;
    }

    public override string Format(T value) => NumberSyntax.Format(BigInteger.CreateChecked(value));

    // Some shells take ^ for a pattern.
    public override string FormatArgument(T value) => Format(value).Contains('^', StringComparison.Ordinal)
        ? string.Create(CultureInfo.InvariantCulture, $"0x{value:x}") : string.Create(CultureInfo.InvariantCulture, $"{value}");
}

/// <summary>A whole number, or nothing: an empty text, such as a variable that is set to nothing, leaves it out.</summary>
internal sealed class OptionalNumber(ValueRange<long> range) : ValueSyntax<long?>
{
    private readonly WholeNumber<long> _number = new(range);

    public override string Allowed => _number.Allowed;

    public override string Range => _number.Range;

    public override string Placeholder => _number.Placeholder;

    public override bool IsNumber => true;

    public override bool TryParse(string text, out long? value)
    {
        bool isAllowed = _number.TryParse(text, out long number);
        value = isAllowed ? number : null;
        return isAllowed || text.Length == 0;
    }

    public override string Format(long? value) => value is { } number ? _number.Format(number) : "";

    public override string FormatArgument(long? value) => value is { } number ? _number.FormatArgument(number) : "";
}

/// <summary>
/// Numbers of worker threads. More of them than a few for each processor soak no faster. They only keep the threads that answer
/// clients, watch and stop the fleet from their turn.
/// </summary>
/// <param name="min">The fewest, 0 or 1.</param>
internal sealed class WorkerCount(int min) : ValueSyntax<int>
{
    /// <summary>The most for each processor.</summary>
    public const int PerProcessorMax = 4;

    private readonly WholeNumber<int> _number = new(min, Max);

    /// <summary>
    /// The most on this machine: its processors, or those that a container or an affinity leaves to the process.
    /// </summary>
    public static int Max => PerProcessorMax * Environment.ProcessorCount;

    public override string Allowed => $"{_number.Allowed}, {PerProcessorMax} for each processor";

    public override string Range => $"{min} to {PerProcessorMax} for each processor";

    public override string Placeholder => _number.Placeholder;

    public override bool IsNumber => true;

    public override bool TryParse(string text, out int value) => _number.TryParse(text, out value);
}

/// <summary>Numbers with a fraction.</summary>
internal sealed class Fraction(ValueRange<double> range) : ValueSyntax<double>
{
    public override string Allowed => $"a number from {Range}";

    public override string Range => string.Create(CultureInfo.InvariantCulture, $"{range.Min} to {range.Max}");

    public override string Placeholder => "number";

    public override bool TryParse(string text, out double value) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out value) && range.Contains(value);
}

/// <summary>Times, as <see cref="DurationSyntax"/> reads them.</summary>
internal sealed class Duration(ValueRange<TimeSpan> range) : ValueSyntax<TimeSpan>
{
    public override string Allowed => $"a time from {Range}, such as 500ms, 10s or 00:00:10";

    public override string Range => $"{DurationSyntax.Format(range.Min)} to {DurationSyntax.Format(range.Max)}";

    public override string Placeholder => "time";

    public override bool TryParse(string text, out TimeSpan value) =>
        DurationSyntax.TryParse(text, out value) && range.Contains(value);

    public override string Format(TimeSpan value) => DurationSyntax.Format(value);
}

/// <summary>true or false.</summary>
internal sealed class Flag : ValueSyntax<bool>
{
    public override string Allowed => "true or false";

    public override bool TryParse(string text, out bool value) => bool.TryParse(text, out value);

    public override string Format(bool value) => value ? "true" : "false";
}

/// <summary>One of several names. They are exact.</summary>
/// <param name="range">What tables say instead of all the names, or null.</param>
/// <param name="names">The names in the order in which texts list them, with their values.</param>
internal sealed class Choice<T>(string? range, params (string Name, T Value)[] names) : ValueSyntax<T>
    where T : notnull
{
    private readonly FrozenDictionary<string, T> _values = names.ToFrozenDictionary(name => name.Name, name => name.Value);

    public override string Allowed => $"one of {string.Join(", ", Names)}";

    public override string Range => range ?? string.Join(", ", Names);

    public override string Placeholder => "name";

    public override IEnumerable<string> Names => names.Select(name => name.Name);

    public override bool TryParse(string text, out T value) => _values.TryGetValue(text, out value!);

    public override string Format(T value) => names.First(name => name.Value.Equals(value)).Name;
}

/// <summary>Simulated kernels by name. Names are exact.</summary>
internal sealed class KernelName : ValueSyntax<Kernel>
{
    public override string Allowed => $"one of {string.Join(", ", Names)}";

    public override string Range => "";

    public override string Placeholder => "name";

    public override IEnumerable<string> Names => Kernel.All.Select(kernel => kernel.Info.Name);

    public override bool TryParse(string text, out Kernel value)
    {
        value = Kernel.All.FirstOrDefault(kernel => kernel.Info.Name == text)!;
        return value is not null;
    }

    public override string Format(Kernel value) => value.Info.Name;
}

/// <summary>Text that a rule allows.</summary>
/// <param name="allowed">What a text must be.</param>
/// <param name="placeholder">What usage texts call it.</param>
/// <param name="isAllowed">The rule.</param>
/// <param name="range">What tables say; null for the same.</param>
internal sealed class Words(string allowed, string placeholder, Func<string, bool> isAllowed, string? range = null)
    : ValueSyntax<string>
{
    public override string Allowed => allowed;

    public override string Range => range ?? allowed;

    public override string Placeholder => placeholder;

    /// <summary>A path, whether anything is there or not.</summary>
    public static Words Path(string allowed) => new(allowed, "path", text => !string.IsNullOrWhiteSpace(text), range: "");

    public override bool TryParse(string text, out string value)
    {
        value = text;
        return isAllowed(text);
    }
}

/// <summary>
/// Some of several names, each once and in the order of the names: "all" and "none" are allowed too, and a name with a minus
/// leaves it out of those before it.
/// </summary>
/// <param name="all">The names.</param>
/// <param name="usual">What "all" stands for: those that go together.</param>
internal sealed class Subset(ImmutableArray<string> all, ImmutableArray<string> usual) : ValueSyntax<IReadOnlyList<string>>
{
    private const string All = "all";
    private const string None = "none";

    public override string Allowed => $"{All}, {None}, or some of {string.Join(", ", all)}; -name leaves one out";

    public override string Range => $"{All}, {None}, or names; \"{All}, -name\" leaves one out";

    public override string Placeholder => "names";

    public override IEnumerable<string> Names => [All, None, .. all];

    public override bool IsList => true;

    public override bool TryParse(string text, out IReadOnlyList<string> value)
    {
        value = [];
        string first = text.TrimStart();
        if (first.Length == 0)
            return false;

        // "-fork" alone leaves one out of those that would run without it.
        HashSet<string> chosen = first[0] == '-' ? [.. usual] : [];
        foreach (string part in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            bool isOff = part[0] == '-';
            string name = isOff ? part[1..] : part;
            if (!isOff && name == All)
                chosen.UnionWith(usual);
            else if (!isOff && name == None)
                chosen.Clear();
            else if (!all.Contains(name))
                return false;
            else if (isOff)
                chosen.Remove(name);
            else
                chosen.Add(name);
        }

        value = [.. all.Where(chosen.Contains)];
        return true;
    }

    public override string Format(IReadOnlyList<string> value) =>
        value.Count == 0 ? None : value.SequenceEqual(usual) ? All : string.Join(", ", value);

    public override string FormatArgument(IReadOnlyList<string> value) =>
        Format(value).Replace(" ", "", StringComparison.Ordinal);
}

/// <summary>Several values, separated by commas.</summary>
/// <param name="one">What each of them is.</param>
/// <param name="min">The fewest.</param>
/// <param name="max">The most.</param>
internal sealed class Several<T>(ValueSyntax<T> one, int min = 0, int max = int.MaxValue) : ValueSyntax<IReadOnlyList<T>>
{
    public override string Allowed => max == int.MaxValue ? one.Allowed
        : string.Create(CultureInfo.InvariantCulture, $"{one.Allowed}, or {min} to {max} of them");

    public override string Range => one.Range.Length > 0 ? $"each {one.Range}" : "";

    public override string Placeholder => $"{one.Placeholder}s";

    public override IEnumerable<string> Names => one.Names;

    public override bool IsList => true;

    public override bool TryParse(string text, out IReadOnlyList<T> value)
    {
        List<T> values = [];
        value = values;
        foreach (string part in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (!one.TryParse(part, out T each))
                return false;
            values.Add(each);
        }

        return values.Count >= min && values.Count <= max;
    }

    public override string Format(IReadOnlyList<T> value) => string.Join(", ", value.Select(one.Format));

    public override string FormatArgument(IReadOnlyList<T> value) => string.Join(',', value.Select(one.FormatArgument));
}
