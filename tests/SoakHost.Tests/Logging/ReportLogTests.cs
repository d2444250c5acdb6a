using System.Collections.Immutable;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Watchdogs;
using SoakHost.Logging;
using SoakHost.Model.Kernels;

namespace SoakHost.Tests.Logging;

public class ReportLogTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly ListLogger _lines = new();
    private readonly ReportLog _log;

    public ReportLogTests() => _log = new ReportLog(new SoakOptions { Fleet = [], Seed = 7 }, _time, _lines);

    [Fact]
    public void A_finding_says_where_it_was_and_counters_in_hex()
    {
        _log.Write(Sample.Report(Sample.Cohort("c", Defect.None, findings: [Sample.Hung(vm: 3)])));

        Line line = Assert.Single(_lines.Lines, line => line.Event.Id == 2001);
        Assert.Equal(LogLevel.Error, line.Level);
        Assert.Equal(
            "c (linux-6.1): vCPU 1 of VM 3 hung on page 7, not expected: counter 0x80000000, snapshot 0xffffffff80000000, tick "
                + "42. Reproduce with: "
            + "soakhost replay hang:c/3/1@42 --kernel linux-6.1 --vms 64 --vcpus 4 --invalidators 1 --pages 32 --range-pages 16"
            + " --start 0x7ff0bdc0 --seed 7 --stall-retries 1000",
            line.Text);
    }

    [Fact]
    public void A_hang_that_is_expected_is_no_error()
    {
        _log.Write(Sample.Report(Sample.Cohort("control", Defect.Hang, findings: [Sample.Hung(vm: 3)])));

        Assert.Equal(LogLevel.Information, Assert.Single(_lines.Lines, line => line.Event.Id == 2001).Level);
    }

    [Fact]
    public void Of_many_findings_of_a_kind_two_are_told_and_the_rest_as_a_number_for_each_cohort()
    {
        ImmutableArray<Finding> many = [.. Enumerable.Range(0, 1000).Select(vm => Sample.Hung(vm))];
        _log.Write(Sample.Report(Sample.Cohort("a", Defect.None, many), Sample.Cohort("b", Defect.None, many)));
        _time.Advance(TimeSpan.FromSeconds(10));
        _log.Write(Sample.Report(Sample.Cohort("a", Defect.None), Sample.Cohort("b", Defect.None)));

        Assert.Equal(4, _lines.Lines.Count(line => line.Event.Id == 2001));
        Assert.Equal(
            ["a: 998 more VcpuHung events, not logged one by one", "b: 998 more VcpuHung events, not logged one by one"],
            _lines.Lines.Where(line => line.Event.Id == 1006).Select(line => line.Text));
    }

    [Fact]
    public void A_worker_that_falls_silent_is_told_once_and_so_is_its_return()
    {
        CohortReport cohort = Sample.Cohort("c", Defect.None);
        foreach (ImmutableArray<int> silent in (ImmutableArray<int>[])[[], [0], [0], []])
            _log.Write(Sample.Report(cohort) with { SilentWorkers = silent });

        Assert.Equal([3001, 3002], _lines.Lines.Select(line => line.Event.Id).Where(id => id / 1000 == 3));
        Assert.Contains(
            "it holds cohort c, VMs 0 to 63",
            Assert.Single(_lines.Lines, line => line.Event.Id == 3001).Text,
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_verdict_is_told_when_it_changes()
    {
        foreach (Verdict verdict in (Verdict[])[Verdict.Inconclusive, Verdict.Inconclusive, Verdict.Pass, Verdict.Pass])
            _log.Write(Sample.Report(Sample.Cohort("c", Defect.None)) with { Verdict = verdict, Reasons = [] });

        Assert.Equal(2, _lines.Lines.Count(line => line.Event.Id == 1004));
    }

    [Fact]
    public void A_failed_shard_is_told_once()
    {
        CohortReport cohort = Sample.Cohort("c", Defect.None);
        CohortReport failed = cohort with
        {
            Snapshot = cohort.Snapshot with { Failures = ["VMs 0 to 63 were taken out of service: why"] },
        };
        foreach (CohortReport report in (CohortReport[])[cohort, failed, failed])
            _log.Write(Sample.Report(report));

        Assert.Equal(
            "c (linux-6.1): VMs 0 to 63 were taken out of service: why",
            Assert.Single(_lines.Lines, line => line.Event.Id == 3003).Text);
    }

    [Fact]
    public void A_crossing_that_is_expected_is_told_once_the_rate_is_known_and_then_daily()
    {
        foreach (int seconds in (int[])[5, 20, 60, 86_400, 86_420, 86_500])
        {
            _log.Write(
                Sample.Report(Sample.Host("here", TimeSpan.FromSeconds(seconds))) with
                {
                    Time = Sample.Time.AddSeconds(seconds),
                });
        }

        Assert.Equal(
            [
                "here (host): will cross 2^31 at about 2026-01-01 00:33:20Z, at 1,000,000 invalidations per second",
                "here (host): will cross 2^31 at about 2026-01-01 00:33:20Z, at 1,000,000 invalidations per second",
            ],
            _lines.Lines.Where(line => line.Event.Id == 1007).Select(line => line.Text));
    }

    [Fact]
    public void What_kept_a_real_vCPU_for_a_while_is_told_once_though_it_comes_and_goes()
    {
        CohortReport well = Sample.Cohort("here", Defect.None);
        CohortReport kept = well with { Snapshot = well.Snapshot with { Failures = ["vCPU 1 is not scheduled."] } };
        CohortReport other = well with { Snapshot = well.Snapshot with { Failures = ["vCPU 0 is halted."] } };
        foreach (CohortReport report in (CohortReport[])[kept, well, kept, other])
            _log.Write(Sample.Report(report));

        Assert.Equal(2, _lines.Lines.Count(line => line.Event.Id == 3003));
    }

    [Fact]
    public void A_real_VMs_snapshot_is_unknown_and_its_boundary_may_be_any_number()
    {
        FindingTime time = FindingTime.After(TimeSpan.FromSeconds(42));
        Finding hung = new(FindingKind.VcpuHung, 0, 1, new Sighting(time, page: null, new CounterRange(5, 9), snapshot: null));
        Finding crossed = new(
            FindingKind.BoundaryCrossed,
            0,
            vcpu: null,
            new Sighting(time, page: null, new CounterRange(5, 9), snapshot: null),
            new Boundary(3_000_000));
        _log.Write(Sample.Report(Sample.Host("here", TimeSpan.Zero, [hung, crossed])));

        Assert.Contains(
            "snapshot unknown",
            Assert.Single(_lines.Lines, line => line.Event.Id == 2001).Text,
            StringComparison.Ordinal);
        Assert.Contains(
            "crossed 3000000 with a vCPU at work",
            Assert.Single(_lines.Lines, line => line.Event.Id == 1003).Text,
            StringComparison.Ordinal);
    }

    private sealed record Line(LogLevel Level, EventId Event, string Text);

    private sealed class ListLogger : ILogger<ReportLog>
    {
        public List<Line> Lines { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Lines.Add(new Line(logLevel, eventId, formatter(state, exception)));
    }
}
