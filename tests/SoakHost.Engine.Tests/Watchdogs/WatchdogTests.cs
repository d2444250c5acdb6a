using Microsoft.Extensions.Time.Testing;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Tests.Fleets;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Watchdogs;

/// <summary>
/// The workers are real threads here; the watchdog's clock and timer are not: a report is made when a test says so.
/// </summary>
public sealed class WatchdogTests : IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(10);

    // No test waits for this long unless it fails.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly FakeTimeProvider _time = new();
    private readonly Clock _clock;
    private readonly SemaphoreSlim _reported = new(0);
    private readonly List<FleetReport> _reports = [];
    private Fleet? _fleet;
    private Watchdog? _watchdog;

    public WatchdogTests() => _clock = new(_time);

    public void Dispose()
    {
        _fleet?.Dispose();
        _watchdog?.Dispose();
        _reported.Dispose();
    }

    [Fact]
    public void Vcpus_of_a_healthy_kernel_are_running_before_and_after_the_boundary()
    {
        Build(Healthy());

        CohortReport cohort = Until(report => report.Totals.CrossingsOf(Boundary.AtPower(31)) > 0);

        Assert.Equal((cohort.Cohort.Vms * 4, 0, 0), (cohort.Running, cohort.Starved, cohort.Hung));
        Assert.Equal((default, Verdict.Pass), (cohort.Incidents, cohort.Verdict));
        Assert.Empty(cohort.Stalls);
    }

    [Fact]
    public void Vcpus_of_a_known_bad_kernel_hang_and_are_described()
    {
        Build(Control(vms: 2));

        CohortReport cohort = Until(report => report.Hung == 8);

        Assert.Equal(8, cohort.Incidents.Hangs);
        Assert.Equal(
            8,
            _reports
                .SelectMany(report => report.Cohorts)
                .SelectMany(report => report.Findings)
                .Count(found => found.Kind == FindingKind.VcpuHung));
        Assert.Equal(Verdict.Pass, cohort.Verdict);
        Assert.Equal(8, cohort.Stalls.Length);
        Assert.All(cohort.Stalls, stall =>
        {
            Assert.Equal(VcpuCondition.Hung, stall.Vcpu.Condition);
            Assert.Equal(unchecked((ulong)(int)stall.Vcpu.Snapshot!.Value), stall.Vcpu.Snapshot);
        });
    }

    [Fact]
    public void A_hang_that_nobody_expected_is_a_violation()
    {
        Build(Control(vms: 1) with { Expected = Defect.None });

        Until(report => report.Hung > 0);

        Assert.Equal(Verdict.Violation, _reports[^1].Verdict);
    }

    [Fact]
    public void A_stalled_vcpu_got_on_last_at_the_report_before_it_was_found()
    {
        Build(Control(vms: 1));

        CohortReport cohort = Until(report => report.Hung == 4);

        FleetReport[] withFigures = [.. _reports.Where(report => report.Cohorts.Length > 0)];
        Assert.All(
            cohort.Stalls,
            stall =>
            {
                FleetReport? before = withFigures.LastOrDefault(report =>
                    report.Cohorts[0].Stalls.All(other => other.Vcpu.Vcpu != stall.Vcpu.Vcpu));
                Assert.Equal(before?.Time ?? _reports[0].Started, stall.LastProgress);
            });
    }

    [Fact]
    public void A_stalled_vcpu_of_a_cohort_added_later_made_progress_when_the_cohort_was_first_seen()
    {
        Build(new ShardOptions { StallRetries = 3 }, Healthy());
        _time.Advance(TimeSpan.FromHours(1));
        DateTimeOffset added = _time.GetUtcNow();
        _fleet!.Add(Control(vms: 1) with { Name = "late", Vm = new VmParameters { InvalidateSeqStart = 1UL << 31 } }, _ => { });

        // Its vCPUs hang within its first slice; only after another one does the watchdog look.
        long before = _fleet!.Workers[0].Slices;
        Assert.True(SpinWait.SpinUntil(() => _fleet.Workers[0].Slices >= before + 10, Patience));
        _fleet.Cohorts[1].Request();
        before = _fleet.Workers[0].Slices;
        Assert.True(SpinWait.SpinUntil(() => _fleet.Workers[0].Slices >= before + 10, Patience));
        FleetReport report = Next();

        CohortReport late = report.Cohorts[1];
        Assert.Equal(4, late.Stalls.Length);
        // The timer fires as the hour passes, so the cohort may be first seen then, or with the report.
        Assert.All(late.Stalls, stall => Assert.InRange(stall.LastProgress, added, report.Time));
    }

    [Fact]
    public void A_vcpu_that_gets_on_again_has_recovered_and_the_incident_stays()
    {
        Build(Control(vms: 1));
        Until(report => report.Hung == 4);

        _fleet!.Intervene("control", new() { Kind = InterventionKind.PatchKernel, Kernel = Kernel.Of<Linux61Stable>() });
        CohortReport cohort = Until(report => report.Hung == 0);

        Assert.Equal((4, 0), (cohort.Running, cohort.Stalls.Length));
        Assert.Equal((4, 4), (cohort.Totals.Recoveries, cohort.Incidents.Hangs));
        Assert.Equal("linux-6.1.y", cohort.KernelName);
    }

    [Fact]
    public void A_control_that_was_patched_or_cured_makes_the_run_inconclusive_until_it_hangs_again()
    {
        Build(Control(vms: 1), Healthy());
        Until(report => report.Hung == 4);
        UntilVerdict(Verdict.Pass);

        _fleet!.Intervene("control", new() { Kind = InterventionKind.PatchKernel, Kernel = Kernel.Of<Linux61Stable>() });
        UntilVerdict(Verdict.Inconclusive);
        CohortReport patched = Until(report => report.Hung == 0);
        Assert.StartsWith("runs linux-6.1.y, which is not known to hang; while it does, nothing shows", patched.Reason);

        // Bad again, but below the boundary: what it showed before it was cured says nothing about what comes.
        _fleet!.Intervene("control", new() { Kind = InterventionKind.Migrate, InvalidateSeq = 0 });
        _fleet!.Intervene("control", new() { Kind = InterventionKind.PatchKernel, Kernel = Kernel.Of<Linux61>() });
        CohortReport cured = Until(report => report.KernelName == "linux-6.1");
        Assert.Equal((Verdict.Inconclusive, 4L), (cured.Verdict, cured.Incidents.Hangs));
        Assert.Matches("^its hung vCPUs recovered at tick [0-9]+; since then none hung", cured.Reason);

        _fleet!.Intervene("control", new() { Kind = InterventionKind.SetCounter, InvalidateSeq = 1UL << 31 });
        Until(report => report.Hung > 0);
        UntilVerdict(Verdict.Pass);
    }

    [Fact]
    public void A_control_that_is_past_its_boundary_for_a_minute_and_hangs_nowhere_makes_the_run_inconclusive()
    {
        // It hangs in its first life. In the second its counter is past 2^31 too, but at a value at which this kernel is sound.
        Build(
            Control(vms: 1) with
            {
                LifeAfterHang = 1,
                InvalidateSeqStarts = [(1UL << 31) - 100, ulong.MaxValue - (1 << 30)],
            },
            Healthy());
        Until(report => report.Totals.LivesStarted == 1);
        FleetReport soon = Next();
        Assert.Equal(Verdict.Pass, soon.Cohorts[0].Verdict);

        FleetReport late = After(TimeSpan.FromMinutes(1));

        Assert.Equal(Verdict.Inconclusive, late.Verdict);
        Assert.Equal("has been past its boundary for 1 minute, and no vCPU hangs", late.Cohorts[0].Reason);
    }

    [Fact]
    public void A_control_that_misses_hangs_makes_the_run_inconclusive()
    {
        Build(Control(vms: 1) with { Kernel = Kernel.Of<SaidToHang>(), LifeAfterBoundary = 10 }, Healthy());
        CohortReport control = Until(report => report.Totals.HangsMissed > 0);
        Assert.Equal(Verdict.Inconclusive, control.Verdict);
        Assert.Matches("^hung in 0 of [0-9,]+ crossings, and missed [0-9,]+$", control.Reason);
        Assert.Equal(Verdict.Inconclusive, _reports[^1].Verdict);
    }

    [Fact]
    public void Crossings_below_two_to_the_31_are_no_pass()
    {
        Build(Healthy() with { Vm = new VmParameters { InvalidateSeqStart = (1UL << 16) - 100 } });
        CohortReport cohort = Until(report => report.Totals.CrossingsOf(Boundary.AtPower(16)) > 0);
        Assert.Equal(
            (Verdict.Inconclusive, "no VM has crossed 2^31 or a higher boundary with a fault in flight yet"),
            (cohort.Verdict, cohort.Reason));
    }

    private void UntilVerdict(Verdict verdict) => Until(_ => _watchdog!.Latest.Verdict == verdict);

    /// <summary>A sound kernel that is said to hang.</summary>
    private readonly struct SaidToHang : IKernel
    {
        public static KernelInfo Info { get; } = new(
            "said-to-hang", "a sound kernel that is said to hang", "none", Defect.Hang, ExpectedFrom: 1UL << 31);
    }

    [Fact]
    public void A_vcpu_whose_retries_are_all_justified_is_starved_and_no_incident()
    {
        Build(
            new ShardOptions { StallRetries = 3 },
            Healthy() with
            {
                Vms = 64,
                Vm = new VmParameters
                {
                    Pages = 1,
                    RangePages = 1,
                    Invalidators = 4,
                    InvalidateSeqStart = 0,
                },
            });

        CohortReport cohort = Until(report => report.Starved > 0);

        Assert.Equal(0, cohort.Hung);
        Assert.Equal(default, cohort.Incidents);
        Assert.Contains(cohort.Stalls, stall => stall.Vcpu.Condition == VcpuCondition.Starved);
        Assert.NotEqual(Verdict.Violation, cohort.Verdict);
    }

    [Fact]
    public void A_worker_that_finishes_no_slice_is_silent_and_its_vcpus_are_not_called_hung()
    {
        Build([Healthy()], new ShardOptions(), start: false);

        FleetReport silent = After(Silence);
        Assert.Equal([0], silent.SilentWorkers);
        Assert.Empty(silent.Cohorts);
        Assert.Equal(Verdict.Inconclusive, silent.Verdict);
        Assert.Equal(
            new VerdictReason(ReasonKind.NoFigures, Verdict.Inconclusive, "1 of 1 cohorts have no figures yet"),
            Assert.Single(silent.Reasons));

        _fleet!.Start();
        CohortReport cohort = Until(report => report.Totals.Operations > 0);
        Assert.Equal(0, cohort.Hung);
        Assert.Empty(_reports[^1].SilentWorkers);
    }

    [Fact]
    public void A_silent_worker_is_silent_whatever_was_done_to_the_time_of_day()
    {
        Build([Healthy()], new ShardOptions(), start: false);
        _clock.Ahead = TimeSpan.FromHours(-1);
        Assert.Equal([0], After(Silence).SilentWorkers);
    }

    [Fact]
    public void After_a_gap_in_which_nothing_ran_a_worker_is_silent_only_once_it_has_been_watched_for_long_enough()
    {
        Build([Healthy()], new ShardOptions(), start: false);
        Assert.Empty(After(Silence - (4 * Interval)).SilentWorkers);

        // The process was stopped (SIGSTOP) for an hour: that was no time of the workers, and a late look counts as two.
        _time.Advance(TimeSpan.FromHours(1));
        Assert.Empty(Next().SilentWorkers);
        Assert.Equal([0], After(2 * Interval).SilentWorkers);
    }

    [Fact]
    public void A_worker_says_which_shard_it_has_in_hand()
    {
        Build(Healthy());
        Until(report => report.Totals.Operations > 0);
        Assert.Equal("cohort healthy, VMs 0 to 2", _reports[^1].Workers[0].Shard);
    }

    [Fact]
    public void At_most_a_hundred_stalled_vcpus_are_described_and_the_unexpected_come_first()
    {
        Build(Control(vms: 64), Control(vms: 3) with { Name = "victim", Expected = Defect.None });

        Until(_ => _reports[^1].Cohorts is { Length: 2 } cohorts && cohorts.All(cohort => cohort.Hung == cohort.Cohort.Vms * 4));

        Assert.Equal([88, 12], _reports[^1].Cohorts.Select(cohort => cohort.Stalls.Length));
        Assert.Equal(["control", "victim"], _reports[^1].Cohorts.Select(cohort => cohort.Cohort.Name));
    }

    [Fact]
    public void The_last_report_has_everything_up_to_the_stop()
    {
        Build(Healthy());
        Until(report => report.Totals.Operations > 0);

        Assert.True(_fleet!.Stop(Patience));
        FleetReport last = _watchdog!.Stop();

        Assert.Same(last, _watchdog.Latest);
        long ticks = ((last.Workers[0].Slices - 1) * 4 * Shard.ObservationTicks) + Shard.ObservationTicks;
        Assert.Equal(ticks, ((SimulatedSnapshot)last.Cohorts[0].Snapshot).Tick);
    }

    private static SimulatedCohort Control(int vms) => new()
    {
        Name = "control",
        Kernel = Kernel.Of<Linux61>(),
        Vms = vms,
        Expected = Defect.Hang,
        Vm = new VmParameters { InvalidateSeqStart = (1UL << 31) - 100 },
    };

    private static SimulatedCohort Healthy() => new()
    {
        Name = "healthy",
        Kernel = Kernel.Of<Linux61Stable>(),
        Vms = 3,
        Vm = new VmParameters { InvalidateSeqStart = (1UL << 31) - 100 },
    };

    private void Build(params SimulatedCohort[] cohorts) => Build(new ShardOptions(), cohorts);

    private void Build(ShardOptions options, params SimulatedCohort[] cohorts) => Build(cohorts, options, start: true);

    private void Build(SimulatedCohort[] cohorts, ShardOptions options, bool start)
    {
        _fleet = new Fleet(new FleetOptions { Cohorts = cohorts, Workers = 1, Shards = options }, _clock);
        _watchdog = new Watchdog(_fleet, _clock, Interval, Silence, report =>
        {
            _reports.Add(report);
            _reported.Release();
        });
        if (start)
            _fleet.Start();
        _watchdog.Start();
        Assert.True(_reported.Wait(Patience, TestContext.Current.CancellationToken));
    }

    /// <summary>The first report after more time than this, in which the watchdog looked as often as it should.</summary>
    private FleetReport After(TimeSpan time)
    {
        for (TimeSpan passed = TimeSpan.Zero; passed < time; passed += Interval)
            Next();
        return Next();
    }

    /// <summary>The report of the next interval.</summary>
    private FleetReport Next()
    {
        // Reports that were made before are not the one that is waited for.
        while (_reported.Wait(0, TestContext.Current.CancellationToken))
        {
        }

        _time.Advance(Interval);
        Assert.True(_reported.Wait(Patience, TestContext.Current.CancellationToken));
        return _watchdog!.Latest;
    }

    /// <summary>The first cohort's report, once it is as wanted. Time passes as fast as the fleet gets on.</summary>
    private CohortReport Until(Predicate<CohortReport> isWanted)
    {
        var deadline = new CancellationTokenSource(Patience);
        while (true)
        {
            if (Next().Cohorts is [CohortReport cohort, ..] && isWanted(cohort))
                return cohort;
            Assert.False(deadline.IsCancellationRequested, "not as wanted in time");
        }
    }

    /// <summary>A clock that can be set, without a difference to how much time passes.</summary>
    private sealed class Clock(FakeTimeProvider time) : TimeProvider
    {
        public TimeSpan Ahead { get; set; }

        public override long TimestampFrequency => time.TimestampFrequency;

        public override DateTimeOffset GetUtcNow() => time.GetUtcNow() + Ahead;

        public override long GetTimestamp() => time.GetTimestamp();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            time.CreateTimer(callback, state, dueTime, period);
    }
}
