using System.Collections.Immutable;
using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;

namespace SoakHost.HostKernel.Lab;

/// <summary>What a run in the lab amounts to: a function of what was seen, and of nothing else.</summary>
/// <param name="Verdict">The verdict.</param>
/// <param name="Reasons">Why it is no pass, in sentences; empty for a pass.</param>
/// <param name="Seen">What was seen, in sentences.</param>
/// <param name="NotCovered">What the run cannot say, in sentences.</param>
public sealed record LabJudgement(
    Verdict Verdict, ImmutableArray<string> Reasons, ImmutableArray<string> Seen, ImmutableArray<string> NotCovered)
{
    /// <summary>Judges a run.</summary>
    public static LabJudgement Of(LabRun run)
    {
        ArgumentNullException.ThrowIfNull(run);
        if (run.Unsupported is { } unsupported)
            return new LabJudgement(Verdict.Unsupported, [unsupported], [], []);
        ImmutableArray<string> violations = [.. run.Crossings.SelectMany(Violations)];
        ImmutableArray<string> others = [.. Others(run, Verdict.Violation)];
        ImmutableArray<string> missing =
        [
            .. Missing(run), .. Others(run, Verdict.Inconclusive),
            .. run.Others.Except(run.OtherResults.Select(each => each.Name)).Select(name => $"{name} was not tried."),
        ];
        bool isControlled = run.Control is { HasRecovered: true } control && control.Vcpus == control.VcpusAll;

        // A run of another boundary has a control of its own. What is wrong far below its wrap needs none.
        Verdict verdict = (violations.Length > 0 && isControlled) || others.Length > 0 ? Verdict.Violation
            : violations.Length + missing.Length > 0 ? Verdict.Inconclusive
            : run.Boundaries.IsEmpty && !run.OtherResults.Any(each => each.Verdict == Verdict.Pass) ? Verdict.Unsupported
            : Verdict.Pass;
        return new LabJudgement(
            verdict, [.. violations, .. others, .. missing], [.. SeenIn(run), .. Others(run, Verdict.Pass)],
            [.. NotCoveredBy(run)]);
    }

    private static IEnumerable<string> Others(LabRun run, Verdict verdict) =>
        run.OtherResults.Where(each => each.Verdict == verdict).Select(each => each.ToString());

    /// <summary>The verdict of one boundary.</summary>
    public static Verdict Of(LabCrossing crossing)
    {
        ArgumentNullException.ThrowIfNull(crossing);
        return crossing.Before.Hang is not null || crossing.After.Hang is not null ? Verdict.Violation
            : crossing is { IsCrossed: true, Stalled: 0 } && IsSound(crossing.Before) && IsSound(crossing.After) ? Verdict.Pass
            : Verdict.Inconclusive;
    }

    private static bool IsSound(LabSide side) => side.Fixed.Length > 0 && side.Fixed.All(each => each >= CrossingWatch.FixedMin);

    private static IEnumerable<string> Violations(LabCrossing crossing)
    {
        if (crossing.Before.Hang is { } below)
        {
            yield return Describe(
                below,
                $"below {crossing.Boundary}: mmu_invalidate_seq was set to 0x{crossing.SetTo:x}"
                    + $"{(crossing.Before.FixedInAll == 0 ? " and no fault was fixed" : "")}; it stood at");
        }

        if (crossing.After.Hang is { } past)
            yield return Describe(past, $"past {crossing.Boundary}: mmu_invalidate_seq stood at");
    }

    private static string Describe(LabHang hang, string where)
    {
        string who = $"{hang.Vcpus} of {hang.VcpusAll} vCPUs hung {where} 0x{hang.InvalidateSeq:x} when invalidations were "
            + "stopped";
        string evidence = hang.TakenInQuiet is { } taken
            ? string.Create(
                CultureInfo.InvariantCulture,
                $"In {hang.QuietSeconds:0.#} s without any they took {taken:N0} faults, and none was fixed")
            : string.Create(
                CultureInfo.InvariantCulture,
                $"There was no heartbeat in {hang.QuietSeconds:0.#} s without any; this kernel counts no faults");
        string after = hang.HasRecovered ? "They recovered when the counter was put back: it is the cause."
            : "They did not recover when the counter was put back.";
        return $"{who}. {evidence}. {after}";
    }

    private static IEnumerable<string> Missing(LabRun run)
    {
        if (run.Failure is { } failure)
            yield return failure;
        if (run.Boundaries.IsEmpty)
            yield break;
        if (run.Control is not { } control)
        {
            yield return run.Failure is not null ? "The control was not completed, and without it nothing is a pass."
                : "The control did not hang: with an invalidation held in progress, no vCPU was called hung. Without that "
                + "a hang on this kernel might go unseen.";
            yield break;
        }

        if (control.Vcpus < control.VcpusAll)
            yield return $"In the control only {control.Vcpus} of {control.VcpusAll} vCPUs hung.";
        if (!control.HasRecovered)
            yield return "In the control the vCPUs did not recover once the invalidation was ended.";
        foreach (Boundary boundary in run.Boundaries)
        {
            if (run.Crossings.FirstOrDefault(each => each.Boundary == boundary) is not { } crossing)
                yield return $"{boundary} was not tried.";
            else if (Of(crossing) == Verdict.Inconclusive)
                yield return WhyNot(crossing);
        }
    }

    private static string WhyNot(LabCrossing crossing)
    {
        if (crossing.Stalled > 0)
        {
            return $"{crossing.Boundary}: {crossing.Stalled} of {crossing.After.Fixed.Length} vCPUs stopped making progress, "
                + "but nothing proves that they are hung.";
        }

        string counts = string.Create(
            CultureInfo.InvariantCulture,
            $"{crossing.Before.FixedInAll:N0} faults were fixed before it and {crossing.After.FixedInAll:N0} after it");
        return crossing.IsCrossed
            ? $"{crossing.Boundary} was crossed, but {counts}: each vCPU needs {CrossingWatch.FixedMin} on both sides."
            : $"{crossing.Boundary} was not crossed; {counts}.";
    }

    private static IEnumerable<string> SeenIn(LabRun run)
    {
        if (run.Control is { } control)
        {
            string recovered = control.HasRecovered ? "recovered when it was put back" : "did not recover";
            yield return $"Control: with mmu_invalidate_in_progress held one higher over all memory, {control.Vcpus} of "
                + $"{control.VcpusAll} vCPUs were called hung, and {recovered}.";
        }

        foreach (LabCrossing crossing in run.Crossings)
        {
            yield return string.Create(
                CultureInfo.InvariantCulture,
                $"{crossing.Boundary}: counter set to 0x{crossing.SetTo:x}; {Describe(crossing.Before)} before it, "
                + $"{Describe(crossing.After)} after it.");
        }
    }

    private static string Describe(LabSide side)
    {
        string range = side is { First: { } first, Last: { } last }
            ? string.Create(CultureInfo.InvariantCulture, $" (0x{first:x} to 0x{last:x})") : "";
        return string.Create(CultureInfo.InvariantCulture, $"{side.FixedInAll:N0} faults fixed{range}")
            + (side.Hang is null ? "" : ", then a hang");
    }

    private static IEnumerable<string> NotCoveredBy(LabRun run)
    {
        if (run.Machine is { } machine)
        {
            yield return $"This is about kernel {machine.KernelRelease}, MMU mode {machine.MmuMode} and CPU {machine.CpuModel} "
                + $"in a virtual machine ({run.Accelerator}), and nothing else.";
        }

        if (run.Boundaries.Length > 0)
        {
            yield return "Only hangs are seen: a fault that is fixed although it should be tried again leaves a stale mapping, "
                + "which the guests do not notice. A kernel that no longer looks at the counter passes.";
            yield return "The guests read private anonymous memory through 4 KiB mappings; "
                + "writes, huge pages, file-backed memory, dirty logging, nesting and migration were not tested.";
            yield return "The counter was written to just below each boundary: what else a kernel keeps over the time that it "
                + "would take to count there was not tested.";
        }

        string[] left =
        [
            .. run.Boundaries.IsEmpty ? (string[])[BoundaryNames.InvalidateSeq] : [],
            .. BoundaryNames.WithoutCounter(BoundaryNames.All).Except(run.Others),
        ];
        if (left.Length > 0)
            yield return $"Boundaries that were not asked for: {string.Join(", ", left)}.";
        foreach (string none in Others(run, Verdict.Unsupported))
            yield return none;
    }
}
