using Microsoft.Extensions.Time.Testing;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Timelines;
using SoakHost.Model.Kernels;
using SoakHost.Service;
using SoakHost.Storage;

namespace SoakHost.Tests.Service;

public sealed class ReplayServiceTests : IDisposable
{
    private readonly FakeTimeProvider _time = new();
    private readonly ReplayService _replays;
    private readonly SimulatedCohort _cohort = new()
    {
        Name = "control",
        Kernel = Kernel.Of<Linux61>(),
        Vms = 1,
        Vm = new() { InvalidateSeqStart = (1UL << 31) - 100 },
    };

    public ReplayServiceTests() => _replays = new(_time);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_incident_is_told_and_the_same_timeline_again_when_it_is_asked_for_again()
    {
        IncidentId incident = FirstHang();
        (ReplayOutcome outcome, Timeline? timeline) = await _replays.ReplayAsync(Run(), _cohort, incident, Stop);
        Assert.Equal(ReplayOutcome.Replayed, outcome);
        Assert.Contains("was kept as an int", timeline!.Conclusion, StringComparison.Ordinal);

        (ReplayOutcome again, Timeline? remembered) = await _replays.ReplayAsync(Run(), _cohort, incident, Stop);
        Assert.Equal(ReplayOutcome.Replayed, again);
        Assert.Same(timeline, remembered);

        // Another run may have had another story under the same name.
        (_, Timeline? other) = await _replays.ReplayAsync(Run() with { Run = 2 }, _cohort, incident, Stop);
        Assert.NotSame(timeline, other);
    }

    [Fact]
    public async Task What_did_not_happen_is_not_told() =>
        Assert.Equal(
            (ReplayOutcome.NoSuchIncident, null),
            await _replays.ReplayAsync(Run(), _cohort, FirstHang() with { Time = FindingTime.AtTick(1024) }, Stop));

    [Fact]
    public async Task A_replay_that_takes_too_long_is_given_up_and_the_next_one_is_told()
    {
        Task<(ReplayOutcome Outcome, Timeline?)> endless = _replays.ReplayAsync(Run(), _cohort, Endless(), Stop);
        Task<(ReplayOutcome Outcome, Timeline?)> next = _replays.ReplayAsync(Run(), _cohort, FirstHang(), Stop);
        _time.Advance(ReplayService.TimeMax - TimeSpan.FromMilliseconds(1));
        Assert.False(endless.IsCompleted);
        Assert.False(next.IsCompleted);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(ReplayOutcome.TookTooLong, (await endless).Outcome);
        Assert.Equal(ReplayOutcome.Replayed, (await next).Outcome);
    }

    [Fact]
    public async Task So_many_wait_for_their_turn_and_no_more_until_one_of_them_is_gone()
    {
        using var gone = new CancellationTokenSource();
        using var goneToo = new CancellationTokenSource();
        Task<(ReplayOutcome, Timeline?)> endless = _replays.ReplayAsync(Run(), _cohort, Endless(), goneToo.Token);
        Task<(ReplayOutcome Outcome, Timeline?)>[] waiting = [.. Enumerable.Range(0, ReplayService.WaitingMax).Select(w =>
            _replays.ReplayAsync(Run(), _cohort, FirstHang(), w == 0 ? gone.Token : Stop))];
        Assert.Equal(ReplayOutcome.Busy, (await _replays.ReplayAsync(Run(), _cohort, FirstHang(), Stop)).Outcome);

        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting[0]);
        Task<(ReplayOutcome Outcome, Timeline?)> last = _replays.ReplayAsync(Run(), _cohort, FirstHang(), Stop);
        Assert.False(last.IsCompleted);
        await goneToo.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => endless);
        Assert.All(await Task.WhenAll([.. waiting[1..], last]), told => Assert.Equal(ReplayOutcome.Replayed, told.Outcome));
    }

    [Fact]
    public async Task A_replay_ends_when_the_one_who_asked_does_not_wait_any_more()
    {
        using var gone = new CancellationTokenSource();
        Task<(ReplayOutcome, Timeline?)> endless = _replays.ReplayAsync(Run(), _cohort, Endless(), gone.Token);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => endless);
        Assert.Equal(ReplayOutcome.Replayed, (await _replays.ReplayAsync(Run(), _cohort, FirstHang(), Stop)).Outcome);
    }

    public void Dispose() => _replays.Dispose();

    private static IncidentId Endless() => new(FindingKind.VcpuHung, "control", 0, 0, FindingTime.AtTick(1L << 50));

    private ReplayInput Run() => new(1, _cohort, new ShardOptions(), []);

    private IncidentId FirstHang()
    {
        Shard shard = Shard.Create(_cohort, 0, 1, new ShardOptions());
        while (true)
        {
            shard.Advance(Shard.ObservationTicks);
            foreach (Finding finding in shard.TakeSnapshot().Findings)
            {
                if (finding.Kind == FindingKind.VcpuHung)
                    return IncidentId.Of("control", finding);
            }
        }
    }
}
