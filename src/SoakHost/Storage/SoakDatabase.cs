using SoakHost.Engine.Cohorts;
using Microsoft.Data.Sqlite;
using SoakHost.Configuration;
using SoakHost.Engine.Fleets;

namespace SoakHost.Storage;

/// <summary>The data directory cannot be written to now. It may be later: its disk is full, say, or not mounted.</summary>
internal sealed class StorageUnavailableException(string message, Exception? inner = null) : Exception(message, inner);

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
    private const string LockName = "soakhost.lock";
    private const int RunsWithCheckpoints = 2;

    private readonly DatabaseConnection _connection;
    private readonly FileStream? _lock;

    private SoakDatabase(DatabaseConnection connection, FileStream? @lock)
    {
        (_connection, _lock) = (connection, @lock);
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

    /// <summary>Whether a directory has a database; an empty file, as a full disk leaves it, is none.</summary>
    public static bool IsIn(string directory) => new FileInfo(Path.Combine(directory, FileName)) is { Exists: true, Length: > 0 };

    /// <summary>Opens the database for writing, and creates it where there is none.</summary>
    /// <exception cref="ConfigurationException">
    /// It is damaged, another program's, of another version, or in use; nothing was changed.
    /// </exception>
    /// <exception cref="StorageUnavailableException">The directory cannot be written to.</exception>
    public static SoakDatabase Open(string directory)
    {
        string path = Path.Combine(directory, FileName);
        FileStream? @lock = null;
        DatabaseConnection? connection = null;
        try
        {
            Directory.CreateDirectory(directory);
            @lock = TakeLock(directory);
            bool isNew = !IsIn(directory);
            if (!isNew)
                Schema.Check(path);
            connection = DatabaseConnection.Open(path, SqliteOpenMode.ReadWriteCreate);
            if (isNew)
                Schema.Create(connection);
            else if (connection.Scalar("PRAGMA quick_check(1)") is string answer and not "ok")
                throw Damaged(path, answer);

            // A log that was once large is cut back, so that the disk it took is free again.
            connection.Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=67108864; PRAGMA "
                + "foreign_keys=ON");
            return new SoakDatabase(connection, @lock);
        }
        catch (Exception exception)
        {
            connection?.Dispose();
            @lock?.Dispose();
            if (exception is SqliteException { SqliteErrorCode: SqliteCodes.Corrupt or SqliteCodes.NotADatabase } damage)
                throw Damaged(path, damage.Message);
            if (exception is IOException or UnauthorizedAccessException or SqliteException)
                throw new StorageUnavailableException($"{Path.GetFullPath(directory)} cannot be written to: "
                    + $"{exception.Message}", exception);
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
            return new SoakDatabase(DatabaseConnection.Open(path, SqliteOpenMode.ReadOnly), @lock: null);
        }
        catch (SqliteException exception)
        {
            throw new ConfigurationException($"{path} cannot be read: {exception.Message}");
        }
    }

    /// <summary>Starts a run. Checkpoints of all runs but the last two are removed.</summary>
    /// <returns>The run's number.</returns>
    public long AddRun(RunIdentity identity, DateTimeOffset now)
    {
        using SqliteTransaction transaction = _connection.Begin();
        long id = Runs.Add(identity, now);
        Checkpoints.RemoveRunsUpTo(id - RunsWithCheckpoints);
        transaction.Commit();
        return id;
    }

    /// <summary>
    /// Writes checkpoints, and all findings before them, in one transaction: whoever resumes from a checkpoint finds what came
    /// after it again, and nothing else.
    /// </summary>
    /// <param name="runId">The run.</param>
    /// <param name="checkpoints">The checkpoints; of each shard, those before the last two are removed.</param>
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
        using SqliteTransaction transaction = _connection.Begin();
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

        transaction.Commit();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _connection.Dispose();
        _lock?.Dispose();
    }

    private static FileStream TakeLock(string directory)
    {
        try
        {
            // The operating system releases it with the process, however that ends.
            return new FileStream(Path.Combine(directory, LockName), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
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
