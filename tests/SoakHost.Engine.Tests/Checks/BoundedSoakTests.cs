using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Tests.Kernels;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Checks;

public sealed class BoundedSoakTests
{
    private static readonly SoakBounds Enough = new() { Operations = 3_000_000, Time = TimeSpan.FromMinutes(1) };

    private static readonly SimulatedCohort Control = new()
    {
        Name = "control",
        Kernel = Kernel.Of<Linux61>(),
        Vms = 2,
        Expected = Defect.Hang,
        Vm = new VmParameters { InvalidateSeqStart = (1UL << 31) - 100 },
    };

    private static readonly SimulatedCohort Healthy = new()
    {
        Name = "healthy",
        Kernel = Kernel.Of<Linux61Stable>(),
        Vms = 64,
        Vm = new VmParameters { InvalidateSeqStart = (1UL << 31) - 100 },
    };

    [Fact]
    public void A_control_that_hangs_and_a_healthy_cohort_that_crosses_the_boundary_are_a_pass()
    {
        List<string> stages = [];
        SoakResult result = Run([Healthy, Control], Enough, progress => stages.Add(progress.Stage));
        Assert.Equal((Verdict.Pass, false), (result.Verdict, result.WasInterrupted));
        Assert.Empty(result.Reasons);
        Assert.Equal(["healthy", "control"], result.Cohorts.Select(cohort => cohort.Cohort.Name));
        Assert.Equal(["control", "soak"], stages.Distinct());
        Assert.True(result.Cohorts[0].Totals.Operations >= Enough.Operations);
        Assert.Equal(result.Cohorts.Sum(cohort => cohort.Totals.Operations), result.Operations);
        Assert.Equal("control", Assert.Single(result.FirstIncidents).Key);
    }

    [Fact]
    public void A_defect_in_a_cohort_under_test_is_a_violation_and_its_first_incident_can_be_told_again()
    {
        SimulatedCohort bad = Healthy with { Name = "bad", Kernel = Kernel.Of<NoSeqCheck>() };
        SoakResult result = Run([Control, Healthy, bad], Enough with { Operations = long.MaxValue });
        Assert.Equal(Verdict.Violation, result.Verdict);
        Assert.StartsWith("bad (no-seq-check): ", result.Reasons[0], StringComparison.Ordinal);
        Assert.EndsWith(" unsafe installs", result.Reasons[0], StringComparison.Ordinal);
        IncidentId incident = result.FirstIncidents["bad"].Id;
        Assert.Equal(FindingKind.UnsafeInstall, incident.Kind);
        Assert.NotNull(Replay.Incident(bad, new ShardOptions(), incident, [], TestContext.Current.CancellationToken));
    }

    [Fact]
    public void Without_the_boundary_crossed_it_is_inconclusive()
    {
        SimulatedCohort far = Healthy with { Vm = new VmParameters { InvalidateSeqStart = 1UL << 17 } };
        SoakResult result = Run([Control, far], Enough);
        Assert.Equal(Verdict.Inconclusive, result.Verdict);
        Assert.Equal(["healthy (linux-6.1.y): no VM has crossed a boundary with a fault in flight yet"], result.Reasons);
    }

    [Fact]
    public void Without_a_control_it_is_inconclusive_however_healthy_the_rest()
    {
        SoakResult result = Run([Healthy], Enough);
        Assert.Equal(Verdict.Inconclusive, result.Verdict);
        Assert.Equal(["no cohort is expected to hang, so nothing shows that a hang would be detected"], result.Reasons);
        Assert.Equal(Verdict.Pass, Assert.Single(result.Cohorts).Verdict);
    }

    [Fact]
    public void Behind_a_control_that_does_not_hang_nothing_is_run()
    {
        SimulatedCohort late = Control with { Vm = new VmParameters { InvalidateSeqStart = 0 } };
        SoakResult result = Run([late, Healthy], Enough with { Time = TimeSpan.FromMilliseconds(300) });
        Assert.Equal(Verdict.Inconclusive, result.Verdict);
        Assert.Equal("control", Assert.Single(result.Cohorts).Cohort.Name);
        Assert.Contains("control (linux-6.1): expected at least one hang, and no vCPU hung", result.Reasons);
        Assert.Contains("the control did not hang, so the cohorts under test were not run", result.Reasons);
    }

    [Fact]
    public void A_shard_that_throws_leaves_it_inconclusive()
    {
        CallsOnce<BoundedSoakTests>.Arm(() => throw new InvalidOperationException("this kernel throws once"));
        SimulatedCohort failing = Healthy with
        {
            Name = "failing",
            Kernel = Kernel.Of<CallsOnce<BoundedSoakTests>>(),
            Vms = 2 * FleetOptions.ShardVms,
        };
        SoakResult result = Run([Control, failing], Enough);
        Assert.Equal(Verdict.Inconclusive, result.Verdict);
        Assert.Contains(result.Reasons, reason => reason.StartsWith("failing (linux-6.9): VMs ", StringComparison.Ordinal));
        Assert.Contains("failing: not all of its shards answered, so some pending faults may not be fixed", result.Reasons);
    }

    [Fact]
    public void An_interrupted_soak_keeps_what_it_saw()
    {
        using var stop = new CancellationTokenSource();
        SoakResult result = Run(
            [Control, Healthy],
            Enough with { Operations = long.MaxValue },
            progress =>
            {
                if (progress.Stage == "soak" && progress.Report.Cohorts is [{ Totals.CrossingsInAll: > 0 }])
                    stop.Cancel();
            },
            stop.Token);
        Assert.True(result.WasInterrupted);
        Assert.Equal(Verdict.Inconclusive, result.Verdict);
        Assert.Equal(["the check was interrupted before its bound"], result.Reasons);
        Assert.Equal(Verdict.Pass, result.Cohorts[1].Verdict);
    }

    [Fact]
    public void An_interrupted_soak_still_reports_a_violation_that_it_saw()
    {
        using var stop = new CancellationTokenSource();
        SimulatedCohort bad = Healthy with { Kernel = Kernel.Of<NoSeqCheck>() };
        SoakResult result = Run(
            [Control, bad],
            Enough,
            progress =>
            {
                if (progress.Report.Cohorts is [{ Totals.UnsafeInstalls: > 0 }])
                    stop.Cancel();
            },
            stop.Token);
        Assert.Equal((Verdict.Violation, true), (result.Verdict, result.WasInterrupted));
    }

    /// <summary>
    /// Four invalidators on one page leave no moment in which a retry is not warranted, so that a leaked
    /// mmu_invalidate_in_progress cannot be told from a storm, until the storm ends.
    /// </summary>
    [Theory]
    [InlineData(1000, "16 vCPUs hung; 16 vCPUs made no progress after every invalidation had stopped")]
    [InlineData(1_000_000, "[0-9]+ unjustified retries; 16 vCPUs made no progress after every invalidation had stopped")]
    public void A_hang_that_hides_in_a_storm_is_seen_once_invalidations_have_stopped(uint stallRetries, string reason)
    {
        var storm = new VmParameters
        {
            Vcpus = 2,
            Invalidators = 4,
            Pages = 1,
            RangePages = 1,
            InvalidateSeqStart = (1UL << 31) - 100,
        };
        SimulatedCohort leaking = Healthy with { Name = "leaking", Kernel = Kernel.Of<UnbalancedEnd>(), Vms = 8, Vm = storm };
        SoakBounds bounds = Enough with { Operations = 200_000 };
        long unjustifiedBefore = -1;
        var shards = new ShardOptions { StallRetries = stallRetries };
        SoakResult result = Run(
            [leaking],
            bounds,
            progress =>
                unjustifiedBefore =
                    progress.Share < 1
                        ? progress.Report.Cohorts.Sum(cohort => cohort.Totals.UnjustifiedRetries!.Value)
                        : unjustifiedBefore,
            shards: shards);
        Assert.Equal((Verdict.Violation, 0), (result.Verdict, unjustifiedBefore));
        Assert.Matches($@"\Aleaking \(unbalanced-end\): {reason}\z", result.Reasons[0]);

        // The same storm over a healthy kernel does end.
        SoakResult healthy = Run([leaking with { Kernel = Kernel.Of<Linux61Stable>() }], bounds, shards: shards);
        Assert.Equal(Verdict.Pass, Assert.Single(healthy.Cohorts).Verdict);
    }

    private static SoakResult Run(
        SimulatedCohort[] cohorts,
        SoakBounds bounds,
        Action<SoakProgress>? progress = null,
        CancellationToken? stop = null,
        ShardOptions? shards = null)
    {
        var options = new FleetOptions
        {
            Cohorts = cohorts,
            Workers = 2,
            SliceTicks = Shard.ObservationTicks,
            Shards = shards ?? new ShardOptions(),
        };
        return new BoundedSoak(options, bounds, TimeProvider.System)
            .Run(new Progress(progress ?? (_ => { })), stop ?? TestContext.Current.CancellationToken);
    }

    private sealed class Progress(Action<SoakProgress> report) : IProgress<SoakProgress>
    {
        public void Report(SoakProgress value) => report(value);
    }
}
