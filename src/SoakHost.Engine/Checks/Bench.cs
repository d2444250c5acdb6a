using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Checks;

/// <summary>What to measure the speed of.</summary>
/// <param name="Kernel">The kernel.</param>
/// <param name="Vcpus">vCPUs of each VM.</param>
/// <param name="Invalidators">Invalidators of each VM.</param>
/// <param name="Pages">Guest pages of each VM.</param>
/// <param name="Vms">VMs.</param>
/// <param name="Workers">Worker threads.</param>
/// <param name="VectorBits">Width of the vectors.</param>
public sealed record BenchCase(Kernel Kernel, int Vcpus, int Invalidators, int Pages, int Vms, int Workers, int VectorBits);

/// <summary>How fast it was.</summary>
/// <param name="Case">What was measured.</param>
/// <param name="Operations">Operations in that time.</param>
/// <param name="Seconds">Time on the clock.</param>
public sealed record BenchResult(BenchCase Case, long Operations, double Seconds)
{
    /// <summary>Operations a second, of all workers together.</summary>
    public double OperationsPerSecond => Operations / Seconds;

    /// <summary>Nanoseconds of one worker's time for an operation.</summary>
    public double NanosecondsPerOperation => Seconds * 1e9 * Case.Workers / Operations;
}

/// <summary>Measures how fast a fleet of one cohort soaks, far from any boundary.</summary>
public static class Bench
{
    private const int SliceTicks = 4 * Shard.ObservationTicks;
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(1);

    /// <summary>Measures one case, after a second in which the JIT settles.</summary>
    public static BenchResult Run(BenchCase @case, TimeSpan duration, TimeProvider time, CancellationToken stop)
    {
        var cohort = new SimulatedCohort
        {
            Name = "bench",
            Kernel = @case.Kernel,
            Vms = @case.Vms,
            Vm = new VmParameters
            {
                Vcpus = @case.Vcpus,
                Invalidators = @case.Invalidators,
                Pages = @case.Pages,
                RangePages = Math.Min(@case.Pages, new VmParameters().RangePages),
                InvalidateSeqStart = 0,
            },
        };
        var shards = new Shard[(@case.Vms + FleetOptions.ShardVms - 1) / FleetOptions.ShardVms];
        for (int s = 0; s < shards.Length; s++)
        {
            int firstVm = s * FleetOptions.ShardVms;
            int vms = Math.Min(FleetOptions.ShardVms, @case.Vms - firstVm);
            shards[s] = Shard.Create(cohort, firstVm, vms, new ShardOptions { VectorBits = @case.VectorBits });
        }

        // Every thread measures whole rounds of its own shards, so that no shard counts for a part of its work.
        var rates = new (long Operations, double Seconds)[Math.Min(@case.Workers, shards.Length)];
        using var start = new Barrier(rates.Length);
        Thread[] threads =
        [
            .. rates.Select((_, w) => new Thread(() =>
            {
                Shard[] own = [.. shards.Where((_, s) => s % rates.Length == w)];
                Soak(own, WarmUp, time, stop);
                long before = Operations(own);
                start.SignalAndWait(CancellationToken.None);
                double seconds = Soak(own, duration, time, stop);
                rates[w] = (Operations(own) - before, seconds);
            })),
        ];
        foreach (Thread thread in threads)
            thread.Start();
        foreach (Thread thread in threads)
            thread.Join();
        double perSecond = rates.Sum(rate => rate.Operations / rate.Seconds);
        long operations = rates.Sum(rate => rate.Operations);
        return new BenchResult(@case with { Workers = rates.Length }, operations, operations / perSecond);
    }

    private static double Soak(Shard[] shards, TimeSpan duration, TimeProvider time, CancellationToken stop)
    {
        long started = time.GetTimestamp();
        do
        {
            foreach (Shard shard in shards)
                shard.Advance(SliceTicks);
        }
        while (time.GetElapsedTime(started) < duration && !stop.IsCancellationRequested);
        return time.GetElapsedTime(started).TotalSeconds;
    }

    private static long Operations(Shard[] shards) => shards.Sum(shard => shard.TakeSnapshot().Totals.Operations);
}
