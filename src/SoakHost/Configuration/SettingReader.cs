using System.Globalization;

namespace SoakHost.Configuration;

/// <summary>
/// Reads the keys of one section. Values that are not allowed and unknown keys are errors; reading continues with the default,
/// and all errors are reported together. A key without a value (null in JSON) counts as absent.
/// </summary>
/// <param name="section">The section.</param>
/// <param name="errors">Collects the errors.</param>
internal sealed class SettingReader(IConfigurationSection section, ConfigurationErrors errors)
{
    private readonly List<string> _known = [];
    private readonly List<string> _refused = [];

    /// <summary>Reads every setting of a table into a copy of the options.</summary>
    public TOptions Read<TOptions>(SettingTable<TOptions> table, TOptions options) =>
        table.Settings.Aggregate(options, (read, setting) => Read(setting, read));

    /// <summary>Whether the key has a value.</summary>
    public bool IsGiven(string key) =>
        section.GetSection(key) is { } found && (found.Value is not null || found.GetChildren().Any());

    /// <summary>The text of a key, or null. It counts as known.</summary>
    public string? Text(string key)
    {
        _known.Add(key);
        return section[key];
    }

    /// <summary>A section of its own below this one.</summary>
    public SettingReader Section(string key)
    {
        _known.Add(key);
        IConfigurationSection found = section.GetSection(key);
        if (!string.IsNullOrEmpty(found.Value))
            errors.Add(Name(key), found.Value, "a section with keys of its own");
        return new SettingReader(found, errors);
    }

    /// <summary>Reports a key that has no meaning here.</summary>
    public void Refuse(string key, string why)
    {
        _refused.Add(key);
        if (section.GetSection(key).Exists())
            errors.Add($"{Name(key)} has no meaning here: {why}");
    }

    /// <summary>Reports a value that is allowed by itself, but not here.</summary>
    public void Wrong(string key, string error) => errors.Add($"{Name(key)} {error}");

    /// <summary>The entries of a list in the order of their numbers. Gaps between the numbers do not matter.</summary>
    public IReadOnlyList<IConfigurationSection> List(string key)
    {
        _known.Add(key);
        IConfigurationSection list = section.GetSection(key);
        if (!string.IsNullOrEmpty(list.Value))
            errors.Add(Name(key), list.Value, "a list");
        var entries = new List<IConfigurationSection>();
        foreach (IConfigurationSection entry in list.GetChildren())
        {
            if (!IsNumbered(entry))
                errors.Add($"{entry.Path} is unknown; entries are numbered from 0, such as {Name(key)}:0");
            else if (entry.Value is { } value)
                errors.Add(entry.Path, value, $"an entry with keys of its own, such as {entry.Path}:Name");
            else
                entries.Add(entry);
        }

        return entries;
    }

    /// <summary>Reports every key that was not asked for. Call it last.</summary>
    public void RejectUnknownKeys()
    {
        string[] known = [.. _known.Distinct()];
        foreach (IConfigurationSection child in section.GetChildren())
        {
            if (known.Concat(_refused).Contains(child.Key, StringComparer.OrdinalIgnoreCase))
                continue;
            string hint = Suggestion.For(child.Key, known);
            errors.Add($"{child.Path} is unknown{(hint.Length > 0 ? hint : $"; known here are {string.Join(", ", known)}")}");
        }
    }

    private TOptions Read<TOptions>(Setting<TOptions> setting, TOptions options)
    {
        string? text = setting.IsList ? ListText(setting, options) : ScalarText(setting.Key);
        if (text is null)
        {
            if (setting.IsRequired)
                errors.Add($"{Name(setting.Key)} is missing; it must be {setting.Allowed}");
            return options;
        }

        if (setting.TryRead(options, text, out TOptions result))
            return result;
        Reject(setting, Name(setting.Key), text);
        return options;
    }

    private string? ScalarText(string key)
    {
        string? text = Text(key);
        foreach (IConfigurationSection child in section.GetSection(key).GetChildren())
            errors.Add($"{child.Path} is unknown; {Name(key)} has no keys of its own");
        return text;
    }

    /// <summary>The entries of a list that are allowed, separated by commas; null where there are none.</summary>
    private string? ListText<TOptions>(Setting<TOptions> setting, TOptions options)
    {
        if (Text(setting.Key) is { Length: > 0 } text)
            return text;
        List<string> allowed = [];
        foreach (IConfigurationSection entry in section.GetSection(setting.Key).GetChildren())
        {
            if (entry.Value is not { } value || !IsNumbered(entry))
                errors.Add($"{entry.Path} is unknown; entries are numbered from 0, such as {Name(setting.Key)}:0");
            else if (value.Contains(',', StringComparison.Ordinal) || !setting.TryRead(options, value, out _))
                Reject(setting, entry.Path, value);
            else
                allowed.Add(value);
        }

        return allowed.Count == 0 ? null : string.Join(',', allowed);
    }

    private void Reject<TOptions>(Setting<TOptions> setting, string name, string text) => errors.Add(
        name, setting.IsSecret ? "***" : text, setting.Allowed + Suggestion.For(text, setting.Names));

    private static bool IsNumbered(IConfigurationSection entry) =>
        int.TryParse(entry.Key, NumberStyles.None, CultureInfo.InvariantCulture, out _);

    private string Name(string key) => ConfigurationPath.Combine(section.Path, key);
}
