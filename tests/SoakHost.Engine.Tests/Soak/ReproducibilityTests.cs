using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Model;

namespace SoakHost.Engine.Tests.Soak;

/// <summary>A VM's history is a function of kernel, parameters and seed, and of nothing else.</summary>
public sealed class ReproducibilityTests
{
    private const int Vms = 64;
    private const int Ticks = 8 * Shard.ObservationTicks;

    private static readonly Cut Whole = new(VectorBits: 256, VmsPerShard: Vms, TicksPerSlice: Ticks);

    // One kernel for each way in which the program or the parameters differ.
    private static readonly SimulatedCohort[] Cohorts =
    [
        SoakRun.CohortOf("linux-6.1", Vms, Parameters(32, memslotUpdates: false)),
        SoakRun.CohortOf("linux-6.9", Vms, Parameters(64, memslotUpdates: true)),
        SoakRun.CohortOf("linux-5.15", Vms, Parameters(32, memslotUpdates: true)),
        SoakRun.CohortOf("linux-5.12-i386", Vms, Parameters(48, memslotUpdates: false)),
        SoakRun.CohortOf("check-before-lock", Vms, Parameters(20, memslotUpdates: true)),
    ];

    private static readonly Lazy<SoakOutcome[]> Expected =
        new(() => [.. Cohorts.Select(cohort => SoakRun.Of(cohort, seed: 5, Ticks, Whole))]);

    public static TheoryData<int, int, int> Cuts => new()
    {
        { 32, 16, Shard.ObservationTicks },
        { 128, Vms, Ticks },
        { 128, 7, 5 * Shard.ObservationTicks },
        { 256, Vms, Shard.ObservationTicks },
        { 256, 16, 2 * Shard.ObservationTicks },
        { 512, Vms, 3 * Shard.ObservationTicks },
        { 512, 1, Ticks },
        { 512, 21, 7 * Shard.ObservationTicks },
    };

    [Theory]
    [MemberData(nameof(Cuts))]
    public void Width_slices_and_shards_make_no_difference(int vectorBits, int vmsPerShard, int ticksPerSlice)
    {
        var cut = new Cut(vectorBits, vmsPerShard, ticksPerSlice);
        foreach ((SimulatedCohort cohort, SoakOutcome expected) in Cohorts.Zip(Expected.Value))
        {
            SoakOutcome actual = SoakRun.Of(cohort, seed: 5, Ticks, cut);
            Assert.Equal(expected.Vms, actual.Vms);
            Assert.Equal(expected.Totals, actual.Totals);
            Assert.Equal(expected.Findings, actual.Findings);
            Assert.Equal(expected.Hash, actual.Hash);
        }
    }

    [Fact]
    public void The_runs_that_are_compared_have_something_to_find()
    {
        HashSet<FindingKind> kinds = [.. Expected.Value.SelectMany(outcome => outcome.Findings).Select(finding => finding.Kind)];
        Assert.Contains(FindingKind.BoundaryCrossed, kinds);
        Assert.Contains(FindingKind.VcpuHung, kinds);
        Assert.Contains(FindingKind.UnsafeInstall, kinds);
        Assert.Contains(FindingKind.AccountingError, kinds);
    }

    [Fact]
    public void Every_VM_and_every_seed_has_a_history_of_its_own()
    {
        SimulatedCohort cohort = SoakRun.CohortOf("linux-6.1.y", Vms, Parameters(32, memslotUpdates: false));
        var streams = new HashSet<RandomState>();
        var histories = new HashSet<string>();
        for (ulong seed = 0; seed < 4; seed++)
        {
            SoakOutcome outcome = SoakRun.Of(cohort, seed, Shard.ObservationTicks, Whole);
            foreach (string vm in outcome.Vms)
                Assert.True(histories.Add(vm), $"seed {seed}: {vm}");
            var shard = Shard.Create(cohort, 0, Vms, new ShardOptions { Seed = seed, VectorBits = 256 });
            for (int vm = 0; vm < Vms; vm++)
                Assert.True(
                    streams.Add(shard.ReadRandom(vm)),
                    string.Create(CultureInfo.InvariantCulture, $"seed {seed}, VM {vm}"));
        }
    }

    [Fact]
    public void A_slice_that_is_not_a_multiple_of_the_observations_is_refused()
    {
        var shard = Shard.Create(SoakRun.CohortOf("linux-6.1.y", 1, new()), 0, 1, new());
        Assert.Throws<ArgumentOutOfRangeException>(() => shard.Advance(Shard.ObservationTicks + 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => shard.Read(1));
    }

    private static VmParameters Parameters(int pages, bool memslotUpdates) => new()
    {
        Vcpus = 4,
        Invalidators = 2,
        Pages = pages,
        RangePages = pages / 2,
        MemslotUpdates = memslotUpdates,
        InvalidateSeqStart = (1UL << 31) - 2000,
    };
}
