using System.Collections.Concurrent;
using CsCheck;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Tests.Soak;
using SoakHost.Engine.Timelines;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Fleets;

/// <summary>Cohorts that are added, resized and removed while the fleet runs.</summary>
public sealed class FleetMembershipTests
{
    private const long End = 400 * Shard.ObservationTicks;
    private static readonly TimeSpan Patience = FleetRun.Patience;

    private static readonly SimulatedCohort Control = SoakRun.CohortOf(
        "linux-6.1",
        150,
        new() { InvalidateSeqStart = (1UL << 31) - 2000 }
    ) with
    {
        Name = "control",
        Expected = Defect.Hang,
    };

    private static readonly SimulatedCohort Added = Control with
    {
        Name = "late",
        Vms = 70,
        Kernel = Kernel.Of<Linux61Stable>(),
        Expected = Defect.None,
    };

    private static readonly FleetOptions Options = new()
    {
        Cohorts = [Control],
        Workers = 2,
        Shards = new() { StallRetries = 100 },
    };

    private readonly List<(string Cohort, ShardIntervention Intervention)> _recorded = [];

    [Fact]
    public void Whatever_was_added_resized_and_removed_a_resumed_fleet_and_an_undisturbed_one_come_to_the_same()
    {
        // A fleet that is operated, and stopped again and again wherever its shards are then.
        ResumeState? resume = null;
        for (int stage = 0; stage < 5; stage++)
        {
            Dictionary<ShardKey, byte[]> states = FleetRun.Of(
                Options with { Workers = 1 + (stage % 3) }, resume, fleet => Change(fleet, stage), finish: false);
            resume = ResumeStateOf(states);
        }

        // A busy machine lets the fleet run far between two interventions: the end comes after all of it.
        long end = resume!.Shards.Values.Max(shard => shard.Tick) + (100 * Shard.ObservationTicks);
        Dictionary<ShardKey, byte[]> resumed = Finish(resume, end);

        // From the start, with what was recorded, and nothing else.
        Dictionary<ShardKey, byte[]> straight = Finish(ResumeStateOf([]), end);
        Assert.Equal(straight.Keys.ToHashSet(), resumed.Keys.ToHashSet());
        Assert.All(straight, shard => Assert.Equal(Convert.ToHexString(shard.Value), Convert.ToHexString(resumed[shard.Key])));
        Assert.Contains(straight.Keys, key => key.StartTick > 0);
        Assert.Equal(
            ["add", "kernel", "remove", "resize", "resize", "resize"],
            _recorded.Select(entry => entry.Intervention.Kind switch
            {
                InterventionKind.AddCohort => "add",
                InterventionKind.PatchKernel => "kernel",
                InterventionKind.RemoveCohort => "remove",
                _ => "resize",
            }).Order());
    }

    [Fact]
    public void Whatever_is_done_and_however_old_the_checkpoint_is_a_resumed_fleet_comes_to_the_same()
    {
        Gen<(int Kind, int Vm, int Vms)[]> interventions = Gen.Select(Gen.Int[0, 8], Gen.Int[0, 199], Gen.Int[1, 200]).Array[6];
        Gen.Select(Gen.Int[1, 3], interventions).Array[5].Sample(ComesToTheSame, iter: 6, threads: 1);
    }

    /// <param name="lives">Of each process of the fleet, the workers and what is done to it before it is killed.</param>
    private void ComesToTheSame((int Workers, (int Kind, int Vm, int Vms)[] Interventions)[] lives)
    {
        _recorded.Clear();
        var saved = new Dictionary<ShardKey, byte[]>();
        FleetOptions options = Options with { TicksMax = End, DutyCycle = 0.02 };
        foreach ((int workers, (int Kind, int Vm, int Vms)[] interventions) in lives)
        {
            // What is done after the checkpoint is all that is known of the time after it, as when the process is killed.
            using var fleet = new Fleet(options with { Workers = workers }, TimeProvider.System, ResumeStateOf(saved));
            fleet.KeepFindings();
            fleet.Start();
            foreach (ShardCheckpoint checkpoint in FleetRun.Checkpoint(fleet))
                saved[checkpoint.Shard] = checkpoint.State;
            foreach ((int kind, int vm, int vms) in interventions)
                Intervene(fleet, kind, vm % fleet.Cohorts[0].Cohort.Vms, vms);
            Assert.True(fleet.Stop(Patience));
            Assert.All(fleet.Cohorts, cohort => Assert.Empty(cohort.Take()!.Failures));
        }

        Dictionary<ShardKey, byte[]> resumed = Finish(ResumeStateOf(saved));
        Dictionary<ShardKey, byte[]> straight = Finish(ResumeStateOf([]));
        Assert.Equal(straight.Keys.ToHashSet(), resumed.Keys.ToHashSet());
        Assert.All(straight, shard => Assert.Equal(Convert.ToHexString(shard.Value), Convert.ToHexString(resumed[shard.Key])));
        Assert.True(_recorded.Count > 15, $"{_recorded.Count} interventions");
    }

    [Fact]
    public void A_fleet_is_done_only_when_the_VMs_of_a_removed_cohort_are_gone_too()
    {
        SimulatedCohort large = Added with { Vms = 3000 };
        FleetOptions options = Options with
        {
            Cohorts = [Control with { Vms = 1 }, large],
            TicksMax = 20 * Shard.ObservationTicks,
        };
        using var fleet = new Fleet(options, TimeProvider.System);
        fleet.Intervene("late", new() { Kind = InterventionKind.RemoveCohort, Tick = 19 * Shard.ObservationTicks });
        fleet.Start();
        FleetRun.WaitUntilDone(fleet);
        Assert.True(fleet.Stop(Patience));
        List<ShardCheckpoint> last = [];
        fleet.Checkpoint(last.Add);
        Assert.All(last, checkpoint => Assert.Equal(checkpoint.Cohort == "late", checkpoint.IsLast));
    }

    [Fact]
    public void A_cohort_that_shrinks_and_grows_has_its_figures_throughout_and_its_totals_never_fall()
    {
        using var fleet = new Fleet(Options, TimeProvider.System);
        using var watchdog = new Watchdog(fleet, TimeProvider.System, TimeSpan.FromMilliseconds(20), TimeSpan.FromHours(1));
        fleet.Start();
        watchdog.Start();
        Until(watchdog, report => report.Cohorts is [{ Hung: 600 }]);

        fleet.Intervene("control", Resize(10), Record);
        Until(watchdog, report => report.Cohorts is [{ Hung: 40, Running: 0, Cohort.Vms: 10 }]);
        long before = watchdog.Latest.Operations;
        Assert.Equal(600, watchdog.Latest.Cohorts[0].Incidents.Hangs);
        Assert.Equal(0, watchdog.Latest.Cohorts[0].Totals.Recoveries);

        fleet.Intervene("control", Resize(200), Record);
        FleetReport next = watchdog.Latest;
        Assert.All(next.Cohorts, cohort => Assert.Contains(cohort.Cohort.Vms, (int[])[10, 200]));
        Until(watchdog, report => report.Cohorts is [{ Hung: 800, Cohort.Vms: 200 }]);
        Assert.Equal(600 + 760, watchdog.Latest.Cohorts[0].Incidents.Hangs);
        Assert.True(watchdog.Latest.Operations > before);
        Assert.True(fleet.Stop(Patience));
    }

    [Fact]
    public void A_cohort_that_is_removed_leaves_its_operations_and_a_violation_behind()
    {
        SimulatedCohort bad = Added with { Kernel = Kernel.Of<Linux61>() };
        using var fleet = new Fleet(Options, TimeProvider.System);
        using var watchdog = new Watchdog(fleet, TimeProvider.System, TimeSpan.FromMilliseconds(20), TimeSpan.FromHours(1));
        fleet.Start();
        watchdog.Start();
        fleet.Add(bad, Record);
        Assert.Equal(["control", "late"], fleet.Cohorts.Select(source => source.Cohort.Name));
        Until(watchdog, report => report is { Verdict: Verdict.Violation, Cohorts: [_, { Hung: 280 }] });

        fleet.Intervene("late", new() { Kind = InterventionKind.RemoveCohort }, Record);
        Assert.Equal(["control"], fleet.Cohorts.Select(source => source.Cohort.Name));
        Until(watchdog, report => report is { Cohorts: [_], Removed: [{ Hung: 0, Cohort.Vms: 0 }], CohortsInAll: 1 });
        FleetReport after = watchdog.Latest;
        Assert.Equal(Verdict.Violation, after.Verdict);
        Assert.Contains(
            new VerdictReason(ReasonKind.RemovedCohort, Verdict.Violation, "280 vCPUs hung", "late", "linux-6.1"), after.Reasons);
        Assert.Contains("late (linux-6.1, removed): 280 vCPUs hung", after.Reasons.Select(reason => reason.ToString()));
        Assert.True(after.Removed[0].Totals.Operations > 0);
        Assert.True(fleet.Stop(Patience));
    }

    [Fact]
    public void The_hang_of_a_vcpu_that_goes_is_over_and_one_that_starts_later_under_its_number_is_told_as_its_own()
    {
        ConcurrentBag<Finding> found = [];
        using var fleet = new Fleet(Options, TimeProvider.System);
        using var watchdog = new Watchdog(
            fleet,
            TimeProvider.System,
            TimeSpan.FromMilliseconds(20),
            TimeSpan.FromHours(1),
            report =>
            {
                foreach (Finding finding in report.Cohorts.SelectMany(cohort => cohort.Findings))
                    found.Add(finding);
            });
        fleet.Start();
        watchdog.Start();
        Until(watchdog, report => report.Cohorts is [{ Hung: 600 }]);
        long gone = fleet.Intervene("control", Resize(100), Record).Tick;
        long startTick = fleet.Intervene("control", Resize(150), Record).Tick;
        Until(watchdog, report => report.Cohorts is [{ Hung: 600, Incidents.Hangs: 800 }]);
        Assert.True(fleet.Stop(Patience));
        watchdog.Stop();

        Finding[] removed = [.. found.Where(finding => finding.Kind == FindingKind.VcpuRemoved)];
        Assert.Equal(200, removed.Length);
        Assert.All(removed, finding => Assert.True(finding.Vm >= 100 && finding.Time.Tick == gone));
        Finding[] twice =
        [
            .. found
                .Where(finding => finding is { Kind: FindingKind.VcpuHung, Vm: 120, Vcpu: 0 })
                .OrderBy(finding => finding.Time.Tick),
        ];
        Assert.Equal(2, twice.Length);
        Assert.True(twice[0].Time.Tick <= gone && twice[1].Time.Tick > startTick);
        ShardIntervention[] interventions = [.. _recorded.Select(entry => entry.Intervention)];
        Assert.All(twice, finding => Assert.NotNull(Replay.Incident(
            Control, Options.Shards, IncidentId.Of("control", finding), interventions, TestContext.Current.CancellationToken)));
    }

    [Fact]
    public void A_vm_that_starts_at_the_very_tick_at_which_the_one_before_it_was_found_hung_is_not_taken_for_it()
    {
        Shard shard = Shard.Create(Control, 120, 1, Options.Shards);
        Finding hang = default;
        while (hang.Kind != FindingKind.VcpuHung)
        {
            shard.Advance(Shard.ObservationTicks);
            hang = shard.TakeSnapshot().Findings.FirstOrDefault(finding => finding.Kind == FindingKind.VcpuHung);
        }

        long found = hang.Time.Tick!.Value;
        ShardIntervention[] interventions = [Resize(100) with { Tick = found }, Resize(150) with { Tick = found }];
        Timeline? told = Replay.Incident(
            Control,
            Options.Shards,
            IncidentId.Of("control", hang),
            interventions,
            TestContext.Current.CancellationToken);
        Assert.NotNull(told);
        Assert.All(told.Steps, step => Assert.True(step.Tick < found));
    }

    [Fact]
    public void The_last_intervention_takes_effect_last_also_where_a_resumed_fleet_has_others_ahead()
    {
        const long Ahead = 100 * Shard.ObservationTicks;
        _recorded.Add(("control", new() { Kind = InterventionKind.PauseInvalidations, Tick = Ahead }));
        using var fleet = new Fleet(Options, TimeProvider.System, ResumeStateOf([]));
        ShardIntervention resumed = fleet.Intervene("control", new() { Kind = InterventionKind.ResumeInvalidations }, Record);
        Assert.True(resumed.Tick >= Ahead);
        ShardIntervention resized = fleet.Intervene("control", Resize(70), Record);
        Assert.True(resized.Tick >= Ahead);
    }

    [Fact]
    public void Shards_can_be_told_apart_however_quickly_resizes_follow_each_other()
    {
        using var fleet = new Fleet(Options, TimeProvider.System);
        fleet.KeepFindings();
        fleet.Add(Added, Record);
        foreach (int vms in (int[])[64, 150, 64, 150])
            fleet.Intervene("control", Resize(vms), Record);
        List<ShardKey> keys = [];
        fleet.Checkpoint(shard => keys.Add(shard.Shard));
        Assert.Equal(3 + 2 + 2 + 2, keys.Count);
        Assert.Equal(keys.Count, keys.Distinct().Count());
    }

    [Fact]
    public void A_shard_passes_over_what_is_for_a_vm_that_has_gone_from_it()
    {
        Shard shard = Shard.Create(Control, 0, 64, Options.Shards);
        shard.Schedule(Resize(10) with { Tick = Shard.ObservationTicks });
        foreach (
            InterventionKind kind in (InterventionKind[])
                [InterventionKind.Migrate, InterventionKind.UpdateMemslots, InterventionKind.SetCounter])
            shard.Schedule(
                new()
                {
                    Kind = kind,
                    Vm = 20,
                    Tick = 2 * Shard.ObservationTicks,
                });
        shard.Advance(4 * Shard.ObservationTicks);
        Assert.Equal((10, 4L * Shard.ObservationTicks), (shard.Vms, shard.Tick));
    }

    [Fact]
    public void A_cohort_that_is_added_has_figures_at_once_and_a_fleet_that_grows_gets_its_workers()
    {
        SimulatedCohort small = Control with { Vms = 64 };
        using var fleet = new Fleet(Options with { Cohorts = [small] }, TimeProvider.System);
        Assert.Single(fleet.Workers);
        fleet.Intervene("control", Resize(200), Record);
        Assert.Equal(2, fleet.Workers.Count);
        fleet.Add(Added, Record);
        Assert.Equal(Added.Vms, fleet.Cohorts[1].Take()?.Vms);
    }

    [Fact]
    public void What_a_fleet_cannot_become_is_refused_and_changes_nothing()
    {
        using var fleet = new Fleet(Options, TimeProvider.System);
        fleet.Start();
        Assert.Throws<InvalidInterventionException>(() => fleet.Intervene("control", Resize(150), Record));
        Assert.Throws<InvalidInterventionException>(() => fleet.Intervene("control", Resize(0), Record));
        Assert.Throws<NoSuchCohortException>(() => fleet.Intervene("nobody", Resize(10), Record));
        Assert.Throws<InvalidInterventionException>(
            () => fleet.Intervene("control", new() { Kind = InterventionKind.AddCohort, Cohort = Added }, Record));
        Assert.Throws<InterventionConflictException>(() => fleet.Intervene("control", Resize(FleetOptions.VmsMax + 1), Record));
        Assert.Throws<InterventionConflictException>(
            () => fleet.Intervene("control", new() { Kind = InterventionKind.RemoveCohort }, Record));
        Assert.Throws<InterventionConflictException>(() => fleet.Add(Control, Record));
        Assert.Throws<IOException>(() => fleet.Add(Added, _ => throw new IOException("no space")));
        Assert.Throws<IOException>(() => fleet.Intervene("control", Resize(10), _ => throw new IOException("no space")));
        Assert.Equal(["control"], fleet.Cohorts.Select(source => source.Cohort.Name));
        Assert.Equal(150, fleet.Cohorts[0].Cohort.Vms);
        Assert.Empty(_recorded);

        // The name stays taken: incidents are known by it.
        fleet.Add(Added, Record);
        fleet.Intervene("late", new() { Kind = InterventionKind.RemoveCohort }, Record);
        Assert.Throws<InterventionConflictException>(() => fleet.Add(Added, Record));
        Assert.Throws<InvalidInterventionException>(() => fleet.Intervene("late", Resize(10), Record));
        Assert.True(fleet.Stop(Patience));
    }

    private static ShardIntervention Resize(int vms) => new() { Kind = InterventionKind.ResizeCohort, Vms = vms };

    private void Change(Fleet fleet, int stage)
    {
        FleetRun.Checkpoint(fleet);
        if (stage == 0)
        {
            fleet.Intervene("control", new() { Kind = InterventionKind.PatchKernel, Kernel = Kernel.Of<Linux63>() }, Record);
            fleet.Add(Added, Record);
        }

        if (stage == 1)
            fleet.Intervene("control", Resize(70), Record);
        if (stage == 2)
            fleet.Intervene("control", Resize(180), Record);
        if (stage == 3)
        {
            fleet.Intervene("late", Resize(64), Record);
            fleet.Intervene("late", new() { Kind = InterventionKind.RemoveCohort }, Record);
        }

        FleetRun.Checkpoint(fleet);
    }

    private void Intervene(Fleet fleet, int kind, int vm, int vms)
    {
        ShardIntervention intervention = kind switch
        {
            0 or 1 => Resize(vms),
            2 => new() { Kind = InterventionKind.PatchKernel, Kernel = Kernel.Of<Linux63>() },
            8 => new() { Kind = InterventionKind.PatchKernel, Kernel = Kernel.Of<Linux61>() },
            3 => new() { Kind = InterventionKind.PauseInvalidations },
            4 => new() { Kind = InterventionKind.ResumeInvalidations },
            5 => new() { Kind = InterventionKind.Migrate, Vm = vm },
            6 => new() { Kind = InterventionKind.SetCounter, Vm = vm, InvalidateSeq = (1UL << 31) - 50 },
            _ => new() { Kind = InterventionKind.UpdateMemslots, Vm = vm },
        };
        try
        {
            fleet.Intervene("control", intervention, timed => _recorded.Add(("control", timed)));
        }
        catch (InterventionException)
        {
            // It had as many VMs already, or is at its last tick.
        }
    }

    private void Record(ShardIntervention intervention) =>
        _recorded.Add(
            (
                intervention.Cohort?.Name
                    ?? (intervention.Kind == InterventionKind.RemoveCohort || intervention.Vms == 64 ? "late" : "control"),
                intervention));

    private ResumeState ResumeStateOf(Dictionary<ShardKey, byte[]> states) =>
        new(
            states.ToDictionary(
                state => state.Key,
                state =>
                    ShardState.Read(
                        state.Value,
                        state.Key.Cohort == "late" ? Added : Control,
                        state.Key.FirstVm,
                        FleetOptions.ShardVms,
                        Options.Shards)),
            _recorded.ToLookup(entry => entry.Cohort, entry => entry.Intervention));

    private static Dictionary<ShardKey, byte[]> Finish(ResumeState? resume, long end = End) =>
        FleetRun.Of(Options with { TicksMax = end }, resume, _ => { }, finish: true);

    private static void Until(Watchdog watchdog, Func<FleetReport, bool> isWanted) =>
        Assert.True(
            SpinWait.SpinUntil(() => isWanted(watchdog.Latest), Patience),
            $"{watchdog.Latest.Verdict}: {string.Join("; ", watchdog.Latest.Reasons)}");
}
