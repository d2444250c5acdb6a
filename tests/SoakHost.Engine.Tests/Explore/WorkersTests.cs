using SoakHost.Engine.Explore;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Explore;

public sealed class WorkersTests
{
    [Theory]
    [InlineData("linux-6.1.y", 3, 0)]
    [InlineData("snapshot-u16", 2, 0)]
    [InlineData("compare-signed", 3, 0)]
    [InlineData("linux-5.15", 2, 1)]
    [InlineData("prefault-6.17", 2, 1)]
    public void States_findings_and_shortest_stories_are_the_same_however_many_workers_there_are(
        string kernel, int vcpus, int memslotUpdates)
    {
        // Four below it, the defect lies so deep that the states on the way to it are shared among workers.
        ulong defect = Kernel.Find(kernel)!.Info.ExpectedFrom;
        var options = new ExploreOptions
        {
            Vcpus = vcpus,
            Start = defect == 0 ? (1UL << 31) - 2 : defect - 4,
            Invalidations = memslotUpdates > 0 ? 1 : defect == 0 ? 3 : 5,
            MemslotUpdates = memslotUpdates,
        };
        ExploreResult one = Explore(kernel, options with { Workers = 1 });

        // A level of more than a chunk is shared among workers.
        Assert.InRange(one.States, 5_000, 3_000_000);
        foreach (int workers in (int[])[2, 3, 8, 8, 8])
        {
            ExploreResult many = Explore(kernel, options with { Workers = workers });
            Assert.Equal((one.Verdict, one.States, one.Depth), (many.Verdict, many.States, many.Depth));
            Assert.Equal(Ways(one), Ways(many));
        }
    }

    private static IEnumerable<string> Ways(ExploreResult result) =>
        result.Defects.Select(defect => $"{defect.Kind} {defect.Depth} {defect.Path.Hung} {string.Join(' ', defect.Path.Steps)}");

    private static ExploreResult Explore(string kernel, ExploreOptions options) =>
        Explorer.Explore(Kernel.Find(kernel)!, options, TimeProvider.System, cancellation: TestContext.Current.CancellationToken);
}
