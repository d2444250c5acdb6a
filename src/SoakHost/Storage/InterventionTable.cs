using Microsoft.Data.Sqlite;
using SoakHost.Configuration;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Storage;

/// <summary>What was done to cohorts.</summary>
internal sealed class InterventionTable(DatabaseConnection connection)
{
    /// <summary>A run's interventions, in the order in which they were recorded.</summary>
    /// <exception cref="ConfigurationException">One is damaged, or names a kernel that this program does not have.</exception>
    public IReadOnlyList<InterventionRecord> Of(long runId) =>
    [
        .. Read("WHERE run_id = $run ORDER BY id", ("$run", runId)).Select(stored => stored.Required(connection.Path)),
    ];

    /// <summary>Interventions of all runs, newest first.</summary>
    /// <param name="before">Only those with a lower id than this one.</param>
    /// <param name="count">At most this many.</param>
    /// <param name="cohort">Only those of this cohort, or null for all.</param>
    /// <exception cref="ConfigurationException">One names a kernel that this program does not have.</exception>
    public StoredPage<InterventionRecord> Page(long before, int count, string? cohort = null) =>
        StoredPage<InterventionRecord>.Of(
            Read(
                "WHERE id < $before AND ($cohort IS NULL OR cohort = $cohort) ORDER BY id DESC LIMIT $count",
                ("$before", before),
                ("$count", count),
                ("$cohort", cohort)),
            count);

    /// <summary>How many a run has.</summary>
    public long Count(long runId) =>
        (long)connection.Scalar("SELECT count(*) FROM interventions WHERE run_id = $run", ("$run", runId))!;

    /// <summary>Records an intervention, within a transaction.</summary>
    public InterventionRecord Add(
        long runId, string cohort, ShardIntervention intervention, DateTimeOffset now, Requester? by = null)
    {
        long id = (long)connection.Scalar(
            "INSERT INTO interventions (run_id, cohort, kind, tick, vm, kernel, invalidate_seq, vms, added, requested_ms, "
            + "requested_by) VALUES ($run, $cohort, $kind, $tick, $vm, $kernel, $seq, $vms, $added, $now, $by) RETURNING id",
            ("$run", runId),
            ("$cohort", cohort),
            ("$kind", intervention.Kind.Name()),
            ("$tick", intervention.Tick),
            ("$vm", intervention.Vm),
            ("$kernel", intervention.Kernel?.Info.Name),
            ("$seq", Columns.OfUInt64(intervention.InvalidateSeq)),
            ("$vms", intervention.Vms),
            ("$added", intervention.Cohort is { } added ? AddedCohort.Write(added) : null),
            ("$now", Columns.OfTime(now)),
            ("$by", Requester.Write(by)))!;
        StoredTable.Interventions.Seal(connection, id);
        return new InterventionRecord(id, runId, cohort, intervention, now, by);
    }

    /// <summary>Reads a row of <see cref="StoredTable.Interventions"/>.</summary>
    internal static InterventionRecord Read(SqliteDataReader row) =>
        new(row.GetInt64(1), row.GetInt64(2), row.GetString(3), ReadIntervention(row), row.GetTime(11),
            Requester.Read(row.GetStringOrNull(12)));

    private IReadOnlyList<Stored<InterventionRecord>> Read(string where, params (string, object?)[] parameters) =>
        [.. connection.Query(StoredTable.Interventions, where, Read, parameters)];

    private static ShardIntervention ReadIntervention(SqliteDataReader row) => new()
    {
        Kind = InterventionNames.Parse(row.GetString(4)),
        Tick = row.GetTick(5),
        Vm = row.GetInt32OrNull(6, "vm", 0, FleetOptions.VmsMax - 1),
        Kernel = row.GetStringOrNull(7) is { } name ? Kernel.Find(name) ?? throw CohortIdentity.UnknownKernel(name) : null,
        InvalidateSeq = row.GetUInt64(8),
        Vms = row.GetInt32(9, "vms", 0, FleetOptions.VmsMax),
        Cohort = row.GetStringOrNull(10) is { } added ? AddedCohort.Read(added) : null,
    };
}
