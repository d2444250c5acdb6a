using Microsoft.Data.Sqlite;
using SoakHost.Engine.Cohorts;

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

    public static ulong GetUInt64(this SqliteDataReader row, int column) => unchecked((ulong)row.GetInt64(column));

    public static ulong? GetUInt64OrNull(this SqliteDataReader row, int column) =>
        row.IsDBNull(column) ? null : row.GetUInt64(column);

    /// <summary>The time of two columns: a tick, or milliseconds since the start in the column after it.</summary>
    public static FindingTime GetFindingTime(this SqliteDataReader row, int column) => row.IsDBNull(column)
        ? FindingTime.After(TimeSpan.FromMilliseconds(row.GetInt64(column + 1))) : FindingTime.AtTick(row.GetInt64(column));

    public static DateTimeOffset GetTime(this SqliteDataReader row, int column) =>
        DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(column));

    public static DateTimeOffset? GetTimeOrNull(this SqliteDataReader row, int column) =>
        row.IsDBNull(column) ? null : row.GetTime(column);

    public static int? GetInt32OrNull(this SqliteDataReader row, int column) =>
        row.IsDBNull(column) ? null : row.GetInt32(column);

    public static string? GetStringOrNull(this SqliteDataReader row, int column) =>
        row.IsDBNull(column) ? null : row.GetString(column);
}
