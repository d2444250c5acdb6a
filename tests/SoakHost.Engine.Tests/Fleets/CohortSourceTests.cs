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
    public void The_value_at_a_place_is_the_one_that_sorting_would_put_there()
    {
        const int Seed = 1;
        var random = new Random(Seed);
        for (int round = 0; round < 2000; round++)
        {
            // Few different values, many, ascending, descending: all that trips a selection.
            int different = random.Next(1, 50);
            ulong[] values = [.. Enumerable.Range(0, random.Next(1, 200)).Select(n => (round % 4) switch
            {
                0 => (ulong)random.Next(different),
                1 => (ulong)random.NextInt64(long.MaxValue) << 1,
                2 => (ulong)n,
                _ => ulong.MaxValue - (ulong)n,
            })];
            int index = random.Next(values.Length);
            ulong expected = values.Order().ElementAt(index);

            Assert.Equal((Seed, round, expected), (Seed, round, Selection.Nth(values, index)));
        }
    }
}
