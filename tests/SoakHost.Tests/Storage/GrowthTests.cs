using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using SoakHost.Configuration;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Metrics;
using SoakHost.Storage;

namespace SoakHost.Tests.Storage;

/// <summary>Nothing that a service keeps grows without end.</summary>
public sealed class GrowthTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private static readonly ShardIntervention Pause = new() { Kind = InterventionKind.PauseInvalidations };
    private readonly DataFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_run_takes_so_many_interventions_and_then_refuses_them_since_it_needs_them_all()
    {
        using SoakDatabase database = SoakDatabase.Open(_folder.Path);
        database.InterventionsMax = 3;
        long run = database.AddRun();
        for (int i = 0; i < 3; i++)
            database.AddIntervention(run, "control", Pause, Sample.Time);
        Assert.Contains(
            "the run has 3 interventions, the most that one run may have",
            Assert.Throws<InterventionConflictException>(() => database.AddIntervention(run, "control", Pause, Sample.Time))
                .Message,
            StringComparison.Ordinal);
        Assert.Equal(3, database.Interventions.Of(run).Count);
    }

    [Fact]
    public void The_oldest_runs_go_as_a_whole_when_earlier_runs_have_too_many_interventions()
    {
        using SoakDatabase database = SoakDatabase.Open(_folder.Path);
        database.InterventionsMax = 3;
        for (int r = 1; r <= 4; r++)
        {
            long run = database.AddRun();
            database.AddIntervention(run, "control", Pause, Sample.Time);
            database.AddIntervention(run, "control", Pause, Sample.Time);
            database.AddCheckpoints(
                run, [new("control", 0, 0, 1024, [1], [])], [("control", Sample.Hung(1))], incidentsMax: 100, Sample.Time);
        }

        // Run 4 is the present one; of those before, run 3 alone has no more than three.
        foreach (string table in (string[])["interventions", "incidents", "checkpoints"])
            Assert.Equal(["3", "4"], _folder.Rows($"SELECT DISTINCT run_id FROM {table} ORDER BY run_id"));
        Assert.Equal(["3", "4"], _folder.Rows("SELECT id FROM runs ORDER BY id"));
        Assert.Empty(database.Refusals());
        Assert.Empty(database.DamagedPages());
    }

    [Fact]
    public void A_hundred_runs_are_kept()
    {
        using SoakDatabase database = SoakDatabase.Open(_folder.Path);
        for (int r = 1; r <= 103; r++)
            database.AddRun();
        Assert.Equal(["4|103|100"], _folder.Rows("SELECT min(id), max(id), count(*) FROM runs"));
    }

    [Fact]
    public void Of_a_removed_cohort_one_small_checkpoint_of_each_shard_is_kept()
    {
        var time = new FakeTimeProvider(Sample.Time);
        SoakOptions options = SmallFleet.Options(
            _folder.Path, SmallFleet.Control with { Vms = 70 }, SmallFleet.Healthy with { Vms = 70 });
        using var storage = new SoakStorage(options, time, NullLogger<SoakStorage>.Instance);
        using var fleet = new Fleet(options.ToFleetOptions(), TimeProvider.System, storage.ResumeState);
        fleet.KeepFindings();
        fleet.Start();
        storage.Start(fleet.RequestCheckpoint);
        Checkpoint();
        Checkpoint();
        fleet.Prepare("healthy", new() { Kind = InterventionKind.RemoveCohort }).Commit();
        Checkpoint();
        Checkpoint();
        Assert.True(storage.Stop(fleet.Stop(Patience) ? fleet.Checkpoint : null, Patience));
        Assert.Equal(
            ["control|4", "healthy|2"], _folder.Rows("SELECT cohort, count(*) FROM checkpoints GROUP BY cohort ORDER BY cohort"));
        Assert.Equal(["1"], _folder.Rows("SELECT max(length(state)) < 1000 FROM checkpoints WHERE cohort = 'healthy'"));

        void Checkpoint()
        {
            time.Advance(options.CheckpointInterval);
            DateTimeOffset now = time.GetUtcNow();
            Assert.True(SpinWait.SpinUntil(() => storage.Status.LastSuccess == now, Patience), $"{storage.Status}");
        }
    }

    [Fact]
    public void The_log_stays_bounded_while_somebody_reads_and_is_cleared_afterwards()
    {
        const long Bound = 1 << 20;
        byte[] state = new byte[40_000];
        using SoakDatabase database = SoakDatabase.Open(_folder.Path);
        database.LogBytesMax = Bound;
        long run = database.AddRun();
        long tick = 0;
        StorageUnavailableException? refused = null;
        using (_folder.Read())
        {
            for (int i = 0; i < 1000 && refused is null; i++)
                refused = Record.Exception(Write) as StorageUnavailableException;
            Assert.Contains(
                "another process has been reading the database for long", refused?.Message, StringComparison.Ordinal);
            Assert.InRange(LogBytes(), Bound, Bound + 200_000);
            Assert.Throws<StorageUnavailableException>(() => database.AddIntervention(run, "control", Pause, Sample.Time));
        }

        Write();
        Assert.InRange(LogBytes(), 1, 200_000);

        void Write() => database.AddCheckpoints(
            run, [new("control", 0, 0, tick += 1024, state, [])], [], incidentsMax: 100, Sample.Time);

        long LogBytes() => new FileInfo(_folder.Database + "-wal").Length;
    }

    [Fact]
    public void While_the_disk_hangs_one_round_of_checkpoints_waits_and_no_more()
    {
        using var disk = new ManualResetEventSlim();
        var time = new FakeTimeProvider(Sample.Time);
        SoakOptions options = SmallFleet.Options(_folder.Path);
        using var storage = new SoakStorage(options, time, NullLogger<SoakStorage>.Instance);
        int rounds = 0;
        storage.Start(_ =>
        {
            Interlocked.Increment(ref rounds);
            disk.Wait(TestContext.Current.CancellationToken);
            return 0;
        });
        time.Advance(options.CheckpointInterval);
        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref rounds) == 1, Patience));
        time.Advance(1000 * options.CheckpointInterval);
        disk.Set();
        Assert.True(storage.Stop(null, Patience));
        Assert.Equal(2, rounds);
    }

    [Fact]
    public async Task Cohorts_that_are_gone_keep_their_series_of_interventions_up_to_a_bound()
    {
        using var registry = new MetricRegistry();
        var metrics = new InterventionMetrics(registry, () => ["present"]);
        for (int c = 0; c < InterventionMetrics.GoneMax + 5; c++)
            metrics.Count($"gone-{c}", InterventionKind.RemoveCohort);
        metrics.Count("present", InterventionKind.Migrate);
        using var text = new MemoryStream();
        await registry.WriteAsync(text, TestContext.Current.CancellationToken);
        string[] series =
        [
            .. System.Text.Encoding.UTF8.GetString(text.ToArray()).Split('\n')
                .Where(line => line.Contains("gone-", StringComparison.Ordinal)),
        ];
        Assert.Equal(InterventionMetrics.GoneMax, series.Length);
        Assert.DoesNotContain(series, line => line.Contains("gone-4\"", StringComparison.Ordinal));
        Assert.Contains(series, line => line.Contains("gone-5\"", StringComparison.Ordinal));
    }
}
