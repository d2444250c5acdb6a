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

    // Held only to create and start threads, never while anybody waits.
    private readonly Lock _gate = new();
    private readonly Membership _membership;
    private readonly IExternalCohort[] _external;
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
        _external = [.. cohorts.OfType<ExternalSlot>().Select(slot => slot.External)];
        _membership = new Membership(cohorts);
        foreach (SimulatedCohort cohort in cohorts.OfType<SimulatedCohort>())
            _queue.Add(cohort.Slots);
        EnsureWorkers();

        ICohortSource Source(Cohort cohort) =>
            cohort.Kernel.Info.IsSimulated
                ? new SimulatedCohort(new CohortHistory(cohort, resume?.Recorded[cohort.Name] ?? []), (history, plan) => Build(history, plan, resume))
            : external is not null ? new ExternalSlot(external(cohort))
            : throw new ArgumentException($"nothing here can run cohort \"{cohort.Name}\", which is not simulated", nameof(options));
    }

    /// <summary>What the fleet was built from.</summary>
    public FleetOptions Options { get; }

    /// <summary>The cohorts that there are now: in the order of the options, then as they were added.</summary>
    public IReadOnlyList<ICohortSource> Cohorts => _membership.Cohorts;

    /// <summary>Cohorts that were removed in this run; what they did and showed is kept.</summary>
    public IReadOnlyList<ICohortSource> Removed => _membership.Removed;

    /// <summary>What each worker has done.</summary>
    public IReadOnlyList<WorkerReport> Workers => [.. _workers.Select(worker => worker.Report())];

    /// <summary>Whether every VM has come to the last tick, or was taken out of service. Never where real VMs run: they have no ticks.</summary>
    public bool IsDone => Cohorts.All(source => source is SimulatedCohort cohort && cohort.Slots.All(slot => slot.HasEnded));

    /// <summary>Starts the workers and the external cohorts.</summary>
    public void Start()
    {
        lock (_gate)
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
        lock (_gate)
            _stop.Cancel();
        foreach (IExternalCohort cohort in _external)
            cohort.RequestStop();
        return !_started || (_workers.All(worker => worker.Join(timeout)) & _external.All(cohort => cohort.Join(timeout)));
    }

    /// <summary>
    /// Decides at which tick an intervention takes effect on a cohort, and has the cohort's shards wait there until it is committed or
    /// abandoned: the tick of the shard that is furthest, or of the intervention before, if that is further. A cohort that is added starts at
    /// tick 0.
    /// </summary>
    /// <param name="cohort">The cohort's name. For one that is added, a name that no cohort of this run has had.</param>
    /// <param name="intervention">The intervention; its tick is ignored.</param>
    /// <returns>The intervention, to be recorded, then committed or abandoned.</returns>
    /// <exception cref="NoSuchCohortException">The fleet has no such cohort.</exception>
    /// <exception cref="InvalidInterventionException">The intervention makes no sense for this cohort.</exception>
    /// <exception cref="InterventionConflictException">
    /// The cohort has come to its last tick or has another intervention prepared, the fleet would become too large or empty, or is being
    /// stopped.
    /// </exception>
    public PreparedIntervention Prepare(string cohort, ShardIntervention intervention)
    {
        intervention = intervention with { Tick = 0 };
        intervention.ThrowUnlessValid();
        if (intervention.Cohort is { } described && (described.Name != cohort || !described.Kernel.Info.IsSimulated))
            throw new InvalidInterventionException($"cohort \"{cohort}\" is not simulated; cohorts of real VMs are configured");
        if (_stop.IsCancellationRequested)
            throw new InterventionConflictException("the fleet is being stopped");
        Membership.Reservation reservation = _membership.Reserve(cohort, intervention);
        try
        {
            return reservation.Cohort is { } found
                ? Prepare(found, intervention, reservation) : PrepareNew(intervention, reservation);
        }
        catch
        {
            foreach (ShardSlot slot in reservation.Cohort?.Slots ?? [])
                slot.Release(intervention: null);
            reservation.Dispose();
            throw;
        }
    }

    /// <summary>Has findings kept for checkpoints. Must be called before the workers start, if checkpoints are taken at all.</summary>
    public void KeepFindings()
    {
        _keepsFindings = true;
        foreach (ExternalSlot external in ExternalSlots)
            external.KeepFindings();
        foreach (ShardSlot slot in ShardSlots)
            slot.KeepFindings();
    }

    /// <summary>
    /// Requests a checkpoint of each shard at the end of its next slice. External cohorts answer at once: they have findings and no state.
    /// </summary>
    /// <param name="sink">Called once for each shard and external cohort, on the workers' threads or on this one; it must not throw.</param>
    /// <returns>How many times it will be called.</returns>
    public int RequestCheckpoint(Action<ShardCheckpoint> sink)
    {
        int asked = 0;
        foreach (ExternalSlot external in ExternalSlots)
        {
            external.Save(sink);
            asked++;
        }

        foreach (ShardSlot slot in ShardSlots)
        {
            slot.RequestCheckpoint(sink);
            asked++;
        }

        return asked;
    }

    /// <summary>Takes a checkpoint of each shard and external cohort now. The workers must have stopped.</summary>
    public void Checkpoint(Action<ShardCheckpoint> sink)
    {
        foreach (ExternalSlot external in ExternalSlots)
            external.Save(sink);
        foreach (ShardSlot slot in ShardSlots)
        {
            slot.RequestCheckpoint(sink);
            slot.Save();
        }
    }

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
            [.. Cohorts.Select(cohort => SlotsOf(cohort).Select(slot => (slot, Settle(slot))).ToList())];

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

    private IEnumerable<ExternalSlot> ExternalSlots => Cohorts.OfType<ExternalSlot>();

    private IEnumerable<ShardSlot> ShardSlots => _membership.All.SelectMany(SlotsOf);

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

    private PreparedIntervention PrepareNew(ShardIntervention intervention, Membership.Reservation reservation)
    {
        var added = new SimulatedCohort(new CohortHistory(intervention.Cohort!, [intervention]), Build);
        return new PreparedIntervention(intervention, reservation, [], _ =>
        {
            _membership.Add(added);
            Enqueue(added.Slots);
        });

        ShardSlot Build(CohortHistory history, ShardPlan plan) => BuildNew(history, plan);
    }

    private PreparedIntervention Prepare(SimulatedCohort cohort, ShardIntervention intervention, Membership.Reservation reservation)
    {
        CohortHistory history = cohort.History;
        if (intervention.Vm is { } vm && (vm < 0 || vm >= history.Vms))
            throw new InvalidInterventionException($"cohort \"{reservation.Name}\" has VMs 0 to {history.Vms - 1}");
        IReadOnlyList<ShardSlot> slots = cohort.Slots;
        long tick = Math.Max(slots.Max(slot => slot.Hold()), history.EarliestTick(intervention.Kind));
        if (tick >= Options.TicksMax)
            throw new InterventionConflictException($"cohort \"{reservation.Name}\" has come to its last tick, {Options.TicksMax}");
        foreach (ShardSlot slot in slots)
            slot.AdvanceTo(tick);

        // New VMs are built before the intervention is recorded: if there is no memory for them, nothing has happened.
        CohortHistory after = history.With(intervention with { Tick = tick }, out IReadOnlyList<ShardPlan> plans);
        ShardSlot[] added = [.. plans.Select(plan => BuildNew(after, plan))];
        return new PreparedIntervention(intervention with { Tick = tick }, reservation, slots, prepared =>
        {
            cohort.Follow(after, added);
            if (prepared.Intervention.Kind == InterventionKind.RemoveCohort)
                _membership.Remove(cohort);
            Enqueue(added);
        });
    }

    /// <summary>A slot of a shard at its start, with a first snapshot.</summary>
    private ShardSlot BuildNew(CohortHistory history, ShardPlan plan)
    {
        ShardSlot slot = Build(history, plan, resume: null);
        slot.Publish();
        return slot;
    }

    private void Enqueue(IReadOnlyCollection<ShardSlot> slots)
    {
        lock (_gate)
        {
            _queue.Add(slots);
            if (!_stop.IsCancellationRequested)
                EnsureWorkers();
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

    /// <summary>As many workers as there is work for, up to what the options say.</summary>
    private void EnsureWorkers()
    {
        Worker[] added = [.. Enumerable.Range(_workers.Length, Math.Max(0, Math.Min(Options.Workers, _queue.Count) - _workers.Length))
            .Select(w => new Worker(w, _queue, Options, _time, _stop.Token))];
        _workers = [.. _workers, .. added];
        if (_started)
            Array.ForEach(added, worker => worker.Start());
    }

    private static int CountStuck(Shard shard)
    {
        int stuck = 0;
        for (int vm = shard.FirstVm; vm < shard.FirstVm + shard.Vms; vm++)
            stuck += shard.Read(vm).Vcpus.Count(vcpu => vcpu.ConsecutiveRetries > 0);
        return stuck;
    }
}
