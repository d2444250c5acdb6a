using System.Collections.Immutable;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Soak;

/// <summary>The interleavings in which a counter crosses a boundary: all that can happen are counted, and no others.</summary>
public sealed class InterleavingsTests
{
    private const ulong Boundary31 = 1UL << 31;

    public static TheoryData<string, int, int> Shapes => new()
    {
        { "linux-6.1.y", 2, 1 },
        { "linux-6.1.y", 2, 2 },
        { "linux-5.11", 2, 2 },
        { "linux-6.3", 1, 3 },
        { "linux-6.9", 1, 2 },
        { "prefault-6.17", 2, 1 },
        { "tdp-flush-5.11", 1, 2 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void A_soak_sees_every_interleaving_that_is_possible_and_no_other(string kernel, int vcpus, int invalidators)
    {
        const int SlicesMax = 400;
        SimulatedCohort cohort = CohortOf(
            kernel, new() { Vcpus = vcpus, Invalidators = invalidators, Pages = 2, RangePages = 2 });
        Interleavings interleavings = Interleavings.Of(cohort.Kernel, cohort.Vm);
        Shard shard = Shard.Create(cohort, 0, 64, new());
        BoundaryCoverage crossed = At31(shard);
        for (int slice = 0; slice < SlicesMax && crossed.Seen < interleavings.Possible; slice++)
        {
            shard.Advance(8 * VmLives.GridTicks);
            crossed = At31(shard);
        }

        int[] seen = [.. ShardDifferentialTests.NumbersOf(crossed)];
        Assert.All(seen, number => Assert.True(interleavings.IsPossible(number), $"{number} is said to be impossible"));
        Assert.Equal(Enumerable.Range(0, interleavings.Numbers).Where(interleavings.IsPossible), seen);
    }

    [Fact]
    public void They_are_counted_by_phases_alike_actors_and_who_is_over_first()
    {
        // One vCPU: in no fault, resolving or about to check, and it is the first itself.
        Assert.Equal(3, Possible("linux-6.1.y", vcpus: 1, invalidators: 1));

        // Two more steps: the snapshot and the lockless check.
        Assert.Equal(5, Possible("linux-6.9", vcpus: 1, invalidators: 1));

        // Of two vCPUs none, one or two are at each of two phases: six ways, nine with who is first. The other invalidator is
        // at one of three phases.
        Assert.Equal(9, Possible("linux-6.1.y", vcpus: 2, invalidators: 1));
        Assert.Equal(9 * 3, Possible("linux-6.1.y", vcpus: 2, invalidators: 2));
    }

    [Fact]
    public void Numbers_tell_interleavings_apart()
    {
        Interleavings interleavings = Interleavings.Of(Kernel.Find("linux-6.9")!, new() { Vcpus = 4, Invalidators = 3 });
        VcpuPhase[] phases =
            [VcpuPhase.Access, VcpuPhase.Snapshot, VcpuPhase.Resolve, VcpuPhase.LocklessCheck, VcpuPhase.Check];
        InvalidatorPhase[] steps = [InvalidatorPhase.Begin, InvalidatorPhase.Change, InvalidatorPhase.End];
        var numbers = new Dictionary<int, string>();
        foreach (VcpuPhase[] vcpus in Words(phases, 4))
        {
            foreach (InvalidatorPhase[] others in Words(steps, 2))
            {
                foreach (VcpuPhase first in vcpus.Distinct())
                {
                    int number = interleavings.NumberOf(vcpus, others, first);
                    string alike = $"{Classes(vcpus, phases[1..])}; {Classes(others, steps[1..])}; {first}";
                    Assert.True(interleavings.IsPossible(number), alike);
                    Assert.Equal(alike, numbers.TryAdd(number, alike) ? alike : numbers[number]);
                }
            }
        }

        Assert.Equal(interleavings.Possible, numbers.Count);
        Assert.Equal(numbers.Count, numbers.Values.Distinct().Count());

        static string Classes<T>(T[] actors, T[] phases)
            where T : struct => string.Join(' ', phases.Select(phase => Math.Min(actors.Count(actor => actor.Equals(phase)), 2)));
    }

    [Fact]
    public void A_live_patch_begins_to_count_anew()
    {
        SimulatedCohort cohort = CohortOf("linux-6.1.y", new() { Vcpus = 2, Pages = 2, RangePages = 2 });
        Shard shard = Shard.Create(cohort, 0, 8, new());
        shard.Advance(2 * VmLives.GridTicks);
        Assert.True(At31(shard).Seen > 0);
        shard.PatchKernel(Kernel.Find("linux-6.9")!);
        CrossingCoverage after = shard.TakeSnapshot().Coverage;
        Assert.Equal((0, CrossingStates.None), (after.Seen, after.Boundaries[2].Reached));
        Assert.Equal(Interleavings.Of(Kernel.Find("linux-6.9")!, cohort.Vm).Possible, after.Possible);
    }

    [Fact]
    public void A_state_has_what_was_covered_and_a_copy_goes_on_from_it()
    {
        SimulatedCohort cohort = CohortOf("linux-6.3", new() { Vcpus = 3, Invalidators = 2 });
        Shard shard = Shard.Create(cohort, 0, 8, new());
        shard.Advance(2 * VmLives.GridTicks);
        byte[] state = ShardState.Write(shard);
        Shard copy = ShardState.Read(state, cohort, 0, 8, new() { VectorBits = 32 });
        Assert.True(At31(shard).Seen > 0);
        Assert.Equal(ShardDifferentialTests.NumbersOf(At31(shard)), ShardDifferentialTests.NumbersOf(At31(copy)));
        Assert.Equal(At31(shard).Reached, At31(copy).Reached);
    }

    [Fact]
    public void A_crossing_in_no_named_state_is_not_lost_where_the_log_was_read_before()
    {
        var log = new CoverageLog(Interleavings.Of(Kernel.Find("linux-6.1.y")!, new()));
        Assert.Empty(log.Read().Crossed);
        log.Note(31, CrossingStates.None);
        Assert.Equal(31, Assert.Single(log.Read().Crossed).Boundary.Power);
        log.Note(31, number: 0);
        Assert.Equal(1, log.Read().Seen);
        log.Note(31, CrossingStates.FaultInFlight);
        Assert.Equal(CrossingStates.FaultInFlight, Assert.Single(log.Read().Crossed).Reached);
    }

    [Fact]
    public void A_sound_cohort_shows_nothing_about_a_state_in_which_it_never_crossed()
    {
        CrossingCoverage coverage = CrossingCoverage.None(
            Interleavings.Of(Kernel.Find("linux-6.1.y")!, new() { Invalidators = 2, MemslotUpdates = true }));
        Assert.Equal(
            CrossingStates.FaultInFlight | CrossingStates.SnapshotJustBefore | CrossingStates.SecondInvalidation
                | CrossingStates.RootReplaced,
            coverage.Expected);

        // Crossings with no fault in flight, or of boundaries that are those of mutants, reach none of them.
        Assert.Equal(CrossingStates.FaultInFlight, coverage.NeverReached);
        Assert.Equal(CrossingStates.FaultInFlight, With(coverage, 0, coverage.Expected).NeverReached);
        Assert.Equal(CrossingStates.FaultInFlight, With(coverage, 2, CrossingStates.SecondInvalidation).NeverReached);
        CrossingCoverage some = With(coverage, 2, CrossingStates.FaultInFlight | CrossingStates.SnapshotJustBefore);
        Assert.Equal(CrossingStates.SecondInvalidation | CrossingStates.RootReplaced, some.NeverReached);
        CrossingCoverage both = CrossingCoverage.Union([some, With(coverage, 5, CrossingStates.RootReplaced)]);
        Assert.Equal(CrossingStates.SecondInvalidation, both.NeverReached);
        Assert.Equal((2, 2 * coverage.Possible), (both.Seen, both.PossibleInAll));
        Assert.Equal(
            [
                "no VM has crossed 2^31 or a higher boundary with a second invalidation in progress yet: run longer, or let VMs "
                    + "cross again and again (LifeAfterBoundary)",
            ],
            Missing(Defect.None, both));
        Assert.Empty(Missing(Defect.UnsafeInstall, both));

        // Crossed it has, but under another kernel.
        Assert.Equal(
            ["no VM has crossed 2^31 or a higher boundary with a fault in flight under linux-6.1.y yet"],
            Missing(Defect.None, coverage));
    }

    private static IEnumerable<string> Missing(Defect expected, CrossingCoverage coverage) => SimulatedEvidence.FindMissing(
        expected,
        new SimulatedSnapshot
        {
            Kernel = Kernel.Find("linux-6.1.y")!,
            Vms = 1,
            VmsInFleet = 1,
            Tick = 0,
            Totals = (default(Totals) with { Crossings31 = 1 }).ForCohort(),
            InvalidateSeq = null,
            Conditions = [],
            Stalled = [],
            Findings = [],
            Coverage = coverage,
        },
        hangsNow: false);

    private static CrossingCoverage With(CrossingCoverage coverage, int boundary, CrossingStates reached) => coverage with
    {
        Boundaries = coverage.Boundaries.SetItem(
            boundary, coverage.Boundaries[boundary] with { Bits = ImmutableArray.Create(1UL), Reached = reached }),
    };

    private static SimulatedCohort CohortOf(string kernel, VmParameters vm) =>
        SoakRun.CohortOf(kernel, 64, vm with { InvalidateSeqStart = Boundary31 - 200 }) with { LifeAfterBoundary = 100 };

    private static int Possible(string kernel, int vcpus, int invalidators) =>
        Interleavings.Of(Kernel.Find(kernel)!, new() { Vcpus = vcpus, Invalidators = invalidators }).Possible;

    private static BoundaryCoverage At31(Shard shard) =>
        shard.TakeSnapshot().Coverage.Boundaries.Single(crossed => crossed.Boundary.Power == 31);

    private static IEnumerable<T[]> Words<T>(T[] letters, int length) => length == 0 ? [[]]
        : Words(letters, length - 1).SelectMany(word => letters.Select(letter => (T[])[.. word, letter]));
}
