using SoakHost.Engine.Watchdogs;
using SoakHost.Health;
using SoakHost.Model.Kernels;

namespace SoakHost.Tests.Health;

public class ReadinessTests
{
    private static readonly TimeSpan AgeMax = TimeSpan.FromSeconds(10);

    private readonly CohortReport _cohort = Sample.Cohort("c", Defect.None);

    [Fact]
    public void Fresh_figures_of_every_cohort_are_ready() =>
        Assert.Equal(ReadinessStatus.Ready, Judge(Sample.Report(_cohort)).Status);

    [Fact]
    public void A_cohort_without_figures_is_not() => Judge(Sample.Report(), "1 of 1 cohorts have no figures yet");

    [Fact]
    public void An_old_report_is_not() =>
        Judge(
            Sample.Report(_cohort) with
            {
                Time = Sample.Time - AgeMax - TimeSpan.FromTicks(1),
            },
            "the watchdog has not reported since ");

    [Fact]
    public void A_silent_worker_is_not() =>
        Judge(Sample.Report(_cohort) with { SilentWorkers = [2] }, "worker 2 finishes no slices");

    [Fact]
    public void Failed_shards_degrade()
    {
        CohortReport failed = _cohort with { Snapshot = _cohort.Snapshot with { Failures = ["VMs 0 to 63: why"] } };
        Readiness readiness = Judge(Sample.Report(failed));
        Assert.Equal(ReadinessStatus.Degraded, readiness.Status);
        Assert.Equal(["c: VMs 0 to 63: why"], readiness.Reasons);
    }

    [Fact]
    public void A_fleet_of_which_nothing_is_in_service_is_not_ready()
    {
        CohortReport gone = _cohort with
        {
            Snapshot = _cohort.Snapshot with { Failures = ["VMs 0 to 63: why"], IsOutOfService = true },
        };
        Judge(Sample.Report(gone), "c: VMs 0 to 63: why");
        Assert.Equal(ReadinessStatus.Degraded, Judge(Sample.Report(gone, _cohort)).Status);
    }

    private static Readiness Judge(FleetReport report) => Readiness.Of(report, 1, Sample.Time - report.Time, AgeMax);

    private static void Judge(FleetReport report, string reason)
    {
        Readiness readiness = Judge(report);
        Assert.Equal(ReadinessStatus.NotReady, readiness.Status);
        Assert.StartsWith(reason, Assert.Single(readiness.Reasons), StringComparison.Ordinal);
    }
}
