using SoakHost.Engine.Explore;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Explore;

public sealed class LimitTests
{
    private static readonly Kernel Healthy = Kernel.Of<Linux61Stable>();

    [Fact]
    public void A_limit_of_states_that_is_reached_is_no_proof()
    {
        ExploreResult result = Explore(Healthy, new ExploreOptions { StatesMax = 1000 });
        Assert.Equal(ExploreVerdict.LimitReached, result.Verdict);
        Assert.Null(result.Counterexample);

        // A few more are found by the step of the state that was being looked at.
        Assert.InRange(result.States, 1000, 1100);
    }

    [Fact]
    public void A_limit_that_is_never_reached_changes_nothing()
    {
        var options = new ExploreOptions { Vcpus = 1, Invalidations = 2 };
        ExploreResult all = Explore(Healthy, options);
        ExploreResult limited = Explore(Healthy, options with { StatesMax = all.States + 1 });
        Assert.Equal((ExploreVerdict.Proven, all.States), (limited.Verdict, limited.States));
    }

    [Fact]
    public void A_defect_within_the_limit_is_told_all_the_same()
    {
        ExploreResult result = Explore(
            Kernel.Of<Linux61>(), new ExploreOptions { StatesMax = 1000, Start = 1UL << 31 });
        Assert.Equal(ExploreVerdict.Hang, result.Verdict);
    }

    [Fact]
    public void An_exploration_that_is_stopped_is_no_proof()
    {
        using var stop = new CancellationTokenSource();
        var progress = new Progress(_ => stop.Cancel());
        ExploreResult result = Explorer.Explore(Healthy, new ExploreOptions(), TimeProvider.System, progress, stop.Token);
        Assert.Equal(ExploreVerdict.Stopped, result.Verdict);
        Assert.Null(result.Counterexample);
        Assert.Equal(1, result.States);
    }

    [Fact]
    public void Progress_comes_with_the_number_of_states_that_are_still_to_be_looked_at()
    {
        List<ExploreProgress> reports = [];
        ExploreResult result = Explore(
            Healthy, new ExploreOptions { MemslotUpdates = 1 }, new Progress(reports.Add));
        Assert.Equal(new ExploreProgress(1, 0, 1), reports[0]);
        Assert.NotEmpty(reports[1..]);
        Assert.All(reports[1..], report => Assert.InRange(report.Pending, 1, result.States));
        Assert.All(reports[1..], report => Assert.InRange(report.Depth, 1, result.Depth));
    }

    [Theory]
    [InlineData(nameof(ExploreOptions.Vcpus), 0, "is 0; allowed is 1 to 4")]
    [InlineData(nameof(ExploreOptions.Vcpus), 5, "is 5; allowed is 1 to 4")]
    [InlineData(nameof(ExploreOptions.Invalidators), 5, "is 5; allowed is 1 to 4")]
    [InlineData(nameof(ExploreOptions.Pages), 9, "is 9; allowed is 1 to 8")]
    [InlineData(nameof(ExploreOptions.Invalidations), 201, "is 201; allowed is 0 to 200")]
    [InlineData(nameof(ExploreOptions.MemslotUpdates), 101, "is 101; allowed is 0 to 100")]
    [InlineData(nameof(ExploreOptions.Workers), 0, "is 0; allowed is 1 to 1024")]
    [InlineData(nameof(ExploreOptions.StatesMax), 999, "is 999; allowed is 1000 to 100000000")]
    public void An_option_out_of_its_range_is_named_with_what_is_allowed(string key, int value, string error)
    {
        var options = new ExploreOptions();
        typeof(ExploreOptions).GetProperty(key)!.SetValue(options, value);
        Assert.Equal([(key, error)], options.Errors());
    }

    [Fact]
    public void All_errors_are_told_at_once_and_the_defaults_have_none()
    {
        Assert.Empty(new ExploreOptions().Errors());
        Assert.Equal(
            7,
            new ExploreOptions
            {
                Vcpus = -1,
                Invalidators = 0,
                Pages = 0,
                Invalidations = -1,
                MemslotUpdates = -1,
                StatesMax = 0,
                Workers = 0,
            }
                .Errors()
                .Count());
    }

    private static ExploreResult Explore(Kernel kernel, ExploreOptions options, IProgress<ExploreProgress>? progress = null) =>
        Explorer.Explore(kernel, options, TimeProvider.System, progress, TestContext.Current.CancellationToken);

    private sealed class Progress(Action<ExploreProgress> report) : IProgress<ExploreProgress>
    {
        public void Report(ExploreProgress value) => report(value);
    }
}
