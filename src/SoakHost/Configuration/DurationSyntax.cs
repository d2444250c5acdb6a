using System.Globalization;

namespace SoakHost.Configuration;

/// <summary>Times as people write them: <c>500ms</c>, <c>10s</c>, <c>5m</c>, <c>1h</c>, or .NET's <c>00:00:10</c>.</summary>
internal static class DurationSyntax
{
    private static readonly string[] ClockFormats = [@"hh\:mm\:ss", @"hh\:mm\:ss\.FFFFFFF"];

    // "ms" comes before "s" and "m", which it ends with or contains.
    private static readonly (string Unit, TimeSpan Length)[] Units =
    [
        ("ms", TimeSpan.FromMilliseconds(1)), ("s", TimeSpan.FromSeconds(1)), ("m", TimeSpan.FromMinutes(1)),
        ("h", TimeSpan.FromHours(1)),
    ];

    /// <summary>Reads a time. A bare number is not allowed: .NET would take it for days.</summary>
    public static bool TryParse(string text, out TimeSpan value)
    {
        string trimmed = text.Trim();
        if (trimmed.Contains(':', StringComparison.Ordinal))
            return TimeSpan.TryParseExact(trimmed, ClockFormats, CultureInfo.InvariantCulture, out value);
        foreach ((string unit, TimeSpan length) in Units)
        {
            if (trimmed.EndsWith(unit, StringComparison.Ordinal)
                && double.TryParse(trimmed.AsSpan()[..^unit.Length], NumberStyles.AllowDecimalPoint,
                    CultureInfo.InvariantCulture, out double count)
                && count < 1e9)
            {
                value = length * count;
                return true;
            }
        }

        value = default;
        return false;
    }

    /// <summary>The shortest of these spellings.</summary>
    public static string Format(TimeSpan value)
    {
        (string unit, TimeSpan length) =
            Array.FindLast(Units, unit => value.Ticks % unit.Length.Ticks == 0 && value >= unit.Length);
        return unit is null ? value.ToString("c") : string.Create(CultureInfo.InvariantCulture, $"{value / length}{unit}");
    }
}
