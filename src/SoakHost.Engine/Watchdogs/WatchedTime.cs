using SoakHost.Engine.Fleets;

namespace SoakHost.Engine.Watchdogs;

/// <summary>
/// For how long each worker has given no sign of life, in time that the watchdog was awake. A process that was stopped (SIGSTOP,
/// a suspended machine) stops its workers and its watchdog alike: the first look afterwards says nothing about the workers.
/// </summary>
/// <param name="time">The clock.</param>
/// <param name="interval">Time between two looks, above zero.</param>
internal sealed class WatchedTime(TimeProvider time, TimeSpan interval)
{
    // A look may be late on a busy machine. What is later than this is a gap, and counts as this much.
    private readonly TimeSpan _stepMax = 2 * interval;
    private readonly Dictionary<int, (DateTimeOffset LastSlice, long Slices, TimeSpan Seen)> _signs = [];
    private long _lastLook = time.GetTimestamp();
    private TimeSpan _watched;

    /// <summary>Takes note of what the workers report now.</summary>
    /// <param name="workers">A report of each worker.</param>
    /// <param name="silence">How long a worker may give no sign of life.</param>
    /// <returns>The numbers of those that gave none for longer.</returns>
    public IReadOnlyList<int> Look(IReadOnlyList<WorkerReport> workers, TimeSpan silence)
    {
        long now = time.GetTimestamp();
        _watched += Least(time.GetElapsedTime(_lastLook, now), _stepMax);
        _lastLook = now;
        List<int> silent = [];
        foreach (WorkerReport worker in workers)
        {
            if (!_signs.TryGetValue(worker.Index, out (DateTimeOffset LastSlice, long Slices, TimeSpan Seen) sign)
                || (sign.LastSlice, sign.Slices) != (worker.LastSlice, worker.Slices))
            {
                sign = (worker.LastSlice, worker.Slices, _watched - Least(worker.SinceLastSlice, _stepMax));
                _signs[worker.Index] = sign;
            }

            if (!worker.IsIdle && _watched - sign.Seen > silence)
                silent.Add(worker.Index);
        }

        return silent;
    }

    private static TimeSpan Least(TimeSpan a, TimeSpan b) => a < b ? a : b;
}
