using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Fleets;

/// <summary>VMs that came into a cohort together and are advanced together: what a <see cref="Shard"/> is built from.</summary>
/// <param name="FirstVm">The number of the first VM; the others follow in steps of the number of parts of the fleet.</param>
/// <param name="Vms">How many, as it starts; resizes may take some away.</param>
/// <param name="StartTick">The tick at which they start.</param>
/// <param name="Kernel">The kernel that they start with.</param>
/// <param name="MayInvalidate">Whether invalidations may begin as they start.</param>
/// <param name="InterventionsBefore">Interventions of the cohort that were recorded before, and are none of theirs.</param>
internal sealed record ShardPlan(
    int FirstVm,
    int Vms,
    long StartTick,
    Kernel Kernel,
    bool MayInvalidate,
    int InterventionsBefore);

/// <summary>
/// What the interventions have made of a cohort: which shards it has, under which kernel, and since when. It depends on the
/// cohort, its interventions and the part of the fleet alone, so a resume and a replay find the same. Immutable.
/// </summary>
internal sealed class CohortHistory
{
    private readonly List<ShardIntervention> _interventions = [];
    private readonly List<ShardPlan> _plans = [];
    private readonly FleetPart _part;
    private Kernel _kernel;
    private long _lastStart;
    private bool _mayInvalidate = true;

    /// <summary>A history.</summary>
    /// <param name="cohort">The cohort as it came into the fleet.</param>
    /// <param name="interventions">What was done to it, in the order in which it was recorded.</param>
    /// <param name="part">The part of the fleet.</param>
    public CohortHistory(SimulatedCohort cohort, IEnumerable<ShardIntervention> interventions, FleetPart part)
    {
        (First, Vms, _kernel, _part) = (cohort, 0, cohort.Kernel, part);
        Grow(cohort.Vms, startTick: 0);
        foreach (ShardIntervention intervention in interventions)
            Record(intervention);
    }

    private CohortHistory(CohortHistory before)
    {
        (First, Vms, IsRemoved, _part) = (before.First, before.Vms, before.IsRemoved, before._part);
        (_kernel, _mayInvalidate, _lastStart) = (before._kernel, before._mayInvalidate, before._lastStart);
        _interventions.AddRange(before._interventions);
        _plans.AddRange(before._plans);
    }

    /// <summary>The cohort as it came into the fleet.</summary>
    public SimulatedCohort First { get; }

    /// <summary>VMs that it has now, in all parts of the fleet.</summary>
    public int Vms { get; private set; }

    /// <summary>VMs that it has now in this part.</summary>
    public int VmsHere => _part.VmsOf(Vms);

    /// <summary>Whether it was removed.</summary>
    public bool IsRemoved { get; private set; }

    /// <summary>Whether anything was done to it after it came into the fleet.</summary>
    public bool HasInterventions => _interventions.Exists(intervention => intervention.Kind != InterventionKind.AddCohort);

    /// <summary>
    /// The earliest tick for the next intervention. It comes after all others; a resumed cohort may still have some ahead. A
    /// resize also comes after every VM's start: the first VM and the tick of its start identify a shard.
    /// </summary>
    public long EarliestTick(InterventionKind kind) => Math.Max(
        _interventions.Select(intervention => intervention.Tick).DefaultIfEmpty().Max(),
        kind == InterventionKind.ResizeCohort ? _lastStart + Shard.ObservationTicks : 0);

    /// <summary>All VMs that it ever had in this part.</summary>
    public long VmsEver => _plans.Sum(plan => (long)plan.Vms);

    /// <summary>Every shard that it ever had in this part.</summary>
    public IReadOnlyList<ShardPlan> Plans => _plans;

    /// <summary>This history and one more intervention.</summary>
    /// <param name="intervention">The intervention, at <see cref="EarliestTick"/> or later.</param>
    /// <param name="added">Plans of the shards that start with it.</param>
    public CohortHistory With(ShardIntervention intervention, out IReadOnlyList<ShardPlan> added)
    {
        var after = new CohortHistory(this);
        added = after.Record(intervention);
        return after;
    }

    private IReadOnlyList<ShardPlan> Record(ShardIntervention intervention)
    {
        _interventions.Add(intervention);
        switch (intervention.Kind)
        {
            case InterventionKind.PatchKernel:
                _kernel = intervention.Kernel!;
                break;
            case InterventionKind.PauseInvalidations or InterventionKind.ResumeInvalidations:
                _mayInvalidate = intervention.Kind == InterventionKind.ResumeInvalidations;
                break;
            case InterventionKind.RemoveCohort:
                (Vms, IsRemoved) = (0, true);
                break;
            case InterventionKind.ResizeCohort:
                int before = _plans.Count;
                Grow(intervention.Vms, intervention.Tick);
                Vms = intervention.Vms;
                return _plans[before..];
        }

        return [];
    }

    /// <summary>The interventions that a shard at a tick still has ahead, in order.</summary>
    public IEnumerable<ShardIntervention> InterventionsFrom(ShardPlan plan, long tick) =>
        _interventions
            .Skip(plan.InterventionsBefore)
            .Where(intervention => intervention.Tick >= tick && intervention.Kind != InterventionKind.AddCohort);

    /// <summary>
    /// Builds a planned shard, or a part of it, at the start of its history, with all its interventions scheduled.
    /// </summary>
    public Shard Create(ShardPlan plan, int firstVm, int vms, ShardOptions options)
    {
        Shard shard = Create(First, plan, firstVm, vms, options);
        Schedule(shard, plan);
        return shard;
    }

    /// <summary>Builds a planned shard at the start of its history, without interventions.</summary>
    public static Shard Create(SimulatedCohort cohort, ShardPlan plan, int firstVm, int vms, ShardOptions options)
    {
        Shard shard = Shard.Create(cohort with { Kernel = plan.Kernel }, firstVm, vms, options);
        shard.Restart(cohort, plan.StartTick);
        shard.MayInvalidate = plan.MayInvalidate;
        return shard;
    }

    /// <summary>Schedules the interventions that a shard still has ahead.</summary>
    public void Schedule(Shard shard, ShardPlan plan)
    {
        foreach (ShardIntervention intervention in InterventionsFrom(plan, shard.Tick))
            shard.Schedule(intervention);
    }

    /// <summary>
    /// Builds one VM at the start of its history, with all its interventions scheduled: the last VM of that number that had
    /// started at a tick. Null where there was none.
    /// </summary>
    public Shard? StartOf(int vm, long tick, ShardOptions options) => PlanOf(vm, tick) is { } plan
        ? Create(plan, vm, 1, options) : null;

    /// <summary>
    /// Builds the same VM as it was at its origin, with the interventions scheduled that came after. Null where there was no such
    /// VM, or the origin is not one of its present life.
    /// </summary>
    /// <exception cref="ShardStateException">The origin's state is damaged, or of another shape of VM.</exception>
    public Shard? At(VmOrigin origin, int vm, long tick, ShardOptions options)
    {
        if (PlanOf(vm, tick) is not { } plan || origin.Tick > tick || origin.Tick % Shard.ObservationTicks != 0
            || origin.LifeTick < plan.StartTick)
        {
            return null;
        }

        (Kernel kernel, bool mayInvalidate) = (plan.Kernel, plan.MayInvalidate);
        foreach (ShardIntervention past in _interventions.Skip(plan.InterventionsBefore).Where(past => past.Tick < origin.Tick))
        {
            kernel = past.Kernel ?? kernel;
            mayInvalidate = past.Kind switch
            {
                InterventionKind.PauseInvalidations => false,
                InterventionKind.ResumeInvalidations => true,
                _ => mayInvalidate,
            };
        }

        ShardPlan then = plan with { StartTick = origin.Tick, Kernel = kernel, MayInvalidate = mayInvalidate };
        Shard shard = Create(First, then, vm, 1, options);
        shard.Begin(vm, origin);
        Schedule(shard, plan);
        return shard;
    }

    private ShardPlan? PlanOf(int vm, long tick) =>
        _plans.FindLast(plan => Has(plan, vm) && plan.StartTick <= tick);

    private void Grow(int vms, long startTick)
    {
        if (vms > Vms)
            _lastStart = startTick;
        int end = _part.VmsOf(vms);
        for (int index = VmsHere; index < end; index += FleetOptions.ShardVms)
        {
            int count = Math.Min(FleetOptions.ShardVms, end - index);
            _plans.Add(new(_part.VmAt(index), count, startTick, _kernel, _mayInvalidate, _interventions.Count));
        }

        Vms = Math.Max(Vms, vms);
    }

    private bool Has(ShardPlan plan, int vm) =>
        _part.Has(vm) && vm >= plan.FirstVm && vm <= plan.FirstVm + ((plan.Vms - 1) * _part.Count);
}
