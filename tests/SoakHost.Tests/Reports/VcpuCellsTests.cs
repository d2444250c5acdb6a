using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model.Kernels;
using SoakHost.Reports;

namespace SoakHost.Tests.Reports;

public class VcpuCellsTests
{
    [Theory]
    [InlineData(new[] { 5 }, 10, new[] { 5 })]
    [InlineData(new[] { 50 }, 10, new[] { 10 })]
    [InlineData(new[] { 2, 50 }, 10, new[] { 2, 8 })]
    [InlineData(new[] { 50, 2, 50 }, 10, new[] { 4, 2, 4 })]
    [InlineData(new[] { 50, 50, 50 }, 10, new[] { 3, 3, 4 })]
    [InlineData(new[] { 4, 3, 3 }, 10, new[] { 4, 3, 3 })]
    [InlineData(new int[0], 10, new int[0])]
    public void Whoever_needs_little_gets_it_and_the_others_share_the_rest(int[] needs, int cells, int[] shares) =>
        Assert.Equal(shares, VcpuCells.Share(needs, cells));

    [Fact]
    public void A_small_cohort_has_a_cell_for_each_vcpu()
    {
        VcpuCells cells = Of(Cohort(vms: 3, vcpus: 2, [[Running, Hung, Running, Running], [Starved, Running]]))[0]!;
        Assert.Equal(1, cells.VcpusPerCell);
        Assert.Equal([0, 1, 0, 0, 0, 0], cells.Hung);
        Assert.Equal([0, 0, 0, 0, 1, 0], cells.Starved);
    }

    [Fact]
    public void Cells_of_large_cohorts_hold_whole_vms_and_count_what_counting_one_by_one_counts()
    {
        const int Seed = 42;
        var random = new Random(Seed);
        CohortReport[] cohorts =
        [
            Random(random, vms: 100_000, vcpus: 8),
            Random(random, vms: 3001, vcpus: 3),
            Random(random, vms: 64, vcpus: 4),
            Random(random, vms: 100_000, vcpus: 1),
        ];
        VcpuCells?[] all = Of(cohorts);

        Assert.InRange(all.Sum(cells => cells!.Hung.Length), 1, VcpuCells.CellsMax);
        Assert.Equal(1, all[2]!.VcpusPerCell);
        for (int c = 0; c < cohorts.Length; c++)
        {
            VcpuCells cells = all[c]!;
            Assert.True(cells.VcpusPerCell == 1 || cells.VcpusPerCell % cohorts[c].Cohort.VcpusPerVm == 0);
            VcpuCondition[][] byCell = [.. cohorts[c].Snapshot.Conditions.SelectMany(run => run).Chunk(cells.VcpusPerCell)];
            Assert.Equal(byCell.Select(cell => cell.Count(vcpu => vcpu == Hung)), cells.Hung);
            Assert.Equal(byCell.Select(cell => cell.Count(vcpu => vcpu == Starved)), cells.Starved);
        }
    }

    [Fact]
    public void Where_a_vcpu_is_left_out_nobody_knows_whose_the_others_are() =>
        Assert.Null(Of(Cohort(vms: 2, vcpus: 2, [[Running, Hung, Running]]))[0]);

    private const VcpuCondition Running = VcpuCondition.Running, Starved = VcpuCondition.Starved, Hung = VcpuCondition.Hung;

    private static VcpuCells?[] Of(params CohortReport[] cohorts) => VcpuCells.Of(cohorts);

    /// <summary>A cohort in shards of 64 VMs, most of which are well.</summary>
    private static CohortReport Random(Random random, int vms, int vcpus)
    {
        var conditions = new VcpuCondition[vms * vcpus];
        for (int vcpu = 0; vcpu < conditions.Length; vcpu++)
            conditions[vcpu] = vcpu / 4096 % 2 == 0 ? Running : (VcpuCondition)random.Next(3);
        return Cohort(vms, vcpus, [.. conditions.Chunk(64 * vcpus)]);
    }

    private static CohortReport Cohort(int vms, int vcpus, VcpuCondition[][] runs)
    {
        CohortReport report = Sample.Cohort("control", Defect.Hang);
        return report with
        {
            Cohort = (SimulatedCohort)report.Cohort with { Vms = vms, Vm = new() { Vcpus = vcpus } },
            Snapshot = report.Snapshot with { Conditions = [.. runs.Select(run => run.ToImmutableArray())] },
        };
    }
}
