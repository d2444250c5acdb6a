using System.Collections.Concurrent;
using SoakHost.Engine.Cohorts;
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
    public void No_worker_begins_before_all_of_them_are_there()
    {
        const int Workers = 16;
        var clock = new SharedClock();
        using var fleet = new Fleet(
            new FleetOptions
            {
                Cohorts = [SoakRun.CohortOf("linux-6.1.y", Workers * FleetOptions.ShardVms, new())],
                Workers = Workers,
            },
            clock);
        fleet.Start();
        Assert.True(SpinWait.SpinUntil(() => clock.Readers.Any(IsWorker), Patience));

        // Whoever starts a worker reads the clock for it. A worker that reads it before the last of these has begun too soon.
        string[] readers = [.. clock.Readers];
        Assert.Equal(
            readers.Count(name => !IsWorker(name)),
            readers.TakeWhile(name => !IsWorker(name)).Count());
        Assert.True(fleet.Stop(Patience));

        static bool IsWorker(string name) => name.StartsWith("soak-worker", StringComparison.Ordinal);
    }

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
        WorkerReport busy = Assert.Single(
            fleet.Workers,
            worker => second!.Name!.EndsWith($"-{worker.Index}", StringComparison.Ordinal));
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

    [Fact]
    public void A_shard_that_fails_leaves_what_it_had_found_and_no_state()
    {
        SimulatedCohort healthy = SoakRun.CohortOf("linux-6.9", 2, new() { InvalidateSeqStart = (1UL << 31) - 100 });
        SimulatedCohort cohort = healthy with { Kernel = Kernel.Of<CallsOnce<ShardSlotTests>>() };
        using var fleet = new Fleet(new FleetOptions { Cohorts = [cohort], Workers = 1 }, TimeProvider.System);
        fleet.KeepFindings();
        fleet.Start();
        Assert.True(SpinWait.SpinUntil(() => Latest()?.Totals.CrossingsInAll == 2, Patience));
        CallsOnce<ShardSlotTests>.Arm(() => throw new InvalidOperationException("this kernel throws once"));
        Assert.True(SpinWait.SpinUntil(() => Latest()?.Failures.Length == 1, Patience));

        using var answered = new ManualResetEventSlim();
        ShardCheckpoint? answer = null;
        Assert.Equal(1, fleet.RequestCheckpoint(shard =>
        {
            answer = shard;
            answered.Set();
        }));
        Assert.True(answered.Wait(Patience, TestContext.Current.CancellationToken));
        Assert.Empty(answer!.State);
        Assert.Equal(
            [0, 1],
            answer.Findings.Where(finding => finding.Kind == FindingKind.BoundaryCrossed).Select(finding => finding.Vm).Order());
        Assert.True(fleet.Stop(Patience));

        CohortSnapshot? Latest()
        {
            fleet.Cohorts[0].Request();
            return fleet.Cohorts[0].Take();
        }
    }

    /// <summary>Names a kernel of its own.</summary>
    private sealed class ShardSlotTests;

    /// <summary>Remembers which threads asked for the time, in order.</summary>
    [Fact]
    public void A_slice_that_took_long_is_not_followed_by_a_rest_that_looks_like_a_stall()
    {
        using var fleet = new Fleet(
            new FleetOptions
            {
                Cohorts = [SoakRun.CohortOf("linux-6.1.y", 1, new())],
                Workers = 1,
                DutyCycle = 0.01,
            },
            new HurriedClock());
        fleet.Start();

        // A rest in proportion would be 16 minutes and more.
        Assert.True(SpinWait.SpinUntil(() => fleet.Workers[0].Slices >= 2, Patience));
        Assert.True(fleet.Stop(Patience));
    }

    private sealed class HurriedClock : TimeProvider
    {
        private long _seconds;

        public override long TimestampFrequency => 1;

        public override long GetTimestamp() => Interlocked.Add(ref _seconds, 10);
    }

    private sealed class SharedClock : TimeProvider
    {
        public ConcurrentQueue<string> Readers { get; } = new();

        public override long GetTimestamp()
        {
            Readers.Enqueue(Thread.CurrentThread.Name ?? "");
            return base.GetTimestamp();
        }
    }
}
