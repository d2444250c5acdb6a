using Microsoft.Data.Sqlite;

namespace SoakHost.Storage;

/// <summary>The database's schema, as the steps that lead to it: the version is the number of steps taken, kept in <c>user_version</c>.</summary>
internal static class Schema
{
    // Never changed once released; a new version is a new entry.
    private static readonly string[] Steps =
    [
        """
        CREATE TABLE runs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            started_ms INTEGER NOT NULL,
            checkpointed_ms INTEGER,
            model_version INTEGER NOT NULL,
            seed INTEGER NOT NULL,
            stall_retries INTEGER NOT NULL,
            fleet TEXT NOT NULL);
        CREATE TABLE checkpoints (
            run_id INTEGER NOT NULL REFERENCES runs (id),
            cohort TEXT NOT NULL,
            first_vm INTEGER NOT NULL,
            tick INTEGER NOT NULL,
            model_version INTEGER NOT NULL,
            state BLOB NOT NULL,
            PRIMARY KEY (run_id, cohort, first_vm, tick));
        CREATE TABLE interventions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            run_id INTEGER NOT NULL REFERENCES runs (id),
            cohort TEXT NOT NULL,
            kind TEXT NOT NULL,
            tick INTEGER NOT NULL,
            vm INTEGER,
            kernel TEXT,
            invalidate_seq INTEGER NOT NULL,
            requested_ms INTEGER NOT NULL);
        CREATE INDEX operations_by_cohort ON interventions (run_id, cohort, tick);
        """,
        """
        CREATE TABLE incidents (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            run_id INTEGER NOT NULL REFERENCES runs (id),
            cohort TEXT NOT NULL,
            vm INTEGER NOT NULL,
            vcpu INTEGER NOT NULL,
            tick INTEGER NOT NULL,
            kind TEXT NOT NULL,
            page INTEGER NOT NULL,
            invalidate_seq INTEGER NOT NULL,
            snapshot INTEGER NOT NULL,
            first_seen_ms INTEGER NOT NULL,
            recovered_tick INTEGER,
            recovered_ms INTEGER,
            recovered_by TEXT,
            UNIQUE (run_id, cohort, vm, vcpu, tick, kind));
        CREATE TABLE crossings (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            run_id INTEGER NOT NULL REFERENCES runs (id),
            cohort TEXT NOT NULL,
            vm INTEGER NOT NULL,
            tick INTEGER NOT NULL,
            boundary INTEGER NOT NULL,
            in_flight INTEGER NOT NULL,
            seen_ms INTEGER NOT NULL,
            UNIQUE (run_id, cohort, vm, tick, boundary));
        """,

        // Cohorts are added, resized and removed: numbers of VMs may be given again, and shards are told apart by when theirs started.
        """
        ALTER TABLE interventions ADD COLUMN vms INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE interventions ADD COLUMN added TEXT;
        CREATE TABLE checkpoints_by_birth (
            run_id INTEGER NOT NULL REFERENCES runs (id),
            cohort TEXT NOT NULL,
            first_vm INTEGER NOT NULL,
            start_tick INTEGER NOT NULL,
            tick INTEGER NOT NULL,
            model_version INTEGER NOT NULL,
            state BLOB NOT NULL,
            PRIMARY KEY (run_id, cohort, first_vm, start_tick, tick));
        INSERT INTO checkpoints_by_birth SELECT run_id, cohort, first_vm, 0, tick, model_version, state FROM checkpoints;
        DROP TABLE checkpoints;
        ALTER TABLE checkpoints_by_birth RENAME TO checkpoints;
        """,
    ];

    /// <summary>The version that this program writes.</summary>
    public static int Current => Steps.Length;

    /// <summary>The version of a database; 0 for a new one.</summary>
    public static long Version(SqliteConnection connection)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = "PRAGMA user_version";
        return (long)command.ExecuteScalar()!;
    }

    /// <summary>Takes the steps that are missing, each with its version in one transaction.</summary>
    /// <param name="connection">The database.</param>
    /// <param name="to">The version to stop at.</param>
    public static void Migrate(SqliteConnection connection, int? to = null)
    {
        for (long version = Version(connection); version < (to ?? Current); version++)
        {
            using SqliteTransaction transaction = connection.BeginTransaction();
            using SqliteCommand command = connection.CreateCommand();
            command.Transaction = transaction;
#pragma warning disable CA2100 // The steps are constants.
            command.CommandText = $"{Steps[version]}; PRAGMA user_version = {version + 1}";
#pragma warning restore CA2100
            command.ExecuteNonQuery();
            transaction.Commit();
        }
    }
}
