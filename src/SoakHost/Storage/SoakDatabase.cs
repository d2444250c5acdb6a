using Microsoft.Data.Sqlite;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Storage;

/// <summary>The data directory cannot be written to now. It may be later: its disk is full, say, or not mounted.</summary>
internal sealed class StorageUnavailableException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// The database of a data directory: all the SQL there is. One process at a time may open it for writing, and one thread at a time may use it;
/// any number of others may read it meanwhile.
/// </summary>
/// <remarks>
/// Write-ahead log with <c>synchronous=NORMAL</c>: a killed process loses nothing that was committed, and a machine that loses power may lose
/// the last transactions but is left with an intact database as it was some seconds before. All that these transactions held is found
/// again by resuming from the checkpoint before them. All but interventions, which nobody would repeat: they are committed with <c>FULL</c>.
/// </remarks>
internal sealed class SoakDatabase : IDisposable
{
    public const string FileName = "soakhost.db";
    private const string LockName = "soakhost.lock";
    private const int CheckpointsPerShard = 2;
    private const int RunsWithCheckpoints = 2;

    // Which shard, with the parameters of Key.
    private const string OfShard = "run_id = $run AND cohort = $cohort AND first_vm = $vm AND start_tick = $start_tick";

    // An incident of a vCPU that did not get on since, as far as its run went.
    private const string IsHung = "kind = 'VcpuHung' AND recovered_ms IS NULL";

    // The place and time of a finding, with the parameters of Place. Times of one cohort are all ticks or all milliseconds.
    private const string AtPlace = "run_id = $run AND cohort = $cohort AND vm = $vm AND coalesce(vcpu, -1) = $vcpu";
    private const string At = "coalesce(tick, elapsed_ms)";

    private readonly SqliteConnection _connection;
    private readonly FileStream? _lock;

    private SoakDatabase(SqliteConnection connection, FileStream? @lock) => (_connection, _lock) = (connection, @lock);

    /// <summary>Whether a directory has one; an empty file, as a full disk leaves it, is none.</summary>
    public static bool IsIn(string directory) => new FileInfo(Path.Combine(directory, FileName)) is { Exists: true, Length: > 0 };

    /// <summary>Opens the database for writing, and makes it, or brings it up to date, where that is needed.</summary>
    /// <exception cref="ConfigurationException">It is damaged, from a newer version, or in use; it was not touched.</exception>
    /// <exception cref="StorageUnavailableException">The directory cannot be written to.</exception>
    public static SoakDatabase Open(string directory)
    {
        string path = Path.Combine(directory, FileName);
        FileStream? @lock = null;
        SqliteConnection? connection = null;
        try
        {
            Directory.CreateDirectory(directory);
            @lock = TakeLock(directory);
            connection = Connect(path, SqliteOpenMode.ReadWriteCreate);
            Check(connection, path);

            // A log that was once large is cut back, so that the disk it took is free again.
            Execute(connection, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=67108864; PRAGMA foreign_keys=ON");
            Schema.Migrate(connection);
            return new SoakDatabase(connection, @lock);
        }
        catch (Exception exception)
        {
            connection?.Dispose();
            @lock?.Dispose();
            if (exception is SqliteException { SqliteErrorCode: SqliteCodes.Corrupt or SqliteCodes.NotADatabase } damage)
                throw Damaged(path, damage.Message);
            if (exception is IOException or UnauthorizedAccessException or SqliteException)
                throw new StorageUnavailableException($"{Path.GetFullPath(directory)} cannot be written to: {exception.Message}", exception);
            throw;
        }
    }

    /// <summary>Opens the database for reading, or returns null where there is none. Whatever is then read throws as this does.</summary>
    /// <exception cref="ConfigurationException">It is damaged or from another version, or cannot be read.</exception>
    public static SoakDatabase? OpenForReading(string directory)
    {
        string path = Path.Combine(directory, FileName);
        if (!File.Exists(path))
            return null;
        SqliteConnection? connection = null;
        try
        {
            connection = Connect(path, SqliteOpenMode.ReadOnly);
            long version = Schema.Version(connection);
            if (version != Schema.Current)
                throw new ConfigurationException($"{path} has schema {version}; this version of SoakHost reads {Schema.Current}");
            return new SoakDatabase(connection, @lock: null);
        }
        catch (Exception exception)
        {
            connection?.Dispose();
            if (exception is SqliteException sqlite)
                throw Unreadable(path, sqlite);
            throw;
        }
    }

    /// <summary>The newest run, or null.</summary>
    public RunRecord? LatestRun() => Runs("ORDER BY id DESC LIMIT 1").FirstOrDefault();

    /// <summary>Starts a run. Checkpoints of runs that are long over go.</summary>
    public long AddRun(RunIdentity identity, DateTimeOffset now)
    {
        using SqliteTransaction transaction = _connection.BeginTransaction();
        long id = (long)Scalar(
            "INSERT INTO runs (started_ms, model_version, seed, stall_retries, fleet) VALUES ($now, $model, $seed, $retries, $fleet) RETURNING id",
            ("$now", now.ToUnixTimeMilliseconds()),
            ("$model", identity.ModelVersion),
            ("$seed", Signed(identity.Seed)),
            ("$retries", (long)identity.StallRetries),
            ("$fleet", identity.FleetJson()))!;
        Run("DELETE FROM checkpoints WHERE run_id <= $id", ("$id", id - RunsWithCheckpoints));
        transaction.Commit();
        return id;
    }

    /// <summary>A run's checkpoints, a shard after the other, the newest first.</summary>
    public IEnumerable<CheckpointRecord> Checkpoints(long runId) => Query(
        "SELECT cohort, first_vm, start_tick, tick, state FROM checkpoints WHERE run_id = $run ORDER BY cohort, first_vm, start_tick, tick DESC",
        row => new CheckpointRecord(
            new ShardKey(row.GetString(0), row.GetInt32(1), row.GetInt64(2)), row.GetInt64(3), row.GetFieldValue<byte[]>(4)),
        ("$run", runId));

    /// <summary>Removes a checkpoint that cannot be read.</summary>
    public void RemoveCheckpoint(long runId, CheckpointRecord checkpoint) => Run(
        $"DELETE FROM checkpoints WHERE {OfShard} AND tick = $tick", [.. Key(runId, checkpoint.Shard), ("$tick", checkpoint.Tick)]);

    /// <summary>A run's interventions, in the order in which they were recorded.</summary>
    /// <exception cref="ConfigurationException">One names a kernel that this program does not have.</exception>
    public IReadOnlyList<InterventionRecord> Interventions(long runId) => [.. Interventions("WHERE run_id = $run ORDER BY id", ("$run", runId))];

    /// <summary>Interventions of all runs, newest first.</summary>
    /// <param name="before">Those with a lower id than this one alone.</param>
    /// <param name="count">At most so many.</param>
    /// <param name="cohort">Those of this cohort alone, or null for all.</param>
    /// <exception cref="ConfigurationException">One names a kernel that this program does not have.</exception>
    public IReadOnlyList<InterventionRecord> Interventions(long before, int count, string? cohort = null) => [.. Interventions(
        "WHERE id < $before AND ($cohort IS NULL OR cohort = $cohort) ORDER BY id DESC LIMIT $count",
        ("$before", before), ("$count", count), ("$cohort", cohort))];

    private IEnumerable<InterventionRecord> Interventions(string where, params (string, object?)[] parameters) => Query(
        $"SELECT id, run_id, cohort, kind, tick, vm, kernel, invalidate_seq, vms, added, requested_ms FROM interventions {where}",
        row => new InterventionRecord(
            row.GetInt64(0),
            row.GetInt64(1),
            row.GetString(2),
            new ShardIntervention
            {
                Kind = InterventionNames.Parse(row.GetString(3)),
                Tick = row.GetInt64(4),
                Vm = row.IsDBNull(5) ? null : row.GetInt32(5),
                Kernel = row.IsDBNull(6) ? null : Kernel.Find(row.GetString(6)) ?? throw CohortIdentity.UnknownKernel(row.GetString(6)),
                InvalidateSeq = Unsigned(row.GetInt64(7)),
                Vms = row.GetInt32(8),
                Cohort = row.IsDBNull(9) ? null : AddedCohort.Read(row.GetString(9)),
            },
            Time(row.GetInt64(10))),
        parameters);

    /// <summary>Records an intervention; when this returns, it is on the disk.</summary>
    public long AddIntervention(long runId, string cohort, ShardIntervention intervention, DateTimeOffset now)
    {
        Execute(_connection, "PRAGMA synchronous=FULL");
        try
        {
            return (long)Scalar(
                "INSERT INTO interventions (run_id, cohort, kind, tick, vm, kernel, invalidate_seq, vms, added, requested_ms) "
                + "VALUES ($run, $cohort, $kind, $tick, $vm, $kernel, $seq, $vms, $added, $now) RETURNING id",
                ("$run", runId),
                ("$cohort", cohort),
                ("$kind", intervention.Kind.Name()),
                ("$tick", intervention.Tick),
                ("$vm", intervention.Vm),
                ("$kernel", intervention.Kernel?.Info.Name),
                ("$seq", Signed(intervention.InvalidateSeq)),
                ("$vms", intervention.Vms),
                ("$added", intervention.Cohort is { } added ? AddedCohort.Write(added) : null),
                ("$now", now.ToUnixTimeMilliseconds()))!;
        }
        finally
        {
            Execute(_connection, "PRAGMA synchronous=NORMAL");
        }
    }

    /// <summary>
    /// Writes checkpoints, and all that was found before them, in one transaction: whoever resumes from a checkpoint finds what came after
    /// it again, and nothing else.
    /// </summary>
    /// <param name="runId">The run.</param>
    /// <param name="checkpoints">The checkpoints; those before the last two of each shard go.</param>
    /// <param name="findings">What was found, by cohort.</param>
    /// <param name="incidentsMax">How many incidents, and how many crossings, are kept.</param>
    /// <param name="now">The time.</param>
    public void AddCheckpoints(
        long runId,
        IReadOnlyCollection<ShardCheckpoint> checkpoints,
        IReadOnlyCollection<(string Cohort, Finding Finding)> findings,
        int incidentsMax,
        DateTimeOffset now)
    {
        using SqliteTransaction transaction = _connection.BeginTransaction();
        foreach ((string cohort, Finding finding) in findings)
            Add(runId, cohort, finding, now);
        using SqliteCommand insert = Command(
            "INSERT OR REPLACE INTO checkpoints (run_id, cohort, first_vm, start_tick, tick, model_version, state) "
            + "VALUES ($run, $cohort, $vm, $start_tick, $tick, $model, $state)");
        using SqliteCommand prune = Command(
            $"DELETE FROM checkpoints WHERE {OfShard} AND tick < (SELECT min(tick) FROM (SELECT tick "
            + $"FROM checkpoints WHERE {OfShard} ORDER BY tick DESC LIMIT {CheckpointsPerShard}))");
        foreach (ShardCheckpoint checkpoint in checkpoints)
        {
            (string, object?)[] key = Key(runId, checkpoint.Shard);
            Bind(insert, [.. key, ("$tick", checkpoint.Tick), ("$model", Model.ModelVersion.Current), ("$state", checkpoint.State)]);
            insert.ExecuteNonQuery();
            Bind(prune, key);
            prune.ExecuteNonQuery();
        }

        Run("UPDATE runs SET checkpointed_ms = $now WHERE id = $run", ("$now", now.ToUnixTimeMilliseconds()), ("$run", runId));
        if (findings.Count > 0)
        {
            Run("DELETE FROM incidents WHERE number <= (SELECT number FROM incidents ORDER BY number DESC LIMIT 1 OFFSET $max)", ("$max", incidentsMax));
            Run("DELETE FROM crossings WHERE number <= (SELECT number FROM crossings ORDER BY number DESC LIMIT 1 OFFSET $max)", ("$max", incidentsMax));
        }

        transaction.Commit();
    }

    /// <summary>Incidents, newest first.</summary>
    /// <param name="before">Those with a lower number than this one alone.</param>
    /// <param name="count">At most so many.</param>
    /// <param name="cohort">Those of this cohort alone, or null for all.</param>
    public IReadOnlyList<IncidentRecord> Incidents(long before, int count, string? cohort = null) => Incidents(before, count, new IncidentFilter { Cohort = cohort });

    /// <summary>Incidents, newest first.</summary>
    /// <param name="before">Those with a lower number than this one alone.</param>
    /// <param name="count">At most so many.</param>
    /// <param name="filter">Which ones.</param>
    public IReadOnlyList<IncidentRecord> Incidents(long before, int count, IncidentFilter filter) => [.. Query(
        "SELECT number, run_id, kind, cohort, vm, vcpu, tick, elapsed_ms, page, invalidate_seq, invalidate_seq_max, snapshot, first_seen_ms, "
        + "coalesce(recovered_ms, CASE WHEN kind = 'VcpuHung' THEN checkpointed_ms END, first_seen_ms), recovered_tick, recovered_elapsed_ms, recovered_ms, recovered_by "
        + $"FROM incidents JOIN runs ON runs.id = run_id WHERE number < $before{Where(filter)} ORDER BY number DESC LIMIT $count",
        row => new IncidentRecord(
            row.GetInt64(0),
            row.GetInt64(1),
            new IncidentId(
                Enum.Parse<FindingKind>(row.GetString(2)), row.GetString(3), row.GetInt32(4), row.IsDBNull(5) ? null : row.GetInt32(5),
                FindingTimeAt(row, 6)),
            row.IsDBNull(8) ? null : row.GetInt32(8),
            row.IsDBNull(9) ? null : new CounterRange(Unsigned(row.GetInt64(9)), Unsigned(row.GetInt64(10))),
            row.IsDBNull(11) ? null : Unsigned(row.GetInt64(11)),
            Time(row.GetInt64(12)),
            Time(row.GetInt64(13)),
            row.IsDBNull(16) ? null : new IncidentRecovery(FindingTimeAt(row, 14), Time(row.GetInt64(16)), row.GetString(17))),
        ("$before", before), ("$count", count), ("$cohort", filter.Cohort), ("$run", filter.Run), ("$vm", filter.Vm), ("$vms", filter.Vms), ("$vcpu", filter.Vcpu))];

    /// <summary>The run that has an incident of this id, the newest where none is named; or null.</summary>
    public RunRecord? RunOf(IncidentId id, long? run = null) => Runs(
        "WHERE id = (SELECT max(run_id) FROM incidents WHERE cohort = $cohort AND vm = $vm AND vcpu IS $vcpu AND tick IS $tick "
        + "AND elapsed_ms IS $elapsed AND kind = $kind AND ($run IS NULL OR run_id = $run))",
        ("$cohort", id.Cohort), ("$vm", id.Vm), ("$vcpu", id.Vcpu), ("$tick", id.Time.Tick), ("$elapsed", Milliseconds(id.Time)),
        ("$kind", id.Kind.ToString()), ("$run", run)).FirstOrDefault();

    /// <inheritdoc/>
    public void Dispose()
    {
        _connection.Dispose();
        _lock?.Dispose();
    }

    /// <summary>What the filter asks for, and no more: with the run and the cohort given, the index finds the VMs.</summary>
    private static string Where(IncidentFilter filter) =>
        (filter.Cohort is null ? "" : " AND cohort = $cohort")
        + (filter.Run is null ? "" : " AND run_id = $run")
        + (filter.Vm is null ? "" : " AND vm >= $vm AND vm < $vm + $vms")
        + (filter.Vcpu is null ? "" : " AND vcpu = $vcpu")
        + filter.IsHung switch { null => "", true => $" AND {IsHung}", false => $" AND NOT ({IsHung})" };

    private void Add(long runId, string cohort, Finding finding, DateTimeOffset now)
    {
        (string, object?)[] place = Place(runId, cohort, finding);
        switch (finding.Kind)
        {
            case FindingKind.BoundaryCrossed or FindingKind.BoundaryCrossedIdle:
                Run(
                    "INSERT OR IGNORE INTO crossings (run_id, cohort, vm, tick, elapsed_ms, boundary, in_flight, seen_ms) "
                    + "VALUES ($run, $cohort, $vm, $tick, $elapsed, $boundary, $flight, $now)",
                    [.. place, ("$boundary", finding.Boundary!.Value.Name), ("$flight", finding.Kind == FindingKind.BoundaryCrossed),
                        ("$now", now.ToUnixTimeMilliseconds())]);
                break;
            case FindingKind.VcpuRecovered or FindingKind.VcpuRemoved:
                Recover(finding, place, now);
                break;
            case FindingKind kind when IncidentId.IsIncident(kind):
                Run(
                    "INSERT OR IGNORE INTO incidents (run_id, cohort, vm, vcpu, tick, elapsed_ms, kind, page, invalidate_seq, invalidate_seq_max, "
                    + "snapshot, first_seen_ms) "
                    + "VALUES ($run, $cohort, $vm, nullif($vcpu, -1), $tick, $elapsed, $kind, $page, $seq, $seq_max, $snapshot, $now)",
                    [.. place, ("$kind", kind.ToString()), ("$page", finding.Page), ("$seq", Signed(finding.InvalidateSeq?.Low)),
                        ("$seq_max", Signed(finding.InvalidateSeq?.High)), ("$snapshot", Signed(finding.Snapshot)),
                        ("$now", now.ToUnixTimeMilliseconds())]);
                break;
        }
    }

    private void Recover(Finding finding, (string, object?)[] place, DateTimeOffset now)
    {
        // An intervention at the tick of an observation takes effect after it; a vCPU that is gone is so at the tick of the intervention itself.
        int grace = finding.Kind == FindingKind.VcpuRemoved ? 1 : 0;
        string by = (string?)Scalar(
            "SELECT kind || coalesce(' ' || kernel, '') || ' at tick ' || tick FROM interventions WHERE run_id = $run AND cohort = $cohort "
            + "AND tick < $tick + $grace AND (vm IS NULL OR vm = $vm) AND (NOT $grace OR kind IN ('resize', 'remove')) AND tick >= (SELECT max(tick) "
            + $"FROM incidents WHERE {AtPlace} AND kind = 'VcpuHung' AND tick < $tick + $grace) ORDER BY tick DESC, id DESC LIMIT 1",
            [.. place, ("$grace", grace)]) ?? "itself";
        Run(
            "UPDATE incidents SET recovered_tick = $tick, recovered_elapsed_ms = $elapsed, recovered_ms = $now, recovered_by = $by "
            + $"WHERE {AtPlace} AND {At} < coalesce($tick, $elapsed) + $grace AND {IsHung}",
            [.. place, ("$grace", grace), ("$by", by), ("$now", now.ToUnixTimeMilliseconds())]);
    }

    private IEnumerable<RunRecord> Runs(string where, params (string, object?)[] parameters) => Query(
        $"SELECT id, started_ms, checkpointed_ms, model_version, seed, stall_retries, fleet FROM runs {where}",
        row => new RunRecord(
            row.GetInt64(0),
            Time(row.GetInt64(1)),
            row.IsDBNull(2) ? null : Time(row.GetInt64(2)),
            new RunIdentity(row.GetInt32(3), Unsigned(row.GetInt64(4)), (uint)row.GetInt64(5), RunIdentity.FleetOf(row.GetString(6)))),
        parameters);

    private static (string, object?)[] Key(long runId, in ShardKey shard) =>
        [("$run", runId), ("$cohort", shard.Cohort), ("$vm", shard.FirstVm), ("$start_tick", shard.StartTick)];

    private static (string, object?)[] Place(long runId, string cohort, in Finding finding) =>
    [
        ("$run", runId), ("$cohort", cohort), ("$vm", finding.Vm), ("$vcpu", finding.Vcpu ?? -1), ("$tick", finding.Time.Tick),
        ("$elapsed", Milliseconds(finding.Time)),
    ];

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
                $"another process uses {Path.GetFullPath(directory)}; stop it, or give this one a Soak:DataDirectory of its own");
        }
    }

    private static void Check(SqliteConnection connection, string path)
    {
        long version = Schema.Version(connection);
        if (version > Schema.Current)
        {
            throw new ConfigurationException(
                $"{path} is from a newer version of SoakHost: its schema is {version}, and this version knows up to {Schema.Current}. "
                + "Run that version, or give this one a Soak:DataDirectory of its own; nothing was changed");
        }

        using SqliteCommand check = connection.CreateCommand();
        check.CommandText = "PRAGMA quick_check(1)";
        if (check.ExecuteScalar() is string answer and not "ok")
            throw Damaged(path, answer);
    }

    private static ConfigurationException Damaged(string path, string how) => new(
        $"{path} is damaged: {how.ReplaceLineEndings(" ")}. Move it away to start anew, or restore it from a copy; nothing was changed");

    private static ConfigurationException Unreadable(string path, SqliteException exception) => new($"{path} cannot be read: {exception.Message}");

    private static SqliteConnection Connect(string path, SqliteOpenMode mode)
    {
        var connection = new SqliteConnection(
            new SqliteConnectionStringBuilder { DataSource = path, Mode = mode, Pooling = false, DefaultTimeout = 5 }.ToString());
        connection.Open();
        return connection;
    }

    private static void Execute(SqliteConnection connection, string sql)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    private IEnumerable<T> Query<T>(string sql, Func<SqliteDataReader, T> read, params (string, object?)[] parameters)
    {
        using SqliteCommand command = Command(sql);
        Bind(command, parameters);
        using SqliteDataReader reader = Attempt(command.ExecuteReader);
        while (Attempt(reader.Read))
            yield return read(reader);
    }

    private T Attempt<T>(Func<T> step)
    {
        try
        {
            return step();
        }
        catch (SqliteException exception) when (_lock is null)
        {
            throw Unreadable(_connection.DataSource, exception);
        }
    }

    private void Run(string sql, params (string, object?)[] parameters)
    {
        using SqliteCommand command = Command(sql);
        Bind(command, parameters);
        command.ExecuteNonQuery();
    }

    private object? Scalar(string sql, params (string, object?)[] parameters)
    {
        using SqliteCommand command = Command(sql);
        Bind(command, parameters);
        return command.ExecuteScalar();
    }

    private SqliteCommand Command(string sql)
    {
        SqliteCommand command = _connection.CreateCommand();
#pragma warning disable CA2100 // Every text is a constant of this class; what comes from outside is a parameter.
        command.CommandText = sql;
#pragma warning restore CA2100
        return command;
    }

    private static void Bind(SqliteCommand command, params (string Name, object? Value)[] parameters)
    {
        command.Parameters.Clear();
        foreach ((string name, object? value) in parameters)
            command.Parameters.AddWithValue(name, value ?? DBNull.Value);
    }

    private static long Signed(ulong value) => unchecked((long)value);

    private static long? Signed(ulong? value) => value is { } known ? Signed(known) : null;

    private static long? Milliseconds(FindingTime time) => time.Elapsed is { } elapsed ? (long)elapsed.TotalMilliseconds : null;

    /// <summary>The time of two columns: a tick, or milliseconds in the column after it.</summary>
    private static FindingTime FindingTimeAt(SqliteDataReader row, int column) => row.IsDBNull(column)
        ? FindingTime.After(TimeSpan.FromMilliseconds(row.GetInt64(column + 1))) : FindingTime.AtTick(row.GetInt64(column));

    private static ulong Unsigned(long value) => unchecked((ulong)value);

    private static DateTimeOffset Time(long milliseconds) => DateTimeOffset.FromUnixTimeMilliseconds(milliseconds);
}

/// <summary>SQLite's result codes that are told apart.</summary>
internal static class SqliteCodes
{
    public const int Corrupt = 11;
    public const int NotADatabase = 26;
}
