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
        _external = [.. cohorts.OfType<IExternalCohortSource>()];
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
    /// Whether every VM has come to the last tick, or was taken out of service. Never true with external cohorts: they have no ticks.
    /// </summary>
    public bool IsDone => Cohorts.All(source => source is SimulatedCohortSource cohort && cohort.Slots.All(slot => slot.HasEnded));

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

        SimulatedCohortSource found = _membership.Find(cohort);
        if (intervention.Kind is not (InterventionKind.ResizeCohort or InterventionKind.RemoveCohort))
            return Apply(found, intervention, record);
        ThrowIfStopping();
        using Membership.Reservation reservation = intervention.Kind == InterventionKind.RemoveCohort
            ? _membership.ReserveRemoval(found) : _membership.ReserveSize(found, intervention.Vms);
        ShardIntervention applied = Apply(found, intervention, record);
        if (intervention.Kind == InterventionKind.RemoveCohort)
            _membership.Remove(found);
        return applied;
    }

    /// <summary>Adds a cohort, whose VMs start at tick 0.</summary>
    /// <param name="cohort">The cohort, valid; its name is one that no cohort of this run has had.</param>
    /// <param name="record">Records it; if this throws, nothing is added.</param>
    /// <returns>The intervention that adds it.</returns>
    /// <exception cref="InvalidOperationException">
    /// The name was used before, the fleet would become too large, or it is being stopped.
    /// </exception>
    public ShardIntervention Add(SimulatedCohort cohort, Action<ShardIntervention> record)
    {
        ThrowIfStopping();
        using Membership.Reservation reservation = _membership.ReserveCohort(cohort);
        var intervention = new ShardIntervention { Kind = InterventionKind.AddCohort, Cohort = cohort };
        SimulatedCohortSource added = CreateSource(new CohortHistory(cohort, [intervention]), resume: null);
        record(intervention);
        foreach (ShardSlot slot in added.Slots)
            slot.Publish();
        _membership.Add(added);
        _workers.Add(added.Slots);
        return intervention;
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
    /// Stops the invalidations of every simulated cohort, lets those in progress end, and counts the vCPUs that are then still stuck.
    /// Invalidations stay stopped.
    /// </summary>
    /// <param name="timeout">How long to wait for the workers.</param>
    /// <returns>
    /// For each cohort, in order, the number of vCPUs whose last fault is not fixed; null where a shard failed, or did not answer in time;
    /// 0 for an external cohort, which settles by itself before it is over.
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

    private ICohortSource CreateSource(Cohort cohort, ResumeState? resume) => cohort switch
    {
        SimulatedCohort simulated => CreateSource(new CohortHistory(simulated, resume?.Recorded[cohort.Name] ?? []), resume),
        ExternalCohort external => external.CreateSource(_time),
        _ => throw new ArgumentException($"cohort \"{cohort.Name}\" is of an unknown kind, \"{cohort.Kind}\"", nameof(cohort)),
    };

    private SimulatedCohortSource CreateSource(CohortHistory history, ResumeState? resume) =>
        new(history, (its, plan) => Build(its, plan, resume));

    private ShardIntervention Apply(SimulatedCohortSource cohort, ShardIntervention intervention, Action<ShardIntervention> record)
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
            _workers.Add(added);
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

    private void ThrowIfStopping()
    {
        if (_workers.IsStopping)
            throw new InvalidOperationException("the fleet is being stopped");
    }

    private void ForEachSlot(Action<ShardSlot> action)
    {
        foreach (ShardSlot slot in _membership.Simulated.SelectMany(cohort => cohort.Slots))
            action(slot);
    }
}
