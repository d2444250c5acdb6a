using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;
using SoakHost.Storage;

namespace SoakHost.Tests.Storage;

/// <summary>Storage on a clock that the test moves.</summary>
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
        storage.Start(fleet.RequestCheckpoint);
        Checkpoint(Sample.Time + TimeSpan.FromSeconds(10));

        // The wall clock alone jumps; timers go by the monotonic one.
        time.AdjustTime(Sample.Time + TimeSpan.FromDays(400));
        Checkpoint(Sample.Time + TimeSpan.FromDays(400) + TimeSpan.FromSeconds(10));
        time.AdjustTime(Sample.Time - TimeSpan.FromDays(1));
        Checkpoint(Sample.Time - TimeSpan.FromDays(1) + TimeSpan.FromSeconds(10));
        long ticks = folder.Ticks();
        Checkpoint(Sample.Time - TimeSpan.FromDays(1) + TimeSpan.FromSeconds(20));
        Assert.True(folder.Ticks() > ticks);
        storage.Stop(fleet.Stop(Patience) ? fleet.Checkpoint : null, Patience);

        void Checkpoint(DateTimeOffset at)
        {
            time.Advance(options.CheckpointInterval);
            Assert.True(SpinWait.SpinUntil(() => storage.Status.LastSuccess == at, Patience), $"{storage.Status}, not {at}");
        }
    }

    [Fact]
    public void Incidents_of_a_control_that_hangs_again_and_again_do_not_push_out_those_of_other_cohorts()
    {
        using var folder = new DataFolder();
        using SoakDatabase database = SoakDatabase.Open(folder.Path);
        long run = database.AddRun();
        Checkpoint(("stable", Sample.Hung(0, tick: 1024)));
        for (int tick = 2; tick <= 20; tick++)
            Checkpoint(("control", Sample.Hung(tick % 3, tick: tick * 1024)));

        IncidentRecord[] kept = [.. database.Incidents.Page(long.MaxValue, 100).Records];
        Assert.Equal(["control", "control", "control", "control", "stable"], kept.Select(incident => incident.Id.Cohort));
        Assert.Equal([20 * 1024L, 19 * 1024, 18 * 1024, 17 * 1024, 1024], kept.Select(incident => incident.Id.Time.Tick!.Value));

        void Checkpoint((string, Finding) found) => database.AddCheckpoints(run, [], [found], incidentsMax: 5, Sample.Time);
    }

    [Fact]
    public void An_incident_is_kept_with_what_is_needed_to_tell_it_and_ends_with_its_life()
    {
        using var folder = new DataFolder();
        using SoakDatabase database = SoakDatabase.Open(folder.Path);
        long run = database.AddRun();
        Finding early = Sample.Hung(3, tick: 4096) with { Origin = new VmOrigin(2, 2048, 2048, []) };
        Finding late = Sample.Hung(3, tick: 9216) with { Origin = new VmOrigin(3, 8192, 9216, [1, 2, 3]) };
        Finding replaced = Sample.Hung(3, tick: 8192, kind: FindingKind.VcpuReplaced);
        database.AddCheckpoints(run, [], [("control", early), ("control", replaced), ("control", late)], 100, Sample.Time);

        IncidentRecord[] kept = [.. database.Incidents.Page(long.MaxValue, 100).Records];
        Assert.Equal([late.Origin, early.Origin], kept.Select(incident => incident.Origin));
        Assert.Null(kept[0].Recovery);
        Assert.Equal((FindingTime.AtTick(8192), "its next life"), (kept[1].Recovery!.Time, kept[1].Recovery!.By));
        Assert.Equal(late.Origin, ReplayInput.OfRecorded(folder.Path, IncidentId.Of("control", late))!.Origin);
        Assert.Empty(database.Refusals());
    }

    [Fact]
    public void Incidents_and_crossings_are_kept_up_to_their_bound_and_the_oldest_go()
    {
        using var folder = new DataFolder();
        using SoakDatabase database = SoakDatabase.Open(folder.Path);
        long run = database.AddRun();
        for (int tick = 1; tick <= 8; tick++)
        {
            Finding hung = Sample.Hung(3, tick: tick * 1024);
            Finding crossed = new(
                FindingKind.BoundaryCrossed,
                3,
                vcpu: null,
                new Sighting(FindingTime.AtTick(tick), page: null, CounterRange.Exactly(1UL << 31), snapshot: null),
                Boundary.AtPower(31));
            database.AddCheckpoints(
                run,
                [],
                [("control", hung), ("control", hung), ("control", crossed)],
                incidentsMax: 5,
                Sample.Time);
        }

        Assert.Equal(
            [8192, 7168, 6144, 5120, 4096],
            database.Incidents.Page(long.MaxValue, 100).Records.Select(incident => incident.Id.Time.Tick!.Value));
        Assert.Equal(5, folder.Crossings().Count);
        Assert.Empty(database.Incidents.Page(long.MaxValue, 100, new() { Cohort = "stable" }).Records);
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
                    run,
                    [
                        new("control", 0, 0, tick, [1], []),
                        new("control", 64, 0, tick, [2], []),
                        new("control", 64, 1024, tick, [3], []),
                    ],
                    [],
                    100,
                    Sample.Time);
            }
        }

        Assert.Empty(database.Checkpoints.Of(1));
        foreach (int run in (int[])[2, 3])
        {
            Assert.Equal(
                [(0, 0L, 4096L), (0, 0, 3072), (64, 0, 4096), (64, 0, 3072), (64, 1024, 4096), (64, 1024, 3072)],
                database
                    .Checkpoints.Of(run)
                    .Select(checkpoint => (checkpoint.Shard.FirstVm, checkpoint.Shard.StartTick, checkpoint.Tick)));
        }
    }

    [Fact]
    public void A_recovery_ends_the_last_hang_and_names_the_intervention()
    {
        using var folder = new DataFolder();
        using SoakDatabase database = SoakDatabase.Open(folder.Path);
        long run = database.AddRun();
        database.AddIntervention(run, "control", new() { Kind = InterventionKind.PauseInvalidations, Tick = 1024 }, Sample.Time);
        database.AddIntervention(
            run,
            "control",
            new()
            {
                Kind = InterventionKind.PatchKernel,
                Kernel = Kernel.Of<Linux63>(),
                Tick = 4096,
            },
            Sample.Time);
        database.AddIntervention(
            run,
            "control",
            new()
            {
                Kind = InterventionKind.Migrate,
                Vm = 9,
                Tick = 4096,
            },
            Sample.Time);
        Finding hung = Sample.Hung(3, tick: 2048);
        Finding recovered = Sample.Hung(3, tick: 5120, kind: FindingKind.VcpuRecovered);
        Finding again = Sample.Hung(3, tick: 6144);
        Finding byItself = Sample.Hung(3, tick: 7168, kind: FindingKind.VcpuRecovered);
        database.AddCheckpoints(
            run,
            [],
            [("control", hung), ("control", recovered), ("control", again), ("control", byItself)],
            100,
            Sample.Time);
        Assert.Equal(
            [(6144L, 7168L, "itself"), (2048L, 5120L, "kernel linux-6.3 at tick 4096")],
            database
                .Incidents.Page(long.MaxValue, 100)
                .Records.Select(incident =>
                    (incident.Id.Time.Tick!.Value, incident.Recovery!.Time.Tick!.Value, incident.Recovery.By)));
        Assert.Equal(
            [InterventionKind.PauseInvalidations, InterventionKind.PatchKernel, InterventionKind.Migrate],
            database.Interventions.Of(run).Select(record => record.Intervention.Kind));
    }

    [Fact]
    public void Findings_come_with_checkpoints_whatever_their_cohorts_kind_and_each_is_stored_once()
    {
        using var folder = new DataFolder();
        var time = new FakeTimeProvider(Sample.Time);
        SoakOptions options = Options(folder);
        using (var storage = new SoakStorage(options, time, NullLogger<SoakStorage>.Instance))
        {
            // A shard, then an external cohort, which has findings and no state; the last checkpoint repeats them, as a resumed
            // shard does.
            ShardCheckpoint[] checkpoints =
            [
                new("control", 0, 0, 1024, [1], [Sample.Hung(1)]), new("here", 0, 0, 0, [], [Sample.Hung(0)]),
            ];
            storage.Start(sink =>
            {
                Array.ForEach(checkpoints, sink);
                return checkpoints.Length;
            });
            time.Advance(options.CheckpointInterval);
            Assert.True(SpinWait.SpinUntil(() => storage.Status.LastSuccess is not null, Patience));
            storage.Stop(sink => Array.ForEach(checkpoints, sink), Patience);
        }

        using SoakDatabase database = SoakDatabase.Open(folder.Path);
        Assert.Equal(
            ["hang:here/0/1@42", "hang:control/1/1@42"],
            database.Incidents.Page(long.MaxValue, 100).Records.Select(incident => incident.Id.ToString()));
        Assert.Equal("control", Assert.Single(database.Checkpoints.Of(1)).Shard.Cohort);
    }

    [Fact]
    public void A_run_that_cannot_be_resumed_is_not_replaced()
    {
        using var folder = new DataFolder();
        using (var first = new SoakStorage(Options(folder), TimeProvider.System, NullLogger<SoakStorage>.Instance))
            Assert.Null(first.ResumeState);
        string inTheWay = Path.Combine(folder.Path, "soakhost.commits");
        File.Delete(inTheWay);
        Directory.CreateDirectory(inTheWay);
        ConfigurationException refused = Assert.Throws<ConfigurationException>(
            () => new SoakStorage(Options(folder), TimeProvider.System, NullLogger<SoakStorage>.Instance));
        Assert.Contains("has a database, and it cannot be used now", refused.Message, StringComparison.Ordinal);

        Directory.Delete(inTheWay);
        using var again = new SoakStorage(Options(folder), TimeProvider.System, NullLogger<SoakStorage>.Instance);
        Assert.NotNull(again.ResumeState);
    }

    [Fact]
    public void A_run_that_is_found_only_later_is_not_written_over()
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
        storage.Start(fleet.RequestCheckpoint);

        File.Delete(directory);
        using (SoakDatabase other = SoakDatabase.Open(directory))
            other.AddRun(RunIdentity.Of(options.ToFleetOptions()), Sample.Time);
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                time.Advance(options.CheckpointInterval);
                return storage.Status.Failure?.Contains("restart the service to resume it", StringComparison.Ordinal) == true;
            },
            Patience));
        Assert.Equal(0, storage.RunId);
        storage.Stop(fleet.Stop(Patience) ? fleet.Checkpoint : null, Patience);
        using SoakDatabase after = SoakDatabase.OpenForReading(directory)!;
        Assert.Equal(1, after.Runs.Latest()!.Id);
        Assert.Empty(after.Checkpoints.Of(1));
    }

    private static SoakOptions Options(DataFolder folder) =>
        SmallFleet.Options(folder.Path, SmallFleet.Control with { Vms = 70 });
}
