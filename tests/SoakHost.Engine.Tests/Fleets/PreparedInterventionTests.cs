using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Tests.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Fleets;

/// <summary>Interventions between their preparation and their commit, which may take as long as a disk does.</summary>
public sealed class PreparedInterventionTests
{
    private static readonly ShardIntervention Pause = new() { Kind = InterventionKind.PauseInvalidations };
    private static readonly ShardIntervention Removal = new() { Kind = InterventionKind.RemoveCohort };
    private static readonly SimulatedCohort Control = SoakRun.CohortOf("linux-6.1", 150, new()) with { Name = "control" };
    private static readonly SimulatedCohort Stable = Control with { Name = "stable", Kernel = Kernel.Of<Linux61Stable>() };
    private static readonly SimulatedCohort Late = Control with { Name = "late", Vms = 70 };
    private static readonly FleetOptions Options = new() { Cohorts = [Control, Stable], Workers = 2 };

    [Fact]
    public void While_one_is_prepared_its_cohort_waits_and_others_are_changed_added_and_removed()
    {
        using var fleet = new Fleet(Options, TimeProvider.System);
        fleet.Start();
        using PreparedIntervention prepared = fleet.Prepare("control", Resize(10));
        fleet.Intervene("stable", Pause);
        fleet.Add(Late);
        fleet.Intervene("stable", Removal);
        Assert.Equal(["control", "late"], fleet.Cohorts.Select(source => source.Cohort.Name));
        Assert.Equal(150, fleet.Cohorts[0].Cohort.Vms);

        long tick = prepared.Intervention.Tick;
        FleetRun.Checkpoint(fleet);
        Assert.All(
            FleetRun.Checkpoint(fleet).Where(shard => shard.Cohort == "control"), shard => Assert.True(shard.Tick <= tick));
        prepared.Commit();
        Assert.Equal(10, fleet.Cohorts[0].Cohort.Vms);
        Assert.True(
            SpinWait.SpinUntil(
                () => FleetRun.Checkpoint(fleet).Single(shard => shard is { Cohort: "control", FirstVm: 0 }).Tick > tick,
                FleetRun.Patience));
        Assert.True(fleet.Stop(FleetRun.Patience));
    }

    [Fact]
    public void One_that_is_abandoned_never_happens_and_its_cohort_goes_on()
    {
        using var fleet = new Fleet(Options, TimeProvider.System);
        fleet.Start();
        long tick;
        using (PreparedIntervention prepared = fleet.Prepare("control", Pause))
            tick = prepared.Intervention.Tick;
        Assert.True(
            SpinWait.SpinUntil(
                () => FleetRun.Checkpoint(fleet).Where(shard => shard.Cohort == "control").All(shard => shard.Tick > tick),
                FleetRun.Patience));
        Assert.All(
            FleetRun.Checkpoint(fleet).Where(shard => shard.Cohort == "control"),
            shard =>
                Assert.True(
                    ShardState.Read(shard.State, Control, shard.FirstVm, FleetOptions.ShardVms, Options.Shards).MayInvalidate));
        fleet.Prepare("control", Pause).Commit();
        Assert.True(fleet.Stop(FleetRun.Patience));
    }

    [Fact]
    public void A_cohort_has_one_prepared_at_a_time_and_it_is_committed_once()
    {
        using var fleet = new Fleet(Options, TimeProvider.System);
        PreparedIntervention prepared = fleet.Prepare("control", Pause);
        Assert.Throws<InterventionConflictException>(() => fleet.Prepare("control", Resize(10)));
        prepared.Commit();
        Assert.Throws<InvalidOperationException>(prepared.Commit);
        prepared.Dispose();
        fleet.Prepare("control", Resize(10)).Dispose();
        PreparedIntervention added = fleet.Prepare("late", new() { Kind = InterventionKind.AddCohort, Cohort = Late });
        Assert.Throws<InterventionConflictException>(() => fleet.Add(Late));
        added.Abandon();
        fleet.Add(Late);
    }

    [Fact]
    public void A_stop_does_not_wait_for_one_that_is_prepared_and_one_that_is_recorded_by_then_is_done_after_the_resume()
    {
        ShardIntervention resize;
        Dictionary<ShardKey, byte[]> states = [];
        using (var fleet = new Fleet(Options, TimeProvider.System))
        {
            fleet.KeepFindings();
            fleet.Start();
            using PreparedIntervention prepared = fleet.Prepare("control", Resize(10));
            resize = prepared.Intervention;
            Assert.True(fleet.Stop(FleetRun.Patience));
            Assert.Throws<InterventionConflictException>(() => fleet.Prepare("stable", Pause));
            fleet.Checkpoint(state => states.Add(state.Shard, state.State));
            prepared.Commit();
        }

        var resume = new ResumeState(
            states.ToDictionary(
                state => state.Key,
                state =>
                    ShardState.Read(
                        state.Value,
                        state.Key.Cohort == "control" ? Control : Stable,
                        state.Key.FirstVm,
                        FleetOptions.ShardVms,
                        Options.Shards)),
            new[] { resize }.ToLookup(_ => "control"));
        Dictionary<ShardKey, byte[]> resumed = FleetRun.Of(
            Options with { TicksMax = resize.Tick + (8 * Shard.ObservationTicks) }, resume, _ => { }, finish: true);
        Assert.Equal(
            10, ShardState.Read(resumed[new("control", 0, 0)], Control, 0, FleetOptions.ShardVms, Options.Shards).Vms);
    }

    [Fact]
    public void What_is_prepared_counts_towards_the_limits_until_it_is_abandoned()
    {
        var membership = new Membership([SourceOf(Control), SourceOf(Stable)]);
        const int Room = FleetOptions.VmsMax - 300;
        using (membership.Reserve("control", Resize(150 + Room)))
        {
            Assert.Contains("1 more are too many", Refusal("stable", Resize(151)), StringComparison.Ordinal);
            Assert.Contains(
                "70 more are too many",
                Refusal("late", new() { Kind = InterventionKind.AddCohort, Cohort = Late }),
                StringComparison.Ordinal);
            membership.Reserve("stable", Resize(149)).Dispose();
        }

        membership.Reserve("stable", Resize(151)).Dispose();
        using (membership.Reserve("control", Removal))
            Assert.Contains("is the last one", Refusal("stable", Removal), StringComparison.Ordinal);
        membership.Reserve("stable", Removal).Dispose();

        string Refusal(string cohort, ShardIntervention intervention) =>
            Assert.Throws<InterventionConflictException>(() => membership.Reserve(cohort, intervention)).Message;
    }

    private static ShardIntervention Resize(int vms) => new() { Kind = InterventionKind.ResizeCohort, Vms = vms };

    private static SimulatedCohortSource SourceOf(SimulatedCohort cohort) =>
        new(
            new CohortHistory(cohort, [], FleetPart.Whole),
            (history, plan) => new ShardSlot(history.Create(plan, plan.FirstVm, plan.Vms, Options.Shards), plan));
}
