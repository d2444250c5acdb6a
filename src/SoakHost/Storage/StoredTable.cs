using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;
using System.Text.Json;
using Microsoft.Data.Sqlite;
using SoakHost.Configuration;

namespace SoakHost.Storage;

/// <summary>
/// A table each record of which has a checksum over its key and its columns. This is the one place that decides whether a record
/// is trusted.
/// </summary>
/// <param name="Name">The table.</param>
/// <param name="Key">The column that identifies a record, as SQLite's 64-bit rowid.</param>
/// <param name="Columns">All other columns but the checksum, in the order in which a query has them after the key.</param>
internal sealed record StoredTable(string Name, string Key, string Columns)
{
    /// <summary>The SQL function that computes a checksum.</summary>
    public const string ChecksumFunction = "record_checksum";

    public static readonly StoredTable Runs = new(
        "runs", "id", "started_ms, checkpointed_ms, model_version, seed, stall_retries, fleet, part");

    public static readonly StoredTable Checkpoints = new(
        "checkpoints",
        "rowid",
        "run_id, cohort, first_vm, start_tick, tick, state");

    public static readonly StoredTable Interventions = new(
        "interventions", "id", "run_id, cohort, kind, tick, vm, kernel, invalidate_seq, vms, added, requested_ms, "
            + "requested_by");

    public static readonly StoredTable Incidents = new(
        "incidents",
        "number",
        "run_id, cohort, vm, vcpu, tick, elapsed_ms, kind, page, invalidate_seq, invalidate_seq_max, snapshot, "
            + "first_seen_ms, recovered_tick, recovered_elapsed_ms, recovered_ms, recovered_by, life, life_tick, "
            + "origin_tick, origin");

    public static readonly StoredTable Crossings = new(
        "crossings", "number", "run_id, cohort, vm, tick, elapsed_ms, boundary, in_flight, seen_ms");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<StoredTable> All { get; } = [Runs, Checkpoints, Interventions, Incidents, Crossings];

    /// <summary>Those whose records belong to a run, in the column <c>run_id</c>.</summary>
    public static IReadOnlyList<StoredTable> OfRuns { get; } = [Checkpoints, Interventions, Incidents, Crossings];

    /// <summary>SQL that is true for a record that matches its checksum.</summary>
    public string IsIntact => $"checksum IS {ChecksumFunction}({Checked})";

    // A rowid that no column names may change when the database is compacted.
    private string Checked => Key == "rowid" ? Columns : $"{Key}, {Columns}";

    /// <summary>A query of records that <see cref="Read"/> can read.</summary>
    /// <param name="rest">What follows the table's name.</param>
    public string Select(string rest) => $"SELECT {IsIntact}, {Key}, {Columns} FROM {Name} {rest}";

    /// <summary>Gives a record its checksum, after it was written.</summary>
    public void Seal(DatabaseConnection connection, long key) => connection.Execute(
        $"UPDATE {Name} SET checksum = {ChecksumFunction}({Checked}) WHERE {Key} = $key", ("$key", key));

    /// <summary>Reads a row of <see cref="Select"/>: the record, or why it is refused.</summary>
    public Stored<T> Read<T>(SqliteDataReader row, Func<SqliteDataReader, T> read)
        where T : class
    {
        long key = row.GetInt64(1);
        if (row.GetInt64(0) == 0)
            return new(key, null, Refusal(key, "does not match its checksum"));
        try
        {
            return new(key, read(row), "");
        }
        catch (Exception exception)
            when (exception
                    is FormatException
                        or OverflowException
                        or ArgumentException
                        or InvalidCastException
                        or InvalidDataException
                        or InvalidOperationException
                        or JsonException)
        {
            return new(key, null, Refusal(key, $"has a value that is not allowed: {exception.Message.ReplaceLineEndings(" ")}"));
        }
    }

    /// <summary>XXH3 over values as SQLite stores them, each with its type and length.</summary>
    public static long Checksum(object?[] values)
    {
        var hash = new XxHash3();
        Span<byte> head = stackalloc byte[9];
        foreach (object? value in values)
        {
            (byte type, long number, byte[] bytes) = value switch
            {
                null or DBNull => ((byte)0, 0L, Array.Empty<byte>()),
                long whole => ((byte)1, whole, []),
                double real => ((byte)2, BitConverter.DoubleToInt64Bits(real), []),
                string text => ((byte)3, Encoding.UTF8.GetByteCount(text), Encoding.UTF8.GetBytes(text)),
                byte[] blob => ((byte)4, blob.Length, blob),
                _ => throw new ArgumentException($"{value.GetType()} is no type of SQLite"),
            };
            head[0] = type;
            BinaryPrimitives.WriteInt64LittleEndian(head[1..], number);
            hash.Append(head);
            hash.Append(bytes);
        }

        return unchecked((long)hash.GetCurrentHashAsUInt64());
    }

    private string Refusal(long key, string why) => $"record {key} of the table {Name} {why}";
}

/// <summary>A record as it was found in the database: trusted, or refused.</summary>
/// <param name="Key">The record's key.</param>
/// <param name="Record">The record, where it is trusted.</param>
/// <param name="Refusal">Why it is refused, as a sentence that names the record; empty where it is trusted.</param>
internal sealed record Stored<T>(long Key, T? Record, string Refusal)
    where T : class
{
    /// <summary>The record of a run that must not go on without it.</summary>
    /// <param name="database">The database file, for the message.</param>
    /// <exception cref="ConfigurationException">It is refused; the message names it.</exception>
    public T Required(string database) =>
        Record
        ?? throw new ConfigurationException(
            $"{database}: {Refusal}, and the run depends on it. Restore the database from a backup, or move it away to start "
                + "anew; nothing was changed"
        );
}

/// <summary>A page of records.</summary>
/// <param name="Records">Those that are trusted.</param>
/// <param name="Refused">Why others are not here.</param>
/// <param name="Next">The key before which the next page begins; null where this is the last.</param>
internal sealed record StoredPage<T>(IReadOnlyList<T> Records, IReadOnlyList<string> Refused, long? Next)
    where T : class
{
    public static StoredPage<T> Empty { get; } = new([], [], null);

    public static StoredPage<T> Of(IReadOnlyList<Stored<T>> stored, int limit) => new(
        [.. stored.Select(each => each.Record).OfType<T>()],
        [.. stored.Where(each => each.Record is null).Select(each => each.Refusal)],
        stored.Count == limit ? stored[^1].Key : null);
}
