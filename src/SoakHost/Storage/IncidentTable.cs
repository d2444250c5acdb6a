using Microsoft.Data.Sqlite;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;

namespace SoakHost.Storage;

/// <summary>Incidents: each once, and how it ended.</summary>
internal sealed class IncidentTable(DatabaseConnection connection)
{
    // What lasts until its vCPU recovers.
    private const string Lasts = "kind IN ('VcpuHung', 'Deadlock')";

    // The hang or deadlock of a vCPU that has not recovered since, as far as its run went.
    private const string IsHung = $"{Lasts} AND recovered_ms IS NULL";

    // Of a VM of any kind.
    private const int VcpusMax = 64;

    // How a hang ended whose VM was replaced.
    private const string NextLife = "its next life";

    // Where a finding was made. Times of one cohort are all ticks or all milliseconds.
    private const string AtPlace = "run_id = $run AND cohort = $cohort AND vm = $vm AND coalesce(vcpu, -1) = $vcpu";
    private const string Time = "coalesce(tick, elapsed_ms)";

    /// <summary>Incidents, newest first.</summary>
    /// <param name="before">Only those with a lower number than this one.</param>
    /// <param name="count">At most this many.</param>
    /// <param name="filter">Which ones; null for all.</param>
    public StoredPage<IncidentRecord> Page(long before, int count, IncidentFilter? filter = null)
    {
        filter ??= new IncidentFilter();
        Dictionary<long, DateTimeOffset?> checkpointed = [];
        return StoredPage<IncidentRecord>.Of(
            [
                .. connection.Query(
                    StoredTable.Incidents, $"WHERE number < $before{Where(filter)} ORDER BY number DESC LIMIT $count",
                    row => Read(row, run => Checkpointed(run, checkpointed)),
                    ("$before", before), ("$count", count), ("$cohort", filter.Cohort), ("$run", filter.Run), ("$vm", filter.Vm),
                    ("$vms", filter.Vms), ("$vcpu", filter.Vcpu), ("$kind", filter.Kind?.ToString())),
            ],
            count);
    }

    /// <summary>
    /// Groups of incidents of one kind in one cohort and one run, the one with the newest incident first. They are counted in the
    /// index <c>incidents_by_place</c> alone: a tenth of the table, whose records have up to 1 KB each.
    /// </summary>
    /// <param name="count">At most this many.</param>
    /// <param name="cohort">Only of this cohort; null for all.</param>
    public IEnumerable<IncidentGroup> Groups(int count, string? cohort = null)
    {
        (long Run, string Cohort, string Kind, long Count, long First, long Newest)[] groups =
        [
            .. connection.Query(
                "SELECT run_id, cohort, kind, count(*), min(number), max(number) FROM incidents INDEXED BY incidents_by_place "
                    + $"{(cohort is null ? "" : "WHERE cohort = $cohort ")}GROUP BY run_id, cohort, kind "
                    + "ORDER BY max(number) DESC LIMIT $count",
                row => (row.GetInt64(0), row.GetString(1), row.GetString(2), row.GetInt64(3), row.GetInt64(4), row.GetInt64(5)),
                ("$cohort", cohort), ("$count", count)),
        ];
        foreach ((long run, string name, string kind, long size, long first, long newest) in groups)
        {
            if (Enum.TryParse(kind, out FindingKind known) && IncidentId.IsIncident(known))
                yield return new IncidentGroup(run, name, known, size, Numbered(first), Numbered(newest));
        }
    }

    private IncidentRecord? Numbered(long number) => connection
        .Query(StoredTable.Incidents, "WHERE number = $number", row => Read(row, _ => null), ("$number", number))
        .FirstOrDefault()?.Record;

    /// <summary>Reads a row of <see cref="StoredTable.Incidents"/>.</summary>
    /// <param name="row">The row.</param>
    /// <param name="checkpointed">When a run was last checkpointed; null where that is not known.</param>
    internal static IncidentRecord Read(SqliteDataReader row, Func<long, DateTimeOffset?> checkpointed)
    {
        FindingKind kind = Enum.Parse<FindingKind>(row.GetString(8));
        if (!IncidentId.IsIncident(kind))
            throw new InvalidDataException($"kind is {kind}, which is no incident");
        DateTimeOffset firstSeen = row.GetTime(13);
        IncidentRecovery? recovery = row.IsDBNull(16)
            ? null
            : new IncidentRecovery(row.GetFindingTime(14), row.GetTime(16), row.GetString(17));
        DateTimeOffset? lastSeen =
            recovery?.At ?? (kind is FindingKind.VcpuHung or FindingKind.Deadlock ? checkpointed(row.GetInt64(2)) : null);
        return new IncidentRecord(
            row.GetInt64(1),
            row.GetInt64(2),
            new IncidentId(
                kind,
                row.GetString(3),
                row.GetInt32(4, "vm", 0, FleetOptions.VmsMax - 1),
                row.GetInt32OrNull(5, "vcpu", 0, VcpusMax - 1),
                row.GetFindingTime(6)),
            row.GetInt32OrNull(9, "page", 0, int.MaxValue),
            row.IsDBNull(10) ? null : new CounterRange(row.GetUInt64(10), row.GetUInt64(11)),
            row.GetUInt64OrNull(12),
            firstSeen,
            lastSeen ?? firstSeen,
            recovery,
            row.GetOrigin(18));
    }

    /// <summary>
    /// Records a finding: an incident that is not there yet, or how a hang ended. Other findings are none of its business.
    /// </summary>
    public void Record(long runId, string cohort, Finding finding, DateTimeOffset now)
    {
        if (finding.Kind is FindingKind.VcpuRecovered or FindingKind.VcpuRemoved or FindingKind.VcpuReplaced)
        {
            Recover(runId, cohort, finding, now);
        }
        else if (IncidentId.IsIncident(finding.Kind))
        {
            object? added = connection.Scalar(
                "INSERT OR IGNORE INTO incidents (run_id, cohort, vm, vcpu, tick, elapsed_ms, kind, page, invalidate_seq, "
                    + "invalidate_seq_max, "
                    + "snapshot, first_seen_ms, life, life_tick, origin_tick, origin) "
                    + "VALUES ($run, $cohort, $vm, nullif($vcpu, -1), $tick, $elapsed, $kind, $page, $seq, $seq_max, "
                        + "$snapshot, $now, $life, $life_tick, $origin_tick, $origin) RETURNING number",
                [
                    .. Place(runId, cohort, finding),
                    ("$kind", finding.Kind.ToString()),
                    ("$page", finding.Page),
                    ("$seq", Columns.OfUInt64(finding.InvalidateSeq?.Low)),
                    ("$seq_max", Columns.OfUInt64(finding.InvalidateSeq?.High)),
                    ("$snapshot", Columns.OfUInt64(finding.Snapshot)),
                    ("$now", Columns.OfTime(now)),
                    ("$life", finding.Origin?.Life),
                    ("$life_tick", finding.Origin?.LifeTick),
                    ("$origin_tick", finding.Origin?.Tick),
                    ("$origin", finding.Origin?.State.ToArray()),
                ]);
            if (added is long number)
                StoredTable.Incidents.Seal(connection, number);
        }
    }

    /// <summary>
    /// Removes incidents beyond a number: the oldest of the cohort that has the most of them. A control hangs again and again,
    /// and must not push out what nobody expected of another cohort.
    /// </summary>
    public void Prune(int max)
    {
        while (true)
        {
            (string Cohort, long Count)[] cohorts =
            [
                .. connection.Query(
                    "SELECT cohort, count(*) FROM incidents GROUP BY cohort ORDER BY 2 DESC, 1",
                    row => (row.GetString(0), row.GetInt64(1))),
            ];
            long excess = cohorts.Sum(cohort => cohort.Count) - max;
            if (excess <= 0)
                return;
            long lead = cohorts[0].Count - (cohorts.Length > 1 ? cohorts[1].Count : 0);
            connection.Execute(
                "DELETE FROM incidents WHERE number IN (SELECT number FROM incidents WHERE cohort = $cohort ORDER BY number "
                    + "LIMIT $some)",
                ("$cohort", cohorts[0].Cohort), ("$some", Math.Clamp(lead, 1, excess)));
        }
    }

    /// <summary>The incident of this id in a run, or null.</summary>
    public IncidentRecord? Find(long runId, IncidentId id) => connection.Query(
        StoredTable.Incidents,
        $"WHERE {AtPlace} AND {Time} = coalesce($tick, $elapsed) AND kind = $kind",
        row => Read(row, _ => null),
        ("$run", runId), ("$cohort", id.Cohort), ("$vm", id.Vm), ("$vcpu", id.Vcpu ?? -1), ("$tick", id.Time.Tick),
        ("$elapsed", Columns.OfElapsed(id.Time)), ("$kind", id.Kind.ToString())).FirstOrDefault()?.Record;

    /// <summary>Only the conditions that the filter has: with a run and a cohort, the index finds the VMs.</summary>
    private static string Where(IncidentFilter filter) =>
        (filter.Cohort is null ? "" : " AND cohort = $cohort")
        + (filter.Run is null ? "" : " AND run_id = $run")
        + (filter.Vm is null ? "" : " AND vm >= $vm AND vm < $vm + $vms")
        + (filter.Vcpu is null ? "" : " AND vcpu = $vcpu")
        + (filter.Kind is null ? "" : " AND kind = $kind")
        + filter.IsHung switch { null => "", true => $" AND {IsHung}", false => $" AND NOT ({IsHung})" };

    private void Recover(long runId, string cohort, Finding finding, DateTimeOffset now)
    {
        // An intervention at the tick of an observation takes effect after it; a vCPU is gone at the tick of the intervention
        // itself.
        int grace = finding.Kind == FindingKind.VcpuRecovered ? 0 : 1;
        (string, object?)[] hang = [.. Place(runId, cohort, finding), ("$grace", grace)];
        string by = finding.Kind == FindingKind.VcpuReplaced ? NextLife
            : (string?)
                connection.Scalar(
                    "SELECT kind || coalesce(' ' || kernel, '') || ' at tick ' || tick FROM interventions WHERE run_id = $run "
                        + "AND cohort = $cohort "
                        + "AND tick < $tick + $grace AND (vm IS NULL OR vm = $vm) AND (NOT $grace OR kind IN ('resize', "
                            + "'remove')) "
                        + $"AND tick >= (SELECT max(tick) FROM incidents WHERE {AtPlace} AND {Lasts} AND tick < $tick + $grace) "
                        + "ORDER BY tick DESC, id DESC LIMIT 1",
                    hang)
            ?? "itself";
        // A damaged record is left as it is: a new checksum would make it look sound.
        long[] ended =
        [
            .. connection.Query(
                "UPDATE incidents SET recovered_tick = $tick, recovered_elapsed_ms = $elapsed, recovered_ms = $now, "
                    + "recovered_by = $by "
                    + $"WHERE {AtPlace} AND {Time} < coalesce($tick, $elapsed) + $grace AND {IsHung} AND "
                        + $"{StoredTable.Incidents.IsIntact} "
                    + "RETURNING number",
                row => row.GetInt64(0),
                [.. hang, ("$by", by), ("$now", Columns.OfTime(now))]),
        ];
        foreach (long number in ended)
            StoredTable.Incidents.Seal(connection, number);
    }

    private DateTimeOffset? Checkpointed(long run, Dictionary<long, DateTimeOffset?> known)
    {
        if (!known.TryGetValue(run, out DateTimeOffset? at))
        {
            at = connection
                .Query(StoredTable.Runs, "WHERE id = $run", RunTable.Read, ("$run", run))
                .FirstOrDefault()
                ?.Record?.Checkpointed;
            known.Add(run, at);
        }

        return at;
    }

    private static (string, object?)[] Place(long runId, string cohort, in Finding finding) =>
    [
        ("$run", runId), ("$cohort", cohort), ("$vm", finding.Vm), ("$vcpu", finding.Vcpu ?? -1), ("$tick", finding.Time.Tick),
        ("$elapsed", Columns.OfElapsed(finding.Time)),
    ];
}
