using System.Collections.Concurrent;
using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;

namespace SoakHost.Engine.Fleets;

/// <summary>
/// A shard's place in the fleet: where its worker leaves snapshots, and others leave what is to be done to it. One worker and one
/// reader use it at the same time.
/// </summary>
internal sealed class ShardSlot(Shard shard, ShardPlan plan)
{
    private readonly ConcurrentQueue<Action<Shard>> _work = new();
    private readonly Lock _gate = new();
    private readonly List<ShardIntervention> _scheduled = [];
    private readonly List<Finding> _unsaved = [];
    private long _end = shard.Tick;
    private long _limit = long.MaxValue;
    private volatile Action<ShardCheckpoint>? _checkpoint;
    private bool _isSaved;
    private ShardSnapshot? _unread;
    private volatile bool _requested = true;
    private volatile Exception? _failure;
    private volatile bool _hasEnded;

    /// <summary>How the shard came into its cohort.</summary>
    public ShardPlan Plan => plan;

    /// <summary>What had been seen of the shard before it came here.</summary>
    public CohortBaseline Baseline { get; } = new(shard.Totals.Operations, shard.Reported);

    /// <summary>Which VMs it came with, for people.</summary>
    public string Numbers => $"VMs {plan.FirstVm} to {plan.FirstVm + ((plan.Vms - 1) * shard.VmStride)}"
        + (shard.VmStride == 1 ? "" : $" in steps of {shard.VmStride}");

    /// <summary>Which shard it is, for people.</summary>
    public string Description => $"cohort {shard.Cohort.Name}, {Numbers}";

    /// <summary>Why the shard was taken out of service, or null.</summary>
    public Exception? Failure => _failure;

    /// <summary>
    /// Whether workers are done with it: it reached its last tick, has no VMs, or was taken out of service.
    /// </summary>
    public bool HasEnded => _hasEnded || _failure is not null;

    /// <summary>Asks for a snapshot at the end of the next slice.</summary>
    public void Request() => _requested = true;

    /// <summary>The snapshot that came since the last call, or null.</summary>
    public ShardSnapshot? Take() => Interlocked.Exchange(ref _unread, null);

    /// <summary>Has the worker do something to the shard between two slices.</summary>
    public void Enqueue(Action<Shard> work) => _work.Enqueue(work);

    /// <summary>Has the worker write the shard's state down at the end of its next slice.</summary>
    public void RequestCheckpoint(Action<ShardCheckpoint> sink) => _checkpoint = sink;

    /// <summary>Stops new slices until <see cref="AdvanceTo"/> or <see cref="Release"/>.</summary>
    /// <returns>The tick at which the slice that is running now, or ran last, ends.</returns>
    public long Hold()
    {
        lock (_gate)
            return _limit = _end;
    }

    /// <summary>Lets a shard that is held advance up to a tick, and no further.</summary>
    public void AdvanceTo(long tick)
    {
        lock (_gate)
            _limit = tick;
    }

    /// <summary>Lets the shard go on, with an intervention to come or without one.</summary>
    public void Release(ShardIntervention? intervention)
    {
        lock (_gate)
        {
            if (intervention is not null)
                _scheduled.Add(intervention);
            _limit = long.MaxValue;
        }
    }

    /// <summary>One slice, by the worker. A shard that throws is quarantined, so that the others go on.</summary>
    /// <returns>Whether the shard advanced.</returns>
    public bool Run(int sliceTicks, long ticksMax)
    {
        if (_failure is not null)
        {
            Save();
            return false;
        }

        try
        {
            while (_work.TryDequeue(out Action<Shard>? work))
                work(shard);
            int ticks = Reserve(sliceTicks, ticksMax);
            if (ticks > 0)
                shard.Advance(ticks);
            _hasEnded = shard.Vms == 0 || shard.Tick >= ticksMax;
            if (_requested)
                Publish();
            if (_checkpoint is not null)
                Save();
            return ticks > 0;
        }
#pragma warning disable CA1031 // Whatever is wrong with one shard must not take the others along.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            _failure = exception;
            KeepLastFindings();
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
        if (_isSaved)
            _unsaved.AddRange(snapshot.Findings);
        if (Interlocked.Exchange(ref _unread, null) is { } unread)
            snapshot = snapshot with { Findings = [.. unread.Findings, .. snapshot.Findings] };
        Volatile.Write(ref _unread, snapshot);
    }

    /// <summary>Has findings kept from now on until a checkpoint takes them.</summary>
    public void KeepFindings() => _isSaved = true;

    /// <summary>
    /// Writes the state down for whoever asked, by the worker, or by anyone once the workers have stopped. Of a shard that fails,
    /// now or before, there is what it found and no state.
    /// </summary>
    public void Save()
    {
        if (Interlocked.Exchange(ref _checkpoint, null) is not { } sink)
            return;
        byte[] state = [];
        if (_failure is null)
        {
            try
            {
                // Findings from before the checkpoint go with it: a fleet that resumes from it does not make them again.
                Publish();
                state = ShardState.Write(shard);
            }
#pragma warning disable CA1031 // Whatever is wrong with one shard must not take the others along.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                _failure = exception;
            }
        }

        sink(new ShardCheckpoint(shard.Cohort.Name, plan.FirstVm, plan.StartTick, shard.Tick, state, [.. _unsaved])
        {
            IsLast = shard.Vms == 0,
        });
        _unsaved.Clear();
    }

    /// <summary>What a shard found before it failed is true, whether or not it can still tell.</summary>
    private void KeepLastFindings()
    {
        try
        {
            if (_isSaved)
                _unsaved.AddRange(shard.TakeSnapshot().Findings);
        }
#pragma warning disable CA1031 // It has failed already.
        catch (Exception)
#pragma warning restore CA1031
        {
            // Then what it had told is all there is.
        }
    }

    /// <summary>
    /// Decides how far the next slice goes. An intervention that is prepared from now on comes at its end or later.
    /// </summary>
    private int Reserve(int sliceTicks, long ticksMax)
    {
        lock (_gate)
        {
            foreach (ShardIntervention intervention in _scheduled)
                shard.Schedule(intervention);
            _scheduled.Clear();

            // The first slice is short: a cohort has no figures before all of its shards had one.
            int most = shard.Tick == 0 ? Math.Min(sliceTicks, Shard.ObservationTicks) : sliceTicks;
            int ticks = shard.Vms == 0 ? 0 : (int)Math.Clamp(Math.Min(ticksMax, _limit) - shard.Tick, 0, most);
            _end = shard.Tick + ticks;
            return ticks;
        }
    }
}

/// <summary>
/// A shard's state at the end of a slice, and its findings until then. For an external cohort, the findings alone.
/// </summary>
/// <param name="Cohort">The cohort's name.</param>
/// <param name="FirstVm">The number, in its cohort, of the shard's first VM.</param>
/// <param name="StartTick">The tick at which its VMs started: numbers may be given again after a resize.</param>
/// <param name="Tick">The tick reached.</param>
/// <param name="State">What <see cref="ShardState"/> wrote; empty for a shard that failed, and for an external cohort.</param>
/// <param name="Findings">Findings since the checkpoint before, oldest first.</param>
public sealed record ShardCheckpoint(
    string Cohort,
    int FirstVm,
    long StartTick,
    long Tick,
    byte[] State,
    ImmutableArray<Finding> Findings)
{
    /// <summary>Whether all VMs of the shard were removed. Its state then never changes.</summary>
    public bool IsLast { get; init; }

    /// <summary>Which shard it is.</summary>
    public ShardKey Shard => new(Cohort, FirstVm, StartTick);
}

/// <summary>Which shard of a run.</summary>
/// <param name="Cohort">The cohort's name.</param>
/// <param name="FirstVm">The number of its first VM.</param>
/// <param name="StartTick">The tick at which its VMs started.</param>
public readonly record struct ShardKey(string Cohort, int FirstVm, long StartTick);
