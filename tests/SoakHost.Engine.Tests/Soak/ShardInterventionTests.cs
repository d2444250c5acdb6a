using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Timelines;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Soak;

public sealed class ShardInterventionTests
{
    private const int Vms = 20;
    private const int Grid = Shard.ObservationTicks;

    private static readonly SimulatedCohort Hanging = SoakRun.CohortOf(
        "linux-6.1",
        Vms,
        new()
        {
            Vcpus = 3,
            Pages = 16,
            RangePages = 8,
            InvalidateSeqStart = (1UL << 31) - 500,
        });

    private static readonly ShardIntervention[] Script =
    [
        new() { Kind = InterventionKind.PatchKernel, Tick = 14 * Grid, Kernel = Kernel.Of<Linux69>() },
        new() { Kind = InterventionKind.SetCounter, Tick = 16 * Grid, InvalidateSeq = ulong.MaxValue - 100 },
        new() { Kind = InterventionKind.UpdateMemslots, Tick = 16 * Grid, Vm = 3 },
        new() { Kind = InterventionKind.PatchKernel, Tick = 17 * Grid, Kernel = Kernel.Of<Linux61>() },
        new() { Kind = InterventionKind.PauseInvalidations, Tick = 18 * Grid },
        new() { Kind = InterventionKind.Migrate, Tick = 19 * Grid, Vm = 7, InvalidateSeq = (1UL << 31) - 50 },
        new() { Kind = InterventionKind.ResumeInvalidations, Tick = 20 * Grid },
        new() { Kind = InterventionKind.UpdateMemslots, Tick = 21 * Grid },
        new() { Kind = InterventionKind.Migrate, Tick = 23 * Grid },
    ];

    [Theory]
    [InlineData(32, 5, 1)]
    [InlineData(128, Vms, 3)]
    [InlineData(512, 7, 11)]
    public void Operations_take_effect_at_their_tick_however_the_cohort_is_cut_and_wherever_it_is_stopped(
        int vectorBits, int vmsPerShard, int sliceGrids)
    {
        Shard whole = Shard.Create(Hanging, 0, Vms, ShardStateTests.Options(256));
        foreach (ShardIntervention intervention in Script)
            whole.Schedule(intervention);
        whole.Advance(30 * Grid);
        ShardSnapshot expected = whole.TakeSnapshot();
        Assert.Contains(expected.Findings, finding => finding.Kind == FindingKind.VcpuRecovered);

        var totals = default(Totals);
        List<Finding> findings = [];
        for (int firstVm = 0; firstVm < Vms; firstVm += vmsPerShard)
        {
            int vms = Math.Min(vmsPerShard, Vms - firstVm);
            Shard shard = Shard.Create(Hanging, firstVm, vms, ShardStateTests.Options(vectorBits));
            while (shard.Tick < 30 * Grid)
            {
                // Read from what was written, as after a restart, before every slice.
                shard = ShardState.Read(ShardState.Write(shard), Hanging, firstVm, vms, ShardStateTests.Options(vectorBits));
                foreach (ShardIntervention intervention in Script.Where(intervention => intervention.Tick >= shard.Tick))
                    shard.Schedule(intervention);
                shard.Advance((int)Math.Min(sliceGrids * Grid, (30 * Grid) - shard.Tick));
            }

            for (int vm = firstVm; vm < firstVm + vms; vm++)
            {
                Assert.Equal(whole.ReadRandom(vm), shard.ReadRandom(vm));
                Assert.Equal(whole.Read(vm).Vcpus, shard.Read(vm).Vcpus);
                Assert.Equal(whole.Read(vm).InvalidateSeq, shard.Read(vm).InvalidateSeq);
                Assert.Equal(whole.Read(vm).Mapped, shard.Read(vm).Mapped);
            }

            ShardSnapshot snapshot = shard.TakeSnapshot();
            totals += snapshot.Totals;
            findings.AddRange(snapshot.Findings);
        }

        Assert.Equal(expected.Totals, totals);
        Assert.Equal(expected.Findings.Select(finding => $"{finding}").Order(), findings.Select(finding => $"{finding}").Order());
    }

    [Fact]
    public void A_migrated_VM_gets_on_and_no_other_VM_notices()
    {
        Shard shard = HungShard();
        shard.Schedule(new() { Kind = InterventionKind.Migrate, Tick = shard.Tick, Vm = 4, InvalidateSeq = 77 });
        shard.Advance(Grid);
        ShardSnapshot after = shard.TakeSnapshot();
        Assert.Equal(3, after.Findings.Count(finding => finding is { Kind: FindingKind.VcpuRecovered, Vm: 4 }));
        Assert.Equal(3, after.Totals.Recoveries);
        Assert.InRange(after.InvalidateSeqs[4], 77UL, 77UL + Grid);
        for (int index = 0; index < after.Conditions.Length; index++)
            Assert.Equal(index / 3 == 4 ? VcpuCondition.Running : VcpuCondition.Hung, after.Conditions[index]);
    }

    [Fact]
    public void A_paused_cohort_counts_no_invalidation_and_a_resumed_one_does()
    {
        Shard shard = Shard.Create(Hanging with { Kernel = Kernel.Of<Linux63>() }, 0, Vms, ShardStateTests.Options(256));
        shard.Schedule(new() { Kind = InterventionKind.PauseInvalidations, Tick = Grid });
        shard.Schedule(new() { Kind = InterventionKind.ResumeInvalidations, Tick = 4 * Grid });
        shard.Advance(2 * Grid);
        ShardSnapshot paused = shard.TakeSnapshot();
        shard.Advance(2 * Grid);
        Assert.Equal(paused.InvalidateSeqs, shard.TakeSnapshot().InvalidateSeqs);
        shard.Advance(Grid);
        Assert.All(shard.TakeSnapshot().InvalidateSeqs.Zip(paused.InvalidateSeqs), pair => Assert.True(pair.First > pair.Second));
    }

    [Fact]
    public void What_comes_at_the_tick_at_which_a_shard_loses_its_last_VM_is_none_of_its()
    {
        // A fleet whose shard was over already when the pause came never tells the shard of it; a replay knows both at once.
        Shard told = Shard.Create(Hanging, 0, Vms, ShardStateTests.Options(256));
        told.Schedule(new() { Kind = InterventionKind.RemoveCohort, Tick = Grid });
        told.Schedule(new() { Kind = InterventionKind.PauseInvalidations, Tick = Grid });
        told.Advance(2 * Grid);
        Assert.Equal(0, told.Vms);
        Assert.True(told.MayInvalidate);
    }

    [Theory]
    [InlineData("linux-6.1.y", false)]
    [InlineData("linux-6.3", false)]
    [InlineData("linux-6.9", true)]
    [InlineData("linux-6.1.y", true)]
    public void No_operation_makes_a_healthy_kernel_look_defective(string kernel, bool memslotUpdates)
    {
        SimulatedCohort cohort = Hanging with
        {
            Kernel = Kernel.Find(kernel)!,
            Vm = Hanging.Vm with { MemslotUpdates = memslotUpdates },
        };
        Shard shard = Shard.Create(cohort, 0, Vms, ShardStateTests.Options(256));
        foreach (
            InterventionKind kind in (InterventionKind[])
                [InterventionKind.SetCounter, InterventionKind.UpdateMemslots, InterventionKind.Migrate])
        {
            for (int i = 0; i < 20; i++)
            {
                shard.Schedule(
                    new()
                    {
                        Kind = kind,
                        Tick = shard.Tick,
                        Vm = i % 3 == 0 ? i % Vms : null,
                        InvalidateSeq = (1UL << 31) - 300,
                    });
                shard.Advance(Grid);
            }
        }

        ShardSnapshot snapshot = shard.TakeSnapshot();
        Assert.Equal(
            (0, 0, 0),
            (snapshot.Totals.UnjustifiedRetries, snapshot.Totals.UnsafeInstalls, snapshot.Totals.AccountingErrors));
        Assert.True(snapshot.Totals.Crossings31 > Vms);
    }

    [Fact]
    public void Memslots_updated_on_request_show_the_kernel_without_the_obsolete_root_check_as_unsafe()
    {
        Shard shard = Shard.Create(Hanging with { Kernel = Kernel.Of<Linux515>() }, 0, Vms, ShardStateTests.Options(256));
        shard.Advance(4 * Grid);
        Assert.Equal(0, shard.TakeSnapshot().Totals.UnsafeInstalls);
        for (int i = 0; i < 40; i++)
        {
            shard.Schedule(new() { Kind = InterventionKind.UpdateMemslots, Tick = shard.Tick });
            shard.Advance(Grid);
        }

        Assert.True(shard.TakeSnapshot().Totals.UnsafeInstalls > 0);
    }

    [Fact]
    public void An_incident_of_a_patched_cohort_is_replayed_with_its_operations_and_not_without()
    {
        ShardOptions options = ShardStateTests.Options(256);
        SimulatedCohort healthy = Hanging with { Kernel = Kernel.Of<Linux61Stable>() };
        ShardIntervention patch = new() { Kind = InterventionKind.PatchKernel, Tick = 20 * Grid, Kernel = Kernel.Of<Linux61>() };
        Shard shard = Shard.Create(healthy, 0, Vms, options);
        shard.Schedule(patch);
        shard.Advance(24 * Grid);
        Finding hang = shard.TakeSnapshot().Findings.First(finding => finding.Kind == FindingKind.VcpuHung);
        IncidentId id = IncidentId.Of(healthy.Name, hang);
        Timeline? story = Replay.Incident(healthy, options, id, [patch], TestContext.Current.CancellationToken);
        Assert.Equal("linux-6.1", story?.Kernel);
        Assert.Null(Replay.Incident(healthy, options, id, [], TestContext.Current.CancellationToken));
    }

    [Fact]
    public void What_makes_no_sense_is_refused()
    {
        Shard shard = Shard.Create(Hanging, 0, Vms, ShardStateTests.Options(256));
        shard.Advance(2 * Grid);
        ShardIntervention migrate = new() { Kind = InterventionKind.Migrate, Tick = 4 * Grid };
        Assert.Throws<InvalidInterventionException>(() => shard.Schedule(migrate with { Tick = Grid }));
        Assert.Throws<InvalidInterventionException>(() => shard.Schedule(migrate with { Tick = (4 * Grid) + 1 }));
        Assert.Throws<InvalidInterventionException>(() => shard.Schedule(migrate with { Kernel = Kernel.Of<Linux61>() }));
        Assert.Throws<InvalidInterventionException>(() =>
            shard.Schedule(new() { Kind = InterventionKind.PatchKernel, Tick = 4 * Grid }));
        Assert.Throws<InvalidInterventionException>(() =>
            shard.Schedule(
                new()
                {
                    Kind = InterventionKind.PauseInvalidations,
                    Tick = 4 * Grid,
                    Vm = 1,
                }));
    }

    private static Shard HungShard()
    {
        Shard shard = Shard.Create(Hanging, 0, Vms, ShardStateTests.Options(256));
        shard.Advance(14 * Grid);
        Assert.All(shard.TakeSnapshot().Conditions, condition => Assert.Equal(VcpuCondition.Hung, condition));
        return shard;
    }
}
