using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Tests.Scalar;
using SoakHost.Engine.Timelines;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Replays;

/// <summary>
/// What a large fleet found is told again by one VM alone, step by step, and nothing is told that was not found.
/// </summary>
public sealed class ReplayTests
{
    private const int Ticks = 12 * Shard.ObservationTicks;
    private static readonly ShardOptions Run = new() { Seed = 7, StallRetries = 100 };

    private static readonly SimulatedCohort[] Cohorts =
    [
        CohortOf("linux-6.1", new VmParameters { InvalidateSeqStart = (1UL << 31) - 500 }),
        CohortOf("no-seq-check", new VmParameters { Vcpus = 2, Pages = 64, RangePages = 64, InvalidateSeqStart = 0 }),
        CohortOf("linux-5.12-i386", new VmParameters { Vcpus = 3, Invalidators = 2, InvalidateSeqStart = 0 }),
        CohortOf("linux-5.15", new VmParameters { MemslotUpdates = true }),
        CohortOf("prefault-6.17", new VmParameters { MemslotUpdates = true }),
        CohortOf("ppc-hash-5.13", new VmParameters { Vcpus = 2, InvalidateSeqStart = 0 }),
        CohortOf(
            "tdp-flush-5.11",
            new VmParameters
            {
                Vcpus = 2,
                Invalidators = 2,
                Pages = 8,
                RangePages = 4,
                InvalidateSeqStart = 0,
            }),
    ];

    private static readonly Lazy<ImmutableArray<Finding>[]> Findings = new(SoakWithTwoWorkers);

    [Fact]
    public void An_incident_of_thousands_of_VMs_on_two_workers_is_told_by_one_lane_as_the_scalar_VM_lives_it()
    {
        foreach ((SimulatedCohort cohort, ImmutableArray<Finding> findings) in Cohorts.Zip(Findings.Value))
        {
            Finding[] incidents = [.. findings.Where(finding => IncidentId.IsIncident(finding.Kind))];
            Assert.True(incidents.Length > 1000, $"{cohort.Name} has {incidents.Length} incidents");
            foreach (Finding finding in (Finding[])[incidents[0], incidents[incidents.Length / 2], incidents[^1]])
            {
                Timeline? story = Tell(cohort, Run, finding);
                Assert.NotNull(story);
                AssertIsAbout(finding, story);
                AssertHappened(
                    cohort,
                    finding.Vm,
                    story,
                    IsShownInQuiet(finding, story) ? finding.Time.Tick!.Value : long.MaxValue);
            }
        }
    }

    [Fact]
    public void A_hang_of_another_seed_is_no_hang_of_this_one_though_the_same_vCPU_hangs_at_much_the_same_time()
    {
        // Hangs are found on a grid of ticks, so that two seeds may find one at the same tick; then it is the other's own.
        ShardOptions other = Run with { Seed = 8 };
        var shard = Shard.Create(Cohorts[0], 0, 64, other);
        shard.Advance(Ticks);
        HashSet<IncidentId> others =
        [
            .. shard.TakeSnapshot().Findings.Select(finding => IncidentId.Of(Cohorts[0].Name, finding)),
        ];
        Finding[] hangs = [.. Findings.Value[0].Where(finding => finding.Kind == FindingKind.VcpuHung && finding.Vm < 64)];
        Assert.All(hangs, finding => Assert.Equal(
            others.Contains(IncidentId.Of(Cohorts[0].Name, finding)), Tell(Cohorts[0], other, finding) is not null));
        Assert.Contains(hangs, finding => !others.Contains(IncidentId.Of(Cohorts[0].Name, finding)));
        IncidentId first = IncidentId.Of(Cohorts[0].Name, hangs[0]);
        foreach (int offset in (int[])[-Shard.ObservationTicks, Shard.ObservationTicks, 1])
            Assert.Null(Tell(Cohorts[0], Run, first with { Time = FindingTime.AtTick(first.Time.Tick!.Value + offset) }));
    }

    [Fact]
    public void An_unsafe_install_or_an_accounting_error_of_another_seed_is_none_of_this_one()
    {
        foreach (int cohort in (int[])[1, 2])
        {
            Finding finding = Findings.Value[cohort].First(finding => IncidentId.IsIncident(finding.Kind));
            Assert.NotNull(Tell(Cohorts[cohort], Run, finding));
            Assert.Null(Tell(Cohorts[cohort], Run with { Seed = 8 }, finding));
        }
    }

    [Fact]
    public void An_incident_that_cannot_be_is_none()
    {
        IncidentId hang = IncidentId.Of(
            Cohorts[0].Name,
            Findings.Value[0].First(finding => finding.Kind == FindingKind.VcpuHung));
        Assert.Null(Tell(Cohorts[0], Run, hang with { Vcpu = 4 }));
        Assert.Null(Tell(Cohorts[0], Run, hang with { Vcpu = null }));
        Assert.Null(
            Tell(Cohorts[0], Run, hang with { Time = FindingTime.After(TimeSpan.FromMilliseconds(hang.Time.Tick!.Value)) }));
        Assert.Null(Tell(Cohorts[0], Run, hang with { Vm = Cohorts[0].Vms }));
        Assert.Null(Tell(Cohorts[0], Run, hang with { Kind = FindingKind.UnsafeInstall }));
        Assert.Null(Tell(Cohorts[0], Run with { StallRetries = 101 }, hang with { Time = FindingTime.AtTick(0) }));
    }

    [Theory]
    [InlineData(2u)]
    [InlineData(2000u)]
    public void A_story_has_its_beginning_however_soon_or_late_the_vCPU_is_called_hung(uint stallRetries)
    {
        ShardOptions options = Run with { StallRetries = stallRetries };

        // The VMs cross at about tick 2 * 1024, where an observation ends and the first window begins.
        SimulatedCohort cohort = CohortOf("linux-6.1", new VmParameters { InvalidateSeqStart = (1UL << 31) - 597 }) with
        {
            Vms = 128,
        };

        // Once invalidations stop there, every retry is unjustified: so the defect comes first thing in that window.
        ShardIntervention[] pause = stallRetries == 2
            ? [new() { Kind = InterventionKind.PauseInvalidations, Tick = 2 * Shard.ObservationTicks }] : [];
        int beginsBeforeTheFirstWindow = 0;
        for (int firstVm = 0; firstVm < cohort.Vms; firstVm += 64)
        {
            Shard shard = Shard.Create(cohort, firstVm, 64, options);
            foreach (ShardIntervention intervention in pause)
                shard.Schedule(intervention);
            shard.Advance(24 * Shard.ObservationTicks);
            Finding[] hangs = [.. shard.TakeSnapshot().Findings.Where(finding => finding.Kind == FindingKind.VcpuHung)];
            Assert.InRange(hangs.Length, stallRetries == 2 ? 64 : 64 * 4, 64 * 4);
            foreach (Finding finding in stallRetries == 2 ? hangs.Where(finding => finding.Vcpu < 2) : hangs[..1])
            {
                Timeline story = Tell(cohort, options, finding, pause)!;
                TimelineStep defect = DefectOf(finding, story);
                int at = story.Steps.IndexOf(defect);
                Assert.Contains(
                    story.Steps.Take(at),
                    step => step.Actor == defect.Actor && step.Action.StartsWith("accesses", StringComparison.Ordinal));
                Assert.True(at >= 8, $"{finding}: {at} steps before");
                if (stallRetries == 2 && story.Steps[0].Tick < finding.Time.Tick - Shard.ObservationTicks)
                    beginsBeforeTheFirstWindow++;
            }
        }

        // Where the row began just inside the window, the story goes on looking for what came before it.
        if (stallRetries == 2)
            Assert.True(beginsBeforeTheFirstWindow > 0);
    }

    [Fact]
    public void A_range_tells_the_steps_of_its_ticks_and_no_others()
    {
        Timeline all = Replay.Range(Cohorts[1], Run, 5, 0, 3000, [], TestContext.Current.CancellationToken);
        Timeline part = Replay.Range(Cohorts[1], Run, 5, 1500, 700, [], TestContext.Current.CancellationToken);
        Assert.Equal(all.Steps.Where(step => step.Tick is >= 1500 and < 2200), part.Steps);
        Assert.Equal("VM 5 from tick 1500 to 2199.", part.Conclusion);
        Assert.Equal("no-seq-check", part.Kernel);
        AssertHappened(Cohorts[1], 5, part);
    }

    [Fact]
    public void A_range_of_more_steps_than_anyone_reads_is_cut_and_says_so()
    {
        Timeline story = Replay.Range(Cohorts[0], Run, 0, 0, 20_000, [], TestContext.Current.CancellationToken);
        Assert.Equal(Replay.StepsMax, story.Steps.Length);
        Assert.EndsWith("The first 10000 steps are told.", story.Conclusion, StringComparison.Ordinal);
    }

    [Fact]
    public void A_replay_can_be_stopped()
    {
        var stopped = new CancellationToken(canceled: true);
        Assert.Throws<OperationCanceledException>(() => Replay.Range(Cohorts[0], Run, 0, 1_000_000_000_000, 1, [], stopped));
        Assert.Throws<OperationCanceledException>(() =>
            Replay.Incident(Cohorts[0], Run, new(FindingKind.VcpuHung, "linux-6-1", 0, 0, FindingTime.AtTick(1024)), [], stopped)
        );
    }

    private static SimulatedCohort CohortOf(string kernel, VmParameters vm) =>
        new() { Name = kernel.Replace('.', '-'), Kernel = Kernel.Find(kernel)!, Vms = 2000, Vm = vm };

    private static Timeline? Tell(
        SimulatedCohort cohort, ShardOptions options, Finding finding, ShardIntervention[]? interventions = null) =>
        Tell(cohort, options, IncidentId.Of(cohort.Name, finding), interventions);

    private static Timeline? Tell(
        SimulatedCohort cohort, ShardOptions options, IncidentId incident, ShardIntervention[]? interventions = null) =>
        Replay.Incident(cohort, options, incident, interventions ?? [], TestContext.Current.CancellationToken);

    private static ImmutableArray<Finding>[] SoakWithTwoWorkers()
    {
        var options = new FleetOptions
        {
            Cohorts = Cohorts,
            Workers = 2,
            TicksMax = Ticks,
            SliceTicks = Shard.ObservationTicks,
            Shards = Run,
        };
        using var fleet = new Fleet(options, TimeProvider.System);
        fleet.Start();
        Assert.True(SpinWait.SpinUntil(() => fleet.IsDone, TimeSpan.FromMinutes(2)));
        Assert.True(fleet.Stop(TimeSpan.FromMinutes(1)));
        return [.. fleet.Cohorts.Select(cohort => cohort.Take()!.Findings)];
    }

    /// <summary>A sibling of a vCPU that hangs may have gone wrong just before it.</summary>
    private static TimelineStep DefectOf(Finding finding, Timeline story) => story.Steps.First(
        step => step.IsDefect && (finding.Kind != FindingKind.VcpuHung || step.Actor == $"vCPU {finding.Vcpu}"));

    /// <summary>
    /// Whether no retry before the finding was unjustified, so that the story goes on without new invalidations.
    /// </summary>
    private static bool IsShownInQuiet(Finding finding, Timeline story) =>
        finding.Kind == FindingKind.VcpuHung && DefectOf(finding, story).Tick >= finding.Time.Tick;

    private static void AssertIsAbout(Finding finding, Timeline story)
    {
        TimelineStep defect = DefectOf(finding, story);
        Assert.Contains($"{defect.Explanation}. What differs in {story.Kernel}: ", story.Conclusion, StringComparison.Ordinal);
        Assert.NotEqual("", defect.Explanation);
        switch (finding.Kind)
        {
            case FindingKind.VcpuHung:
                Assert.Equal(($"vCPU {finding.Vcpu}", StepVerdict.UnjustifiedRetry), (defect.Actor, defect.Verdict));
                string quiet = IsShownInQuiet(finding, story)
                    ? $", as invalidations that stop at tick {finding.Time.Tick} show"
                    : "";
                Assert.StartsWith($"vCPU {finding.Vcpu} hangs{quiet}: ", story.Conclusion, StringComparison.Ordinal);
                Assert.EndsWith($"retries page {finding.Page}", defect.Action, StringComparison.Ordinal);

                // It ends with the next time round.
                Assert.Equal(defect.Actor, story.Steps[^1].Actor);
                Assert.True(story.Steps[^1].Tick > defect.Tick);
                break;
            case FindingKind.Deadlock:
                Assert.Equal(StepVerdict.Deadlock, defect.Verdict);
                Assert.StartsWith($"vCPU {finding.Vcpu} is deadlocked: ", story.Conclusion, StringComparison.Ordinal);
                Assert.True(story.Steps[^1].Tick > defect.Tick);
                break;
            case FindingKind.UnsafeInstall:
                Assert.Same(defect, story.Steps[^1]);
                Assert.Equal(
                    (
                        StepVerdict.UnsafeInstall,
                        $"vCPU {finding.Vcpu}",
                        finding.Time.Tick,
                        finding.InvalidateSeq,
                        finding.Snapshot),
                    (
                        defect.Verdict,
                        defect.Actor,
                        (long?)defect.Tick,
                        (CounterRange?)CounterRange.Exactly(defect.InvalidateSeq),
                        defect.Snapshot));
                break;
            case FindingKind.StaleMapping:
                Assert.Same(defect, story.Steps[^1]);
                Assert.Equal(
                    (StepVerdict.StaleMapping, finding.Time.Tick, finding.InvalidateSeq),
                    (defect.Verdict, (long?)defect.Tick, (CounterRange?)CounterRange.Exactly(defect.InvalidateSeq)));
                Assert.Contains($"{finding.Page}", defect.Truth, StringComparison.Ordinal);
                Assert.Contains(
                    story.Steps,
                    step => step.Actor == defect.Actor && step.Action.StartsWith("begins", StringComparison.Ordinal));
                break;
            default:
                Assert.Same(defect, story.Steps[^1]);
                Assert.Equal(
                    (StepVerdict.AccountingError, finding.Time.Tick, finding.InvalidateSeq),
                    (defect.Verdict, (long?)defect.Tick, (CounterRange?)CounterRange.Exactly(defect.InvalidateSeq)));
                break;
        }
    }

    /// <summary>
    /// Each step of the story left the VM as the scalar VM's same step leaves it, and no step between them is left out.
    /// </summary>
    private static void AssertHappened(SimulatedCohort cohort, int vm, Timeline story, long quietFrom = long.MaxValue)
    {
        List<(long, string, ulong, uint, (int, int), ulong)> lived = [];
        var soak = new ReferenceSoak(cohort, Run.Seed, Run.StallRetries, vm);
        long tick = 0;
        (long first, long last) = (story.Steps[0].Tick, story.Steps[^1].Tick);
        soak.Stepped = actor =>
        {
            if (tick < first || tick > last)
                return;
            VmState state = soak.State;
            string name = actor < cohort.Vm.Vcpus ? $"vCPU {actor}"
                : actor < cohort.Vm.Vcpus + cohort.Vm.Invalidators ? $"invalidator {actor - cohort.Vm.Vcpus}" : "memslot updater";
            lived.Add((tick, name, state.InvalidateSeq, state.InProgress, state.Range, state.Mapped));
        };
        for (; tick <= last; tick++)
        {
            soak.MayInvalidate = tick < quietFrom;
            soak.Advance(1);
        }


        // The story may begin and end within a tick.
        (long, string, ulong, uint, (int, int), ulong)[] told =
        [
            .. story.Steps.Select(step => (step.Tick, step.Actor, step.InvalidateSeq, step.InProgress, step.Range, step.Mapped)),
        ];
        int from = lived.IndexOf(told[0]);
        Assert.True(from >= 0, "the first step did not happen");
        Assert.Equal(lived.Skip(from).Take(told.Length), told);
    }
}
