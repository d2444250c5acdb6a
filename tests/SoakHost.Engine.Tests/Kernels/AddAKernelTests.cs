using SoakHost.Engine.Checks;
using SoakHost.Engine.Explore;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Kernels;

/// <summary>
/// What src/README.md says about adding a kernel works as it stands there. That the code is the same is a test of the repository.
/// </summary>
public sealed class AddAKernelTests
{
    private static readonly Kernel Example = Kernel.Of<SnapshotU24>();

    [Fact]
    public void It_is_caught_by_both_detectors_as_it_says_it_is()
    {
        KillMatrixRow row = KillMatrix.Verify(Example, TimeProvider.System, TestContext.Current.CancellationToken);
        Assert.True(row.IsAsExpected, row.ToString());
    }

    [Fact]
    public void It_is_proven_below_where_it_says_its_defect_shows()
    {
        var options = new ExploreOptions { Start = (1UL << 24) - 3, Invalidations = 2 };
        Assert.Equal(ExploreVerdict.Proven, Explore(options).Verdict);
        Assert.Equal(ExploreVerdict.Hang, Explore(options with { Invalidations = 3 }).Verdict);
    }

    private static ExploreResult Explore(ExploreOptions options) =>
        Explorer.Explore(Example, options, TimeProvider.System, cancellation: TestContext.Current.CancellationToken);
}
