using System.Globalization;
using Microsoft.Data.Sqlite;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;

namespace SoakHost.Storage;

/// <summary>
/// Values as the columns of the database have them: 64-bit counters as signed integers, times in milliseconds since 1970.
/// </summary>
internal static class Columns
{
    public static long OfUInt64(ulong value) => unchecked((long)value);

    public static long? OfUInt64(ulong? value) => value is { } known ? OfUInt64(known) : null;

    public static long? OfElapsed(FindingTime time) => time.Elapsed is { } elapsed ? (long)elapsed.TotalMilliseconds : null;

    public static long OfTime(DateTimeOffset time) => time.ToUnixTimeMilliseconds();

    /// <summary>A whole number of a range.</summary>
    /// <exception cref="InvalidDataException">It is out of its range.</exception>
    public static int GetInt32(this SqliteDataReader row, int column, string name, int min, int max) =>
        row.GetInt64(column) is var value && value >= min && value <= max ? (int)value
            : throw new InvalidDataException($"{name} is {value}; it must be {min} to {max}");

    /// <summary>The same, or null.</summary>
    public static int? GetInt32OrNull(this SqliteDataReader row, int column, string name, int min, int max) =>
        row.IsDBNull(column) ? null : row.GetInt32(column, name, min, max);

    /// <summary>A tick.</summary>
    /// <exception cref="InvalidDataException">It is negative.</exception>
    public static long GetTick(this SqliteDataReader row, int column) => row.GetInt64(column) is var tick && tick >= 0 ? tick
        : throw new InvalidDataException($"tick is {tick}; it must be 0 or more");

    /// <summary>A threshold of retries, within the setting's range.</summary>
    /// <exception cref="InvalidDataException">It is out of its range.</exception>
    public static uint GetStallRetries(this SqliteDataReader row, int column)
    {
        string text = row.GetInt64(column).ToString(CultureInfo.InvariantCulture);
        Setting<SoakOptions> setting = SoakSettings.Table[nameof(SoakOptions.StallRetries)];
        return setting.TryRead(SoakSettings.Table.Defaults, text, out SoakOptions read) ? read.StallRetries
            : throw new InvalidDataException($"stall_retries is {text}; it must be {setting.Allowed}");
    }

    /// <summary>A part of a fleet.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public static FleetPart GetPart(this SqliteDataReader row, int column) =>
        new PartSyntax().TryParse(row.GetString(column), out FleetPart part) ? part
            : throw new InvalidDataException($"part is \"{row.GetString(column)}\"; it must be {new PartSyntax().Allowed}");

    public static ulong GetUInt64(this SqliteDataReader row, int column) => unchecked((ulong)row.GetInt64(column));

    public static ulong? GetUInt64OrNull(this SqliteDataReader row, int column) =>
        row.IsDBNull(column) ? null : row.GetUInt64(column);

    /// <summary>The time of two columns: a tick, or milliseconds since the start in the column after it.</summary>
    public static FindingTime GetFindingTime(this SqliteDataReader row, int column) => row.IsDBNull(column)
        ? FindingTime.After(TimeSpan.FromMilliseconds(row.GetInt64(column + 1))) : FindingTime.AtTick(row.GetInt64(column));

    /// <summary>
    /// The origin of four columns: the number and the first tick of a life, and the tick and the state of a later place in it.
    /// Null where there is none.
    /// </summary>
    /// <exception cref="InvalidDataException">A value is out of its range.</exception>
    public static VmOrigin? GetOrigin(this SqliteDataReader row, int column)
    {
        if (row.IsDBNull(column))
            return null;
        try
        {
            return new VmOrigin(
                row.GetInt32(column, "life", 0, int.MaxValue), row.GetTick(column + 1), row.GetTick(column + 2),
                row.GetFieldValue<byte[]>(column + 3));
        }
        catch (ArgumentException exception)
        {
            throw new InvalidDataException(exception.Message);
        }
    }

    public static DateTimeOffset GetTime(this SqliteDataReader row, int column) =>
        DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(column));

    public static DateTimeOffset? GetTimeOrNull(this SqliteDataReader row, int column) =>
        row.IsDBNull(column) ? null : row.GetTime(column);

    public static string? GetStringOrNull(this SqliteDataReader row, int column) =>
        row.IsDBNull(column) ? null : row.GetString(column);
}
