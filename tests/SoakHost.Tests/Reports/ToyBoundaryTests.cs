using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.HostKernel;
using SoakHost.Model.Kernels;
using SoakHost.Reports;

namespace SoakHost.Tests.Reports;

public sealed class ToyBoundaryTests
{
    [Theory]
    [InlineData("2^16", 0x8000UL)]
    [InlineData("2^15", 0UL, 100UL)]
    [InlineData(null, 0x10000UL)]
    [InlineData(null, 0UL, 0x7fffffffUL)]
    [InlineData(null, ulong.MaxValue)]
    public void A_simulated_cohort_is_a_toy_where_no_start_is_before_2_to_the_31(string? expected, params ulong[] starts)
    {
        var cohort = new SimulatedCohort
        {
            Name = "c",
            Kernel = Kernel.Of<Linux61Stable>(),
            Vms = 1,
            InvalidateSeqStarts = [.. starts],
        };
        Assert.Equal(expected, ToyBoundary.Of(cohort, Sample.Totals())?.Name);
    }

    [Theory]
    [InlineData("2^20", 1L << 20, 1L << 10)]
    [InlineData("1000", 1000L)]
    [InlineData(null, 1L << 20, 1L << 31)]
    public void A_real_VM_is_a_toy_where_it_looks_at_no_boundary_from_2_to_the_31_on(string? expected, params long[] boundaries)
    {
        var cohort = new HostCohort("here", new HostCohortOptions { Boundaries = [.. boundaries] });
        Assert.Equal(expected, ToyBoundary.Of(cohort, Sample.Totals())?.Name);
    }

    [Fact]
    public void One_that_has_crossed_2_to_the_31_after_all_is_none()
    {
        var cohort = new SimulatedCohort { Name = "c", Kernel = Kernel.Of<Linux61Stable>(), Vms = 1, InvalidateSeqStarts = [7] };
        CohortTotals crossed = Sample.Totals() with { Crossings = [new(Boundary.AtPower(15), 1), new(Boundary.AtPower(31), 1)] };
        Assert.Equal("2^15", ToyBoundary.Of(cohort, Sample.Totals())?.Name);
        Assert.Null(ToyBoundary.Of(cohort, crossed));
    }
}
