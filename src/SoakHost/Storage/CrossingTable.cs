using SoakHost.Engine.Cohorts;

namespace SoakHost.Storage;

/// <summary>Crossings of boundaries: each once.</summary>
internal sealed class CrossingTable(DatabaseConnection connection)
{
    /// <summary>Records a crossing that is not there yet.</summary>
    public void Add(long runId, string cohort, Finding crossing, DateTimeOffset now) => connection.Execute(
        "INSERT OR IGNORE INTO crossings (run_id, cohort, vm, tick, elapsed_ms, boundary, in_flight, seen_ms) "
        + "VALUES ($run, $cohort, $vm, $tick, $elapsed, $boundary, $flight, $now)",
        ("$run", runId), ("$cohort", cohort), ("$vm", crossing.Vm), ("$tick", crossing.Time.Tick),
        ("$elapsed", Columns.OfElapsed(crossing.Time)), ("$boundary", crossing.Boundary!.Value.Name),
        ("$flight", crossing.Kind == FindingKind.BoundaryCrossed), ("$now", Columns.OfTime(now)));

    /// <summary>Removes the oldest crossings beyond a number.</summary>
    public void Prune(int max) =>
        connection.Execute(
            "DELETE FROM crossings WHERE number <= (SELECT number FROM crossings ORDER BY number DESC LIMIT 1 OFFSET $max)",
            ("$max", max));
}
