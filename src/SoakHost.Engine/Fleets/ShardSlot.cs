using System.Collections.Concurrent;
using SoakHost.Engine.Soak;

namespace SoakHost.Engine.Fleets;

/// <summary>
/// A shard's place in the fleet: where its worker leaves snapshots, and others leave what is to be done to it. One worker and one
/// reader use it at the same time.
/// </summary>
internal sealed class ShardSlot(Shard shard)
{
    private readonly ConcurrentQueue<Action<Shard>> _operations = new();
    private ShardSnapshot? _unread;
    private volatile bool _requested = true;
    private volatile Exception? _failure;

    public int FirstVm { get; } = shard.FirstVm;

    public int Vms { get; } = shard.Vms;

    /// <summary>Which shard it is, for people.</summary>
    public string Description { get; } =
        $"cohort {shard.Cohort.Name}, VMs {shard.FirstVm} to {shard.FirstVm + shard.Vms - 1}";

    /// <summary>Why the shard was taken out of service, or null.</summary>
    public Exception? Failure => _failure;

    /// <summary>Asks for a snapshot at the end of the next slice.</summary>
    public void Request() => _requested = true;

    /// <summary>The snapshot that came since the last call, or null.</summary>
    public ShardSnapshot? Take() => Interlocked.Exchange(ref _unread, null);

    /// <summary>Has the worker do something to the shard between two slices.</summary>
    public void Enqueue(Action<Shard> operation) => _operations.Enqueue(operation);

    /// <summary>One slice, by the worker. A shard that throws is quarantined, so that the others go on.</summary>
    /// <returns>Whether the shard advanced.</returns>
    public bool Run(int sliceTicks, long ticksMax)
    {
        if (_failure is not null)
            return false;
        try
        {
            while (_operations.TryDequeue(out Action<Shard>? operation))
                operation(shard);
            bool advances = shard.Tick < ticksMax;
            if (advances)
                shard.Advance(sliceTicks);
            if (_requested)
                Publish();
            return advances;
        }
#pragma warning disable CA1031 // Whatever is wrong with one shard must not take the others along.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            _failure = exception;
            return false;
        }
    }

    /// <summary>Leaves a snapshot, by the worker. Findings that were not read yet are passed on with it.</summary>
    public void Publish()
    {
        if (_failure is not null)
            return;
        _requested = false;
        ShardSnapshot snapshot = shard.TakeSnapshot();
        if (Interlocked.Exchange(ref _unread, null) is { } unread)
            snapshot = snapshot with { Findings = [.. unread.Findings, .. snapshot.Findings] };
        Volatile.Write(ref _unread, snapshot);
    }
}
