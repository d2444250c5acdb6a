using Microsoft.Data.Sqlite;

namespace SoakHost.Storage;

/// <summary>Values as the columns of the database have them: 64-bit counters as signed integers, times in milliseconds since 1970.</summary>
internal static class Columns
{
    public static long OfUInt64(ulong value) => unchecked((long)value);

    public static long OfTime(DateTimeOffset time) => time.ToUnixTimeMilliseconds();

    public static ulong GetUInt64(this SqliteDataReader row, int column) => unchecked((ulong)row.GetInt64(column));

    public static DateTimeOffset GetTime(this SqliteDataReader row, int column) =>
        DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(column));

    public static DateTimeOffset? GetTimeOrNull(this SqliteDataReader row, int column) => row.IsDBNull(column) ? null : row.GetTime(column);

    public static int? GetInt32OrNull(this SqliteDataReader row, int column) => row.IsDBNull(column) ? null : row.GetInt32(column);

    public static string? GetStringOrNull(this SqliteDataReader row, int column) => row.IsDBNull(column) ? null : row.GetString(column);
}
