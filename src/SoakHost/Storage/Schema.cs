using System.Buffers.Binary;
using Microsoft.Data.Sqlite;
using Microsoft.Win32.SafeHandles;
using SoakHost.Configuration;

namespace SoakHost.Storage;

/// <summary>
/// The database's one schema, and whose a database is: SQLite keeps an <c>application_id</c> and a <c>user_version</c> in the
/// file's header. A database with another of either is refused and not written to.
/// </summary>
internal static class Schema
{
    /// <summary>"SOAK", as <c>application_id</c>.</summary>
    public const int ApplicationId = 0x534f414b;

    /// <summary>The schema's version, as <c>user_version</c>.</summary>
    public const int Version = 6;

    // SQLite takes a file without a whole page, of 512 bytes at least, for an empty database.
    private const int PageBytesMin = 512;

    // Where SQLite's file format has the two numbers, big-endian.
    private const int VersionAt = 60;
    private const int ApplicationIdAt = 68;

    // A finding of a simulated VM has a tick; one of a real VM has the time since the start, a counter within bounds, and no
    // snapshot.
    private const string Tables = """
        CREATE TABLE runs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            started_ms INTEGER NOT NULL,
            checkpointed_ms INTEGER,
            model_version INTEGER NOT NULL,
            seed INTEGER NOT NULL,
            stall_retries INTEGER NOT NULL,
            fleet TEXT NOT NULL,
            part TEXT NOT NULL,
            checksum INTEGER NOT NULL DEFAULT 0);
        CREATE TABLE commits (
            database INTEGER PRIMARY KEY,
            number INTEGER NOT NULL);
        CREATE TABLE checkpoints (
            run_id INTEGER NOT NULL REFERENCES runs (id),
            cohort TEXT NOT NULL,
            first_vm INTEGER NOT NULL,
            start_tick INTEGER NOT NULL,
            tick INTEGER NOT NULL,
            state BLOB NOT NULL,
            checksum INTEGER NOT NULL,
            PRIMARY KEY (run_id, cohort, first_vm, start_tick, tick));
        CREATE TABLE interventions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            run_id INTEGER NOT NULL REFERENCES runs (id),
            cohort TEXT NOT NULL,
            kind TEXT NOT NULL,
            tick INTEGER NOT NULL,
            vm INTEGER,
            kernel TEXT,
            invalidate_seq INTEGER NOT NULL,
            vms INTEGER NOT NULL,
            added TEXT,
            requested_ms INTEGER NOT NULL,
            requested_by TEXT,
            checksum INTEGER NOT NULL DEFAULT 0);
        CREATE INDEX interventions_by_cohort ON interventions (run_id, cohort, tick);
        CREATE TABLE incidents (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            run_id INTEGER NOT NULL REFERENCES runs (id),
            cohort TEXT NOT NULL,
            vm INTEGER NOT NULL,
            vcpu INTEGER,
            tick INTEGER,
            elapsed_ms INTEGER,
            kind TEXT NOT NULL,
            page INTEGER,
            invalidate_seq INTEGER,
            invalidate_seq_max INTEGER,
            snapshot INTEGER,
            first_seen_ms INTEGER NOT NULL,
            recovered_tick INTEGER,
            recovered_elapsed_ms INTEGER,
            recovered_ms INTEGER,
            recovered_by TEXT,
            life INTEGER,
            life_tick INTEGER,
            origin_tick INTEGER,
            origin BLOB,
            checksum INTEGER NOT NULL DEFAULT 0,
            CHECK ((tick IS NULL) <> (elapsed_ms IS NULL)));
        CREATE UNIQUE INDEX incidents_by_place ON incidents (run_id, cohort, vm, coalesce(vcpu, -1), coalesce(tick, elapsed_ms), kind);
        CREATE INDEX incidents_open ON incidents (run_id, cohort, vm, coalesce(vcpu, -1)) WHERE recovered_ms IS NULL;
        CREATE TABLE crossings (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            run_id INTEGER NOT NULL REFERENCES runs (id),
            cohort TEXT NOT NULL,
            vm INTEGER NOT NULL,
            tick INTEGER,
            elapsed_ms INTEGER,
            boundary TEXT NOT NULL,
            in_flight INTEGER NOT NULL,
            seen_ms INTEGER NOT NULL,
            checksum INTEGER NOT NULL DEFAULT 0,
            CHECK ((tick IS NULL) <> (elapsed_ms IS NULL)));
        CREATE UNIQUE INDEX crossings_by_place ON crossings (run_id, cohort, vm, coalesce(tick, elapsed_ms), boundary);
        """;

    /// <summary>
    /// Creates the tables in an empty database. In one transaction, in the file itself: its header is complete before it has a
    /// log.
    /// </summary>
    /// <param name="connection">The database.</param>
    /// <param name="database">The number by which it is known to its mark.</param>
    public static void Create(DatabaseConnection connection, long database)
    {
        using SqliteTransaction transaction = connection.Begin();
        connection.Execute($"PRAGMA application_id = {ApplicationId}; PRAGMA user_version = {Version}; {Tables}");
        connection.Execute("INSERT INTO commits VALUES ($database, 0)", ("$database", database));
        transaction.Commit();
    }

    /// <summary>
    /// Throws unless a database that is not empty is one of this schema. Writes nothing, takes no lock, and reads the header
    /// alone.
    /// </summary>
    /// <param name="path">The database.</param>
    /// <param name="lock">The open file, where the caller has its lock.</param>
    /// <exception cref="ConfigurationException">It is another one; the message says which.</exception>
    /// <exception cref="SqliteException">It cannot be read.</exception>
    public static void Check(string path, SafeFileHandle? @lock = null)
    {
        (long id, long version) = ReadHeader(path, @lock);
        if (id != ApplicationId)
        {
            throw Refusal(
                path,
                $"is not a SoakHost database, or one from before the first release (application_id 0x{id:x8})",
                "Move it away");
        }

        if (version > Version)
            throw Refusal(
                path,
                $"is from a newer version of SoakHost: it has schema {version}, and this version reads {Version}",
                "Run that version");
        if (version < Version)
            throw Refusal(
                path,
                $"is from an older version of SoakHost: it has schema {version}, and this version reads {Version}",
                "Move it away");
    }

    private static (long ApplicationId, long Version) ReadHeader(string path, SafeFileHandle? @lock)
    {
        if (new FileInfo(path).Length < PageBytesMin)
            throw NoDatabase(path);
        try
        {
            // "immutable" has SQLite read the file as it is: without a lock, without its log, and without a file beside it.
            return ReadNumbers($"{new Uri(Path.GetFullPath(path)).AbsoluteUri}?immutable=1");
        }
        catch (SqliteException exception) when (exception.SqliteErrorCode == SqliteCodes.NotADatabase)
        {
            throw NoDatabase(path);
        }
        catch (SqliteException exception) when (exception.SqliteErrorCode == SqliteCodes.Corrupt)
        {
            // The pages of a log are being written into the file, the header among the first. With its log it is whole.
            try
            {
                return ReadNumbers(path);
            }
            catch (SqliteException interrupted)
                when (interrupted.SqliteExtendedErrorCode == SqliteCodes.ReadOnlyRollback && @lock is not null)
            {
                return ReadBytes(@lock);
            }
        }
    }

    /// <summary>
    /// Of a database that an interrupted write left: SQLite would undo the write first, also in somebody else's. The header is
    /// written before any other page. It is read through the open lock: to close another handle of the file would give up
    /// SQLite's locks on it.
    /// </summary>
    private static (long ApplicationId, long Version) ReadBytes(SafeFileHandle file)
    {
        Span<byte> header = stackalloc byte[PageBytesMin];
        int bytes = RandomAccess.Read(file, header, fileOffset: 0);
        header[bytes..].Clear();
        return (BinaryPrimitives.ReadUInt32BigEndian(header[ApplicationIdAt..]),
            BinaryPrimitives.ReadUInt32BigEndian(header[VersionAt..]));
    }

    private static (long ApplicationId, long Version) ReadNumbers(string path)
    {
        using DatabaseConnection connection = DatabaseConnection.Open(path, SqliteOpenMode.ReadOnly);
        return ((long)connection.Scalar("PRAGMA application_id")!, (long)connection.Scalar("PRAGMA user_version")!);
    }

    private static ConfigurationException NoDatabase(string path) => Refusal(path, "is not a database", "Move it away");

    private static ConfigurationException Refusal(string path, string what, string remedy) =>
        new($"{path} {what}. {remedy}, or use a Soak:DataDirectory of its own for this service; nothing was changed");
}
