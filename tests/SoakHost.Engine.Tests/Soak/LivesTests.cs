using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Tests.Scalar;
using SoakHost.Engine.Timelines;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Soak;

/// <summary>A VM that is past its boundary, or has hung for long, is replaced by its next life.</summary>
public sealed class LivesTests
{
    private const int Vms = 20;
    private const int Grid = VmLives.GridTicks;

    private static readonly SimulatedCohort Sound = SoakRun.CohortOf(
        "linux-6.1.y", Vms, new() { Vcpus = 6, Pages = 16, RangePages = 8 }) with
    {
        InvalidateSeqStarts = [.. VmLives.Powers.ToArray().Select(power => Boundary.AtPower(power).Count - 700)],
        LifeAfterBoundary = 900,
    };

    private static readonly SimulatedCohort Control = SoakRun.CohortOf(
        "linux-6.1", Vms, new() { Vcpus = 2, Pages = 16, RangePages = 8, InvalidateSeqStart = (1UL << 31) - 700 }) with
    {
        LifeAfterBoundary = 4000,
        LifeAfterHang = Grid / 2,
        Expected = Defect.Hang,
    };

    public static TheoryData<string, int, int> Cuts => new()
    {
        { "linux-6.1", 32, 1 },
        { "linux-6.1", 512, 3 },
        { "linux-6.1.y", 256, 2 },
        { "linux-5.15", 128, 5 },
        { "unbalanced-end", 256, 1 },
    };

    [Theory]
    [MemberData(nameof(Cuts))]
    public void Lives_are_those_of_plain_VMs_that_start_anew_whatever_the_vectors_and_slices(
        string kernel, int vectorBits, int sliceGrids)
    {
        const int Few = 5;
        ShardOptions options = ShardStateTests.Options(vectorBits);
        SimulatedCohort cohort = Sound with
        {
            Kernel = Kernel.Find(kernel)!,
            Vm = Sound.Vm with { Vcpus = 2, MemslotUpdates = kernel == "linux-5.15", Invalidators = 2 },
            Expected = Defect.Hang,
            LifeAfterHang = 3 * Shard.ObservationTicks,
            PagesMin = kernel == "linux-6.1.y" ? 3 : 0,
            RangePagesMin = kernel is "linux-6.1.y" or "linux-5.15" ? 2 : 0,
        };
        Shard shard = Shard.Create(cohort, 3, Few, options);
        ReferenceSoak[] references =
        [
            .. Enumerable.Range(3, Few).Select(vm => new ReferenceSoak(cohort, options.Seed, options.StallRetries, vm)),
        ];
        for (int slice = 0; slice < 3 || slice * sliceGrids < 10; slice++)
        {
            // In one slice invalidations are paused: no life ends.
            bool isPaused = slice == 1;
            shard.MayInvalidate = !isPaused;
            shard.Advance(sliceGrids * Grid);
            foreach (ReferenceSoak reference in references)
            {
                reference.MayInvalidate = !isPaused;
                reference.Findings.Clear();
                reference.Advance(sliceGrids * Grid);
            }

            ShardDifferentialTests.AssertAgreement(
                shard, references, string.Create(CultureInfo.InvariantCulture, $"slice {slice} of {kernel}"));
        }

        Assert.All(references, reference => Assert.True(reference.Life > 0));
    }

    [Fact]
    public void Each_life_has_a_shape_of_its_own_within_the_limits_which_a_state_goes_on_with()
    {
        SimulatedCohort cohort = Sound with { PagesMin = 3, RangePagesMin = 2 };
        VmParameters[] shapes = [.. Enumerable.Range(0, 400).Select(life => cohort.ShapeOf(seed: 7, vm: 5, life))];
        Assert.Equal(Enumerable.Range(3, 14), shapes.Select(shape => shape.Pages).Distinct().Order());
        Assert.Equal(Enumerable.Range(2, 7), shapes.Select(shape => shape.RangePages).Distinct().Order());
        Assert.All(shapes, shape => Assert.Empty(shape.Errors()));
        Assert.All(shapes, shape => Assert.Equal(cohort.Vm, shape with { Pages = 16, RangePages = 8 }));
        Assert.Equal(cohort.Vm with { Pages = 16 }, (cohort with { PagesMin = 0, RangePagesMin = 0 }).ShapeOf(7, 5, 1));

        ShardOptions options = ShardStateTests.Options(256);
        Shard shard = Shard.Create(cohort, 0, Vms, options);
        shard.Advance(5 * Grid);
        Shard resumed = ShardState.Read(ShardState.Write(shard), cohort, 0, Vms, options with { VectorBits = 32 });
        shard.Advance(5 * Grid);
        resumed.Advance(5 * Grid);
        Assert.Equal(ShardState.Write(shard), ShardState.Write(resumed));
        Assert.Throws<ShardStateException>(
            () => ShardState.Read(ShardState.Write(shard), cohort with { PagesMin = 4 }, 0, Vms, options));

        // Not one of them has a page beyond its life's.
        Assert.All(Enumerable.Range(0, Vms), vm => Assert.Equal(
            0UL, shard.Read(vm).Mapped >> cohort.ShapeOf(options.Seed, vm, shard.Lives[vm].Number).Pages));
    }

    [Fact]
    public void A_sound_VM_goes_round_the_starts_and_every_boundary_is_crossed_again_and_again()
    {
        Shard shard = Shard.Create(Sound, 0, Vms, ShardStateTests.Options(256));
        shard.Advance(30 * Grid);
        ShardSnapshot snapshot = shard.TakeSnapshot();
        Totals totals = snapshot.Totals;
        Assert.Equal(0, totals.UnjustifiedRetries + totals.UnsafeInstalls + totals.HangsCaught + totals.HangsMissed);
        Assert.Equal(Enumerable.Range(0, Vms).Sum(vm => shard.Lives[vm].Number), totals.LivesStarted);
        Assert.InRange(totals.LivesStarted, Vms * 20, Vms * 30);

        // Every life that ended had crossed its boundary once.
        Assert.InRange(totals.Crossings, totals.LivesStarted * 9 / 10, totals.LivesStarted + Vms);
        foreach (BoundaryCrossings crossings in totals.ForCohort().Crossings)
            Assert.InRange(crossings.Vms, totals.Crossings / 8, totals.Crossings / 4);

        // VMs that crossed count once, whatever their lives, as the findings have them.
        Assert.Equal(
            VmLives.Powers.ToArray().Select(power => snapshot.Findings.Count(finding =>
                finding.Kind == FindingKind.BoundaryCrossed && finding.Boundary == Boundary.AtPower(power))),
            snapshot.VmsCrossed);
        Assert.All(snapshot.VmsCrossed, vms => Assert.InRange(vms, Vms / 2, Vms));

        // Each VM reports each boundary once, at most twice if it also crossed it with no fault in flight.
        Assert.All(
            snapshot.Findings.GroupBy(finding => (finding.Vm, finding.Boundary, finding.Kind)),
            group => Assert.Single(group));
    }

    [Fact]
    public void A_control_hangs_in_life_after_life_and_each_hang_is_caught_some_time_after_its_crossing()
    {
        Shard shard = Shard.Create(Control, 0, Vms, ShardStateTests.Options(256));
        shard.Advance(40 * Grid);
        ShardSnapshot snapshot = shard.TakeSnapshot();
        Totals totals = snapshot.Totals;
        Assert.True(totals.LivesStarted > 15 * Vms, $"{totals}");
        Assert.Equal(0, totals.HangsMissed);
        Assert.InRange(totals.HangsCaught, totals.LivesStarted, totals.LivesStarted + Vms);
        Assert.InRange(totals.DetectionTicks / totals.HangsCaught, 50, 4 * Shard.ObservationTicks);

        // A hang ends with its life, and its id is one of a kind, since ticks never start over.
        IncidentId[] hangs = [.. snapshot.Findings.Where(finding => finding.Kind == FindingKind.VcpuHung)
            .Select(finding => IncidentId.Of("control", finding))];
        Assert.Equal(hangs.Length, hangs.Distinct().Count());
        int replaced = snapshot.Findings.Count(finding => finding.Kind == FindingKind.VcpuReplaced);
        Assert.Equal(hangs.Length, replaced + snapshot.Conditions.Count(condition => condition == VcpuCondition.Hung));
        Assert.Equal(0, totals.Recoveries);
    }

    [Fact]
    public void A_control_that_does_not_hang_is_missed_in_every_life()
    {
        SimulatedCohort never = Control with { Kernel = Kernel.Of<NeverHangs>() };
        Shard shard = Shard.Create(never, 0, Vms, ShardStateTests.Options(256));
        shard.Advance(10 * Grid);
        Assert.Equal(shard.Totals.LivesStarted, shard.Totals.HangsMissed);
        Assert.True(shard.Totals.HangsMissed >= Vms);

        // While its retries are too few to be judged, nothing is decided, and the life goes on.
        shard = Shard.Create(Control, 0, Vms, ShardStateTests.Options(256) with { StallRetries = 1 << 20 });
        shard.Advance(10 * Grid);
        Assert.Equal((0, 0, 0), (shard.Totals.LivesStarted, shard.Totals.HangsCaught, shard.Totals.HangsMissed));
    }

    [Fact]
    public void A_VM_whose_hang_nobody_expects_stays_and_so_does_one_that_may_be_on_its_way_to_a_hang()
    {
        SimulatedCohort defective = Control with { Expected = Defect.None, LifeAfterHang = 0, LifeAfterBoundary = 1 };
        Shard shard = Shard.Create(defective, 0, Vms, ShardStateTests.Options(256));
        shard.Advance(12 * Grid);
        ShardSnapshot snapshot = shard.TakeSnapshot();
        Assert.All(snapshot.Conditions, condition => Assert.Equal(VcpuCondition.Hung, condition));
        long hangs = snapshot.Findings.Count(finding => finding.Kind == FindingKind.VcpuHung);
        Assert.Equal(2 * Vms, hangs);
        Assert.Equal(0, snapshot.Totals.LivesStarted);
    }

    [Fact]
    public void No_life_ends_while_invalidations_are_paused_and_a_counter_that_was_set_says_nothing_of_the_boundary_before()
    {
        Shard shard = Shard.Create(Control, 0, Vms, ShardStateTests.Options(256));
        shard.Advance(2 * Grid);
        long before = shard.Totals.LivesStarted;
        shard.Schedule(new() { Kind = InterventionKind.PauseInvalidations, Tick = shard.Tick });
        shard.Advance(5 * Grid);
        Assert.Equal(before, shard.Totals.LivesStarted);

        Shard sound = Shard.Create(Sound with { InvalidateSeqStarts = [] }, 0, Vms, ShardStateTests.Options(256));
        sound.Schedule(new() { Kind = InterventionKind.SetCounter, InvalidateSeq = (1UL << 31) - 10 });
        sound.Schedule(new() { Kind = InterventionKind.Migrate, Tick = Shard.ObservationTicks, InvalidateSeq = 0 });
        sound.Advance(4 * Grid);
        Assert.All(sound.TakeSnapshot().Findings, finding => Assert.Equal(Boundary.AtPower(31), finding.Boundary));
        Assert.Equal(0, sound.Totals.LivesStarted);
        sound.Advance(12 * Grid);

        // From 0 the next boundary is 2^15.
        Assert.All(sound.TakeSnapshot().Findings, finding => Assert.Equal(Boundary.AtPower(15), finding.Boundary));
        Assert.Equal(Vms, sound.Totals.LivesStarted);
    }

    [Theory]
    [InlineData(32)]
    [InlineData(512)]
    public void A_shard_that_is_stopped_after_every_slice_has_the_same_lives_and_the_same_incidents(int vectorBits)
    {
        foreach (SimulatedCohort cohort in (SimulatedCohort[])[Control, Sound])
        {
            Shard straight = Shard.Create(cohort, 0, Vms, ShardStateTests.Options(256));
            Shard stopped = Shard.Create(cohort, 0, Vms, ShardStateTests.Options(vectorBits));
            List<Finding> expected = [], found = [];
            for (int slice = 0; slice < 25; slice++)
            {
                straight.Advance(3 * Shard.ObservationTicks);
                stopped.Advance(3 * Shard.ObservationTicks);
                expected.AddRange(straight.TakeSnapshot().Findings);
                found.AddRange(stopped.TakeSnapshot().Findings);
                byte[] written = ShardState.Write(stopped);
                stopped = ShardState.Read(written, cohort, 0, Vms, ShardStateTests.Options(vectorBits));
                Assert.Equal(written, ShardState.Write(stopped));
            }

            Assert.True(straight.Totals.LivesStarted > Vms);
            Assert.Equal(expected.Select(Text).Order(), found.Select(Text).Order());
            ShardStateTests.AssertSame(straight, stopped, cohort.Kernel.Info.Name);
        }

        static string Text(Finding finding) => $"{finding}";
    }

    [Fact]
    public void An_incident_is_told_from_its_own_life_exactly_as_from_the_start_of_the_run()
    {
        Shard shard = Shard.Create(Control, 0, Vms, ShardStateTests.Options(256));
        shard.Advance(20 * Grid);
        Finding[] hangs = [.. shard.TakeSnapshot().Findings.Where(finding => finding.Kind == FindingKind.VcpuHung)];
        foreach (Finding hang in (Finding[])[hangs[0], hangs[hangs.Length / 2], hangs[^1]])
            AssertToldTheSame(Control, hang, []);
        Assert.Equal(0, hangs[0].Origin!.Life);
        Assert.True(hangs[^1].Origin!.Life > 5);
        Assert.All(hangs, hang => Assert.InRange(hang.Time.Tick!.Value - hang.Origin!.Tick, 1, 3 * Grid));
    }

    [Fact]
    public void A_hang_in_a_long_life_is_told_from_a_later_state_with_the_kernel_that_the_VM_ran_then()
    {
        SimulatedCohort cohort = Sound with { LifeAfterBoundary = 0, InvalidateSeqStarts = [1UL << 31] };
        ShardIntervention[] script =
        [
            new() { Kind = InterventionKind.PatchKernel, Tick = Grid, Kernel = Kernel.Of<Linux69>() },
            new() { Kind = InterventionKind.UpdateMemslots, Tick = 2 * Grid },
            new() { Kind = InterventionKind.PauseInvalidations, Tick = VmLives.OriginTicks - Grid },
            new() { Kind = InterventionKind.ResumeInvalidations, Tick = VmLives.OriginTicks + Grid },
            new() { Kind = InterventionKind.PatchKernel, Tick = VmLives.OriginTicks + (2 * Grid), Kernel = Kernel.Of<Linux61>() },
        ];
        Shard shard = Shard.Create(cohort, 0, 3, ShardStateTests.Options(256));
        foreach (ShardIntervention intervention in script)
            shard.Schedule(intervention);
        shard.Advance(VmLives.OriginTicks + (4 * Grid));

        // What is kept to tell it survives a restart.
        shard = ShardState.Read(ShardState.Write(shard), cohort, 0, 3, ShardStateTests.Options(32));
        Finding[] hangs = [.. shard.TakeSnapshot().Findings.Where(finding => finding.Kind == FindingKind.VcpuHung)];
        Assert.NotEmpty(hangs);
        Assert.All(hangs, hang => Assert.Equal(VmLives.OriginTicks, hang.Origin!.Tick));
        AssertToldTheSame(cohort, hangs[0], script);
        AssertToldTheSame(cohort, hangs[^1], script);
    }

    private static void AssertToldTheSame(SimulatedCohort cohort, Finding hang, ShardIntervention[] script)
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        ShardOptions options = ShardStateTests.Options(256);
        IncidentId id = IncidentId.Of(cohort.Name, hang);
        Timeline whole = Replay.Incident(cohort, options, id, script, stop)!;
        Assert.Equal(Steps(whole), Steps(Replay.Incident(cohort, options, id, script, stop, hang.Origin)!));

        // An origin that leads elsewhere costs time and nothing else.
        long late = hang.Time.Tick!.Value;
        var wrong = new VmOrigin(hang.Origin!.Life, late, late, []);
        Assert.Equal(Steps(whole), Steps(Replay.Incident(cohort, options, id, script, stop, wrong)!));

        static IEnumerable<string> Steps(Timeline story) =>
            [.. story.Steps.Select(step => $"{step}"), story.Kernel, story.Conclusion];
    }

    /// <summary>A sound kernel that is said to hang: a control that proves nothing.</summary>
    private readonly struct NeverHangs : IKernel
    {
        public static KernelInfo Info { get; } = new(
            "never-hangs", "a sound kernel that is said to hang", "none", Defect.Hang, ExpectedFrom: 1UL << 31);
    }
}
