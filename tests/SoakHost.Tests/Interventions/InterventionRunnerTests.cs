using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using SoakHost.Configuration;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Interventions;
using SoakHost.Storage;
using SoakHost.Tests.Storage;

namespace SoakHost.Tests.Interventions;

/// <summary>Interventions on a fleet whose disk answers late or never: storage that is not started stands for it.</summary>
public sealed class InterventionRunnerTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private static readonly ShardIntervention Pause = new() { Kind = InterventionKind.PauseInvalidations };

    private readonly DataFolder _folder = new();
    private readonly FakeTimeProvider _time = new(Sample.Time);
    private readonly SoakStorage _storage;
    private readonly Fleet _fleet;
    private readonly InterventionRunner _runner;

    public InterventionRunnerTests()
    {
        SoakOptions options = SmallFleet.Options(_folder.Path, CohortOf("control"), CohortOf("other"));
        _storage = new SoakStorage(options, _time, NullLogger<SoakStorage>.Instance);
        _fleet = new Fleet(options.ToFleetOptions(), TimeProvider.System);
        _fleet.KeepFindings();
        _runner = new InterventionRunner(_fleet, _storage, _time);
        _fleet.Start();
    }

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task One_that_is_recorded_takes_effect_and_the_record_says_when()
    {
        _storage.Start(_fleet.RequestCheckpoint);
        InterventionRecord record = await _runner.RunAsync("control", Resize(10), Stop);
        Assert.Equal(10, _fleet.Cohorts[0].Cohort.Vms);
        Assert.Equal([$"1|control|resize|{record.Intervention.Tick}|10"], Recorded());
    }

    [Fact]
    public async Task While_the_disk_does_not_answer_the_fleet_is_read_changed_and_stopped()
    {
        Task<InterventionRecord> resize = _runner.RunAsync("control", Resize(10), Stop);
        Assert.Equal(["control", "other"], _fleet.Cohorts.Select(source => source.Cohort.Name));
        _fleet.Prepare("other", Resize(20)).Commit();
        _fleet.Prepare("other", new() { Kind = InterventionKind.RemoveCohort }).Commit();
        Assert.True(_fleet.Stop(Patience));
        Assert.False(resize.IsCompleted);

        // The disk answers at last, before the last checkpoint: what is recorded is done.
        _storage.Start(_fleet.RequestCheckpoint);
        await resize;
        Assert.Equal(10, Assert.Single(_fleet.Cohorts).Cohort.Vms);
    }

    [Fact]
    public async Task One_that_the_disk_does_not_begin_in_time_is_neither_recorded_nor_done()
    {
        Task<InterventionRecord> pause = _runner.RunAsync("control", Pause, Stop);
        _time.Advance(TimeSpan.FromSeconds(5));
        await Assert.ThrowsAsync<StorageUnavailableException>(() => pause);
        await AssertNothingHappenedAsync();
    }

    [Fact]
    public async Task One_whose_client_gives_up_first_is_neither_recorded_nor_done()
    {
        using var client = new CancellationTokenSource();
        Task<InterventionRecord> pause = _runner.RunAsync("control", Pause, client.Token);
        await client.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => pause);
        await AssertNothingHappenedAsync();
    }

    [Fact]
    public async Task So_many_wait_for_their_turn_on_a_cohort_and_no_more_and_none_for_longer_than_5_s()
    {
        Task<InterventionRecord>[] waiting =
            [.. Enumerable.Range(0, InterventionRunner.WaitingMax + 1).Select(_ => _runner.RunAsync("control", Pause, Stop))];
        Assert.Contains(
            "are waiting already",
            (await Assert.ThrowsAsync<InterventionQueueException>(() => _runner.RunAsync("control", Pause, Stop))).Message,
            StringComparison.Ordinal);
        Task<InterventionRecord> other = _runner.RunAsync("other", Pause, Stop);
        Assert.False(other.IsCompleted);
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                _time.Advance(TimeSpan.FromSeconds(1));
                return other.IsCompleted && Array.TrueForAll(waiting, one => one.IsCompleted);
            },
            Patience));
        foreach (Task<InterventionRecord> one in waiting)
            Assert.True(await FailureAsync(one) is StorageUnavailableException or InterventionQueueException);
        Assert.IsType<StorageUnavailableException>(await FailureAsync(other));
        await AssertNothingHappenedAsync();
    }

    [Fact]
    public async Task What_the_fleet_cannot_do_is_not_recorded()
    {
        _storage.Start(_fleet.RequestCheckpoint);
        await Assert.ThrowsAsync<NoSuchCohortException>(() => _runner.RunAsync("nobody", Pause, Stop));
        await Assert.ThrowsAsync<InvalidInterventionException>(() => _runner.RunAsync("control", Resize(70), Stop));
        await Assert.ThrowsAsync<InterventionConflictException>(() =>
            _runner.RunAsync("control", Resize(FleetOptions.VmsMax + 1), Stop));
        Assert.Empty(Recorded());
    }

    [Fact]
    public async Task It_is_recorded_and_done_or_neither_however_long_the_disk_takes()
    {
        _storage.Start(_fleet.RequestCheckpoint);
        Task<InterventionRecord> resize;
        using (_folder.Occupy())
        {
            resize = _runner.RunAsync("control", Resize(10), Stop);

            // Long enough to have begun, most times: given up then, it would be recorded all the same.
            await Task.Delay(TimeSpan.FromMilliseconds(500), Stop);
            _time.Advance(TimeSpan.FromMinutes(1));
        }

        bool isDone = await FailureAsync(resize) is null;
        _storage.Stop(_fleet.Stop(Patience) ? _fleet.Checkpoint : null, Patience);
        Assert.Equal(isDone ? 1 : 0, Recorded().Count);
        Assert.Equal(isDone ? 10 : 70, _fleet.Cohorts[0].Cohort.Vms);
    }

    public void Dispose()
    {
        _runner.Dispose();
        _fleet.Dispose();
        _storage.Dispose();
        _folder.Dispose();
    }

    /// <summary>The disk answers again: nothing is recorded, the cohort goes on, and the next intervention is done.</summary>
    private async Task AssertNothingHappenedAsync()
    {
        _storage.Start(_fleet.RequestCheckpoint);
        await _runner.RunAsync("control", Resize(10), Stop);
        Assert.Equal("resize", Assert.Single(Recorded()).Split('|')[2]);
    }

    /// <summary>
    /// Why an intervention failed at last. The clock that a test moves may pass the limit of an answer before the threads notice
    /// what is decided: then the decision counts.
    /// </summary>
    private static async Task<Exception?> FailureAsync(Task<InterventionRecord> intervention) =>
        await Record.ExceptionAsync(() => intervention) is var failure && failure is InterventionUndecidedException undecided
            ? await Record.ExceptionAsync(() => undecided.Outcome) : failure;

    private IReadOnlyList<string> Recorded() =>
        _folder.Rows("SELECT run_id, cohort, kind, tick, vms FROM interventions ORDER BY id");

    private static ShardIntervention Resize(int vms) => new() { Kind = InterventionKind.ResizeCohort, Vms = vms };

    private static SimulatedCohort CohortOf(string name) => SmallFleet.Control with { Name = name, Vms = 70 };
}
