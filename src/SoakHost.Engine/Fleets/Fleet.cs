using System.Collections.Concurrent;
using SoakHost.Engine.Soak;

namespace SoakHost.Engine.Fleets;

/// <summary>Cohorts cut into shards, the worker threads that advance them, and cohorts of real VMs beside them.</summary>
public sealed class Fleet : IDisposable
{
    // Invalidations in progress end within some 20 ticks, and a fault takes about as many; the rest is margin.
    private const int SettleTicks = 4 * Shard.ObservationTicks;

    // How often a wait looks whether those it waits for failed meanwhile.
    private static readonly TimeSpan FailureInterval = TimeSpan.FromMilliseconds(10);

    private readonly CancellationTokenSource _stop = new();
    private readonly ICohortSource[] _cohorts;
    private readonly SimulatedCohort[] _simulated;
    private readonly IExternalCohort[] _external;
    private readonly Worker[] _workers;
    private bool _started;

    /// <summary>Builds every VM; nothing runs yet.</summary>
    /// <param name="options">Valid options.</param>
    /// <param name="time">Tells when a slice ended and how long it took.</param>
    /// <param name="past">What is known of the fleet's past when it is resumed, or null for one that starts.</param>
    /// <param name="external">Makes the source of a cohort whose kernel is not simulated; the fleet disposes it.</param>
    public Fleet(FleetOptions options, TimeProvider time, FleetPast? past = null, Func<Cohort, IExternalCohort>? external = null)
    {
        Options = options;
        _cohorts = [.. options.Cohorts.Select(Source)];
        _simulated = [.. _cohorts.OfType<SimulatedCohort>()];
        _external = [.. _cohorts.OfType<IExternalCohort>()];
        var turns = new ConcurrentQueue<ShardSlot>(_simulated.SelectMany(cohort => cohort.Slots));
        _workers = [.. Enumerable.Range(0, Math.Min(options.Workers, turns.Count))
            .Select(w => new Worker(w, turns, options, time, _stop.Token))];

        ICohortSource Source(Cohort cohort) =>
            cohort.Kernel.Info.IsSimulated ? new SimulatedCohort(cohort, Cut(cohort, options.Shards, past))
            : external is not null ? external(cohort)
            : throw new ArgumentException($"nothing here can run cohort \"{cohort.Name}\", which is not simulated", nameof(options));
    }

    /// <summary>What the fleet was built from.</summary>
    public FleetOptions Options { get; }

    /// <summary>The cohorts, in the order of the options.</summary>
    public IReadOnlyList<ICohortSource> Cohorts => _cohorts;

    /// <summary>What each worker has done.</summary>
    public IReadOnlyList<WorkerReport> Workers => [.. _workers.Select(worker => worker.Report())];

    /// <summary>Starts the workers and the external cohorts.</summary>
    public void Start()
    {
        if (_started)
            throw new InvalidOperationException("the fleet was started before");
        _started = true;
        foreach (Worker worker in _workers)
            worker.Start();
        foreach (IExternalCohort cohort in _external)
            cohort.Start();
    }

    /// <summary>Stops every worker at the end of its slice, and every external cohort; each leaves a last snapshot.</summary>
    /// <param name="timeout">How long to wait for all of them.</param>
    /// <returns>Whether all of them stopped in time.</returns>
    public bool Stop(TimeSpan timeout)
    {
        _stop.Cancel();
        foreach (IExternalCohort cohort in _external)
            cohort.RequestStop();
        return !_started || (_workers.All(worker => worker.Join(timeout)) & _external.All(cohort => cohort.Join(timeout)));
    }

    /// <summary>
    /// Has an operation take effect on a cohort, at a tick that none of its shards has passed: the tick of the one that is furthest. Shards
    /// wait there while the operation is recorded, so that it is known to whoever resumes before it can have had an effect.
    /// </summary>
    /// <param name="cohort">The cohort's name.</param>
    /// <param name="operation">The operation, whose tick is set here.</param>
    /// <param name="record">Records it; if this throws, the operation does not take effect.</param>
    /// <returns>The operation with its tick.</returns>
    /// <exception cref="ArgumentException">There is no such cohort or VM, or the operation makes no sense.</exception>
    /// <exception cref="InvalidOperationException">The cohort has come to its last tick.</exception>
    public ShardOperation Apply(string cohort, ShardOperation operation, Action<ShardOperation> record)
    {
        SimulatedCohort found = Array.Find(_simulated, candidate => candidate.Cohort.Name == cohort)
            ?? throw new ArgumentException($"there is no simulated cohort \"{cohort}\"", nameof(cohort));
        operation.ThrowUnlessValid();
        if (operation.Vm is { } vm && (vm < 0 || vm >= found.Cohort.Vms))
            throw new ArgumentException($"cohort \"{cohort}\" has VMs 0 to {found.Cohort.Vms - 1}", nameof(operation));
        lock (found)
        {
            ShardOperation? applied = null;
            try
            {
                long tick = found.Slots.Max(slot => slot.Hold());
                if (tick >= Options.TicksMax)
                    throw new InvalidOperationException($"cohort \"{cohort}\" has come to its last tick, {Options.TicksMax}");
                foreach (ShardSlot slot in found.Slots)
                    slot.Release(tick, operation: null);
                ShardOperation timed = operation with { Tick = tick };
                record(timed);
                return applied = timed;
            }
            finally
            {
                foreach (ShardSlot slot in found.Slots)
                    slot.Release(long.MaxValue, applied);
            }
        }
    }

    /// <summary>Has findings kept for checkpoints. To be called before the workers start, if checkpoints are taken at all.</summary>
    public void KeepFindings() => ForEachSlot(slot => slot.KeepFindings());

    /// <summary>Has each worker write its shards' states down, each shard at the end of its next slice.</summary>
    /// <param name="sink">Called once for each shard that is in service, on the workers' threads; it must not throw.</param>
    /// <returns>The number of shards that will answer, if none of them fails meanwhile.</returns>
    public int RequestCheckpoint(Action<ShardCheckpoint> sink)
    {
        int asked = 0;
        ForEachSlot(slot =>
        {
            slot.RequestCheckpoint(sink);
            asked += slot.Failure is null ? 1 : 0;
        });
        return asked;
    }

    /// <summary>Writes every shard's state down. The workers must have stopped.</summary>
    public void Checkpoint(Action<ShardCheckpoint> sink) => ForEachSlot(slot =>
    {
        slot.RequestCheckpoint(sink);
        slot.Save();
    });

    /// <summary>
    /// Stops every simulated cohort's invalidations, lets what is in progress end, and counts who then still does not get on: safety first, then
    /// liveness. Invalidations stay stopped.
    /// </summary>
    /// <param name="timeout">How long to wait for the workers.</param>
    /// <returns>
    /// For each cohort, in order, the number of vCPUs whose last fault is not fixed; null where a shard failed, or did not answer in time.
    /// An external cohort settles by itself before it is over, and counts 0 here.
    /// </returns>
    public IReadOnlyList<int?> Settle(TimeSpan timeout)
    {
        List<(ShardSlot Slot, Task<int> Stuck)>[] answers =
            [.. _cohorts.Select(cohort => SlotsOf(cohort).Select(slot => (slot, Settle(slot))).ToList())];

        // A shard that failed never answers: it is not waited for, and its cohort is not taken to have settled.
        for (TimeSpan waited = TimeSpan.Zero; waited < timeout; waited += FailureInterval)
        {
            Task[] open = [.. answers.SelectMany(cohort => cohort).Where(answer => answer.Slot.Failure is null).Select(answer => answer.Stuck)];
            if (Task.WaitAll(open, FailureInterval))
                break;
        }

        return [.. answers.Select(cohort =>
            cohort.TrueForAll(answer => answer.Stuck.IsCompletedSuccessfully) ? cohort.Sum(answer => answer.Stuck.Result) : (int?)null)];
    }

    private static IReadOnlyList<ShardSlot> SlotsOf(ICohortSource cohort) => (cohort as SimulatedCohort)?.Slots ?? [];

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

    /// <inheritdoc/>
    public void Dispose()
    {
        Stop(TimeSpan.FromSeconds(5));
        foreach (IExternalCohort cohort in _external)
            cohort.Dispose();
        _stop.Dispose();
    }

    private void ForEachSlot(Action<ShardSlot> action)
    {
        foreach (SimulatedCohort cohort in _simulated)
        {
            foreach (ShardSlot slot in cohort.Slots)
                action(slot);
        }
    }

    private static int CountStuck(Shard shard)
    {
        int stuck = 0;
        for (int vm = shard.FirstVm; vm < shard.FirstVm + shard.Vms; vm++)
            stuck += shard.Read(vm).Vcpus.Count(vcpu => vcpu.ConsecutiveRetries > 0);
        return stuck;
    }

    private static ShardSlot[] Cut(Cohort cohort, ShardOptions options, FleetPast? past)
    {
        var slots = new ShardSlot[(cohort.Vms + FleetOptions.ShardVms - 1) / FleetOptions.ShardVms];
        for (int s = 0; s < slots.Length; s++)
        {
            int firstVm = s * FleetOptions.ShardVms;
            Shard shard = past?.Shard(cohort.Name, firstVm)
                ?? Shard.Create(cohort, firstVm, Math.Min(FleetOptions.ShardVms, cohort.Vms - firstVm), options);
            foreach (ShardOperation operation in past?.Operations(cohort.Name, from: shard.Tick) ?? [])
                shard.Schedule(operation);
            slots[s] = new(shard);
        }

        return slots;
    }
}
