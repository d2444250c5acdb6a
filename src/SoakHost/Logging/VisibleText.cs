using System.Globalization;
using System.Text;
using Serilog.Core;
using Serilog.Events;

namespace SoakHost.Logging;

/// <summary>
/// Text of somebody else, so that it shows what it is: control characters, and those that change the direction or the place of
/// other text, as escapes such as <c>\u202e</c>. A log line cannot be forged with it, and no terminal obeys it.
/// </summary>
internal static class VisibleText
{
    /// <summary>The text with escapes.</summary>
    /// <param name="text">The text.</param>
    /// <param name="lengthMax">The most characters of it; a longer one is cut, and ends with "...".</param>
    public static string Of(string text, int lengthMax = int.MaxValue)
    {
        string cut = text.Length <= lengthMax ? text : string.Concat(text.AsSpan(0, lengthMax), "...");
        if (cut.All(IsVisible))
            return cut;
        var visible = new StringBuilder(cut.Length + 16);
        foreach (char character in cut)
        {
            if (IsVisible(character))
                visible.Append(character);
            else
                visible.Append(CultureInfo.InvariantCulture, $"\\u{(int)character:x4}");
        }

        return visible.ToString();
    }

    // Format has the marks of direction (U+200E, U+202A to U+202E, U+2066 to U+2069) and characters of no width.
    private static bool IsVisible(char character) => char.GetUnicodeCategory(character) is not (
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator
        or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned);
}

/// <summary>Makes the text of every event visible, for every sink: the one place where that is done for logs.</summary>
internal sealed class VisibleProperties : ILogEventEnricher
{
    /// <inheritdoc/>
    public void Enrich(LogEvent logEvent, ILogEventPropertyFactory propertyFactory)
    {
        foreach ((string name, LogEventPropertyValue value) in logEvent.Properties.ToArray())
        {
            LogEventPropertyValue visible = Visible(value);
            if (!ReferenceEquals(visible, value))
                logEvent.AddOrUpdateProperty(new LogEventProperty(name, visible));
        }
    }

    private static LogEventPropertyValue Visible(LogEventPropertyValue value) => value switch
    {
        ScalarValue { Value: string text } =>
            VisibleText.Of(text) is var visible && visible != text ? new ScalarValue(visible) : value,
        ScalarValue { Value: char character } => Visible(new ScalarValue($"{character}")),
        SequenceValue sequence => new SequenceValue(sequence.Elements.Select(Visible)),
        _ => value,
    };
}
