using System.Buffers.Binary;
using System.Security.Cryptography;
using Microsoft.Data.Sqlite;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;

namespace SoakHost.Storage;

/// <summary>The data directory cannot be written to now. It may be later: its disk is full, say, or not mounted.</summary>
internal class StorageUnavailableException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// A commit failed, and what it would have written may be found after a restart, unless a later commit succeeds before.
/// </summary>
internal sealed class CommitUndecidedException(string message, Exception inner) : StorageUnavailableException(message, inner);

/// <summary>
/// The database of a data directory: opens and locks it, and has a table for each kind of record. One process at a time may open
/// it for writing, and one thread at a time may use it; any number of others may read it at the same time.
/// </summary>
/// <remarks>
/// Write-ahead log with <c>synchronous=NORMAL</c>: a killed process loses nothing that was committed. A machine that loses power
/// may lose the last transactions, and keeps an intact database as it was some seconds before. Whoever resumes from the
/// checkpoint in it finds all that those transactions held again, except for interventions, which nobody would repeat: they are
/// committed with <c>FULL</c>.
/// </remarks>
internal sealed class SoakDatabase : IDisposable
{
    public const string FileName = "soakhost.db";

    // The lock is on the database itself, since another file could be removed under it. On Windows SQLite could not open it then,
    // and nobody can remove a file that is open.
    private static readonly string LockName = OperatingSystem.IsWindows() ? "soakhost.lock" : FileName;

    // What SQLite writes to: commits to a file that is no longer here are lost with this process.
    private static readonly string[] FileNames = [FileName, $"{FileName}-wal", $"{FileName}-shm"];
    private const int RunsWithCheckpoints = 2;
    private const int RunsMax = 100;

    private readonly DatabaseConnection _connection;
    private readonly FileStream? _lock;
    private readonly CommitMark? _mark;
    private readonly string _directory;
    private readonly TimeProvider _time;
    private readonly Action<TimeSpan>? _committed;
    private IReadOnlyList<(string Path, FileIdentity? Identity)> _files = [];

    private SoakDatabase(
        string directory,
        DatabaseConnection connection,
        FileStream? @lock,
        CommitMark? mark,
        TimeProvider? time = null,
        Action<TimeSpan>? committed = null)
    {
        (_directory, _time, _committed) = (directory, time ?? TimeProvider.System, committed);
        (_connection, _lock, _mark) = (connection, @lock, mark);
        (Runs, Checkpoints, Interventions) = (new(connection), new(connection), new(connection));
        (Incidents, Crossings) = (new(connection), new(connection));
    }

    /// <summary>Runs, each with its identity.</summary>
    public RunTable Runs { get; }

    /// <summary>States of shards.</summary>
    public CheckpointTable Checkpoints { get; }

    /// <summary>Interventions, in the order in which they were recorded.</summary>
    public InterventionTable Interventions { get; }

    /// <summary>Hangs, unsafe installs and accounting errors.</summary>
    public IncidentTable Incidents { get; }

    /// <summary>Crossings of boundaries.</summary>
    public CrossingTable Crossings { get; }

    /// <summary>
    /// Commits that were made, and were not there any more when the database was opened for writing; null where that is not
    /// known.
    /// </summary>
    public long? CommitsLost { get; private init; } = 0;

    /// <summary>The number that the database was given when it was created; copies have the same.</summary>
    public long Id { get; private init; }

    /// <summary>
    /// The most interventions of a run, which needs all of them; and of all runs before it together: the oldest runs go.
    /// </summary>
    public int InterventionsMax { get; set; } = 100_000;

    /// <summary>
    /// The longest write-ahead log, in bytes, give or take a transaction. It grows while another process reads, since what it
    /// may read must stay.
    /// </summary>
    public long LogBytesMax { get; set; } = 256 << 20;

    /// <summary>Whether a directory has a database; an empty file, as a full disk leaves it, is none.</summary>
    public static bool IsIn(string directory) => new FileInfo(Path.Combine(directory, FileName)) is { Exists: true, Length: > 0 };

    /// <summary>Opens the database for writing, and creates it where there is none.</summary>
    /// <param name="directory">The data directory.</param>
    /// <param name="time">The clock that commits are timed with.</param>
    /// <param name="committed">Called after each commit, also one that failed, with the time that it took.</param>
    /// <exception cref="ConfigurationException">
    /// It is damaged, another program's, of another version, or in use; nothing was changed.
    /// </exception>
    /// <exception cref="StorageUnavailableException">The directory cannot be written to.</exception>
    public static SoakDatabase Open(string directory, TimeProvider? time = null, Action<TimeSpan>? committed = null)
    {
        string path = Path.Combine(directory, FileName);
        FileStream? @lock = null;
        CommitMark? mark = null;
        DatabaseConnection? connection = null;
        try
        {
            Directory.CreateDirectory(directory);
            @lock = TakeLock(directory);
            bool isNew = !IsIn(directory);
            if (!isNew)
                Schema.Check(path, LockName == FileName ? @lock.SafeFileHandle : null);
            connection = DatabaseConnection.Open(path, SqliteOpenMode.ReadWriteCreate);

            // A creation that was interrupted is rolled back by the first read, and then there is nothing.
            isNew = isNew || (long)connection.Scalar("SELECT count(*) FROM sqlite_schema")! == 0;
            if (isNew)
                Create(connection, mark = CommitMark.Open(directory));
            else if (connection.Scalar("PRAGMA quick_check(1)") is string answer and not "ok")
                throw Damaged(path, answer);

            // A log that was once large is cut back, so that the disk it took is free again.
            connection.Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=67108864; PRAGMA "
                + "foreign_keys=ON");
            mark ??= CommitMark.Open(directory);
            (long database, long commits) = Commits(connection);
            long? lost = isNew ? 0 : mark.MissingFrom(database, commits);
            mark.Write(database, commits);
            return new SoakDatabase(directory, connection, @lock, mark, time, committed)
            {
                CommitsLost = lost,
                Id = database,
                _files =
                [
                    .. FileNames.Select(name => Path.Combine(directory, name)).Select(file => (file, FileIdentity.Of(file))),
                ],
            };
        }
        catch (Exception exception)
        {
            connection?.Dispose();
            mark?.Dispose();
            @lock?.Dispose();
            if (exception is SqliteException { SqliteErrorCode: SqliteCodes.Corrupt or SqliteCodes.NotADatabase } damage)
                throw Damaged(path, damage.Message);
            if (exception is IOException or UnauthorizedAccessException or SqliteException)
                throw new StorageUnavailableException($"{Path.GetFullPath(directory)} cannot be written to: "
                    + exception.Message.TrimEnd('.'), exception);
            throw;
        }
    }

    /// <summary>
    /// Opens the database for reading, or returns null where there is none. What is then read throws as this does.
    /// </summary>
    /// <exception cref="ConfigurationException">
    /// It is damaged, another program's or of another version, or cannot be read.
    /// </exception>
    public static SoakDatabase? OpenForReading(string directory)
    {
        string path = Path.Combine(directory, FileName);
        if (!IsIn(directory))
            return null;
        try
        {
            Schema.Check(path);
            return new SoakDatabase(directory, DatabaseConnection.Open(path, SqliteOpenMode.ReadOnly), @lock: null, mark: null);
        }
        catch (SqliteException exception)
        {
            throw new ConfigurationException($"{path} cannot be read: {SqliteCodes.Explain(exception)}");
        }
    }

    /// <summary>
    /// Why what is written now would be lost: a file that is open is not the one in the directory. Null where all are there.
    /// </summary>
    public string? WhyGone()
    {
        foreach ((string path, FileIdentity? identity) in _files)
        {
            FileIdentity? now = FileIdentity.Of(path);
            if (now is null)
                return $"{Path.GetFullPath(path)} was removed or moved while the service was using it";
            if (now != identity)
                return $"{Path.GetFullPath(path)} was replaced by another file while the service was using it";
        }

        return null;
    }

    /// <summary>
    /// Why nothing can be written: the directory or a file is read-only now, though what is open may still take writes. Null
    /// where all can be written to.
    /// </summary>
    public string? WhyReadOnly() =>
        _files.Select(file => file.Path).Prepend(_directory).Select(WriteAccess.WhyNot).FirstOrDefault(why => why is not null);

    /// <summary>
    /// Writes a database whose files are gone anew, from the files that are still open, and closes it. Another file that took its
    /// place is left as it is.
    /// </summary>
    /// <exception cref="StorageUnavailableException">
    /// It cannot be written. This is still open, and it can be tried again.
    /// </exception>
    public void Rescue()
    {
        string path = Path.Combine(_directory, FileName);
        string copy = $"{path}.rescue";
        try
        {
            if (FileIdentity.Of(path) is { } other && other != _files[0].Identity)
                throw new StorageUnavailableException($"{WhyGone()}. Nothing is written over it: move it away, and the run is "
                    + "written anew");
            Directory.CreateDirectory(_directory);
            File.Delete(copy);
            _connection.BackUp(copy);

            // They belong to the file that is gone: with them the new one would be damaged.
            foreach (string name in FileNames.Skip(1))
                File.Delete(Path.Combine(_directory, name));
            File.Move(copy, path, overwrite: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or SqliteException)
        {
            throw new StorageUnavailableException($"{WhyGone()}, and the run cannot be written anew: "
                + $"{exception.Message}", exception);
        }

        Dispose();
    }

    /// <summary>
    /// Starts a run. Checkpoints of all runs but the last two are removed, and the oldest runs as a whole.
    /// </summary>
    /// <returns>The run's number.</returns>
    public long AddRun(RunIdentity identity, DateTimeOffset now)
    {
        return Commit(() =>
        {
            long id = Runs.Add(identity, now);
            Checkpoints.RemoveRunsUpTo(id - RunsWithCheckpoints);
            Runs.Prune(RunsMax, InterventionsMax);
            return id;
        });
    }

    /// <summary>Records an intervention; when this returns, it is on the disk.</summary>
    /// <exception cref="InterventionConflictException">The run has as many as it may have.</exception>
    public InterventionRecord AddIntervention(
        long runId, string cohort, ShardIntervention intervention, DateTimeOffset now, Requester? by = null)
    {
        if (Interventions.Count(runId) >= InterventionsMax)
        {
            throw new InterventionConflictException(
                $"the run has {InterventionsMax:N0} interventions, the most that one run may have");
        }

        _connection.Execute("PRAGMA synchronous=FULL");
        try
        {
            return Commit(() => Interventions.Add(runId, cohort, intervention, now, by));
        }
        finally
        {
            _connection.Execute("PRAGMA synchronous=NORMAL");
        }
    }

    /// <summary>Removes checkpoints that cannot be read.</summary>
    public void RemoveCheckpoints(long runId, IReadOnlyCollection<CheckpointRecord> damaged)
    {
        if (damaged.Count == 0)
            return;
        Commit(() =>
        {
            foreach (CheckpointRecord checkpoint in damaged)
                Checkpoints.Remove(runId, checkpoint);
            return damaged.Count;
        });
    }

    /// <summary>Copies all that is committed into a new file; others may write meanwhile.</summary>
    /// <returns>The file's length in bytes.</returns>
    /// <exception cref="ConfigurationException">The file exists, or cannot be written.</exception>
    public long BackUp(string path)
    {
        if (Path.Exists(path))
            throw new ConfigurationException($"{path} exists already; nothing was changed");
        try
        {
            _connection.BackUp(path);
            return new FileInfo(path).Length;
        }
        catch (SqliteException exception)
        {
            File.Delete(path);
            throw new ConfigurationException($"{path} cannot be written: {exception.Message}");
        }
    }

    /// <summary>What is wrong with the pages of the database, in SQLite's words.</summary>
    public IEnumerable<string> DamagedPages() =>
        _connection.Query("PRAGMA integrity_check", row => row.GetString(0)).Where(answer => answer != "ok");

    /// <summary>How many records there are.</summary>
    public long Records() => StoredTable.All.Sum(table => (long)_connection.Scalar($"SELECT count(*) FROM {table.Name}")!);

    /// <summary>Every record that is refused, as a sentence that names it. Reads the whole database.</summary>
    public IEnumerable<string> Refusals() =>
    [
        .. Refused(StoredTable.Runs, RunTable.Read),
        .. Refused(StoredTable.Interventions, InterventionTable.Read),
        .. Refused(StoredTable.Incidents, row => IncidentTable.Read(row, _ => null)),
        .. Refused(StoredTable.Crossings, CrossingTable.Read),
        .. Refused(StoredTable.Checkpoints, row => row.GetString(3)),
    ];

    /// <summary>
    /// Writes checkpoints, and all findings before them, in one transaction: whoever resumes from a checkpoint finds what came
    /// after it again, and nothing else.
    /// </summary>
    /// <param name="runId">The run.</param>
    /// <param name="checkpoints">The checkpoints. The last two of each shard are kept.</param>
    /// <param name="findings">The findings, with their cohorts.</param>
    /// <param name="incidentsMax">How many incidents, and how many crossings, are kept.</param>
    /// <param name="now">The time.</param>
    public void AddCheckpoints(
        long runId,
        IReadOnlyCollection<ShardCheckpoint> checkpoints,
        IReadOnlyCollection<(string Cohort, Finding Finding)> findings,
        int incidentsMax,
        DateTimeOffset now)
    {
        Commit(() =>
        {
            Write(runId, checkpoints, findings, incidentsMax, now);
            return checkpoints.Count;
        });
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _connection.Dispose();
        _mark?.Dispose();
        _lock?.Dispose();
    }

    private void Write(
        long runId,
        IReadOnlyCollection<ShardCheckpoint> checkpoints,
        IReadOnlyCollection<(string Cohort, Finding Finding)> findings,
        int incidentsMax,
        DateTimeOffset now)
    {
        foreach ((string cohort, Finding finding) in findings)
        {
            if (finding.Kind is FindingKind.BoundaryCrossed or FindingKind.BoundaryCrossedIdle)
                Crossings.Add(runId, cohort, finding, now);
            else
                Incidents.Record(runId, cohort, finding, now);
        }

        Checkpoints.Add(runId, checkpoints);
        Runs.SetCheckpointed(runId, now);
        if (findings.Count > 0)
        {
            Incidents.Prune(incidentsMax);
            Crossings.Prune(incidentsMax);
        }
    }

    /// <summary>The one way in which anything is written: all of it, or nothing.</summary>
    private T Commit<T>(Func<T> write)
    {
        if ((WhyGone() ?? WhyReadOnly()) is { } why)
            throw new StorageUnavailableException(why);
        BoundLog();
        long began = _time.GetTimestamp();
        try
        {
            return CommitOrUndo(write);
        }
        finally
        {
            _committed?.Invoke(_time.GetElapsedTime(began));
        }
    }

    /// <summary>
    /// Has SQLite clear a long log. It does so by itself after most commits, unless somebody reads; then a long one must wait.
    /// </summary>
    private void BoundLog()
    {
        if (LogBytes() <= LogBytesMax / 2)
            return;
        _connection.Execute("PRAGMA wal_checkpoint(TRUNCATE)");
        if (LogBytes() > LogBytesMax)
        {
            throw new StorageUnavailableException(
                $"{LogPath} has {LogBytes():N0} bytes, allowed are {LogBytesMax:N0}: another process has been reading the "
                    + "database for long. Nothing is written until it ends");
        }
    }

    private string LogPath => Path.GetFullPath(Path.Combine(_directory, FileNames[1]));

    private long LogBytes() => new FileInfo(LogPath) is { Exists: true } log ? log.Length : 0;

    private T CommitOrUndo<T>(Func<T> write)
    {
        bool isWritten = false;
        try
        {
            return CommitOnce(() =>
            {
                T result = write();
                isWritten = true;
                return result;
            });
        }
        catch (SqliteException failure) when (isWritten)
        {
            // The log may have the whole transaction, all but its sync: whoever reads the log after a kill would find it
            // committed. Another commit, however small, takes its place there.
            try
            {
                CommitOnce(() => isWritten);
            }
            catch (SqliteException)
            {
                throw new CommitUndecidedException($"{_connection.Path} cannot be written to: {failure.Message}", failure);
            }

            throw;
        }
    }

    private T CommitOnce<T>(Func<T> write)
    {
        using SqliteTransaction transaction = _connection.Begin();
        T result = write();
        _connection.Execute("UPDATE commits SET number = number + 1");
        (long database, long commits) = Commits(_connection);
        transaction.Commit();
        _mark?.Write(database, commits);
        return result;
    }

    /// <summary>
    /// Creates the database, and its mark before: a database without one would look as if commits were missing, also if this is
    /// interrupted in between.
    /// </summary>
    private static void Create(DatabaseConnection connection, CommitMark mark)
    {
        long database = BinaryPrimitives.ReadInt64LittleEndian(RandomNumberGenerator.GetBytes(sizeof(long)));
        mark.Write(database, 0);
        Schema.Create(connection, database);
    }

    private static (long Database, long Number) Commits(DatabaseConnection connection) =>
        connection.Query("SELECT database, number FROM commits", row => (row.GetInt64(0), row.GetInt64(1))).First();

    private IEnumerable<string> Refused<T>(StoredTable table, Func<SqliteDataReader, T> read)
        where T : class => _connection.Query(table, $"ORDER BY "
            + $"{table.Key}", read).Where(stored => stored.Record is null).Select(stored => stored.Refusal);

    private static FileStream TakeLock(string directory)
    {
        try
        {
            // The operating system releases it with the process, however that ends.
            return new FileStream(
                Path.Combine(directory, LockName),
                FileMode.OpenOrCreate,
                FileAccess.ReadWrite,
                FileShare.None,
                bufferSize: 0);
        }
        catch (IOException exception) when (exception.HResult is 11 or 35 or unchecked((int)0x80070020))
        {
            throw new ConfigurationException(
                $"another process uses {Path.GetFullPath(directory)}; stop it, or use a Soak:DataDirectory of its own for this "
                    + "one");
        }
    }

    private static ConfigurationException Damaged(string path, string how) => new(
        $"{path} is damaged: {how.ReplaceLineEndings(" ")}. Move it away to start anew, or restore it from a copy; nothing was "
            + "changed");
}
