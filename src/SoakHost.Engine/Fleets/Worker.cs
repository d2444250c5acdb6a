using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;

namespace SoakHost.Engine.Fleets;

/// <summary>What a worker did up to the end of a slice.</summary>
/// <param name="Index">Its number, from 0.</param>
/// <param name="LastSlice">
/// When its last slice ended; when it started, before the first; when it found work again, after it had none.
/// </param>
/// <param name="SinceLastSlice">How long ago that was, whatever was done to the time of day since.</param>
/// <param name="Slices">Slices so far.</param>
/// <param name="Busy">Time spent in them.</param>
/// <param name="LongestSlice">The longest slice since the report before.</param>
/// <param name="IsIdle">
/// Whether it finds no shard to advance: all have come to their last tick, or others have them in hand.
/// </param>
/// <param name="Shard">The shard that it has in hand, or had last; empty before the first.</param>
public sealed record WorkerReport(
    int Index,
    DateTimeOffset LastSlice,
    TimeSpan SinceLastSlice,
    long Slices,
    TimeSpan Busy,
    TimeSpan LongestSlice,
    bool IsIdle,
    string Shard);

/// <summary>
/// A thread of its own that advances shards, a slice each. All workers take the shard whose turn it is from one queue and put it
/// back at the end, so that shards stay within a few slices of each other: an intervention reaches all of a cohort at once.
/// </summary>
internal sealed class Worker
{
    // A sleep shorter than this costs more than it gives back.
    private static readonly TimeSpan RestMin = TimeSpan.FromMilliseconds(5);

    // A longer rest would look like a stall. Only a slice that had to wait for a processor is owed more, and waiting is no work.
    private static readonly TimeSpan RestMax = TimeSpan.FromSeconds(3);

    private readonly RunQueue _queue;
    private readonly FleetOptions _options;
    private readonly TimeProvider _time;
    private readonly ManualResetEventSlim _startGate;
    private readonly CancellationToken _stop;
    private readonly Thread _thread;
    private readonly int _index;
    private volatile ShardSlot? _inHand;
    private long _lastSlice;
    private long _lastSliceTimestamp;
    private long _slices;
    private long _busy;
    private long _longest;
    private volatile bool _isIdle;

    public Worker(
        int index,
        RunQueue turns,
        FleetOptions options,
        TimeProvider time,
        ManualResetEventSlim startGate,
        CancellationToken stop)
    {
        (_index, _queue, _options, _time, _startGate, _stop) = (index, turns, options, time, startGate, stop);
        Note();
        _thread = new Thread(Run) { Name = $"soak-worker-{index}", IsBackground = true };
    }

    public void Start()
    {
        Note();
        _thread.Start();
    }

    public bool Join(TimeSpan timeout) => _thread.Join(timeout);

    public WorkerReport Report()
    {
        // Before the time: whoever is not idle any more has set that by then, and is not taken to have been silent.
        bool isIdle = _isIdle;
        return new WorkerReport(
            _index,
            new DateTimeOffset(Volatile.Read(ref _lastSlice), TimeSpan.Zero),
            _time.GetElapsedTime(Volatile.Read(ref _lastSliceTimestamp)),
            Volatile.Read(ref _slices),
            TimeSpan.FromTicks(Volatile.Read(ref _busy)),
            TimeSpan.FromTicks(Interlocked.Exchange(ref _longest, 0)),
            isIdle,
            _inHand?.Description ?? "");
    }

    private void Run()
    {
        _startGate.Wait();
        Note();
        TimeSpan owed = TimeSpan.Zero;
        int standing = 0;
        while (!_stop.IsCancellationRequested)
        {
            // With nothing left to advance the worker still answers requests and queued work.
            if (!_queue.TryTake(out ShardSlot? slot) || standing >= _queue.Count)
            {
                if (slot is not null)
                    _queue.Return(slot);
                _stop.WaitHandle.WaitOne(RestMin);
                standing = 0;
                continue;
            }

            _inHand = slot;
            if (_isIdle && !slot.HasEnded)
            {
                Note();
                _isIdle = false;
            }

            long start = _time.GetTimestamp();
            bool advanced = slot.Run(_options.SliceTicks, _options.TicksMax);
            _queue.Return(slot);
            standing = advanced ? 0 : standing + 1;
            _isIdle = standing > 0 && (_isIdle || standing >= _queue.Count);
            if (!advanced)
                continue;
            TimeSpan took = _time.GetElapsedTime(start);
            Record(took);
            owed += took * ((1 / _options.DutyCycle) - 1);
            if (owed >= RestMin)
            {
                _stop.WaitHandle.WaitOne(owed < RestMax ? owed : RestMax);
                owed = TimeSpan.Zero;
            }
        }

        // Whatever another worker has in hand it puts back before it comes here itself.
        while (_queue.TryTake(out ShardSlot? slot))
            slot.Publish();
    }

    /// <summary>Takes note of the time, as that of a sign of life.</summary>
    private void Note()
    {
        Volatile.Write(ref _lastSlice, _time.GetUtcNow().UtcTicks);
        Volatile.Write(ref _lastSliceTimestamp, _time.GetTimestamp());
    }

    private void Record(TimeSpan took)
    {
        Note();
        Volatile.Write(ref _busy, _busy + took.Ticks);
        Volatile.Write(ref _slices, _slices + 1);
        if (took.Ticks > Volatile.Read(ref _longest))
            Volatile.Write(ref _longest, took.Ticks);
    }
}

/// <summary>Whose turn it is: every shard of the fleet that no worker has in hand.</summary>
internal sealed class RunQueue
{
    private readonly ConcurrentQueue<ShardSlot> _waiting = new();
    private volatile int _count;

    /// <summary>Shards of the fleet, those that workers have in hand too.</summary>
    public int Count => _count;

    /// <summary>Adds shards.</summary>
    public void Add(IReadOnlyCollection<ShardSlot> slots)
    {
        Interlocked.Add(ref _count, slots.Count);
        foreach (ShardSlot slot in slots)
            _waiting.Enqueue(slot);
    }

    /// <summary>Takes the shard that has waited longest.</summary>
    public bool TryTake([NotNullWhen(true)] out ShardSlot? slot) => _waiting.TryDequeue(out slot);

    /// <summary>Puts a shard back at the end.</summary>
    public void Return(ShardSlot slot) => _waiting.Enqueue(slot);
}
