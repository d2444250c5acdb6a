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

        // Findings of real VMs have no tick but a time since the start, a counter that is known within bounds, and no snapshot.
        """
        CREATE TABLE incidents_with_times (
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
            CHECK ((tick IS NULL) <> (elapsed_ms IS NULL)));
        INSERT INTO incidents_with_times
            SELECT number, run_id, cohort, vm, nullif(vcpu, -1), tick, NULL, kind, nullif(page, -1), invalidate_seq, invalidate_seq, snapshot,
                first_seen_ms, recovered_tick, NULL, recovered_ms, recovered_by FROM incidents;
        DROP TABLE incidents;
        ALTER TABLE incidents_with_times RENAME TO incidents;
        CREATE UNIQUE INDEX incidents_by_place ON incidents (run_id, cohort, vm, coalesce(vcpu, -1), coalesce(tick, elapsed_ms), kind);
        CREATE TABLE crossings_with_times (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            run_id INTEGER NOT NULL REFERENCES runs (id),
            cohort TEXT NOT NULL,
            vm INTEGER NOT NULL,
            tick INTEGER,
            elapsed_ms INTEGER,
            boundary TEXT NOT NULL,
            in_flight INTEGER NOT NULL,
            seen_ms INTEGER NOT NULL,
            CHECK ((tick IS NULL) <> (elapsed_ms IS NULL)));
        INSERT INTO crossings_with_times
            SELECT number, run_id, cohort, vm, tick, NULL, '2^' || boundary, in_flight, seen_ms FROM crossings WHERE boundary > 0;
        DROP TABLE crossings;
        ALTER TABLE crossings_with_times RENAME TO crossings;
        CREATE UNIQUE INDEX crossings_by_place ON crossings (run_id, cohort, vm, coalesce(tick, elapsed_ms), boundary);
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
