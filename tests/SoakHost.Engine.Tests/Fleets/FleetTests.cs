using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Tests.Kernels;
using SoakHost.Engine.Tests.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Fleets;

public sealed class FleetTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public void A_fleet_is_done_when_every_shard_is_and_a_worker_that_found_nothing_to_do_is_idle_until_it_does()
    {
        using var reached = new ManualResetEventSlim();
        using var go = new ManualResetEventSlim();
        using var fleet = new Fleet(
            new FleetOptions
            {
                Cohorts =
                [
                    SoakRun.CohortOf("linux-6.1.y", 2 * FleetOptions.ShardVms, new()) with { Name = "quick" },
                    SoakRun.CohortOf("linux-6.9", 1, new()) with { Name = "slow", Kernel = Kernel.Of<CallsOnce<FleetTests>>() },
                ],
                Workers = 2,
                TicksMax = 160 * Shard.ObservationTicks,

                // Whoever was long at a slice rests as long after it, and the other one takes the next.
                DutyCycle = 0.5,
            },
            TimeProvider.System);
        Thread? first = null, second = null;
        CallsOnce<FleetTests>.Arm(Hook);
        Assert.False(fleet.IsDone);
        fleet.Start();

        // The other worker has been idle, and has the last shard in hand now; the first one finds nothing any more.
        Assert.True(reached.Wait(Patience, TestContext.Current.CancellationToken));
        WorkerReport busy = Assert.Single(fleet.Workers, worker => second!.Name!.EndsWith($"-{worker.Index}", StringComparison.Ordinal));
        Assert.False(busy.IsIdle);
        Assert.True(SpinWait.SpinUntil(() => fleet.Workers[1 - busy.Index].IsIdle, Patience));
        Assert.False(fleet.IsDone);
        go.Set();
        Assert.True(SpinWait.SpinUntil(() => fleet.IsDone, Patience));
        Assert.True(SpinWait.SpinUntil(() => fleet.Workers.All(worker => worker.IsIdle), Patience));
        Assert.True(fleet.Stop(Patience));
        fleet.KeepFindings();
        fleet.Checkpoint(shard => Assert.Equal(fleet.Options.TicksMax, shard.Tick));

        void Hook()
        {
            first ??= Thread.CurrentThread;
            if (Thread.CurrentThread == first)
            {
                SpinWait.SpinUntil(() => fleet.Workers.Any(worker => worker.IsIdle), Patience);
                CallsOnce<FleetTests>.Arm(Hook);
                return;
            }

            second = Thread.CurrentThread;
            reached.Set();
            go.Wait(Patience, TestContext.Current.CancellationToken);
        }
    }
}
