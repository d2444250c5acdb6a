using System.Collections.Immutable;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Watchdogs;
using SoakHost.Reports;

namespace SoakHost.Logging;

/// <summary>
/// Logs what is new in each of the watchdog's reports: findings one by one while they are few, and changes since the report
/// before. Only the watchdog's thread may call it until the watchdog has stopped.
/// </summary>
internal sealed class ReportLog(SoakOptions options, TimeProvider time, ILogger<ReportLog> log)
{
    private const string Unknown = "unknown";

    // A fleet crosses a boundary within seconds, thousands of VMs at once: a few get a line each, the rest one number.
    private const int LinesAtOnce = 2;
    private const int FailuresPerCohortMax = 10;
    private static readonly TimeSpan LinePeriod = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan StatusPeriod = TimeSpan.FromMinutes(1);

    // In the first seconds of a run every VMA is touched for the first time: they say little about its rate.
    private static readonly TimeSpan RateKnownAfter = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan ExpectationPeriod = TimeSpan.FromDays(1);

    private readonly Dictionary<(string Cohort, FindingKind Kind), TokenBucket> _buckets = [];
    private readonly Dictionary<string, HashSet<string>> _failures = [];
    private readonly Dictionary<(string Cohort, string Boundary), DateTimeOffset> _expected = [];
    private FleetReport? _before;
    private Verdict? _verdict;
    private FleetReport? _lastStatus;

    /// <summary>Logs what is new in a report.</summary>
    public void Write(FleetReport report)
    {
        foreach (CohortReport cohort in report.Cohorts.Concat(report.Removed))
        {
            foreach (Finding finding in cohort.Findings)
                WriteLimited(cohort, finding);
            WriteFailures(cohort);
            WriteExpectations(cohort, report.Time);
        }

        WriteSuppressed(now: false);
        WriteSilence(report);
        WriteVerdict(report);
        WriteStatus(report);
        _before = report;
    }

    /// <summary>Logs the number of suppressed findings. Stop the watchdog first.</summary>
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

    /// <summary>Of a real VM it is seen that a vCPU works on the pages, not that a fault is in flight.</summary>
    private static string Probe(CohortReport cohort, string article) =>
        cohort.Cohort is ExternalCohort ? $"{article} vCPU at work" : $"{article} fault in flight";

    private void Write(CohortReport cohort, in Finding found)
    {
        (string name, string kernel, FindingTime time) = (cohort.Cohort.Name, cohort.KernelName, found.Time);
        string seq = found.InvalidateSeq?.ToString() ?? Unknown;
        string snapshot = found.Snapshot is { } held ? CounterRange.Exactly(held).ToString() : Unknown;
        object page = found.Page is { } known ? known : Unknown;
        (string boundary, int vcpu) = (found.Boundary?.Name ?? Unknown, found.Vcpu ?? -1);
        string replay = IncidentId.IsIncident(found.Kind) ? Replay(cohort, found) : "";
        switch (found.Kind)
        {
            case FindingKind.BoundaryCrossed:
                log.BoundaryCrossed(name, kernel, found.Vm, boundary, $"with {Probe(cohort, "a")}", seq, time);
                break;
            case FindingKind.BoundaryCrossedIdle:
                log.BoundaryCrossed(name, kernel, found.Vm, boundary, $"with {Probe(cohort, "no")}", seq, time);
                break;
            case FindingKind.VcpuStarved:
                log.VcpuStarved(name, kernel, found.Vm, vcpu, page, seq, snapshot, time);
                break;
            case FindingKind.VcpuRecovered:
                log.VcpuRecovered(name, kernel, found.Vm, vcpu, page, seq, snapshot, time);
                break;
            case FindingKind.VcpuHung:
                (LogLevel hungLevel, string hungRemark) = Judge(cohort, found.Kind);
                log.VcpuHung(hungLevel, name, kernel, found.Vm, vcpu, page, hungRemark, seq, snapshot, time, replay);
                break;
            case FindingKind.UnsafeInstall:
                (LogLevel unsafeLevel, string unsafeRemark) = Judge(cohort, found.Kind);
                log.UnsafeInstall(
                    unsafeLevel, name, kernel, found.Vm, vcpu, page, unsafeRemark, seq, snapshot, time, replay);
                break;
            case FindingKind.StaleMapping:
                (LogLevel staleLevel, string staleRemark) = Judge(cohort, found.Kind);
                log.StaleMapping(staleLevel, name, kernel, found.Vm, page, staleRemark, seq, time, replay);
                break;
            case FindingKind.Deadlock:
                (LogLevel deadlockLevel, string deadlockRemark) = Judge(cohort, found.Kind);
                log.Deadlock(deadlockLevel, name, kernel, found.Vm, vcpu, page, deadlockRemark, seq, time, replay);
                break;
            case FindingKind.AccountingError:
                (LogLevel errorLevel, string errorRemark) = Judge(cohort, found.Kind);
                log.AccountingError(errorLevel, name, kernel, found.Vm, errorRemark, seq, time, replay);
                break;
        }
    }

    private string Replay(CohortReport cohort, in Finding found) =>
        ReplayCommandLine.Of(cohort, options, IncidentId.Of(cohort.Cohort.Name, found), found.Origin) is { } command
            ? $"Reproduce with: {command}" : "A real VM cannot be replayed";

    private static (LogLevel Level, string Remark) Judge(CohortReport cohort, FindingKind found) =>
        IncidentId.IsExpected(found, cohort.Cohort.Expected)
            ? (LogLevel.Information, "as expected") : (LogLevel.Error, "not expected");

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
        // A vCPU of a real VM may fail, recover and fail again; one line is enough.
        if (!_failures.TryGetValue(cohort.Cohort.Name, out HashSet<string>? told))
            _failures[cohort.Cohort.Name] = told = [];
        foreach (string failure in cohort.Snapshot.Failures)
        {
            if (told.Count >= FailuresPerCohortMax)
                return;
            if (told.Add(failure))
                log.ShardFailed(cohort.Cohort.Name, cohort.KernelName, failure);
        }
    }

    private void WriteExpectations(CohortReport cohort, DateTimeOffset now)
    {
        if (cohort.Snapshot.Forecast is not { } forecast || forecast.Since < RateKnownAfter)
            return;
        foreach (BoundaryForecast crossing in forecast.Crossings)
        {
            (string, string) key = (cohort.Cohort.Name, crossing.Boundary.Name);
            if (_expected.TryGetValue(key, out DateTimeOffset logged) && now - logged < ExpectationPeriod)
                continue;
            _expected[key] = now;
            log.BoundaryExpected(
                cohort.Cohort.Name,
                cohort.KernelName,
                crossing.Boundary.Name,
                crossing.Expected,
                forecast.InvalidationsPerSecond);
        }
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
            [] => $"every cohort behaved as expected: {report.Evidence}",
            [var only] => only.ToString(),
            [var first, .. var others] => $"{first} (and {others.Length} more {(others.Length == 1 ? "reason" : "reasons")})",
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

    private static long Operations(FleetReport report) => report.Operations;
}
