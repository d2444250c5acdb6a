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
    private readonly TimeProvider _time;
    private readonly RunQueue _queue = new();
    private readonly Lock _membership = new();
    private readonly IExternalCohort[] _external;
    private volatile ICohortSource[] _cohorts;
    private volatile SimulatedCohort[] _removed;
    private volatile Worker[] _workers = [];
    private bool _keepsFindings;
    private bool _started;

    /// <summary>Builds every VM; nothing runs yet.</summary>
    /// <param name="options">Valid options.</param>
    /// <param name="time">Tells when a slice ended and how long it took.</param>
    /// <param name="resume">What is known of the fleet when it is resumed, or null for one that starts.</param>
    /// <param name="external">Makes the source of a cohort whose kernel is not simulated; the fleet disposes it.</param>
    public Fleet(FleetOptions options, TimeProvider time, ResumeState? resume = null, Func<Cohort, IExternalCohort>? external = null)
    {
        (Options, _time) = (options, time);
        ICohortSource[] cohorts = [.. options.Cohorts.Concat(resume?.Added ?? []).Select(Source)];
        _external = [.. cohorts.OfType<IExternalCohort>()];
        _removed = [.. cohorts.OfType<SimulatedCohort>().Where(cohort => cohort.History.IsRemoved)];
        _cohorts = [.. cohorts.Except(_removed)];
        foreach (SimulatedCohort cohort in cohorts.OfType<SimulatedCohort>())
            _queue.Add(cohort.Slots);
        EnsureWorkers();

        ICohortSource Source(Cohort cohort) =>
            cohort.Kernel.Info.IsSimulated
                ? new SimulatedCohort(new CohortHistory(cohort, resume?.Recorded[cohort.Name] ?? []), (history, plan) => Build(history, plan, resume))
            : external is not null ? external(cohort)
            : throw new ArgumentException($"nothing here can run cohort \"{cohort.Name}\", which is not simulated", nameof(options));
    }

    /// <summary>What the fleet was built from.</summary>
    public FleetOptions Options { get; }

    /// <summary>The cohorts that there are now: in the order of the options, then as they were added.</summary>
    public IReadOnlyList<ICohortSource> Cohorts => _cohorts;

    /// <summary>Cohorts that were removed in this run; what they did and showed is kept.</summary>
    public IReadOnlyList<ICohortSource> Removed => _removed;

    /// <summary>What each worker has done.</summary>
    public IReadOnlyList<WorkerReport> Workers => [.. _workers.Select(worker => worker.Report())];

    /// <summary>Whether every VM has come to the last tick, or was taken out of service. Never where real VMs run: they have no ticks.</summary>
    public bool IsDone => _cohorts.All(source => source is SimulatedCohort cohort && cohort.Slots.All(slot => slot.HasEnded));

    /// <summary>Starts the workers and the external cohorts.</summary>
    public void Start()
    {
        lock (_membership)
        {
            if (_started)
                throw new InvalidOperationException("the fleet was started before");
            _started = true;
            foreach (Worker worker in _workers)
                worker.Start();
        }

        foreach (IExternalCohort cohort in _external)
            cohort.Start();
    }

    /// <summary>Stops every worker at the end of its slice, and every external cohort; each leaves a last snapshot.</summary>
    /// <param name="timeout">How long to wait for all of them.</param>
    /// <returns>Whether all of them stopped in time.</returns>
    public bool Stop(TimeSpan timeout)
    {
        lock (_membership)
            _stop.Cancel();
        foreach (IExternalCohort cohort in _external)
            cohort.RequestStop();
        return !_started || (_workers.All(worker => worker.Join(timeout)) & _external.All(cohort => cohort.Join(timeout)));
    }

    /// <summary>
    /// Has an intervention take effect on a cohort, at a tick that none of its shards has passed: the tick of the one that is furthest, or where an
    /// intervention before it takes effect, if that is further. Shards wait there while the intervention is recorded, so that it is known to whoever
    /// resumes before it can have had an effect.
    /// </summary>
    /// <param name="cohort">The cohort's name.</param>
    /// <param name="intervention">The intervention, whose tick is set here.</param>
    /// <param name="record">Records it; if this throws, the intervention does not take effect.</param>
    /// <returns>The intervention with its tick.</returns>
    /// <exception cref="ArgumentException">There is no such cohort or VM, or the intervention makes no sense.</exception>
    /// <exception cref="InvalidOperationException">
    /// The cohort has come to its last tick, or the fleet would become too large, or empty.
    /// </exception>
    public ShardIntervention Apply(string cohort, ShardIntervention intervention, Action<ShardIntervention> record)
    {
        intervention.ThrowUnlessValid();
        if (intervention.Kind == InterventionKind.AddCohort)
            throw new ArgumentException("a cohort that is added is not there yet");

        // What changes the fleet's size happens one after the other, so that its limits hold.
        if (intervention.Kind is not (InterventionKind.ResizeCohort or InterventionKind.RemoveCohort))
            return Apply(Find(cohort), intervention, record);
        lock (_membership)
        {
            SimulatedCohort found = Find(cohort);
            ThrowIfStopping();
            ThrowIfTooLarge(intervention.Vms - found.Cohort.Vms);
            if (intervention.Vms == found.Cohort.Vms)
                throw new ArgumentException($"cohort \"{cohort}\" has {intervention.Vms} VMs already");
            if (intervention.Kind == InterventionKind.RemoveCohort && _cohorts.Length == 1)
                throw new InvalidOperationException($"cohort \"{cohort}\" is the last one; a fleet has at least one");
            ShardIntervention applied = Apply(found, intervention, record);
            EnsureWorkers();
            if (intervention.Kind == InterventionKind.RemoveCohort)
            {
                _removed = [.. _removed, found];
                _cohorts = [.. _cohorts.Where(source => source != found)];
            }

            return applied;
        }
    }

    /// <summary>Adds a cohort, whose VMs start at tick 0.</summary>
    /// <param name="cohort">The cohort, valid and simulated; its name is one that no cohort of this run has had.</param>
    /// <param name="record">Records it; if this throws, nothing is added.</param>
    /// <returns>The intervention that adds it.</returns>
    /// <exception cref="ArgumentException">The cohort is not simulated.</exception>
    /// <exception cref="InvalidOperationException">The name was given before, or the fleet would become too large.</exception>
    public ShardIntervention Add(Cohort cohort, Action<ShardIntervention> record)
    {
        if (!cohort.Kernel.Info.IsSimulated)
            throw new ArgumentException($"cohort \"{cohort.Name}\" is not simulated; cohorts of real VMs are configured");
        lock (_membership)
        {
            if (_cohorts.Concat(_removed).Any(source => source.Cohort.Name == cohort.Name))
            {
                throw new InvalidOperationException(
                    $"this run has, or had, a cohort \"{cohort.Name}\"; its incidents are known by that name, and another cohort needs another one");
            }

            ThrowIfTooLarge(cohort.Vms);
            if (_cohorts.Length >= FleetOptions.CohortsMax || _cohorts.Length + _removed.Length >= FleetOptions.CohortsEverMax)
            {
                throw new InvalidOperationException(
                    $"the fleet has {_cohorts.Length} cohorts, and {_removed.Length} were removed; allowed is {FleetOptions.CohortsMax} at a time, and "
                    + $"{FleetOptions.CohortsEverMax} in a run");
            }

            ThrowIfStopping();
            var intervention = new ShardIntervention { Kind = InterventionKind.AddCohort, Cohort = cohort };
            var added = new SimulatedCohort(new CohortHistory(cohort, [intervention]), (history, plan) => Build(history, plan, resume: null));
            record(intervention);
            foreach (ShardSlot slot in added.Slots)
                slot.Publish();
            _cohorts = [.. _cohorts, added];
            _queue.Add(added.Slots);
            EnsureWorkers();
            return intervention;
        }
    }

    /// <summary>Has findings kept for checkpoints. To be called before the workers start, if checkpoints are taken at all.</summary>
    public void KeepFindings()
    {
        _keepsFindings = true;
        ForEachSlot(slot => slot.KeepFindings());
    }

    /// <summary>Has each worker write its shards' states down, each shard at the end of its next slice.</summary>
    /// <param name="sink">Called once for each shard, on the workers' threads; it must not throw.</param>
    /// <returns>The number of shards, which is the number of answers to come.</returns>
    public int RequestCheckpoint(Action<ShardCheckpoint> sink)
    {
        int asked = 0;
        ForEachSlot(slot =>
        {
            slot.RequestCheckpoint(sink);
            asked++;
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

    private SimulatedCohort Find(string name) =>
        _cohorts.OfType<SimulatedCohort>().FirstOrDefault(candidate => candidate.Cohort.Name == name)
            ?? throw new ArgumentException($"there is no simulated cohort \"{name}\"");

    private ShardIntervention Apply(SimulatedCohort cohort, ShardIntervention intervention, Action<ShardIntervention> record)
    {
        lock (cohort)
        {
            CohortHistory history = cohort.History;
            string name = cohort.Cohort.Name;
            if (history.IsRemoved)
                throw new ArgumentException($"cohort \"{name}\" was removed");
            if (intervention.Vm is { } vm && (vm < 0 || vm >= history.Vms))
                throw new ArgumentException($"cohort \"{name}\" has VMs 0 to {history.Vms - 1}");
            IReadOnlyList<ShardSlot> slots = cohort.Slots;
            ShardIntervention? applied = null;
            try
            {
                long tick = Math.Max(slots.Max(slot => slot.Hold()), history.EarliestTick(intervention.Kind));
                if (tick >= Options.TicksMax)
                    throw new InvalidOperationException($"cohort \"{name}\" has come to its last tick, {Options.TicksMax}");
                foreach (ShardSlot slot in slots)
                    slot.Release(tick, intervention: null);
                ShardIntervention timed = intervention with { Tick = tick };
                record(timed);
                applied = timed;
            }
            finally
            {
                foreach (ShardSlot slot in slots)
                    slot.Release(long.MaxValue, applied);
            }

            ShardSlot[] added = [.. history.Record(applied).Select(plan => Build(history, plan, resume: null))];
            foreach (ShardSlot slot in added)
                slot.Publish();
            cohort.Follow(added);
            _queue.Add(added);
            return applied;
        }
    }

    private ShardSlot Build(CohortHistory history, ShardPlan plan, ResumeState? resume)
    {
        Shard shard;
        if (resume?.Shards.GetValueOrDefault(new ShardKey(history.First.Name, plan.FirstVm, plan.StartTick)) is { } resumed)
            history.Schedule(shard = resumed, plan);
        else
            shard = history.Create(plan, plan.FirstVm, plan.Vms, Options.Shards);
        var slot = new ShardSlot(shard, plan);
        if (_keepsFindings)
            slot.KeepFindings();

        // The first report has what is known, or a run that is resumed would seem for a moment to have seen nothing yet.
        if (resume is not null)
            slot.Publish();
        return slot;
    }

    private void ThrowIfTooLarge(long more)
    {
        long vms = _cohorts.Sum(source => (long)source.Cohort.Vms);
        long ever = _cohorts.Concat(_removed).Sum(source => (source as SimulatedCohort)?.History.VmsEver ?? source.Cohort.Vms);
        if (vms + more > FleetOptions.VmsMax || ever + Math.Max(more, 0) > FleetOptions.VmsEverMax)
        {
            throw new InvalidOperationException(
                $"the fleet has {vms} VMs, and has had {ever}; {more} more are too many: allowed is {FleetOptions.VmsMax} at a time, and "
                + $"{FleetOptions.VmsEverMax} in a run");
        }
    }

    private void ThrowIfStopping()
    {
        if (_stop.IsCancellationRequested)
            throw new InvalidOperationException("the fleet is being stopped");
    }

    /// <summary>As many workers as there is work for, up to what the options say.</summary>
    private void EnsureWorkers()
    {
        Worker[] added = [.. Enumerable.Range(_workers.Length, Math.Max(0, Math.Min(Options.Workers, _queue.Count) - _workers.Length))
            .Select(w => new Worker(w, _queue, Options, _time, _stop.Token))];
        _workers = [.. _workers, .. added];
        if (_started)
            Array.ForEach(added, worker => worker.Start());
    }

    private void ForEachSlot(Action<ShardSlot> action)
    {
        foreach (SimulatedCohort cohort in _cohorts.OfType<SimulatedCohort>().Concat(_removed))
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
}
