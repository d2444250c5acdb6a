using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;

namespace SoakHost.Storage;

/// <summary>Incidents: each once, and how it ended.</summary>
internal sealed class IncidentTable(DatabaseConnection connection)
{
    // The hang of a vCPU that has not recovered since, as far as its run went.
    private const string IsHung = "kind = 'VcpuHung' AND recovered_tick IS NULL";

    /// <summary>Incidents, newest first.</summary>
    /// <param name="before">Only those with a lower number than this one.</param>
    /// <param name="count">At most this many.</param>
    /// <param name="filter">Which ones; null for all.</param>
    public IReadOnlyList<IncidentRecord> Page(long before, int count, IncidentFilter? filter = null)
    {
        filter ??= new IncidentFilter();
        return
        [
            .. connection.Query(
                "SELECT number, run_id, kind, cohort, vm, vcpu, tick, page, invalidate_seq, snapshot, first_seen_ms, "
                + "coalesce(recovered_ms, CASE WHEN kind = 'VcpuHung' THEN checkpointed_ms END, first_seen_ms), "
                + "recovered_tick, recovered_ms, recovered_by "
                + $"FROM incidents JOIN runs ON runs.id = run_id WHERE number < $before{Where(filter)} ORDER BY number DESC LIMIT $count",
                row => new IncidentRecord(
                    row.GetInt64(0),
                    row.GetInt64(1),
                    new IncidentId(
                        Enum.Parse<FindingKind>(row.GetString(2)), row.GetString(3), row.GetInt32(4), row.GetInt32(5), row.GetInt64(6)),
                    row.GetInt32(7),
                    row.GetUInt64(8),
                    row.GetUInt64(9),
                    row.GetTime(10),
                    row.GetTime(11),
                    row.IsDBNull(12) ? null : new IncidentRecovery(row.GetInt64(12), row.GetTime(13), row.GetString(14))),
                ("$before", before), ("$count", count), ("$cohort", filter.Cohort), ("$run", filter.Run), ("$vm", filter.Vm),
                ("$vms", filter.Vms), ("$vcpu", filter.Vcpu)),
        ];
    }

    /// <summary>Records a finding: an incident that is not there yet, or how a hang ended. Other findings are none of its business.</summary>
    public void Record(long runId, string cohort, Finding finding, DateTimeOffset now)
    {
        if (finding.Kind is FindingKind.VcpuRecovered or FindingKind.VcpuRemoved)
        {
            Recover(runId, cohort, finding, now);
        }
        else if (IncidentId.IsIncident(finding.Kind))
        {
            connection.Execute(
                "INSERT OR IGNORE INTO incidents (run_id, cohort, vm, vcpu, tick, kind, page, invalidate_seq, snapshot, first_seen_ms) "
                + "VALUES ($run, $cohort, $vm, $vcpu, $tick, $kind, $page, $seq, $snapshot, $now)",
                ("$run", runId), ("$cohort", cohort), ("$vm", finding.Vm), ("$vcpu", finding.Vcpu), ("$tick", finding.Tick),
                ("$kind", finding.Kind.ToString()), ("$page", finding.Page), ("$seq", Columns.OfUInt64(finding.InvalidateSeq)),
                ("$snapshot", Columns.OfUInt64(finding.Snapshot)), ("$now", Columns.OfTime(now)));
        }
    }

    /// <summary>Removes the oldest incidents beyond a number.</summary>
    public void Prune(int max) => connection.Execute(
        "DELETE FROM incidents WHERE number <= (SELECT number FROM incidents ORDER BY number DESC LIMIT 1 OFFSET $max)", ("$max", max));

    /// <summary>Only the conditions that the filter has: with a run and a cohort, the index finds the VMs.</summary>
    private static string Where(IncidentFilter filter) =>
        (filter.Cohort is null ? "" : " AND cohort = $cohort")
        + (filter.Run is null ? "" : " AND run_id = $run")
        + (filter.Vm is null ? "" : " AND vm >= $vm AND vm < $vm + $vms")
        + (filter.Vcpu is null ? "" : " AND vcpu = $vcpu")
        + filter.IsHung switch { null => "", true => $" AND {IsHung}", false => $" AND NOT ({IsHung})" };

    private void Recover(long runId, string cohort, Finding finding, DateTimeOffset now)
    {
        // An intervention at the tick of an observation takes effect after it; a vCPU is gone at the tick of the intervention itself.
        int grace = finding.Kind == FindingKind.VcpuRemoved ? 1 : 0;
        (string, object?)[] hang =
        [
            ("$grace", grace), ("$run", runId), ("$cohort", cohort), ("$vm", finding.Vm), ("$vcpu", finding.Vcpu), ("$tick", finding.Tick),
        ];
        string by = (string?)connection.Scalar(
            "SELECT kind || coalesce(' ' || kernel, '') || ' at tick ' || tick FROM interventions WHERE run_id = $run AND cohort = $cohort "
            + "AND tick < $tick + $grace AND (vm IS NULL OR vm = $vm) AND (NOT $grace OR kind IN ('resize', 'remove')) "
            + "AND tick >= (SELECT max(tick) FROM incidents WHERE run_id = $run AND cohort = $cohort AND vm = $vm AND vcpu = $vcpu "
            + "AND kind = 'VcpuHung' AND tick < $tick + $grace) ORDER BY tick DESC, id DESC LIMIT 1",
            hang) ?? "itself";
        connection.Execute(
            "UPDATE incidents SET recovered_tick = $tick, recovered_ms = $now, recovered_by = $by WHERE run_id = $run AND cohort = $cohort "
            + "AND vm = $vm AND vcpu = $vcpu AND kind = 'VcpuHung' AND tick < $tick + $grace AND recovered_tick IS NULL",
            [.. hang, ("$by", by), ("$now", Columns.OfTime(now))]);
    }
}
