using System.Diagnostics;
using System.Globalization;
using Microsoft.Data.Sqlite;

namespace SoakHost.Tests.Storage;

/// <summary>A data directory of its own, and what a service left in it, read as any other program would.</summary>
internal sealed class DataFolder : IDisposable
{
    private readonly bool _isOwn;
    private SqliteConnection? _watch;

    /// <summary>A new folder, which is removed with this.</summary>
    public DataFolder() => (Path, _isOwn) = (Directory.CreateTempSubdirectory("soakhost-data-").FullName, true);

    /// <summary>A folder of somebody else.</summary>
    public DataFolder(string path) => Path = path;

    public string Path { get; }

    public string Database => System.IO.Path.Combine(Path, "soakhost.db");

    /// <summary>The furthest tick of any checkpoint.</summary>
    public long Ticks() =>
        long.Parse(Rows("SELECT coalesce(max(tick), 0) FROM checkpoints").Single(), CultureInfo.InvariantCulture);

    /// <summary>Runs, without the times.</summary>
    public IReadOnlyList<string> Runs() => Rows("SELECT id, model_version, seed, stall_retries, fleet FROM runs ORDER BY id");

    /// <summary>The last state of each shard: its VMs, streams, totals, conditions and findings.</summary>
    public IReadOnlyList<string> FinalStates() =>
        Rows(
            "SELECT cohort, first_vm, start_tick, max(tick), hex(state) FROM checkpoints GROUP BY cohort, first_vm, start_tick "
                + "ORDER BY cohort, first_vm, start_tick"
        );

    /// <summary>Incidents, without numbers and times.</summary>
    public IReadOnlyList<string> Incidents() =>
        Rows(
            "SELECT run_id, cohort, vm, vcpu, tick, kind, page, invalidate_seq, snapshot, recovered_tick, recovered_by, life, "
                + "life_tick, origin_tick, hex(origin) FROM incidents ORDER BY 2, 3, 4, 5, 6"
        );

    /// <summary>Crossings, without numbers and times.</summary>
    public IReadOnlyList<string> Crossings() =>
        Rows("SELECT run_id, cohort, vm, tick, boundary, in_flight FROM crossings ORDER BY 2, 3, 4, 5");

    /// <summary>Waits until the service has committed something.</summary>
    public async Task NextCommitAsync(TimeSpan patience)
    {
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(2));
        long waited = Stopwatch.GetTimestamp();
        long before = DataVersion();
        while (DataVersion() == before)
        {
            if (Stopwatch.GetElapsedTime(waited) > patience)
                throw new TimeoutException($"nothing was committed within {patience}");
            await pace.WaitForNextTickAsync(TestContext.Current.CancellationToken);
        }
    }

    /// <summary>Changes the database as only a test, or a bad disk, does.</summary>
    public void Execute(string sql)
    {
        using SqliteConnection connection = Open(SqliteOpenMode.ReadWrite);
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    /// <summary>Lets nobody write to the database until it is disposed.</summary>
    public IDisposable Occupy()
    {
        SqliteConnection connection = Open(SqliteOpenMode.ReadWrite);
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = "BEGIN IMMEDIATE";
        command.ExecuteNonQuery();
        return connection;
    }

    /// <summary>Reads the database, as it is now, until that is disposed.</summary>
    public IDisposable Read()
    {
        SqliteConnection connection = Open(SqliteOpenMode.ReadOnly);
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = "BEGIN; SELECT count(*) FROM runs";
        command.ExecuteScalar();
        return connection;
    }

    /// <summary>
    /// Makes the folder and its files read-only until that is disposed. Permissions do not bind root, but a read-only mount does.
    /// </summary>
    public IDisposable MakeReadOnly()
    {
        if (Environment.IsPrivilegedProcess)
        {
            Assert.Equal(0, Run("mount", "--bind", "-o", "ro", Path, Path));
            return new Undo(() => Assert.Equal(0, Run("umount", "--lazy", Path)));
        }

        Assert.Equal(0, Run("chmod", "-R", "a-w", Path));
        return new Undo(() => Assert.Equal(0, Run("chmod", "-R", "u+w", Path)));
    }

    public IReadOnlyList<string> Rows(string sql)
    {
        if (!File.Exists(Database))
            return ["0"];
        using SqliteConnection connection = Open(SqliteOpenMode.ReadOnly);
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        using SqliteDataReader reader = command.ExecuteReader();
        List<string> rows = [];
        while (reader.Read())
            rows.Add(string.Join('|', Enumerable.Range(0, reader.FieldCount).Select(field => $"{reader.GetValue(field)}")));
        return rows;
    }

    public void Dispose()
    {
        _watch?.Dispose();
        if (_isOwn)
            Directory.Delete(Path, recursive: true);
    }

    /// <summary>A number that changes whenever another connection commits.</summary>
    private long DataVersion()
    {
        _watch ??= Open(SqliteOpenMode.ReadOnly);
        using SqliteCommand command = _watch.CreateCommand();
        command.CommandText = "PRAGMA data_version";
        return (long)command.ExecuteScalar()!;
    }

    private static int Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(program, arguments);
        process.WaitForExit();
        return process.ExitCode;
    }

    private SqliteConnection Open(SqliteOpenMode mode)
    {
        var connection = new SqliteConnection($"Data Source={Database};Mode={mode};Pooling=False");
        connection.Open();
        return connection;
    }

    private sealed class Undo(Action undo) : IDisposable
    {
        public void Dispose() => undo();
    }
}
