using Microsoft.Data.Sqlite;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;


namespace SoakHost.Storage;

/// <summary>Crossings of boundaries: each once.</summary>
internal sealed class CrossingTable(DatabaseConnection connection)
{
    /// <summary>Records a crossing that is not there yet.</summary>
    public void Add(long runId, string cohort, Finding crossing, DateTimeOffset now)
    {
        object? added = connection.Scalar(
            "INSERT OR IGNORE INTO crossings (run_id, cohort, vm, tick, elapsed_ms, boundary, in_flight, seen_ms) "
            + "VALUES ($run, $cohort, $vm, $tick, $elapsed, $boundary, $flight, $now) RETURNING number",
            ("$run", runId), ("$cohort", cohort), ("$vm", crossing.Vm), ("$tick", crossing.Time.Tick),
            ("$elapsed", Columns.OfElapsed(crossing.Time)), ("$boundary", crossing.Boundary!.Value.Name),
            ("$flight", crossing.Kind == FindingKind.BoundaryCrossed), ("$now", Columns.OfTime(now)));
        if (added is long number)
            StoredTable.Crossings.Seal(connection, number);
    }

    /// <summary>Reads the boundary of a row of <see cref="StoredTable.Crossings"/>.</summary>
    /// <exception cref="InvalidDataException">A value is not allowed.</exception>
    internal static string Read(SqliteDataReader row)
    {
        row.GetInt32(4, "vm", 0, FleetOptions.VmsMax - 1);
        row.GetFindingTime(5);
        string boundary = row.GetString(7);
        return NumberSyntax.TryParse(boundary, out _) ? boundary : throw new InvalidDataException($"boundary is {boundary}; it must be a number");
    }

    /// <summary>Removes the oldest crossings beyond a number.</summary>
    public void Prune(int max) => connection.Execute(
        "DELETE FROM crossings WHERE number <= (SELECT number FROM crossings ORDER BY number DESC LIMIT 1 OFFSET $max)", ("$max", max));
}
