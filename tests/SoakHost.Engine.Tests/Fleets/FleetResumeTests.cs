using System.Collections.Concurrent;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Tests.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Fleets;

/// <summary>Fleets on real workers that are stopped, resumed and changed.</summary>
public sealed class FleetResumeTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private static readonly SimulatedCohort Control =
        SoakRun.CohortOf("linux-6.1", 150, new() { InvalidateSeqStart = (1UL << 31) - 2000 }) with { Name = "control" };

    private static readonly FleetOptions Options = new()
    {
        Cohorts = [Control, Control with { Name = "stable", Kernel = Kernel.Of<Linux61Stable>() }],
        Workers = 2,
        TicksMax = 200 * Shard.ObservationTicks,
        Shards = new() { StallRetries = 100 },
    };

    [Fact]
    public void A_fleet_that_is_resumed_from_whatever_its_shards_last_wrote_ends_as_one_that_never_stopped()
    {
        Dictionary<ShardKey, byte[]> straight = Run(Options, resume: null, _ => { });

        // Every stage stops as soon as each shard has answered one request, so that shards stop at different ticks.
        ResumeState? resume = null;
        Dictionary<ShardKey, byte[]> last = [];
        for (int stage = 0; stage < 4; stage++)
        {
            last = Run(
                Options with
                {
                    Workers = 1 + (stage % 3),
                },
                resume,
                fleet => FleetRun.Checkpoint(fleet),
                finish: stage == 3);
            resume = ResumeStateOf(last, []);
        }

        Assert.Equal(straight.Keys.ToHashSet(), last.Keys.ToHashSet());
        Assert.All(straight, shard => Assert.Equal(shard.Value, last[shard.Key]));
    }

    [Fact]
    public void An_intervention_takes_effect_at_one_tick_in_every_shard_and_is_recorded_before_any_passes_it()
    {
        FleetOptions endless = Options with { TicksMax = long.MaxValue, Cohorts = [Control] };
        List<ShardIntervention> recorded = [];
        Dictionary<ShardKey, byte[]> patched = Run(
            endless,
            resume: null,
            fleet =>
            {
                FleetRun.Checkpoint(fleet);
                for (int i = 0; i < 5; i++)
                {
                    fleet.Intervene(
                        "control",
                        new() { Kind = InterventionKind.PatchKernel, Kernel = Kernel.Of<Linux63>() },
                        Record);
                    fleet.Intervene(
                        "control",
                        new()
                        {
                            Kind = InterventionKind.Migrate,
                            InvalidateSeq = (1UL << 31) - 3000,
                            Vm = i,
                        },
                        Record);
                    fleet.Intervene(
                        "control",
                        new() { Kind = InterventionKind.PatchKernel, Kernel = Kernel.Of<Linux61>() },
                        Record);
                }
            },
            finish: false);
        Assert.Equal(recorded.OrderBy(intervention => intervention.Tick), recorded);

        // Alone, one after another, from the start and with what was recorded, each shard comes to the same state.
        foreach (((_, int firstVm, _), byte[] expected) in patched)
        {
            Shard again = Shard.Create(Control, firstVm, Math.Min(64, 150 - firstVm), endless.Shards);
            foreach (ShardIntervention intervention in recorded)
                again.Schedule(intervention);
            long end = ShardState.Read(expected, Control, firstVm, again.Vms, endless.Shards).Tick;
            while (again.Tick < end)
                again.Advance((int)Math.Min(64 * Shard.ObservationTicks, end - again.Tick));
            again.TakeSnapshot();
            Assert.Equal(expected, ShardState.Write(again));
        }

        void Record(ShardIntervention intervention) => recorded.Add(intervention);
    }

    [Fact]
    public void An_intervention_that_cannot_be_recorded_does_not_happen()
    {
        using var fleet = new Fleet(Options with { TicksMax = long.MaxValue }, TimeProvider.System);
        fleet.Start();
        var patch = new ShardIntervention { Kind = InterventionKind.PatchKernel, Kernel = Kernel.Of<Linux63>() };
        Assert.Throws<IOException>(() => fleet.Intervene("control", patch, _ => throw new IOException("no space")));
        Assert.Throws<NoSuchCohortException>(() => fleet.Intervene("nobody", patch, _ => { }));
        Assert.Throws<InvalidInterventionException>(() =>
            fleet.Intervene("control", new() { Kind = InterventionKind.Migrate, Vm = 150 }, _ => { }));
        FleetRun.Checkpoint(fleet);
        ConcurrentBag<ShardCheckpoint> states = FleetRun.Checkpoint(fleet);
        Assert.All(
            states.Where(state => state.Cohort == "control"),
            state => Assert.Equal("linux-6.1", ReadOf(state).Kernel.Info.Name));
        Assert.True(fleet.Stop(Patience));
    }

    [Fact]
    public void A_resumed_watchdog_counts_on_from_the_incidents_of_the_past()
    {
        FleetReport first = default!;
        Dictionary<ShardKey, byte[]> ended = Run(Options, resume: null, fleet => first = Watch(fleet));
        Assert.True(first.Cohorts[0].Incidents.Hangs >= 600);
        FleetReport second = default!;
        Run(Options, ResumeStateOf(ended, []), fleet => second = Watch(fleet));
        Assert.Equal(first.Cohorts.Select(cohort => cohort.Incidents), second.Cohorts.Select(cohort => cohort.Incidents));
        Assert.Equal(first.Verdict, second.Verdict);
        Assert.Equal(second.OperationsBefore, second.Cohorts.Sum(cohort => cohort.Totals.Operations));
        Assert.Equal(0, first.OperationsBefore);

        static FleetReport Watch(Fleet fleet)
        {
            using var watchdog = new Watchdog(fleet, TimeProvider.System, TimeSpan.FromHours(1), TimeSpan.FromHours(1));
            FleetRun.WaitUntilDone(fleet);
            Assert.True(fleet.Stop(Patience));
            return watchdog.Stop();
        }
    }

    [Fact]
    public void The_first_report_of_a_resumed_fleet_has_what_was_seen_before_and_that_of_a_new_one_has_nothing()
    {
        Dictionary<ShardKey, byte[]> ended = Run(
            Options,
            resume: null,
            fleet =>
                fleet.Intervene("stable", new() { Kind = InterventionKind.PatchKernel, Kernel = Kernel.Of<Linux63>() }, _ => { })
        );

        FleetReport first = FirstReport(ResumeStateOf(ended, []));

        Assert.Equal(["linux-6.1", "linux-6.3"], first.Cohorts.Select(cohort => cohort.KernelName));
        Assert.All(first.Cohorts, cohort => Assert.True(cohort.Totals.Invalidations > 0));
        Assert.Equal(first.OperationsBefore, first.Cohorts.Sum(cohort => cohort.Totals.Operations));
        Assert.True(first.Cohorts[0].Hung > 0);
        Assert.Empty(first.Cohorts.SelectMany(cohort => cohort.Findings));
        Assert.Empty(FirstReport(resume: null).Cohorts);

        static FleetReport FirstReport(ResumeState? resume)
        {
            using var fleet = new Fleet(Options, TimeProvider.System, resume);
            using var watchdog = new Watchdog(fleet, TimeProvider.System, TimeSpan.FromHours(1), TimeSpan.FromHours(1));
            return watchdog.Latest;
        }
    }

    private static Dictionary<ShardKey, byte[]> Run(
        FleetOptions options,
        ResumeState? resume,
        Action<Fleet> during,
        bool finish = true) => FleetRun.Of(options, resume, during, finish);

    private static ResumeState ResumeStateOf(Dictionary<ShardKey, byte[]> states, ShardIntervention[] interventions) =>
        new(
            states.ToDictionary(
                state => state.Key,
                state =>
                    ShardState.Read(
                        state.Value,
                        Options.Cohorts.OfType<SimulatedCohort>().First(cohort => cohort.Name == state.Key.Cohort),
                        state.Key.FirstVm,
                        64,
                        Options.Shards)),
            interventions.ToLookup(_ => "control"));

    private static Shard ReadOf(ShardCheckpoint state) =>
        ShardState.Read(state.State, Control, state.FirstVm, Math.Min(64, 150 - state.FirstVm), Options.Shards);
}
