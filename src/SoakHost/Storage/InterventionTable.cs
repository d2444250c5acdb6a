using Microsoft.Data.Sqlite;
using SoakHost.Configuration;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Storage;

/// <summary>What was done to cohorts.</summary>
internal sealed class InterventionTable(DatabaseConnection connection)
{
    /// <summary>A run's interventions, in the order in which they were recorded.</summary>
    /// <exception cref="ConfigurationException">One names a kernel that this program does not have.</exception>
    public IReadOnlyList<InterventionRecord> Of(long runId) => Read("WHERE run_id = $run ORDER BY id", ("$run", runId));

    /// <summary>Interventions of all runs, newest first.</summary>
    /// <param name="before">Only those with a lower id than this one.</param>
    /// <param name="count">At most this many.</param>
    /// <param name="cohort">Only those of this cohort, or null for all.</param>
    /// <exception cref="ConfigurationException">One names a kernel that this program does not have.</exception>
    public IReadOnlyList<InterventionRecord> Page(long before, int count, string? cohort = null) => Read(
        "WHERE id < $before AND ($cohort IS NULL OR cohort = $cohort) ORDER BY id DESC LIMIT $count",
        ("$before", before), ("$count", count), ("$cohort", cohort));

    /// <summary>Records an intervention; when this returns, it is on the disk.</summary>
    public InterventionRecord Add(long runId, string cohort, ShardIntervention intervention, DateTimeOffset now)
    {
        connection.Execute("PRAGMA synchronous=FULL");
        try
        {
            long id = (long)connection.Scalar(
                "INSERT INTO interventions (run_id, cohort, kind, tick, vm, kernel, invalidate_seq, vms, added, requested_ms) "
                + "VALUES ($run, $cohort, $kind, $tick, $vm, $kernel, $seq, $vms, $added, $now) RETURNING id",
                ("$run", runId),
                ("$cohort", cohort),
                ("$kind", intervention.Kind.Name()),
                ("$tick", intervention.Tick),
                ("$vm", intervention.Vm),
                ("$kernel", intervention.Kernel?.Info.Name),
                ("$seq", Columns.OfUInt64(intervention.InvalidateSeq)),
                ("$vms", intervention.Vms),
                ("$added", intervention.Cohort is { } added ? AddedCohort.Write(added) : null),
                ("$now", Columns.OfTime(now)))!;
            return new InterventionRecord(id, runId, cohort, intervention, now);
        }
        finally
        {
            connection.Execute("PRAGMA synchronous=NORMAL");
        }
    }

    private IReadOnlyList<InterventionRecord> Read(string where, params (string, object?)[] parameters) =>
        [
            .. connection.Query(
                $"SELECT id, run_id, cohort, kind, tick, vm, kernel, invalidate_seq, vms, added, requested_ms FROM "
                    + $"interventions {where}",
                row => new InterventionRecord(
                    row.GetInt64(0),
                    row.GetInt64(1),
                    row.GetString(2),
                    ReadIntervention(row),
                    row.GetTime(10)),
                parameters),
        ];

    private static ShardIntervention ReadIntervention(SqliteDataReader row) => new()
    {
        Kind = InterventionNames.Parse(row.GetString(3)),
        Tick = row.GetInt64(4),
        Vm = row.GetInt32OrNull(5),
        Kernel = row.GetStringOrNull(6) is { } name ? Kernel.Find(name) ?? throw CohortIdentity.UnknownKernel(name) : null,
        InvalidateSeq = row.GetUInt64(7),
        Vms = row.GetInt32(8),
        Cohort = row.GetStringOrNull(9) is { } added ? AddedCohort.Read(added) : null,
    };
}
