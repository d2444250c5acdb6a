using SoakHost.Engine.Checks;
using SoakHost.Engine.Explore;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Kernels;

/// <summary>What the README says about adding a kernel works as it stands there.</summary>
public sealed class AddAKernelTests
{
    private static readonly Kernel Example = Kernel.Of<SnapshotU24>();

    [Fact]
    public void The_example_in_the_README_is_the_code_that_is_compiled_here()
    {
        string readme = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "README.md"));
        string code = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "SnapshotU24.cs.txt")).Split("// --8<--\n")[1];
        string[] section = readme.Split("\n## Add a kernel\n");
        Assert.Equal(2, section.Length);
        string block = section[1].Split("```csharp\n")[1].Split("```")[0];
        Assert.Equal(code, block);
    }

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
