using CsCheck;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Fleets;

public sealed class CohortSourceTests
{
    [Fact]
    public void Nothing_that_was_found_is_lost_while_some_shards_have_no_figures_yet()
    {
        var cohort = new SimulatedCohort
        {
            Name = "bad",
            Kernel = Kernel.Of<Linux61>(),
            Vms = 10 * FleetOptions.ShardVms,
            Vm = new VmParameters { Vcpus = 8, InvalidateSeqStart = 1UL << 31 },
        };
        using var fleet = new Fleet(
            new FleetOptions
            {
                Cohorts = [cohort],
                Workers = 1,
                Shards = new ShardOptions { StallRetries = 50 },
            },
            TimeProvider.System);
        ICohortSource source = fleet.Cohorts[0];
        long hangs = 0, recoveries = 0, taken = 0, empty = 0;
        CohortSnapshot? latest = null;

        fleet.Start();
        while (latest is null || Hung(latest) < cohort.Vms * 8)
        {
            // As impatient a reader as there can be: most of the time not every shard has answered.
            source.Request();
            if (source.Take() is { } snapshot)
                Count(latest = snapshot);
            else
                empty++;
        }

        Assert.True(empty > 0 && taken > 0);
        Assert.Equal(cohort.Vms * 8, hangs - recoveries);

        void Count(CohortSnapshot snapshot)
        {
            taken++;
            hangs += snapshot.Findings.Count(finding => finding.Kind == FindingKind.VcpuHung);
            recoveries += snapshot.Findings.Count(finding => finding.Kind == FindingKind.VcpuRecovered);
        }

        static int Hung(CohortSnapshot snapshot) =>
            snapshot.Conditions.Sum(run => run.Count(condition => condition == VcpuCondition.Hung));
    }

    [Fact]
    public void Each_counter_and_the_VMs_that_crossed_are_those_of_all_shards()
    {
        var cohort = new SimulatedCohort
        {
            Name = "sound",
            Kernel = Kernel.Of<Linux61Stable>(),
            Vms = FleetOptions.ShardVms + 5,
            Vm = new VmParameters { InvalidateSeqStart = (1UL << 31) - 10 },
        };
        using var fleet = new Fleet(
            new FleetOptions { Cohorts = [cohort], Workers = 1, TicksMax = 8192 }, TimeProvider.System);
        ICohortSource source = fleet.Cohorts[0];
        SimulatedSnapshot? latest = null;
        fleet.Start();
        while (latest is not { Tick: 8192 })
        {
            source.Request();
            latest = source.Take() as SimulatedSnapshot ?? latest;
        }

        ulong[] seqs = [.. latest.InvalidateSeqs.SelectMany(run => run)];
        Assert.Equal(cohort.Vms, seqs.Length);
        Assert.Equal((latest.InvalidateSeq!.Value.Min.Low, latest.InvalidateSeq!.Value.Max.Low), (seqs.Min(), seqs.Max()));

        // One life: a VM that crossed did so once.
        Assert.Equal(latest.Totals.Crossings, latest.VmsCrossed);
        Assert.InRange(latest.VmsCrossed[2].Vms, cohort.Vms / 2, cohort.Vms);
    }

    [Fact]
    public void The_value_at_a_place_is_the_one_that_sorting_would_put_there()
    {
        // Few different values, many, ascending, descending: all that trips a selection.
        Gen<ulong[]> ascending = Gen.Int[1, 200].Select(length => Enumerable.Range(0, length).Select(n => (ulong)n).ToArray());
        Gen<ulong[]> descending = ascending.Select(values => values.Select(value => ulong.MaxValue - value).ToArray());
        Gen<ulong[]> anyValues = Gen.OneOf(Gen.ULong[0, 20].Array[1, 200], Gen.ULong.Array[1, 200], ascending, descending);
        Gen.Select(anyValues, Gen.Int[0, 199]).Sample(
            (values, place) =>
            {
                ulong[] moved = [.. values];
                int index = place % values.Length;
                return Selection.Nth(moved, index) == values.Order().ElementAt(index);
            },
            iter: 2000);
    }
}
