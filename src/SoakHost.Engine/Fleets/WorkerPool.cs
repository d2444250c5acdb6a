using SoakHost.Engine.Cohorts;

namespace SoakHost.Engine.Fleets;

/// <summary>The worker threads of a fleet and the queue that they share. Safe for use by several threads at once.</summary>
internal sealed class WorkerPool(FleetOptions options, TimeProvider time) : IDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly RunQueue _queue = new();

    // A new thread must be scheduled once before the next one can be created. Workers that already soak would keep it waiting,
    // and with it whoever starts the fleet: so all threads are created before the first slice.
    private readonly ManualResetEventSlim _startGate = new();

    // Held only to create and start threads, never while anybody waits: a stop must not wait for a disk.
    private readonly Lock _gate = new();
    private volatile Worker[] _workers = [];
    private bool _started;

    /// <summary>Whether it was asked to stop.</summary>
    public bool IsStopping => _stop.IsCancellationRequested;

    /// <summary>What each worker has done.</summary>
    public IReadOnlyList<WorkerReport> Reports => [.. _workers.Select(worker => worker.Report())];

    /// <summary>
    /// Adds shards, and as many workers as there is work for, up to what the options allow. After a stop nothing runs them.
    /// </summary>
    public void Add(IReadOnlyCollection<ShardSlot> slots)
    {
        lock (_gate)
        {
            _queue.Add(slots);
            if (IsStopping)
                return;
            int missing = Math.Min(options.Workers, _queue.Count) - _workers.Length;
            Worker[] added = [.. Enumerable.Range(_workers.Length, Math.Max(0, missing))
                .Select(index => new Worker(index, _queue, options, time, _startGate, _stop.Token))];
            _workers = [.. _workers, .. added];
            if (_started)
                Array.ForEach(added, worker => worker.Start());
        }
    }

    /// <summary>Starts the workers.</summary>
    /// <exception cref="InvalidOperationException">They were started before.</exception>
    public void Start()
    {
        lock (_gate)
        {
            if (_started)
                throw new InvalidOperationException("the fleet was started before");
            _started = true;
            Array.ForEach(_workers, worker => worker.Start());
            _startGate.Set();
        }
    }

    /// <summary>Asks every worker to stop at the end of its slice. Returns at once.</summary>
    public void RequestStop()
    {
        lock (_gate)
            _stop.Cancel();
    }

    /// <summary>Waits for the workers, after <see cref="RequestStop"/>.</summary>
    /// <returns>Whether all of them stopped in time; true where they were never started.</returns>
    public bool Join(Deadline deadline) => !_started || _workers.All(worker => worker.Join(deadline.Left));

    /// <inheritdoc/>
    public void Dispose()
    {
        _stop.Dispose();
        _startGate.Dispose();
    }
}
