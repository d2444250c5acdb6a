using System.Text.Json;

namespace SoakHost.Configuration;

/// <summary>
/// One setting, said once: its key, what it means, which values are allowed and which one is the default. Configuration, command
/// line, API, run identity and documents read it here.
/// </summary>
/// <typeparam name="TOptions">The record that holds the value.</typeparam>
internal abstract class Setting<TOptions>(string key, string sentence)
{
    /// <summary>The key in configuration, such as <c>MemslotUpdates</c>.</summary>
    public string Key => key;

    /// <summary>What it means, in a phrase that starts in lower case and ends without a full stop.</summary>
    public string Sentence => sentence;

    /// <summary>What it means, with the range.</summary>
    public string Meaning => Range.Length > 0 ? $"{Sentence} ({Range})" : Sentence;

    /// <summary>The field in the API, such as <c>memslot_updates</c>.</summary>
    public string Field { get; } = JsonNamingPolicy.SnakeCaseLower.ConvertName(key);

    /// <summary>The option on command lines, such as <c>--memslot-updates</c>.</summary>
    public string Option { get; init; } = "--" + JsonNamingPolicy.KebabCaseLower.ConvertName(key);

    /// <summary>
    /// What documents call the default where it is no value, such as "required"; null for the default's own text.
    /// </summary>
    public string? DefaultText { get; init; }

    /// <summary>Whether the value must be given.</summary>
    public bool IsRequired { get; init; }

    /// <summary>Whether command lines that describe options leave it out where it has its default.</summary>
    public bool OmitsDefault { get; init; }

    /// <summary>Whether errors must not repeat the value.</summary>
    public bool IsSecret { get; init; }

    /// <summary>Whether the value is a list: entries with numbers in configuration, separated by commas elsewhere.</summary>
    public abstract bool IsList { get; }

    /// <summary>Whether the value is true or false: on a command line the option alone is true.</summary>
    public abstract bool IsFlag { get; }

    /// <summary>Whether the value is a whole number.</summary>
    public abstract bool IsNumber { get; }

    /// <summary>What the value must be, such as "a whole number from 1 to 8".</summary>
    public abstract string Allowed { get; }

    /// <summary>The same for tables, such as "1 to 8"; empty where the sentence says it.</summary>
    public abstract string Range { get; }

    /// <summary>What usage texts call the value.</summary>
    public abstract string Placeholder { get; }

    /// <summary>The names that are allowed, for suggestions; empty unless values are names.</summary>
    public abstract IEnumerable<string> Names { get; }

    /// <summary>Reads the value into a copy of the options.</summary>
    /// <returns>False where the text is not allowed.</returns>
    public abstract bool TryRead(TOptions options, string text, out TOptions result);

    /// <summary>The value for people.</summary>
    public abstract string Text(TOptions options);

    /// <summary>The value for a command line.</summary>
    public abstract string Argument(TOptions options);
}

/// <summary>A setting with the way to and from its property.</summary>
internal sealed class Setting<TOptions, TValue>(
    string key, string sentence, ValueSyntax<TValue> syntax, Func<TOptions, TValue> get, Func<TOptions, TValue, TOptions> set)
    : Setting<TOptions>(key, sentence)
{
    public override bool IsList => syntax.IsList;

    public override bool IsFlag => syntax is Flag;

    public override bool IsNumber => syntax.IsNumber;

    public override string Allowed => syntax.Allowed;

    public override string Range => syntax.Range;

    public override string Placeholder => syntax.Placeholder;

    public override IEnumerable<string> Names => syntax.Names;

    public override bool TryRead(TOptions options, string text, out TOptions result)
    {
        bool isAllowed = syntax.TryParse(text, out TValue value);
        result = isAllowed ? set(options, value) : options;
        return isAllowed;
    }

    public override string Text(TOptions options) => syntax.Format(get(options));

    public override string Argument(TOptions options) => syntax.FormatArgument(get(options));
}

/// <summary>The settings of one record, in the order in which documents list them.</summary>
/// <param name="defaults">The record with every default.</param>
/// <param name="settings">The settings.</param>
internal sealed class SettingTable<TOptions>(TOptions defaults, params Setting<TOptions>[] settings)
{
    /// <summary>The record with every default.</summary>
    public TOptions Defaults => defaults;

    /// <summary>The settings.</summary>
    public IReadOnlyList<Setting<TOptions>> Settings => settings;

    /// <summary>The setting with that key.</summary>
    public Setting<TOptions> this[string key] => Array.Find(settings, setting => setting.Key == key)
        ?? throw new ArgumentOutOfRangeException(nameof(key), key, "no such setting");

    /// <summary>What documents call a default.</summary>
    public string Default(Setting<TOptions> setting) => setting.DefaultText ?? setting.Text(defaults);

    /// <summary>The rows of the table in the documents: key, default, meaning with the range.</summary>
    /// <param name="section">Where the keys are, such as <c>Soak:Fleet:0</c>.</param>
    public IEnumerable<string> Rows(string section) =>
        settings.Select(setting => $"| `{section}:{setting.Key}` | {Default(setting)} | {setting.Meaning} |");
}
