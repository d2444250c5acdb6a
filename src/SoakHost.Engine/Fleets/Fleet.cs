using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;

namespace SoakHost.Engine.Fleets;

/// <summary>Cohorts cut into shards, the worker threads that advance them, and external cohorts beside them.</summary>
public sealed class Fleet : IDisposable
{
    // A fleet that is disposed and was not stopped before gets as long as a stop may take.
    private static readonly TimeSpan DisposeTimeout = TimeSpan.FromSeconds(5);

    private readonly TimeProvider _time;
    private readonly WorkerPool _workers;
    private readonly Membership _membership;
    private readonly IExternalCohortSource[] _external;
    private bool _keepsFindings;

    /// <summary>Builds every VM; nothing runs yet.</summary>
    /// <param name="options">Valid options.</param>
    /// <param name="time">The clock.</param>
    /// <param name="resume">What the fleet is resumed from, or null for a new one.</param>
    public Fleet(FleetOptions options, TimeProvider time, ResumeState? resume = null)
    {
        (Options, _time) = (options, time);
        _workers = new WorkerPool(options, time);
        ICohortSource[] cohorts = [.. options.Cohorts.Concat(resume?.Added ?? []).Select(cohort => CreateSource(cohort, resume))];
        _external = [.. cohorts.OfType<ExternalSlot>().Select(slot => slot.External)];
        _membership = new Membership(cohorts);
        _workers.Add([.. cohorts.OfType<SimulatedCohortSource>().SelectMany(cohort => cohort.Slots)]);
    }

    /// <summary>What the fleet was built from.</summary>
    public FleetOptions Options { get; }

    /// <summary>The cohorts that there are now: in the order of the options, then as they were added.</summary>
    public IReadOnlyList<ICohortSource> Cohorts => _membership.Cohorts;

    /// <summary>Cohorts that were removed in this run; what they did and showed is kept.</summary>
    public IReadOnlyList<ICohortSource> Removed => _membership.Removed;

    /// <summary>What each worker has done.</summary>
    public IReadOnlyList<WorkerReport> Workers => _workers.Reports;

    /// <summary>
    /// Whether every VM has come to the last tick, is gone with its cohort, or was taken out of service. Never true with external
    /// cohorts: they have no ticks.
    /// </summary>
    public bool IsDone =>
        _membership.All.All(source => source is SimulatedCohortSource cohort && cohort.Slots.All(slot => slot.HasEnded));

    /// <summary>Starts the workers and the external cohorts.</summary>
    /// <exception cref="InvalidOperationException">The fleet was started before.</exception>
    public void Start()
    {
        _workers.Start();
        foreach (IExternalCohortSource cohort in _external)
            cohort.Start();
    }

    /// <summary>Stops every worker at the end of its slice, and every external cohort; each leaves a last snapshot.</summary>
    /// <param name="timeout">How long to wait for all of them together.</param>
    /// <returns>Whether all of them stopped in time.</returns>
    public bool Stop(TimeSpan timeout)
    {
        var deadline = new Deadline(_time, timeout);
        _workers.RequestStop();
        foreach (IExternalCohortSource cohort in _external)
            cohort.RequestStop();
        bool isStopped = _workers.Join(deadline);
        foreach (IExternalCohortSource cohort in _external)
            isStopped &= cohort.Join(deadline);
        return isStopped;
    }

    /// <summary>
    /// Decides at which tick an intervention takes effect on a cohort, and has the cohort's shards wait there until it is
    /// committed or abandoned: the tick that the intervention names, or where it names none, that of the shard that is furthest,
    /// or of the intervention before, if that is further. A cohort that is added starts at tick 0.
    /// </summary>
    /// <param name="cohort">The cohort's name. For one that is added, a name that no cohort of this run has had.</param>
    /// <param name="intervention">
    /// The intervention. Tick 0 has the fleet choose. Where several processes run parts of one fleet, all are given the same
    /// tick, ahead of all of them.
    /// </param>
    /// <returns>The intervention, to be recorded, then committed or abandoned.</returns>
    /// <exception cref="NoSuchCohortException">The fleet has no such cohort.</exception>
    /// <exception cref="InvalidInterventionException">
    /// The intervention makes no sense for this cohort, or names a VM of another part of the fleet.
    /// </exception>
    /// <exception cref="InterventionConflictException">
    /// The cohort has passed the tick that was named, has come to its last tick or has another intervention prepared, the fleet
    /// would become too large or empty, or is being stopped.
    /// </exception>
    public PreparedIntervention Prepare(string cohort, ShardIntervention intervention)
    {
        intervention.ThrowUnlessValid();
        if (intervention.Cohort is { } described && described.Name != cohort)
            throw new InvalidInterventionException($"the cohort to add is called \"{described.Name}\", not \"{cohort}\"");
        ThrowUnlessEachPartHasOne(cohort, intervention);
        if (_workers.IsStopping)
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

    /// <summary>
    /// Has findings kept for checkpoints. Must be called before the workers start, if checkpoints are taken at all.
    /// </summary>
    public void KeepFindings()
    {
        _keepsFindings = true;
        foreach (ExternalSlot external in ExternalSlots)
            external.KeepFindings();
        foreach (ShardSlot slot in ShardSlots)
            slot.KeepFindings();
    }

    /// <summary>
    /// Requests a checkpoint of each shard at the end of its next slice. External cohorts answer at once: they have findings and
    /// no state.
    /// </summary>
    /// <param name="sink">
    /// Called once for each shard and external cohort, on the workers' threads or on this one; it must not throw.
    /// </param>
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
    /// Stops the invalidations of every simulated cohort, lets those in progress end, and counts the vCPUs that are then still
    /// stuck. Invalidations stay stopped.
    /// </summary>
    /// <param name="timeout">How long to wait for the workers.</param>
    /// <returns>
    /// For each cohort, in order, the number of vCPUs whose last fault is not fixed; null where a shard failed, or did not answer
    /// in time; 0 for an external cohort, which settles by itself before it is over.
    /// </returns>
    public IReadOnlyList<int?> Settle(TimeSpan timeout) => Settling.Settle(Cohorts, timeout);

    /// <inheritdoc/>
    public void Dispose()
    {
        Stop(DisposeTimeout);
        foreach (IExternalCohortSource cohort in _external)
            cohort.Dispose();
        _workers.Dispose();
    }

    private IEnumerable<ExternalSlot> ExternalSlots => Cohorts.OfType<ExternalSlot>();

    private IEnumerable<ShardSlot> ShardSlots =>
        _membership.All.OfType<SimulatedCohortSource>().SelectMany(cohort => cohort.Slots);

    private ICohortSource CreateSource(Cohort cohort, ResumeState? resume) => cohort switch
    {
        SimulatedCohort simulated => CreateSource(new CohortHistory(
            simulated, resume?.Recorded[cohort.Name] ?? [], Options.Shards.Part), resume),
        ExternalCohort external => new ExternalSlot(external.CreateSource(_time)),
        _ => throw new ArgumentException($"cohort \"{cohort.Name}\" is of an unknown kind, \"{cohort.Kind}\"", nameof(cohort)),
    };

    private SimulatedCohortSource CreateSource(CohortHistory history, ResumeState? resume) =>
        new(history, (its, plan) => Build(its, plan, resume));

    private void ThrowUnlessHere(ShardIntervention intervention, string cohort)
    {
        FleetPart part = Options.Shards.Part;
        if (intervention.Vm is { } vm && !part.Has(vm))
        {
            throw new InvalidInterventionException(
                $"VM {vm} of cohort \"{cohort}\" is in part {vm % part.Count}/{part.Count} of the fleet, and this process runs "
                + $"part {part}");
        }
    }

    private void ThrowUnlessEachPartHasOne(string cohort, ShardIntervention intervention)
    {
        int parts = Options.Shards.Part.Count;
        if ((intervention.Cohort?.Vms ?? intervention.Vms) is > 0 and var vms && vms < parts)
        {
            throw new InvalidInterventionException(
                $"cohort \"{cohort}\" would have {vms} VMs in {parts} parts of the fleet; it must have at least {parts}, one "
                + "a part");
        }
    }

    private PreparedIntervention PrepareNew(ShardIntervention intervention, Membership.Reservation reservation)
    {
        var added = new SimulatedCohortSource(new CohortHistory(
            intervention.Cohort!, [intervention], Options.Shards.Part), BuildNew);
        return new PreparedIntervention(intervention, reservation, [], _ =>
        {
            _membership.Add(added);
            _workers.Add(added.Slots);
        });
    }

    private PreparedIntervention Prepare(
        SimulatedCohortSource cohort,
        ShardIntervention intervention,
        Membership.Reservation reservation)
    {
        CohortHistory history = cohort.History;
        if (intervention.Vm is { } vm && (vm < 0 || vm >= history.Vms))
            throw new InvalidInterventionException($"cohort \"{reservation.Name}\" has VMs 0 to {history.Vms - 1}");
        ThrowUnlessHere(intervention, reservation.Name);
        IReadOnlyList<ShardSlot> slots = cohort.Slots;
        long earliest = Math.Max(
            slots.Max(slot => slot.Hold()), history.EarliestTick(intervention.Kind));
        if (intervention.Tick > 0 && intervention.Tick < earliest)
        {
            throw new InterventionConflictException(
                $"tick {intervention.Tick} is past: cohort \"{reservation.Name}\" takes interventions from tick {earliest} on");
        }

        long tick = Math.Max(intervention.Tick, earliest);
        if (tick >= Options.TicksMax)
            throw new InterventionConflictException(
                $"cohort \"{reservation.Name}\" has come to its last tick, {Options.TicksMax}");
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
            _workers.Add(added);
        });
    }

    /// <summary>A slot of a shard at its start, with a first snapshot.</summary>
    private ShardSlot BuildNew(CohortHistory history, ShardPlan plan)
    {
        ShardSlot slot = Build(history, plan, resume: null);
        slot.Publish();
        return slot;
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
}
