using System.Collections.Concurrent;
using CsCheck;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Tests.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model.Kernels;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Engine.Tests.Fleets;

/// <summary>A fleet in parts, each in a process of its own, is bit for bit the fleet that one process runs.</summary>
public sealed class FleetPartTests
{
    private const int Grid = Shard.ObservationTicks;
    private const long TicksMax = 120 * Grid;

    private static readonly SimulatedCohort Control = SoakRun
        .CohortOf("linux-6.1", 83, new() { InvalidateSeqStart = (1UL << 31) - 3000 }) with
    {
        Name = "control",
        Expected = Defect.Hang,
    };

    private static readonly SimulatedCohort Stable = Control with
    {
        Name = "stable",
        Kernel = Kernel.Of<Linux61Stable>(),
        Vms = 9,
        Expected = Defect.None,
    };

    private static readonly SimulatedCohort Added = Stable with { Name = "added", Kernel = Kernel.Of<Linux63>(), Vms = 11 };

    private static readonly FleetOptions Options = new()
    {
        Cohorts = [Control, Stable],
        Workers = 2,
        TicksMax = TicksMax,
        Shards = new() { StallRetries = 100 },
    };

    /// <summary>Interventions of every kind; one of a VM goes to the part that has it.</summary>
    private static readonly (string Cohort, ShardIntervention Intervention)[] Script =
    [
        ("added", new() { Kind = InterventionKind.AddCohort, Cohort = Added }),
        ("control", new() { Kind = InterventionKind.PatchKernel, Tick = 40 * Grid, Kernel = Kernel.Of<Linux63>() }),
        ("control", new() { Kind = InterventionKind.Migrate, Tick = 50 * Grid, Vm = 13, InvalidateSeq = (1UL << 32) - 100 }),
        ("control", new() { Kind = InterventionKind.ResizeCohort, Tick = 60 * Grid, Vms = 30 }),
        ("control", new() { Kind = InterventionKind.PatchKernel, Tick = 60 * Grid, Kernel = Kernel.Of<Linux61>() }),
        ("control", new() { Kind = InterventionKind.ResizeCohort, Tick = 70 * Grid, Vms = 101 }),
        ("control", new() { Kind = InterventionKind.SetCounter, Tick = 75 * Grid, InvalidateSeq = (1UL << 31) - 400 }),
        ("stable", new() { Kind = InterventionKind.PauseInvalidations, Tick = 65 * Grid }),
        ("stable", new() { Kind = InterventionKind.UpdateMemslots, Tick = 80 * Grid, Vm = 5 }),
        ("stable", new() { Kind = InterventionKind.ResumeInvalidations, Tick = 80 * Grid }),
        ("added", new() { Kind = InterventionKind.RemoveCohort, Tick = 90 * Grid }),
    ];

    [Fact]
    public void Each_VM_is_in_exactly_one_part_however_many_there_are_of_both() =>
        Gen.Select(Gen.Int[1, 50], Gen.Int[0, 3000]).Sample((count, vms) =>
        {
            FleetPart[] parts = [.. Enumerable.Range(0, count).Select(index => new FleetPart(index, count))];
            int[] numbers =
            [
                .. parts.SelectMany(part => Enumerable.Range(0, part.VmsOf(vms)).Select(index => part.VmAt(index))).Order(),
            ];
            Assert.Equal(Enumerable.Range(0, vms), numbers);
            Assert.All(parts, part => Assert.InRange(part.VmsOf(vms), vms / count, (vms / count) + 1));
            for (int vm = 0; vm < vms; vm += 7)
                Assert.Single(parts, part => part.Has(vm));
        });

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(2, true)]
    [InlineData(3, true)]
    [InlineData(8, true)]
    public void Parts_add_up_to_the_fleet_that_one_process_runs_VM_by_VM_also_if_they_are_killed_and_resumed(
        int count, bool killed)
    {
        Outcome whole = Run(FleetPart.Whole, killed: false, script: Script);
        Outcome[] parts = [.. Enumerable.Range(0, count).Select(index => Run(new(index, count), killed, Script))];

        Assert.Equal(whole.Vms.OrderBy(vm => vm.Key), parts.SelectMany(part => part.Vms).OrderBy(vm => vm.Key));
        Assert.Equal(whole.Totals, parts.Aggregate(default(Totals), (sum, part) => sum + part.Totals));
        Assert.Equal(whole.Findings, parts.SelectMany(part => part.Findings).Order(StringComparer.Ordinal));
        Assert.Contains(whole.Findings, finding => finding.StartsWith("hang:control/100/", StringComparison.Ordinal));
        Assert.All(parts, part => Assert.True(part.Vms.Count > 0 && part.Totals.Operations > 0));
    }

    [Fact]
    public void An_intervention_on_a_VM_of_another_part_is_refused_with_the_part_that_has_it()
    {
        using Fleet fleet = FleetOf(new(2, 8));
        var migrate = new ShardIntervention { Kind = InterventionKind.Migrate, Vm = 13 };
        Assert.Equal(
            "VM 13 of cohort \"control\" is in part 5/8 of the fleet, and this process runs part 2/8",
            Assert.Throws<InvalidInterventionException>(() => fleet.Prepare("control", migrate)).Message);
        using PreparedIntervention own = fleet.Prepare("control", migrate with { Vm = 10 });
        Assert.Equal(10, own.Intervention.Vm);
    }

    [Fact]
    public void A_tick_that_a_part_has_passed_is_refused_and_nothing_is_done()
    {
        using Fleet fleet = FleetOf(new(0, 2));
        fleet.Start();
        FleetRun.WaitUntilDone(fleet);
        var patch = new ShardIntervention { Kind = InterventionKind.PatchKernel, Kernel = Kernel.Of<Linux63>(), Tick = Grid };
        Assert.Equal(
            $"tick {Grid} is past: cohort \"control\" takes interventions from tick {TicksMax} on",
            Assert.Throws<InterventionConflictException>(() => fleet.Prepare("control", patch)).Message);
        Assert.Throws<InvalidInterventionException>(() => fleet.Prepare("control", patch with { Tick = 1000 }));
    }

    [Fact]
    public void A_cohort_keeps_a_VM_in_each_part()
    {
        using Fleet fleet = FleetOf(new(0, 8));
        var resize = new ShardIntervention { Kind = InterventionKind.ResizeCohort, Vms = 7 };
        Assert.Equal(
            "cohort \"stable\" would have 7 VMs in 8 parts of the fleet; it must have at least 8, one a part",
            Assert.Throws<InvalidInterventionException>(() => fleet.Prepare("stable", resize)).Message);
        Assert.Throws<InvalidInterventionException>(() =>
            fleet.Add(Added with { Vms = 7 }));
        fleet.Add(Added with { Vms = 8 });
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(8)]
    public void Bounded_soaks_of_parts_up_to_a_tick_add_up_to_that_of_the_whole(int count)
    {
        SoakResult whole = Check(FleetPart.Whole);
        SoakResult[] parts = [.. Enumerable.Range(0, count).Select(index => Check(new(index, count)))];
        Assert.Equal((Verdict.Pass, TicksMax), (whole.Verdict, whole.Ticks));
        foreach ((int c, CohortReport cohort) in whole.Cohorts.Index())
        {
            CohortReport[] its = [.. parts.Select(part => part.Cohorts[c])];
            Assert.Equal(cohort.Totals.Operations, its.Sum(part => part.Totals.Operations));
            Assert.Equal(cohort.Totals.Crossings.Select(crossing => crossing.Vms), Enumerable.Range(0, 6)
                .Select(b => its.Sum(part => part.Totals.Crossings[b].Vms)));
            Assert.Equal((cohort.Hung, cohort.Starved), (its.Sum(part => part.Hung), its.Sum(part => part.Starved)));
            Assert.Equal(cohort.Incidents, its.Aggregate(default(IncidentCounts), (sum, part) => sum + part.Incidents));
        }

        IncidentId first = whole.FirstIncidents["control"].Id;
        Assert.Equal(
            first,
            parts.SelectMany(part => part.FirstIncidents.Values).Select(incident => incident.Id)
                .Min(Comparer<IncidentId>.Create(IncidentId.Compare)));
        Assert.Equal(0, parts.Sum(part => part.Stuck["stable"]));
    }

    private static SoakResult Check(FleetPart part) =>
        new BoundedSoak(OptionsOf(part), new SoakBounds(), TimeProvider.System)
            .Run(progress: null, TestContext.Current.CancellationToken);

    private static FleetOptions OptionsOf(FleetPart part) =>
        Options with { Shards = Options.Shards with { Part = part, VectorBits = part.Count % 2 == 0 ? 128 : 256 } };

    private static Fleet FleetOf(FleetPart part) => new(OptionsOf(part), TimeProvider.System);

    /// <summary>Runs a part to its last tick, with the script; if it is killed, in three lives.</summary>
    private static Outcome Run(
        FleetPart part, bool killed, IReadOnlyList<(string Cohort, ShardIntervention Intervention)> script)
    {
        FleetOptions options = OptionsOf(part);
        List<(string Cohort, ShardIntervention Intervention)> done = [];
        List<string> findings = [];
        ResumeState? resume = null;
        Outcome? outcome = null;

        // All interventions are recorded in the first life, before any VM has come to their ticks; the other lives resume them.
        for (int life = killed ? 0 : 2; life < 3; life++)
        {
            using var fleet = new Fleet(options, TimeProvider.System, resume);
            fleet.KeepFindings();
            if (resume is null)
                Intervene(fleet, part, script, done);
            fleet.Start();
            ConcurrentBag<ShardCheckpoint> last = [];
            if (life == 2)
            {
                FleetRun.WaitUntilDone(fleet);
                Assert.True(fleet.Stop(FleetRun.Patience));
                fleet.Checkpoint(last.Add);
                Keep();
            }

            // The first life ends at once, the second among the interventions. What it does after its last checkpoint is lost.
            for (long tick = -1; tick < (life == 1 ? 62 * Grid : 0) && life < 2; tick = last.Min(checkpoint => checkpoint.Tick))
            {
                last = FleetRun.Checkpoint(fleet);
                Keep();
            }

            void Keep() => findings.AddRange(
                last.SelectMany(checkpoint => checkpoint.Findings.Select(finding => Text(checkpoint.Cohort, finding))));

            Dictionary<ShardKey, Shard> shards = last.ToDictionary(checkpoint => checkpoint.Shard, Read);
            resume = new ResumeState(shards, done.ToLookup(entry => entry.Cohort, entry => entry.Intervention));

            // Before, VMs that a resize will replace may still be there.
            outcome = life == 2 ? Outcome.Of(shards.Values, findings) : null;
        }

        return outcome!;

        Shard Read(ShardCheckpoint checkpoint) => ShardState.Read(
            checkpoint.State,
            options.Cohorts.OfType<SimulatedCohort>().Append(Added).First(cohort => cohort.Name == checkpoint.Cohort),
            checkpoint.FirstVm, FleetOptions.ShardVms, options.Shards);
    }

    private static void Intervene(
        Fleet fleet,
        FleetPart part,
        IReadOnlyList<(string Cohort, ShardIntervention Intervention)> script,
        List<(string Cohort, ShardIntervention Intervention)> done)
    {
        foreach ((string cohort, ShardIntervention intervention) in script)
        {
            if (intervention.Vm is not { } vm || part.Has(vm))
                done.Add((cohort, fleet.Intervene(cohort, intervention)));
        }
    }

    private static string Text(string cohort, Finding finding) =>
        IncidentId.IsIncident(finding.Kind) ? $"{IncidentId.Of(cohort, finding)} {finding}" : $"{cohort} {finding}";

    /// <summary>All that a run of a fleet or a part came to; equal outcomes are equal bit for bit.</summary>
    private sealed record Outcome(IReadOnlyDictionary<string, string> Vms, Totals Totals, IReadOnlyList<string> Findings)
    {
        public static Outcome Of(IEnumerable<Shard> shards, IEnumerable<string> findings)
        {
            Dictionary<string, string> vms = [];
            var totals = default(Totals);
            foreach (Shard shard in shards)
            {
                totals += shard.Totals;
                foreach (int vm in shard.VmNumbers)
                    vms.Add(
                        $"{shard.Cohort.Name}/{vm:d3}",
                        $"{string.Join("; ", StateComparison.Fields(shard.Read(vm)))}; {shard.ReadRandom(vm)}");
            }

            return new(vms, totals, [.. findings.Order(StringComparer.Ordinal)]);
        }
    }
}
