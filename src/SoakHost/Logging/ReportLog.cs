using System.Collections.Immutable;
using System.Globalization;
using SoakHost.Configuration;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model.Kernels;
using SoakHost.Reports;

namespace SoakHost.Logging;

/// <summary>
/// Writes what is new in each of the watchdog's reports: findings one by one as long as they are few, and what changed since the report
/// before. Called on the watchdog's thread alone until it stopped.
/// </summary>
internal sealed class ReportLog(SoakOptions options, TimeProvider time, ILogger<ReportLog> log)
{
    // A fleet crosses a boundary within seconds, thousands of VMs at once: some are told one by one, the rest as a number.
    private const int LinesAtOnce = 2;
    private const int FailuresPerCohortMax = 10;
    private static readonly TimeSpan LinePeriod = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan StatusPeriod = TimeSpan.FromMinutes(1);

    private readonly Dictionary<(string Cohort, FindingKind Kind), TokenBucket> _buckets = [];
    private readonly Dictionary<string, int> _failures = [];
    private FleetReport? _before;
    private Verdict? _verdict;
    private FleetReport? _lastStatus;

    /// <summary>Writes what is new in a report.</summary>
    public void Write(FleetReport report)
    {
        foreach (CohortReport cohort in report.Cohorts)
        {
            foreach (Finding finding in cohort.Findings)
                WriteLimited(cohort, finding);
            WriteFailures(cohort);
        }

        WriteSuppressed(now: false);
        WriteSilence(report);
        WriteVerdict(report);
        WriteStatus(report);
        _before = report;
    }

    /// <summary>Writes what was held back. The watchdog is to be stopped first.</summary>
    public void Flush() => WriteSuppressed(now: true);

    private void WriteLimited(CohortReport cohort, in Finding finding)
    {
        FindingKind kind = finding.Kind == FindingKind.BoundaryCrossedIdle ? FindingKind.BoundaryCrossed : finding.Kind;
        (string, FindingKind) key = (cohort.Cohort.Name, kind);
        if (!_buckets.TryGetValue(key, out TokenBucket? bucket))
            _buckets[key] = bucket = new TokenBucket(time, LinesAtOnce, LinePeriod);
        if (bucket.TryTake())
            Write(cohort, finding);
    }

    private void Write(CohortReport cohort, in Finding found)
    {
        (string name, string kernel) = (cohort.Cohort.Name, cohort.Kernel.Info.Name);
        (string seq, string snapshot) = (Hex(found.InvalidateSeq), Hex(found.Snapshot));
        string replay = IncidentId.IsIncident(found.Kind) ? Replay(cohort, found) : "";
        switch (found.Kind)
        {
            case FindingKind.BoundaryCrossed:
                log.BoundaryCrossed(name, kernel, found.Vm, $"2^{found.Boundary}", "with a fault in flight", seq, found.Tick);
                break;
            case FindingKind.BoundaryCrossedIdle:
                log.BoundaryCrossed(name, kernel, found.Vm, $"2^{found.Boundary}", "with no fault in flight", seq, found.Tick);
                break;
            case FindingKind.VcpuStarved:
                log.VcpuStarved(name, kernel, found.Vm, found.Vcpu, found.Page, seq, snapshot, found.Tick);
                break;
            case FindingKind.VcpuRecovered:
                log.VcpuRecovered(name, kernel, found.Vm, found.Vcpu, found.Page, seq, snapshot, found.Tick);
                break;
            case FindingKind.VcpuHung:
                (LogLevel hungLevel, string hungRemark) = Judge(cohort, Defect.Hang);
                log.VcpuHung(hungLevel, name, kernel, found.Vm, found.Vcpu, found.Page, hungRemark, seq, snapshot, found.Tick, replay);
                break;
            case FindingKind.UnsafeInstall:
                (LogLevel unsafeLevel, string unsafeRemark) = Judge(cohort, Defect.UnsafeInstall);
                log.UnsafeInstall(
                    unsafeLevel, name, kernel, found.Vm, found.Vcpu, found.Page, unsafeRemark, seq, snapshot, found.Tick, replay);
                break;
            case FindingKind.AccountingError:
                (LogLevel errorLevel, string errorRemark) = Judge(cohort, Defect.AccountingError);
                log.AccountingError(errorLevel, name, kernel, found.Vm, errorRemark, seq, found.Tick, replay);
                break;
        }
    }

    private string Replay(CohortReport cohort, in Finding found) =>
        ReplayCommandLine.Of(cohort.Cohort, options.ToShardOptions(), IncidentId.Of(cohort.Cohort.Name, found));

    private static (LogLevel Level, string Remark) Judge(CohortReport cohort, Defect found) =>
        cohort.Cohort.Expected == found ? (LogLevel.Information, "as expected") : (LogLevel.Error, "not expected");

    private void WriteSuppressed(bool now)
    {
        foreach (((string cohort, FindingKind kind), TokenBucket bucket) in _buckets)
        {
            if (bucket.TakeRefused(now) is > 0 and long refused)
                log.EventsSuppressed(cohort, kind.ToString(), refused);
        }
    }

    private void WriteFailures(CohortReport cohort)
    {
        // Failures are only ever added to.
        ImmutableArray<string> failures = cohort.Snapshot.Failures;
        int told = _failures.GetValueOrDefault(cohort.Cohort.Name);
        for (; told < Math.Min(failures.Length, FailuresPerCohortMax); told++)
            log.ShardFailed(cohort.Cohort.Name, cohort.Kernel.Info.Name, failures[told]);
        _failures[cohort.Cohort.Name] = told;
    }

    private void WriteSilence(FleetReport report)
    {
        ImmutableArray<int> before = _before?.SilentWorkers ?? [];
        foreach (int worker in report.SilentWorkers.Except(before))
            log.SoakStalled(worker, report.Workers[worker].LastSlice, report.Workers[worker].Shard);
        foreach (int worker in before.Except(report.SilentWorkers))
            log.SoakStallEnded(worker);
    }

    private void WriteVerdict(FleetReport report)
    {
        if (report.Cohorts.IsEmpty || _verdict == report.Verdict)
            return;
        _verdict = report.Verdict;
        string reason = report.Reasons switch
        {
            [] => "every cohort showed what it is meant to, and nothing else",
            [string only] => only,
            [string first, .. var others] => $"{first}, and {others.Length} more",
        };
        log.VerdictChanged(report.Verdict.ToString().ToLowerInvariant(), reason);
    }

    private void WriteStatus(FleetReport report)
    {
        _lastStatus ??= report;
        TimeSpan passed = report.Time - _lastStatus.Time;
        if (passed < StatusPeriod)
            return;
        long operations = Operations(report);
        log.FleetStatus(
            operations,
            (operations - Operations(_lastStatus)) / passed.TotalSeconds,
            report.Cohorts.Sum(cohort => cohort.Running),
            report.Cohorts.Sum(cohort => cohort.Starved),
            report.Cohorts.Sum(cohort => cohort.Hung),
            report.Verdict.ToString().ToLowerInvariant());
        _lastStatus = report;
    }

    private static long Operations(FleetReport report) => report.Cohorts.Sum(cohort => cohort.Totals.Operations);

    private static string Hex(ulong value) => string.Create(CultureInfo.InvariantCulture, $"0x{value:x}");
}
