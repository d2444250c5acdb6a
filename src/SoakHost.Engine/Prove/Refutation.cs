using System.Globalization;
using SoakHost.Engine.Explore;
using SoakHost.Engine.Timelines;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Prove;

/// <summary>
/// From an induction that fails to a defect that is reached: the solver's counterexample says near which counter to start,
/// exploration from a new VM there finds the way, and the way taken again in symbolic lanes says from which counters it can be
/// taken. What no exploration reaches is not called refuted.
/// </summary>
internal sealed class Refutation<TKernel, TMemslots, TPages>(
    ProveOptions options, SolverQueue queue, TermTable table, TimeProvider time, CancellationToken cancellation)
    where TKernel : struct, IKernel
    where TMemslots : struct, IMemslots
    where TPages : unmanaged, IPages<TPages, SymbolicLanes>
{
    // An exploration of more invalidations takes long, and those defects need a bridge.
    private const int InvalidationsMax = 4;
    private const int StartsMax = 6;
    private const int IntervalsMax = 16;
    private const int WaysMax = 4;
    private const int StatesMax = 2_000_000;

    private readonly Kernel _kernel = Kernel.Of<TKernel>();
    private readonly Dictionary<ExploreOptions, ExploreResult> _explored = [];

    private sealed record Way(ExploreOptions Options, ExploreDefect Defect);

    /// <summary>Looks for a defect that explains why obligations fail.</summary>
    /// <returns>Where the kernel breaks, or null when none was reached.</returns>
    public async Task<Breakage?> FindAsync(IReadOnlyList<Obligation> failing)
    {
        List<ulong> starts = [];
        bool isShortest = true;
        for (ulong span = 0; span < InvalidationsMax && span < options.FaultSpan; span++)
        {
            IReadOnlyList<SolverResult> answers = await AskAsync(failing, span, null, null);
            foreach ((Obligation obligation, SolverResult answer) in failing.Zip(answers))
            {
                if (answer.Answer == SolverAnswer.Sat)
                    starts.AddRange(StartsNear(obligation, answer));
            }

            starts = [.. starts.Distinct().Take(StartsMax * (int)(span + 1))];
            if (starts.Count > 0 && Reach(starts, span) is { } found)
                return await DescribeAsync(failing, found, SpanOf(found), isShortest);

            // Something fails with so short a fault, and nothing was reached that does: a shorter span than the one to come is
            // not ruled out.
            isShortest &= answers.All(answer => answer.Answer == SolverAnswer.Unsat);
        }

        return await CrossAsync(failing);
    }

    /// <summary>Where a counterexample's fault took its snapshot, and its counter; and a little before either.</summary>
    private static IEnumerable<ulong> StartsNear(Obligation obligation, SolverResult answer)
    {
        ulong snapshot = Counter(answer, "vcpu0.ghost.SeqAtSnapshot"), seq = Counter(answer, "vm.InvalidateSeq");
        return ((ulong[])[seq, snapshot, unchecked(seq - 1), unchecked(snapshot - 1), unchecked(seq - 2)]).Distinct();
    }

    private static ulong Counter(SolverResult answer, string name) =>
        answer.Values.GetValueOrDefault(name + ".Low") | (answer.Values.GetValueOrDefault(name + ".High") << 32);

    /// <summary>Explores from each start, the smallest VMs and the fewest invalidations first.</summary>
    private Way? Reach(IReadOnlyList<ulong> starts, ulong span)
    {
        foreach ((int vcpus, int invalidations, int updates) in Sizes())
        {
            foreach (ulong start in starts)
            {
                ExploreResult result = Explore(
                    new ExploreOptions
                    {
                        Vcpus = vcpus,
                        Invalidators = Math.Min(2, options.Invalidators),
                        Invalidations = invalidations,
                        MemslotUpdates = updates,
                        Start = start,
                        StatesMax = StatesMax,
                        StopsAtFirstDefect = true,
                    });
                Way? way = result
                    .Defects.Select(defect => new Way(result.Options, defect))
                    .FirstOrDefault(found => SpanOf(found) <= span);
                if (way is not null)
                    return way;
            }
        }

        return null;
    }

    /// <summary>
    /// The fewest invalidations first, and memslot updates only where two invalidations more would not do: what a story has, the
    /// defect should need.
    /// </summary>
    private static IEnumerable<(int Vcpus, int Invalidations, int Updates)> Sizes() =>
        from effort in Enumerable.Range(0, InvalidationsMax + 3)
        from updates in TMemslots.AreUpdated ? (int[])[0, 1] : [0]
        let invalidations = effort - (2 * updates)
        where invalidations is >= 0 and <= InvalidationsMax
        from vcpus in invalidations < 3 ? (int[])[1, 2] : [1]
        select (vcpus, invalidations, updates);

    private ExploreResult Explore(ExploreOptions what)
    {
        // One exploration answers for every span.
        if (!_explored.TryGetValue(what, out ExploreResult? result))
            _explored[what] = result = Explorer.Explore(_kernel, what, time, null, cancellation);
        cancellation.ThrowIfCancellationRequested();
        return result;
    }

    /// <summary>
    /// How many invalidations ended in the fault attempt that a way's last step judged; 0 where it is another kind of step.
    /// </summary>
    private static ulong SpanOf(Way found)
    {
        ExplorePath path = found.Defect.Path;
        int vcpus = found.Options.Vcpus;
        if (path.Hung is not null || path.Steps[^1].Actor >= vcpus)
            return 0;
        var vm = new ScheduledVm<TKernel, TMemslots, Pages32<Lanes32>, Lanes32>(
            vcpus, found.Options.Invalidators, default(Counter<Lanes32>).With(0, found.Options.Start));
        int v = path.Steps[^1].Actor;
        ulong span = 0;
        foreach (ExploreStep step in path.Steps)
        {
            bool wasInFault = vm.Read().Vcpus[v].Phase != VcpuPhase.Access;
            vm.Take(step);
            bool isTaken = step.Actor == v && !wasInFault && vm.Read().Vcpus[v].Phase != VcpuPhase.Access;
            span = isTaken ? 0 : span + vm.Totals.Invalidations[0];
        }

        return span;
    }

    private async Task<Breakage> DescribeAsync(
        IReadOnlyList<Obligation> failing, Way found, ulong span, bool isShortest)
    {
        List<(Way Found, int Below, Term Condition)> ways = [];
        Term seq, none, condition;
        using (table.Enter())
        {
            (seq, none) = (table.Variable("counter", 64), table.Constant(64, 0));
            ways.AddRange(Ways(found, seq, none));
            condition = table.Any(ways.Select(way => way.Condition));
        }

        bool isExact = false;
        for (int more = 0; more < WaysMax; more++)
        {
            // Is there a counter at which the induction fails, and this way does not go wrong?
            IReadOnlyList<SolverResult> answers = await AskAsync(failing, span, seq, condition);
            if (isExact = answers.All(answer => answer.Answer == SolverAnswer.Unsat))
                break;
            ulong[] starts = [.. failing.Zip(answers).Where(pair => pair.Second.Answer == SolverAnswer.Sat)
                .SelectMany(pair => StartsNear(pair.First, pair.Second)).Distinct().Take(StartsMax)];
            if (starts.Length == 0 || ReachOutside(starts, span, condition, seq) is not { } other)
                break;
            using (table.Enter())
            {
                ways.AddRange(Ways(other, seq, none));
                condition = table.Any(ways.Select(way => way.Condition));
            }
        }

        (IReadOnlyList<CounterInterval> intervals, bool areAll, ulong lowest, ulong highest) = await SearchAsync(seq, condition);
        var values = new Dictionary<string, ulong> { [table.Name(seq)] = lowest };
        (Way at, int below, _) = ways.First(way => table.Evaluate(values, way.Condition)[0] != 0);
        ulong start = unchecked(lowest - (ulong)below);
        ExploreResult again = Explore(at.Options with { Start = start });
        return new Breakage
        {
            Defect = Words(again.Verdict),
            FaultSpan = span,
            IsShortest = isShortest,
            LowestCounter = lowest,
            HighestCounter = highest,
            Intervals = intervals,
            AreAllIntervals = areAll,
            IsExact = isExact,
            Start = start,
            Takes = Takes(at, span),
            Story = again.Counterexample
                ?? throw new InvalidOperationException(
                    $"exploration from {Narrator.Hex(start)} did not reach what the solver said it would"),
        };
    }

    private static IEnumerable<(Way Found, int Below, Term Condition)> Ways(Way found, Term seq, Term none) =>
        Breaks<TKernel, TMemslots, TPages>.At(Schedule.Of(found.Options, found.Defect), seq, none)
            .Select(way => (found, way.Below, way.Condition));

    private Way? ReachOutside(IReadOnlyList<ulong> starts, ulong span, Term condition, Term seq)
    {
        foreach (ulong start in starts)
        {
            if (Reach([start], span) is { } found)
            {
                using TermTable.Scope scope = table.Enter();
                Term own = table.Any(Ways(found, seq, table.Constant(64, 0)).Select(way => way.Condition));
                if (own != condition)
                    return found;
            }
        }

        return null;
    }

    private async Task<(IReadOnlyList<CounterInterval> Intervals, bool AreAll, ulong Lowest, ulong Highest)> SearchAsync(
        Term seq, Term condition) =>
        await queue.UseAsync(
            async session =>
            {
                var search = new CounterSearch(session, table, seq, condition);
                (IReadOnlyList<CounterInterval> intervals, bool areAll) = await search.IntervalsAsync(IntervalsMax, cancellation);
                ulong highest = areAll ? intervals[^1].Highest : (await search.HighestAsync(cancellation))!.Value;
                return (intervals, areAll, intervals[0].Lowest, highest);
            },
            cancellation);

    /// <summary>
    /// A defect that takes more invalidations in one fault than can be explored: so many of them, all alike, are taken in one
    /// stride. That this is sound is an obligation of its own.
    /// </summary>
    private async Task<Breakage?> CrossAsync(IReadOnlyList<Obligation> failing)
    {
        for (int before = 1; before <= 4; before++)
        {
            for (int after = 1; after <= 4; after++)
            {
                ExploreStep step = new(0, 0, 0);
                var schedule = new Schedule(
                    1, 1, [.. Enumerable.Repeat(step, before + after)], ScheduleEnd.DefectiveStep, BridgeAt: before);
                if (await CrossAsync(failing, schedule) is { } breakage)
                    return breakage;
            }
        }

        return null;
    }

    private async Task<Breakage?> CrossAsync(IReadOnlyList<Obligation> failing, Schedule schedule)
    {
        Term seq, bridge, condition;
        Obligation crossing;
        using (table.Enter())
        {
            (seq, bridge) = (table.Variable("counter", 64), table.Variable("bridge", 64));
            condition = table.Any(Breaks<TKernel, TMemslots, TPages>.At(schedule, seq, bridge).Select(way => way.Condition));
            if (condition == table.False)
                return null;
            crossing = Breaks<TKernel, TMemslots, TPages>.Bridge(schedule);
        }

        ulong? span = await queue.UseAsync(
            session => new CounterSearch(session, table, bridge, condition)
                .LowestAsync(true, 1, options.FaultSpan - 1, cancellation),
            cancellation);
        SolverResult[] sound = await queue.AskAsync(table, TKernel.Info.Name, [crossing], null, null, cancellation);
        if (span is null || sound[0].Answer != SolverAnswer.Unsat)
            return null;
        bool isShortest = (await AskAsync(failing, span.Value - 1, null, null))
            .All(answer => answer.Answer == SolverAnswer.Unsat);
        Term atSpan;
        using (table.Enter())
        {
            atSpan = table.Any(Breaks<TKernel, TMemslots, TPages>.At(schedule, seq, table.Constant(64, span.Value))
                .Select(way => way.Condition));
        }

        bool isExact = (await AskAsync(failing, span.Value, seq, atSpan)).All(answer => answer.Answer == SolverAnswer.Unsat);
        (IReadOnlyList<CounterInterval> intervals, bool areAll, ulong lowest, ulong highest) = await SearchAsync(seq, atSpan);
        ulong start = unchecked(lowest - span.Value);
        Timeline? timeline = ScheduleNarrator.Tell<TKernel, TMemslots, Pages32<Lanes32>>(schedule, start, span.Value);
        return timeline is not { } story ? null : new Breakage
        {
            Defect = Words(story.Steps[^1].Verdict),
            FaultSpan = span.Value,
            IsShortest = isShortest,
            LowestCounter = lowest,
            HighestCounter = highest,
            Intervals = intervals,
            AreAllIntervals = areAll,
            IsExact = isExact,
            Start = start,
            Takes = Takes(null, span.Value),
            Story = story,
        };
    }

    /// <summary>
    /// Asks again with faults that are no longer than <paramref name="span"/>, and at counters that a condition leaves out.
    /// </summary>
    private async Task<IReadOnlyList<SolverResult>> AskAsync(
        IReadOnlyList<Obligation> obligations, ulong span, Term? seq, Term? condition)
    {
        return await queue.AskAsync(table, TKernel.Info.Name, obligations, Extra, null, cancellation);

        IReadOnlyList<Claim> Extra(Obligation obligation)
        {
            Term bound = table.Constant(64, span);
            List<Claim> extra =
            [
                .. obligation.Spans.Select(fault => new Claim(
                    "span-limit", string.Create(CultureInfo.InvariantCulture, $"at most {span} invalidations end in a fault"),
                    table.Implies(fault.InFault, table.AtMost(fault.Span, bound)))),
            ];
            if (seq is { } counter && condition is { } known && obligation.Seq is { } at)
            {
                extra.Add(new("counter-here", "the counter of the step", table.Equal(counter, at)));
                extra.Add(new("counter-elsewhere", "it is not one of those that are known", table.Not(known)));
            }

            return extra;
        }
    }

    private static string Takes(Way? found, ulong span)
    {
        List<string> needs = [];
        if (found?.Options.MemslotUpdates > 0)
            needs.Add("memslot updates");
        if (found is not null && found.Defect.Path.Steps.Select(step => step.Actor - found.Options.Vcpus)
            .Where(invalidator => invalidator >= 0 && invalidator < found.Options.Invalidators).Distinct().Count() > 1)
        {
            needs.Add("two invalidators at once");
        }

        if (span > InvalidationsMax)
            needs.Add(string.Create(CultureInfo.InvariantCulture, $"a fault that spans {Power(span)} invalidations"));
        return string.Join(" and ", needs);
    }

    private static string Power(ulong value) => System.Numerics.BitOperations.IsPow2(value)
        ? string.Create(CultureInfo.InvariantCulture, $"2^{System.Numerics.BitOperations.Log2(value)}")
        : value.ToString("N0", CultureInfo.InvariantCulture);

    private static string Words(ExploreVerdict verdict) => verdict switch
    {
        ExploreVerdict.Hang => "hang",
        ExploreVerdict.Deadlock => "deadlock",
        ExploreVerdict.UnjustifiedRetry => "unjustified retry",
        ExploreVerdict.UnsafeInstall => "unsafe install",
        ExploreVerdict.StaleMapping => "stale mapping",
        ExploreVerdict.AccountingError => "accounting error",
        _ => verdict.ToString(),
    };

    private static string Words(StepVerdict verdict) => verdict switch
    {
        StepVerdict.UnjustifiedRetry => "unjustified retry",
        StepVerdict.UnsafeInstall => "unsafe install",
        StepVerdict.StaleMapping => "stale mapping",
        _ => "accounting error",
    };
}
