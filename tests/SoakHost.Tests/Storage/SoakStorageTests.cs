using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model.Kernels;
using SoakHost.Storage;

namespace SoakHost.Tests.Storage;

/// <summary>Storage on a clock of its own.</summary>
public sealed class SoakStorageTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact]
    public void A_clock_that_jumps_back_and_forth_loses_no_checkpoint()
    {
        using var folder = new DataFolder();
        var time = new FakeTimeProvider(Sample.Time) { AutoAdvanceAmount = TimeSpan.Zero };
        SoakOptions options = Options(folder);
        using var storage = new SoakStorage(options, time, NullLogger<SoakStorage>.Instance);
        using var fleet = new Fleet(options.ToFleetOptions(), TimeProvider.System, storage.ResumeState);
        fleet.KeepFindings();
        fleet.Start();
        storage.Start(fleet);
        Checkpoint(Sample.Time + TimeSpan.FromSeconds(10));

        // The wall clock alone jumps; timers go by the monotonic one.
        time.AdjustTime(Sample.Time + TimeSpan.FromDays(400));
        Checkpoint(Sample.Time + TimeSpan.FromDays(400) + TimeSpan.FromSeconds(10));
        time.AdjustTime(Sample.Time - TimeSpan.FromDays(1));
        Checkpoint(Sample.Time - TimeSpan.FromDays(1) + TimeSpan.FromSeconds(10));
        long ticks = folder.Ticks();
        Checkpoint(Sample.Time - TimeSpan.FromDays(1) + TimeSpan.FromSeconds(20));
        Assert.True(folder.Ticks() > ticks);
        storage.Stop(fleet, fleet.Stop(Patience));

        void Checkpoint(DateTimeOffset at)
        {
            time.Advance(options.CheckpointInterval);
            Assert.True(SpinWait.SpinUntil(() => storage.Status.LastSuccess == at, Patience), $"{storage.Status}, not {at}");
        }
    }

    [Fact]
    public void Incidents_and_crossings_are_kept_up_to_their_bound_and_the_oldest_go()
    {
        using var folder = new DataFolder();
        using SoakDatabase database = SoakDatabase.Open(folder.Path);
        long run = database.AddRun(RunIdentity.Of(Options(folder).ToFleetOptions()), Sample.Time);
        for (int tick = 1; tick <= 8; tick++)
        {
            Finding hung = Sample.Hung(3) with { Tick = tick * 1024 };
            Finding crossed = new(FindingKind.BoundaryCrossed, 3, -1, tick, -1, 1UL << 31, 0, 31);
            database.AddCheckpoints(run, [], [("control", hung), ("control", hung), ("control", crossed)], incidentsMax: 5, Sample.Time);
        }

        Assert.Equal([8192, 7168, 6144, 5120, 4096], database.Incidents(long.MaxValue, 100).Select(incident => incident.Id.Tick));
        Assert.Equal(5, folder.Crossings().Count);
        Assert.Empty(database.Incidents(long.MaxValue, 100, "stable"));
    }

    [Fact]
    public void Two_checkpoints_of_each_shard_are_kept_and_those_of_two_runs()
    {
        using var folder = new DataFolder();
        using SoakDatabase database = SoakDatabase.Open(folder.Path);
        RunIdentity identity = RunIdentity.Of(Options(folder).ToFleetOptions());
        for (int run = 1; run <= 3; run++)
        {
            database.AddRun(identity, Sample.Time);
            for (int tick = 1024; tick <= 4096; tick += 1024)
            {
                database.AddCheckpoints(
                    run, [new("control", 0, 0, tick, [1], []), new("control", 64, 0, tick, [2], []), new("control", 64, 1024, tick, [3], [])], [], 100, Sample.Time);
            }
        }

        Assert.Empty(database.Checkpoints(1));
        foreach (int run in (int[])[2, 3])
        {
            Assert.Equal(
                [(0, 0L, 4096L), (0, 0, 3072), (64, 0, 4096), (64, 0, 3072), (64, 1024, 4096), (64, 1024, 3072)],
                database.Checkpoints(run).Select(checkpoint => (checkpoint.Shard.FirstVm, checkpoint.Shard.StartTick, checkpoint.Tick)));
        }
    }

    [Fact]
    public void A_recovery_ends_the_last_hang_and_names_what_was_done()
    {
        using var folder = new DataFolder();
        using SoakDatabase database = SoakDatabase.Open(folder.Path);
        long run = database.AddRun(RunIdentity.Of(Options(folder).ToFleetOptions()), Sample.Time);
        database.AddIntervention(run, "control", new() { Kind = InterventionKind.PauseInvalidations, Tick = 1024 }, Sample.Time);
        database.AddIntervention(run, "control", new() { Kind = InterventionKind.PatchKernel, Kernel = Kernel.Of<Linux63>(), Tick = 4096 }, Sample.Time);
        database.AddIntervention(run, "control", new() { Kind = InterventionKind.Migrate, Vm = 9, Tick = 4096 }, Sample.Time);
        Finding hung = Sample.Hung(3) with { Tick = 2048 };
        Finding recovered = hung with { Kind = FindingKind.VcpuRecovered, Tick = 5120 };
        Finding again = hung with { Tick = 6144 };
        Finding byItself = recovered with { Tick = 7168 };
        database.AddCheckpoints(run, [], [("control", hung), ("control", recovered), ("control", again), ("control", byItself)], 100, Sample.Time);
        Assert.Equal(
            [(6144L, 7168L, "itself"), (2048L, 5120L, "kernel linux-6.3 at tick 4096")],
            database.Incidents(long.MaxValue, 100).Select(incident => (incident.Id.Tick, incident.Recovery!.Tick, incident.Recovery.By)));
        Assert.Equal(
            [InterventionKind.PauseInvalidations, InterventionKind.PatchKernel, InterventionKind.Migrate],
            database.Interventions(run).Select(record => record.Intervention.Kind));
    }

    [Fact]
    public void Incidents_of_real_VMs_are_kept_as_well_and_those_of_simulated_ones_come_with_their_checkpoints_alone()
    {
        using var folder = new DataFolder();
        SoakOptions options = Options(folder);
        using (var storage = new SoakStorage(options, TimeProvider.System, NullLogger<SoakStorage>.Instance))
        {
            using var fleet = new Fleet(options.ToFleetOptions(), TimeProvider.System, storage.ResumeState);
            CohortReport real = Sample.Cohort("here", Defect.None, [Sample.Hung(0)]);
            storage.Start(fleet);
            storage.Keep(Sample.Report(
                real with { Snapshot = real.Snapshot with { Kernel = Kernel.Host } }, Sample.Cohort("control", Defect.Hang, [Sample.Hung(1)])));
            storage.Stop(fleet, isStopped: true);
        }

        using SoakDatabase database = SoakDatabase.Open(folder.Path);
        Assert.Equal("hang:here/0/1@42", Assert.Single(database.Incidents(long.MaxValue, 100)).Id.ToString());
    }

    [Fact]
    public void A_run_that_cannot_be_gone_on_with_is_not_begun_anew()
    {
        using var folder = new DataFolder();
        using (var first = new SoakStorage(Options(folder), TimeProvider.System, NullLogger<SoakStorage>.Instance))
            Assert.Null(first.ResumeState);
        string inTheWay = Path.Combine(folder.Path, "soakhost.lock");
        File.Delete(inTheWay);
        Directory.CreateDirectory(inTheWay);
        ConfigurationException refused = Assert.Throws<ConfigurationException>(
            () => new SoakStorage(Options(folder), TimeProvider.System, NullLogger<SoakStorage>.Instance));
        Assert.Contains("has a database already, and cannot be used now", refused.Message, StringComparison.Ordinal);

        Directory.Delete(inTheWay);
        using var again = new SoakStorage(Options(folder), TimeProvider.System, NullLogger<SoakStorage>.Instance);
        Assert.NotNull(again.ResumeState);
    }

    [Fact]
    public void A_run_that_comes_to_light_later_is_not_written_over()
    {
        using var folder = new DataFolder();
        var time = new FakeTimeProvider(Sample.Time);
        string directory = Path.Combine(folder.Path, "mounted");
        File.WriteAllText(directory, "not yet");
        SoakOptions options = Options(folder) with { DataDirectory = directory };
        using var storage = new SoakStorage(options, time, NullLogger<SoakStorage>.Instance);
        Assert.NotNull(storage.Status.Failure);
        using var fleet = new Fleet(options.ToFleetOptions(), TimeProvider.System, storage.ResumeState);
        fleet.KeepFindings();
        fleet.Start();
        storage.Start(fleet);

        File.Delete(directory);
        using (SoakDatabase other = SoakDatabase.Open(directory))
            other.AddRun(RunIdentity.Of(options.ToFleetOptions()), Sample.Time);
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                time.Advance(options.CheckpointInterval);
                return storage.Status.Failure?.Contains("start the service again to go on with it", StringComparison.Ordinal) == true;
            },
            Patience));
        Assert.Equal(0, storage.RunId);
        storage.Stop(fleet, fleet.Stop(Patience));
        using SoakDatabase after = SoakDatabase.OpenForReading(directory)!;
        Assert.Equal(1, after.LatestRun()!.Id);
        Assert.Empty(after.Checkpoints(1));
    }

    [Fact]
    public async Task An_operation_is_recorded_and_done_or_neither_however_long_the_disk_takes()
    {
        using var folder = new DataFolder();
        var time = new FakeTimeProvider(Sample.Time);
        SoakOptions options = Options(folder);
        using var storage = new SoakStorage(options, time, NullLogger<SoakStorage>.Instance);
        using var fleet = new Fleet(options.ToFleetOptions(), TimeProvider.System, storage.ResumeState);
        fleet.KeepFindings();
        storage.Start(fleet);
        Task<InterventionRecord> intervention;
        using (folder.Occupy())
        {
            intervention = Task.Run(() => storage.Intervene(fleet, "control", new() { Kind = InterventionKind.PauseInvalidations }), TestContext.Current.CancellationToken);

            // Long enough to have begun, most times: given up then, it would be recorded all the same.
            await Task.Delay(TimeSpan.FromMilliseconds(500), TestContext.Current.CancellationToken);
            Assert.True(SpinWait.SpinUntil(
                () =>
                {
                    time.Advance(TimeSpan.FromSeconds(1));
                    return intervention.IsCompleted || time.GetUtcNow() > Sample.Time + TimeSpan.FromMinutes(1);
                },
                Patience));
        }

        try
        {
            await intervention;
        }
        catch (StorageUnavailableException)
        {
            // It was given up before it was begun.
        }

        storage.Stop(fleet, fleet.Stop(Patience));
        Assert.Equal(intervention.IsCompletedSuccessfully ? 1 : 0, folder.Rows("SELECT id FROM interventions").Count);
    }

    private static SoakOptions Options(DataFolder folder) => new()
    {
        Workers = 1,
        DataDirectory = folder.Path,
        Fleet = [new CohortOptions { Key = "Soak:Fleet:0", Name = "control", Kernel = Kernel.Of<Linux61>(), Vms = 70 }],
    };
}
