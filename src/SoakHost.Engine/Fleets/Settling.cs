using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;

namespace SoakHost.Engine.Fleets;

/// <summary>
/// Stops the invalidations of simulated cohorts, lets those in progress end, and counts the vCPUs that are then still stuck:
/// safety first, then liveness.
/// </summary>
internal static class Settling
{
    // Invalidations in progress end within some 20 ticks, and a fault takes about as many; the rest is margin.
    private const int SettleTicks = 4 * Shard.ObservationTicks;

    // How often a wait checks whether shards failed meanwhile.
    private static readonly TimeSpan FailureInterval = TimeSpan.FromMilliseconds(10);

    /// <summary>Settles every simulated cohort. Their invalidations stay stopped.</summary>
    /// <param name="cohorts">The cohorts; workers must be running.</param>
    /// <param name="timeout">How long to wait for the workers.</param>
    /// <returns>For each cohort, in order, the number of vCPUs that are stuck; 0 for an external cohort, which settles by itself
    /// before it is over; null where a shard failed or did not answer in time.</returns>
    public static IReadOnlyList<int?> Settle(IEnumerable<ICohortSource> cohorts, TimeSpan timeout)
    {
        List<(ShardSlot Slot, Task<int> Stuck)>[] answers =
        [
            .. cohorts.Select(cohort =>
                ((cohort as SimulatedCohortSource)?.Slots ?? []).Select(slot => (slot, Settle(slot))).ToList()),
        ];

        // A shard that failed never answers. Nobody waits for it, and its cohort does not count as settled.
        for (TimeSpan waited = TimeSpan.Zero; waited < timeout; waited += FailureInterval)
        {
            Task[] open = [.. answers.SelectMany(cohort => cohort)
                .Where(answer => answer.Slot.Failure is null).Select(answer => answer.Stuck)];
            if (Task.WaitAll(open, FailureInterval))
                break;
        }

        return [.. answers.Select(cohort => cohort.TrueForAll(answer => answer.Stuck.IsCompletedSuccessfully)
            ? cohort.Sum(answer => answer.Stuck.Result) : (int?)null)];
    }

    private static Task<int> Settle(ShardSlot slot)
    {
        var stuck = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        slot.Enqueue(shard =>
        {
            shard.MayInvalidate = false;
            shard.Advance(SettleTicks);
            stuck.SetResult(CountStuck(shard));
        });
        return stuck.Task;
    }

    private static int CountStuck(Shard shard)
    {
        int stuck = 0;
        foreach (int vm in shard.VmNumbers)
            stuck += shard.Read(vm).Vcpus.Count(vcpu => vcpu.ConsecutiveRetries > 0);
        return stuck;
    }
}
