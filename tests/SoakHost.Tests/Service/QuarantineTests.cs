using SoakHost.Engine.Soak;
using Microsoft.Extensions.Logging.Abstractions;
using SoakHost.Configuration;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Tests.Kernels;
using SoakHost.Engine.Watchdogs;
using SoakHost.Health;
using SoakHost.Model.Kernels;
using SoakHost.Service;
using SoakHost.Storage;
using SoakHost.Tests.Storage;

namespace SoakHost.Tests.Service;

/// <summary>A shard that throws is taken out of service; the rest goes on, is watched and is kept.</summary>
public sealed class QuarantineTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public void A_shard_that_throws_is_reported_the_rest_goes_on_and_is_kept_and_a_restart_takes_it_up_again()
    {
        using var folder = new DataFolder();
        using (var storage = new SoakStorage(Options(folder), TimeProvider.System, NullLogger<SoakStorage>.Instance))
        {
            using var run = new SoakRun(Options(folder), TimeProvider.System, storage: storage);
            run.Start();
            Until(run, _ => run.Storage.LastSuccess is not null);
            CallsOnce<QuarantineTests>.Arm(() => throw new InvalidOperationException("this kernel throws once"));
            Until(run, report => report.Cohorts is [{ Snapshot.Failures: [_] }, _]);
            Assert.EndsWith("were taken out of service: this kernel throws once", run.Latest.Cohorts[0].Snapshot.Failures[0], StringComparison.Ordinal);
            Readiness readiness = ReadinessOf(run);
            Assert.Equal(ReadinessStatus.Degraded, readiness.Status);
            Assert.Matches("^failing: VMs (0 to 63|64 to 127) were taken out of service: this kernel throws once$", Assert.Single(readiness.Reasons));

            // The other shard of the cohort and the other cohort get on, and their checkpoints go on to be written.
            DateTimeOffset? success = run.Storage.LastSuccess;
            long[] before = [.. run.Latest.Cohorts.Select(cohort => cohort.Totals.Operations)];
            Until(run, report => report.Cohorts.Select(cohort => cohort.Totals.Operations).Zip(before).All(pair => pair.First > pair.Second)
                && run.Storage.LastSuccess > success);
            Assert.True(run.Latest.SilentWorkers.IsEmpty);
            run.Stop(Patience, out bool isComplete, out _);
            Assert.True(isComplete);
        }

        using var storageAgain = new SoakStorage(Options(folder), TimeProvider.System, NullLogger<SoakStorage>.Instance);
        Assert.Equal(3, storageAgain.ResumeState!.Shards.Count);
        using var again = new SoakRun(Options(folder), TimeProvider.System, storage: storageAgain);
        again.Start();
        Until(again, report => report.Cohorts.Length == 2);
        Assert.Equal(ReadinessStatus.Ready, ReadinessOf(again).Status);
        again.Stop(Patience, out _, out _);
    }

    private static Readiness ReadinessOf(SoakRun run) =>
        Readiness.Of(run.Latest, run.Latest.CohortsInAll, TimeSpan.Zero, TimeSpan.FromMinutes(1), run.Storage.Failure);

    private static SoakOptions Options(DataFolder folder) => new()
    {
        Workers = 2,
        DataDirectory = folder.Path,
        WatchdogInterval = TimeSpan.FromMilliseconds(100),
        CheckpointInterval = TimeSpan.FromMilliseconds(50),
        Fleet =
        [
            Entry(0, new SimulatedCohort { Name = "failing", Kernel = Kernel.Of<CallsOnce<QuarantineTests>>(), Vms = 2 * FleetOptions.ShardVms }),
            Entry(1, new SimulatedCohort { Name = "healthy", Kernel = Kernel.Of<Linux61Stable>(), Vms = FleetOptions.ShardVms }),
        ],
    };

    private static CohortOptions Entry(int number, SimulatedCohort cohort) => new() { Key = $"Soak:Fleet:{number}", Cohort = cohort };

    private static void Until(SoakRun run, Func<FleetReport, bool> isWanted) =>
        Assert.True(SpinWait.SpinUntil(() => isWanted(run.Latest), Patience), string.Join("; ", run.Latest.Reasons));
}
