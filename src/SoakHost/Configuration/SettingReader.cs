using System.Globalization;
using System.Numerics;

namespace SoakHost.Configuration;

/// <summary>
/// Reads the keys of one section. A value that is not allowed is noted as an error and its default returned, so that reading goes on;
/// a key that nobody asked for is an error too. A key without a value (null in JSON) is as good as absent.
/// </summary>
internal sealed class SettingReader(IConfigurationSection section, ConfigurationErrors errors)
{
    private readonly List<string> _known = [];
    private readonly List<string> _refused = [];

    /// <summary>A whole number, as <see cref="NumberSyntax"/> reads them.</summary>
    public T Number<T>(string key, T otherwise, T min, T max)
        where T : IBinaryInteger<T> => Text(key) is { } text ? Parse(Path(key), text, otherwise, min, max) : otherwise;

    /// <summary>A list of whole numbers.</summary>
    public IReadOnlyList<T> Numbers<T>(string key, IReadOnlyList<T> otherwise, T min, T max)
        where T : IBinaryInteger<T>
    {
        _known.Add(key);
        IConfigurationSection list = section.GetSection(key);
        if (!string.IsNullOrEmpty(list.Value))
            errors.Add(Path(key), list.Value, $"a list, such as {Path(key)}:0");
        IConfigurationSection[] entries = [.. list.GetChildren()];
        foreach (IConfigurationSection entry in entries.Where(entry => entry.Value is null || !IsNumbered(entry)))
            errors.Add($"{entry.Path} is unknown; entries are numbers, numbered from 0, such as {Path(key)}:0");
        return entries.Length == 0
            ? otherwise
            : [.. entries.Where(entry => entry.Value is not null && IsNumbered(entry)).Select(entry => Parse(entry.Path, entry.Value!, min, min, max))];
    }

    /// <summary>A section of its own below this one.</summary>
    public SettingReader Section(string key)
    {
        _known.Add(key);
        IConfigurationSection found = section.GetSection(key);
        if (!string.IsNullOrEmpty(found.Value))
            errors.Add(Path(key), found.Value, "a section with keys of its own");
        return new SettingReader(found, errors);
    }

    /// <summary>Notes an error where a key is given that means nothing here.</summary>
    public void Refuse(string key, string why)
    {
        _refused.Add(key);
        if (section.GetSection(key).Exists())
            errors.Add($"{Path(key)} makes no sense here: {why}");
    }

    /// <summary>Text, whatever it is.</summary>
    public string Text(string key, string otherwise) => Text(key) is { Length: > 0 } text ? text : otherwise;

    /// <summary>A number with a fraction.</summary>
    public double Fraction(string key, double otherwise, double min, double max)
    {
        if (Text(key) is not { } text)
            return otherwise;
        if (double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value)
            && value >= min && value <= max)
        {
            return value;
        }

        errors.Add(Path(key), text, string.Create(CultureInfo.InvariantCulture, $"a number, {min} to {max}"));
        return otherwise;
    }

    /// <summary>A time, such as 500ms, 10s, 5m, 1h or 00:00:10.</summary>
    public TimeSpan Duration(string key, TimeSpan otherwise, TimeSpan min, TimeSpan max)
    {
        if (Text(key) is not { } text)
            return otherwise;
        if (DurationSyntax.TryParse(text, out TimeSpan value) && value >= min && value <= max)
            return value;
        errors.Add(Path(key), text, $"a time, {DurationSyntax.Format(min)} to {DurationSyntax.Format(max)}, such as 500ms, 10s or 00:00:10");
        return otherwise;
    }

    /// <summary>true or false.</summary>
    public bool Flag(string key, bool otherwise)
    {
        if (Text(key) is not { } text)
            return otherwise;
        if (bool.TryParse(text, out bool value))
            return value;
        errors.Add(Path(key), text, "true or false");
        return otherwise;
    }

    /// <summary>Any text with something in it.</summary>
    public string Words(string key, string otherwise, string allowed)
    {
        if (Text(key) is not { } text)
            return otherwise;
        if (!string.IsNullOrWhiteSpace(text))
            return text;
        errors.Add(Path(key), text, allowed);
        return otherwise;
    }

    /// <summary>A text that nobody is to guess or see; null when there is none, or an empty one.</summary>
    public string? Secret(string key, int lengthMin)
    {
        if (Text(key) is not { Length: > 0 } text)
            return null;
        if (text.Length < lengthMin || !text.All(character => character is > ' ' and <= '~'))
            errors.Add(Path(key), "***", $"at least {lengthMin} characters of ASCII without blanks");
        return text;
    }

    /// <summary>One of several names.</summary>
    public T Choice<T>(string key, T otherwise, IReadOnlyDictionary<string, T> choices, bool isRequired = false)
    {
        string allowed = $"one of {string.Join(", ", choices.Keys)}";
        if ((isRequired ? Required(key, allowed) : Text(key)) is not { } text)
            return otherwise;
        if (choices.TryGetValue(text, out T? value))
            return value;
        errors.Add(Path(key), text, allowed);
        return otherwise;
    }

    /// <summary>The text of a key that must be there.</summary>
    public string? Required(string key, string allowed)
    {
        string? text = Text(key);
        if (text is null)
            errors.Add($"{Path(key)} is missing; allowed is {allowed}");
        return text;
    }

    /// <summary>The entries of a list, by their numbers. Gaps between the numbers are as good as closed.</summary>
    public IReadOnlyList<IConfigurationSection> List(string key)
    {
        _known.Add(key);
        IConfigurationSection list = section.GetSection(key);
        if (!string.IsNullOrEmpty(list.Value))
            errors.Add(Path(key), list.Value, "a list");
        var entries = new List<IConfigurationSection>();
        foreach (IConfigurationSection entry in list.GetChildren())
        {
            if (!IsNumbered(entry))
                errors.Add($"{entry.Path} is unknown; entries are numbered from 0, such as {Path(key)}:0");
            else if (entry.Value is { } value)
                errors.Add(entry.Path, value, $"an entry with keys of its own, such as {entry.Path}:Name");
            else
                entries.Add(entry);
        }

        return entries;
    }

    /// <summary>Notes every key that was not asked for. Call it last.</summary>
    public void RejectUnknownKeys()
    {
        foreach (IConfigurationSection child in section.GetChildren())
        {
            if (!_known.Concat(_refused).Contains(child.Key, StringComparer.OrdinalIgnoreCase))
                errors.Add($"{child.Path} is unknown; allowed here is {string.Join(", ", _known)}");
        }
    }

    private string? Text(string key)
    {
        _known.Add(key);
        IConfigurationSection found = section.GetSection(key);
        foreach (IConfigurationSection child in found.GetChildren())
            errors.Add($"{child.Path} is unknown; {found.Path} has no keys of its own");
        return found.Value;
    }

    private T Parse<T>(string path, string text, T otherwise, T min, T max)
        where T : IBinaryInteger<T>
    {
        if (NumberSyntax.TryParse(text, out BigInteger value)
            && value >= BigInteger.CreateChecked(min) && value <= BigInteger.CreateChecked(max))
        {
            return T.CreateChecked(value);
        }

        errors.Add(path, text, $"a whole number, {NumberSyntax.Format(BigInteger.CreateChecked(min))} to {NumberSyntax.Format(BigInteger.CreateChecked(max))}");
        return otherwise;
    }

    private static bool IsNumbered(IConfigurationSection entry) =>
        int.TryParse(entry.Key, NumberStyles.None, CultureInfo.InvariantCulture, out _);

    private string Path(string key) => ConfigurationPath.Combine(section.Path, key);
}
