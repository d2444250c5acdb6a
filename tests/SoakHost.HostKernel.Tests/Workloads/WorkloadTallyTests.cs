using SoakHost.HostKernel.Workloads;

namespace SoakHost.HostKernel.Tests.Workloads;

public sealed class WorkloadTallyTests
{
    private readonly WorkloadTally _tally = new("fork");

    [Fact]
    public void Faults_are_those_before_and_after_the_last_boundary()
    {
        _tally.Add(0, 5, null);
        Assert.Equal(new WorkloadState("fork", 1, 5, 0, null, null), _tally.Describe(0));
        _tally.Add(1, 7, null);
        _tally.Add(1, 1, null);
        Assert.Equal(new WorkloadState("fork", 3, 5, 8, null, null), _tally.Describe(1));
        Assert.Equal(new WorkloadState("fork", 3, 13, 0, null, null), _tally.Describe(2));
        _tally.Add(2, 2, null);
        Assert.Equal(new WorkloadState("fork", 4, 13, 2, null, null), _tally.Describe(2));
    }

    [Fact]
    public void Events_since_a_crossing_begin_anew_with_it()
    {
        _tally.Add(0, 5, null);
        Assert.Equal((1, 0), (_tally.EventsSince(0), _tally.EventsSince(1)));
        _tally.Add(1, 5, null);
        _tally.Add(1, 5, null);
        Assert.Equal((2, 0), (_tally.EventsSince(1), _tally.EventsSince(2)));
    }

    [Fact]
    public void An_event_that_failed_is_none_and_was_the_last()
    {
        _tally.Add(0, 5, null);
        Assert.True(_tally.CanRun);
        _tally.Add(0, 1, "refused");

        Assert.False(_tally.CanRun);
        Assert.Equal(new WorkloadState("fork", 1, 6, 0, null, "refused"), _tally.Describe(0));
    }

    [Fact]
    public void Faults_that_are_not_counted_are_unknown_and_not_0()
    {
        _tally.Add(0, null, null);
        Assert.Equal(new WorkloadState("fork", 1, null, null, null, null), _tally.Describe(0));
        _tally.Add(1, null, null);
        Assert.Equal(new WorkloadState("fork", 2, null, null, null, null), _tally.Describe(1));
    }
}
