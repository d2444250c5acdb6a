using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Lab;

namespace SoakHost.HostKernel.Tests.Lab;

public sealed class LabJudgementTests
{
    private static readonly LabHang Control = new(2, 2, 0x1234, 5_000, 1.5, HasRecovered: true);

    private static readonly LabRun Sound = new()
    {
        Path = "vmlinuz",
        Boundaries = [Boundary.AtPower(31), Boundary.AtPower(32)],
        Control = Control,
        Machine = new HostMachine("6.1.0", "npt, tdp_mmu=Y", "EPYC"),
        Accelerator = "emulated",
        Crossings = [Crossing(31), Crossing(32)],
    };

    [Fact]
    public void Control_and_every_boundary_make_a_pass()
    {
        LabJudgement judgement = LabJudgement.Of(Sound);

        Assert.Equal(Verdict.Pass, judgement.Verdict);
        Assert.Empty(judgement.Reasons);
        Assert.Equal(
            [
                "Control: with mmu_invalidate_in_progress held one higher over all memory, 2 of 2 vCPUs were called hung, and "
                    + "recovered when it was put back.",
                "2^31: counter set to 0x7ffffc18; 60 faults fixed (0x7ffffc20 to 0x7ffffff0) before it, 70 faults fixed "
                    + "(0x80000001 to 0x80000100) after it.",
                "2^32: counter set to 0xfffffc18; 60 faults fixed (0xfffffc20 to 0xfffffff0) before it, 70 faults fixed "
                    + "(0x100000001 to 0x100000100) after it.",
            ],
            judgement.Seen);
        Assert.Equal(
            "This is about kernel 6.1.0, MMU mode npt, tdp_mmu=Y and CPU EPYC in a virtual machine (emulated), and nothing else.",
            judgement.NotCovered[0]);
        Assert.Equal(5, judgement.NotCovered.Length);
        Assert.StartsWith("Only hangs are seen", judgement.NotCovered[1], StringComparison.Ordinal);
    }

    [Fact]
    public void Other_boundaries_have_verdicts_of_their_own_and_what_was_not_asked_for_is_not_covered()
    {
        LabRun run = Sound with
        {
            Others = ["mmio-generation"],
            OtherResults = [new BoundaryResult("mmio-generation", Verdict.Pass, "It did.") { Before = 1, After = 2 }],
        };

        Assert.Equal(Verdict.Pass, LabJudgement.Of(run).Verdict);
        Assert.Equal("mmio-generation: pass. It did. Read in the kernel: 0x1 before, 0x2 after.", LabJudgement.Of(run).Seen[^1]);
        Assert.Contains("Boundaries that were not asked for: async-pf-token, dirty-ring.", LabJudgement.Of(run).NotCovered);
        Assert.Equal(
            (Verdict.Inconclusive, "mmio-generation was not tried."),
            (LabJudgement.Of(run with { OtherResults = [] }).Verdict,
                LabJudgement.Of(run with { OtherResults = [] }).Reasons[0]));
        Assert.Equal(Verdict.Violation, With(Verdict.Violation).Verdict);
        Assert.Equal(["mmio-generation: violation. It did not."], With(Verdict.Violation).Reasons);
        Assert.Equal(Verdict.Inconclusive, With(Verdict.Inconclusive).Verdict);
        Assert.Equal(Verdict.Pass, With(Verdict.Unsupported).Verdict);
        Assert.Contains("mmio-generation: not covered. It did not.", With(Verdict.Unsupported).NotCovered);

        LabJudgement With(Verdict verdict) =>
            LabJudgement.Of(run with { OtherResults = [new BoundaryResult("mmio-generation", verdict, "It did not.")] });
    }

    [Fact]
    public void Other_boundaries_alone_need_no_control_of_the_counter()
    {
        var alone = new LabRun
        {
            Path = "vmlinuz",
            Boundaries = [],
            Others = ["dirty-ring"],
            OtherResults = [new BoundaryResult("dirty-ring", Verdict.Pass, "It did.")],
        };

        Assert.Equal(Verdict.Pass, LabJudgement.Of(alone).Verdict);
        Assert.Equal(
            ["Boundaries that were not asked for: mmu_invalidate_seq, mmio-generation, async-pf-token."],
            LabJudgement.Of(alone).NotCovered);
        LabRun none = alone with { OtherResults = [new BoundaryResult("dirty-ring", Verdict.Unsupported, "None.")] };
        Assert.Equal(Verdict.Unsupported, LabJudgement.Of(none).Verdict);
    }

    [Fact]
    public void A_hang_past_a_boundary_is_a_violation_that_names_it()
    {
        var hang = new LabHang(2, 2, 0x80005898, 27_892, 2.54, HasRecovered: true);
        LabCrossing crossing = Crossing(31) with { After = Side(0x80000001, 0x80005898, 0) with { Hang = hang } };

        LabJudgement judgement = LabJudgement.Of(Sound with { Crossings = [crossing, Crossing(32)] });

        Assert.Equal(Verdict.Violation, judgement.Verdict);
        Assert.Equal(
            ["2 of 2 vCPUs hung past 2^31: mmu_invalidate_seq stood at 0x80005898 when invalidations were stopped. In 2.5 s "
                + "without any they took 27,892 faults, and none was fixed. They recovered when the counter was put back: it is "
                + "the cause."],
            judgement.Reasons);
        Assert.EndsWith("0 faults fixed (0x80000001 to 0x80005898), then a hang after it.", judgement.Seen[1]);
    }

    [Fact]
    public void A_hang_below_a_boundary_is_a_violation_too()
    {
        var hang = new LabHang(1, 2, 0xffffe500, null, 1, HasRecovered: false);
        LabSide side = Side(0xffffe404, 0xffffe500, 0) with { Hang = hang };
        LabCrossing crossing = Crossing(32) with { Before = side, IsCrossed = false };

        LabJudgement judgement = LabJudgement.Of(Sound with { Crossings = [Crossing(31), crossing] });

        Assert.Equal(Verdict.Violation, judgement.Verdict);
        Assert.Equal(
            ["1 of 2 vCPUs hung below 2^32: mmu_invalidate_seq was set to 0xfffffc18 and no fault was fixed; it stood at "
                + "0xffffe500 when invalidations were stopped. There was no heartbeat in 1 s without any; this kernel counts no "
                + "faults. They did not recover when the counter was put back."],
            judgement.Reasons);
    }

    [Fact]
    public void Without_a_control_that_hung_nothing_is_a_pass_nor_a_violation()
    {
        var hang = new LabHang(2, 2, 0x80005898, 27_892, 2.54, HasRecovered: true);
        LabCrossing hung = Crossing(31) with { After = Side(1, 2, 0) with { Hang = hang } };

        Assert.Equal(Verdict.Inconclusive, LabJudgement.Of(Sound with { Control = null }).Verdict);
        LabRun both = Sound with { Control = null, Crossings = [hung, Crossing(32)] };
        Assert.Equal(Verdict.Inconclusive, LabJudgement.Of(both).Verdict);
        LabRun partly = both with { Control = Control with { Vcpus = 1 } };
        Assert.Equal(Verdict.Inconclusive, LabJudgement.Of(partly).Verdict);
        Assert.Contains(
            "The control did not hang", Assert.Single(LabJudgement.Of(Sound with { Control = null }).Reasons),
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_that_ended_before_its_control_does_not_say_that_the_control_did_not_hang() => Assert.Equal(
        ["The time limit of 5 s is over.", "The control was not completed, and without it nothing is a pass."],
        LabJudgement.Of(Sound with { Control = null, Crossings = [], Failure = "The time limit of 5 s is over." }).Reasons);

    [Theory]
    [InlineData(1, true, "In the control only 1 of 2 vCPUs hung.")]
    [InlineData(2, false, "In the control the vCPUs did not recover once the invalidation was ended.")]
    public void A_control_that_did_not_do_all_is_none(int vcpus, bool hasRecovered, string reason)
    {
        LabJudgement judgement = LabJudgement.Of(
            Sound with { Control = Control with { Vcpus = vcpus, HasRecovered = hasRecovered } });

        Assert.Equal(Verdict.Inconclusive, judgement.Verdict);
        Assert.Equal([reason], judgement.Reasons);
    }

    [Fact]
    public void A_boundary_that_was_not_tried_is_named()
    {
        LabJudgement judgement = LabJudgement.Of(
            Sound with { Crossings = [Crossing(31)], Failure = "The time limit of 300 s is over." });

        Assert.Equal(Verdict.Inconclusive, judgement.Verdict);
        Assert.Equal(["The time limit of 300 s is over.", "2^32 was not tried."], judgement.Reasons);
    }

    [Fact]
    public void A_failure_after_the_last_boundary_is_no_pass() =>
        Assert.Equal(Verdict.Inconclusive, LabJudgement.Of(Sound with { Failure = "The stub is gone." }).Verdict);

    [Fact]
    public void A_violation_stays_one_when_the_run_then_failed()
    {
        var hang = new LabHang(2, 2, 0x80000010, 100, 1, HasRecovered: false);
        LabCrossing hung = Crossing(31) with { After = Side(1, 2, 0) with { Hang = hang } };

        LabJudgement judgement = LabJudgement.Of(Sound with { Crossings = [hung], Failure = "The stub is gone." });

        Assert.Equal(Verdict.Violation, judgement.Verdict);
        Assert.Equal(3, judgement.Reasons.Length);
        Assert.Equal("2^32 was not tried.", judgement.Reasons[^1]);
    }

    [Theory]
    [InlineData(15, 16, true, "2^31 was crossed, but 31 faults were fixed before it and 40 after it: each vCPU needs 16 on both "
        + "sides.")]
    [InlineData(16, 15, false, "2^31 was not crossed; 32 faults were fixed before it and 39 after it.")]
    public void A_boundary_without_enough_faults_on_both_sides_shows_nothing(
        ulong first, ulong second, bool isCrossed, string why)
    {
        LabCrossing crossing = Crossing(31) with
        {
            IsCrossed = isCrossed,
            Before = new LabSide(1, 2, [first, 16], null),
            After = new LabSide(3, 4, [second, 24], null),
        };

        LabJudgement judgement = LabJudgement.Of(Sound with { Crossings = [crossing, Crossing(32)] });

        Assert.Equal(Verdict.Inconclusive, judgement.Verdict);
        Assert.Equal([why], judgement.Reasons);
    }

    [Fact]
    public void A_boundary_crossed_with_enough_faults_must_also_have_been_crossed_in_flight()
    {
        Assert.Equal(Verdict.Pass, LabJudgement.Of(Crossing(31)));
        Assert.Equal(Verdict.Inconclusive, LabJudgement.Of(Crossing(31) with { IsCrossed = false }));
        Assert.Equal(Verdict.Inconclusive, LabJudgement.Of(Crossing(31) with { After = new LabSide(1, 2, [16, 15], null) }));
        Assert.Equal(Verdict.Inconclusive, LabJudgement.Of(Crossing(31) with { Before = new LabSide(1, 2, [], null) }));
    }

    [Fact]
    public void A_vCPU_that_stops_past_a_boundary_and_is_not_called_hung_is_no_pass()
    {
        LabJudgement judgement = LabJudgement.Of(Sound with { Crossings = [Crossing(31) with { Stalled = 1 }, Crossing(32)] });

        Assert.Equal(Verdict.Inconclusive, judgement.Verdict);
        Assert.StartsWith("2^31: 1 of 2 vCPUs stopped making progress", Assert.Single(judgement.Reasons),
            StringComparison.Ordinal);
    }

    [Fact]
    public void What_cannot_be_tried_is_unsupported_with_its_reason()
    {
        LabJudgement judgement = LabJudgement.Of(
            Sound with { Control = null, Crossings = [], Unsupported = "There is no /dev/kvm." });

        Assert.Equal(Verdict.Unsupported, judgement.Verdict);
        Assert.Equal(["There is no /dev/kvm."], judgement.Reasons);
        Assert.Empty(judgement.Seen);
    }

    private static LabCrossing Crossing(int power)
    {
        ulong boundary = Boundary.AtPower(power).Count;
        return new LabCrossing(
            new Boundary(boundary), boundary - 1_000, Side(boundary - 0x3e0, boundary - 0x10, 30),
            Side(boundary + 1, boundary + 0x100, 35), IsCrossed: true);
    }

    private static LabSide Side(ulong first, ulong last, ulong fixes) => new(first, last, [fixes, fixes], null);
}
