using Microsoft.Data.Sqlite;
using SoakHost.Engine.Cohorts;

namespace SoakHost.Storage;

/// <summary>The runs of a data directory.</summary>
internal sealed class RunTable(DatabaseConnection connection)
{
    /// <summary>The run of this number, or null; null also where its record is damaged.</summary>
    public RunRecord? Find(long id) =>
        connection.Query(StoredTable.Runs, "WHERE id = $run", Read, ("$run", id)).FirstOrDefault()?.Record;

    /// <summary>The newest run, or null.</summary>
    public RunRecord? Latest() => Read("ORDER BY id DESC LIMIT 1");

    /// <summary>The run that has an incident of this id, the newest if no run is named; or null.</summary>
    public RunRecord? Of(IncidentId incident, long? run = null) => Read(
        "WHERE id = (SELECT max(run_id) FROM incidents WHERE cohort = $cohort AND vm = $vm AND vcpu IS $vcpu AND tick IS $tick "
        + "AND elapsed_ms IS $elapsed AND kind = $kind AND ($run IS NULL OR run_id = $run))",
        ("$cohort", incident.Cohort), ("$vm", incident.Vm), ("$vcpu", incident.Vcpu), ("$tick", incident.Time.Tick),
        ("$elapsed", Columns.OfElapsed(incident.Time)), ("$kind", incident.Kind.ToString()), ("$run", run));

    /// <summary>Adds a run and returns its number.</summary>
    public long Add(RunIdentity identity, DateTimeOffset now)
    {
        long id = (long)
            connection.Scalar(
                "INSERT INTO runs (started_ms, model_version, seed, stall_retries, fleet, part) VALUES ($now, $model, "
                    + "$seed, $retries, $fleet, $part) RETURNING id",
                ("$now", Columns.OfTime(now)),
                ("$model", identity.ModelVersion),
                ("$seed", Columns.OfUInt64(identity.Seed)),
                ("$retries", (long)identity.StallRetries),
                ("$fleet", identity.FleetJson()),
                ("$part", identity.Part.ToString())
            )!;
        StoredTable.Runs.Seal(connection, id);
        return id;
    }

    /// <summary>Sets the time of a run's last checkpoint.</summary>
    public void SetCheckpointed(long runId, DateTimeOffset now)
    {
        connection.Execute(
            "UPDATE runs SET checkpointed_ms = $now WHERE id = $run",
            ("$now", Columns.OfTime(now)),
            ("$run", runId));
        StoredTable.Runs.Seal(connection, runId);
    }

    /// <summary>
    /// Removes the oldest runs with all that belongs to them, but never the newest, until the others are within both bounds.
    /// </summary>
    /// <param name="runsMax">How many runs are kept, with the newest.</param>
    /// <param name="interventionsMax">How many interventions are kept of all runs but the newest.</param>
    public void Prune(int runsMax, int interventionsMax)
    {
        (long Id, long Interventions)[] runs =
        [
            .. connection.Query(
                "SELECT id, (SELECT count(*) FROM interventions WHERE run_id = runs.id) FROM runs ORDER BY id DESC",
                row => (row.GetInt64(0), row.GetInt64(1))),
        ];
        long interventions = 0;
        for (int r = 1; r < runs.Length; r++)
        {
            interventions += runs[r].Interventions;
            if (r < runsMax && interventions <= interventionsMax)
                continue;
            foreach (StoredTable table in StoredTable.OfRuns)
                connection.Execute($"DELETE FROM {table.Name} WHERE run_id <= $run", ("$run", runs[r].Id));
            connection.Execute("DELETE FROM runs WHERE id <= $run", ("$run", runs[r].Id));
            return;
        }
    }

    private RunRecord? Read(string where, params (string, object?)[] parameters) =>
        connection.Query(StoredTable.Runs, where, Read, parameters).FirstOrDefault()?.Required(connection.Path);

    /// <summary>Reads a row of <see cref="StoredTable.Runs"/>.</summary>
    internal static RunRecord Read(SqliteDataReader row) =>
        new(
            row.GetInt64(1),
            row.GetTime(2),
            row.GetTimeOrNull(3),
            new RunIdentity(
                row.GetInt32(4, "model_version", 0, int.MaxValue),
                row.GetUInt64(5),
                row.GetStallRetries(6),
                RunIdentity.FleetOf(row.GetString(7)))
            {
                Part = row.GetPart(8),
            });
}
