using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Fleets;

/// <summary>VMs that came into a cohort together and are advanced together: what a <see cref="Shard"/> is built from.</summary>
/// <param name="FirstVm">The number of the first VM.</param>
/// <param name="Vms">How many, as it starts; resizes may take some away.</param>
/// <param name="Born">The tick at which they start.</param>
/// <param name="Kernel">The kernel that they start with.</param>
/// <param name="MayInvalidate">Whether invalidations may begin as they start.</param>
/// <param name="OperationsBefore">Operations of the cohort that were recorded before, and are none of theirs.</param>
internal sealed record ShardPlan(int FirstVm, int Vms, long Born, Kernel Kernel, bool MayInvalidate, int OperationsBefore);

/// <summary>
/// What a cohort has come to by all that was done to it: how its VMs lie in shards, under which kernel, and since when. A function of the
/// cohort and its operations alone, so that whoever resumes or replays it finds the same. Not safe for use by several threads at once.
/// </summary>
internal sealed class CohortHistory
{
    private readonly List<ShardOperation> _operations = [];
    private readonly List<ShardPlan> _plans = [];
    private Kernel _kernel;
    private bool _mayInvalidate = true;

    /// <summary>A history.</summary>
    /// <param name="cohort">The cohort as it came into the fleet.</param>
    /// <param name="operations">What was done to it, in the order in which it was recorded.</param>
    public CohortHistory(Cohort cohort, IEnumerable<ShardOperation> operations)
    {
        (First, Vms, _kernel) = (cohort, 0, cohort.Kernel);
        Grow(cohort.Vms, born: 0);
        foreach (ShardOperation operation in operations)
            Record(operation);
    }

    /// <summary>The cohort as it came into the fleet.</summary>
    public Cohort First { get; }

    /// <summary>VMs that it has now.</summary>
    public int Vms { get; private set; }

    /// <summary>Whether it was removed.</summary>
    public bool IsRemoved { get; private set; }

    /// <summary>Whether anything was done to it after it came into the fleet.</summary>
    public bool WasOperated => _operations.Exists(operation => operation.Kind != OperationKind.AddCohort);

    /// <summary>
    /// The earliest tick for an operation that comes next. Not before those there are: a resumed cohort may still have some ahead, and the last word is
    /// to be the last. A resize comes after every VM's start: shards are told apart by their first VM and when they started.
    /// </summary>
    public long EarliestTick(OperationKind kind) => Math.Max(
        _operations.Select(operation => operation.Tick).DefaultIfEmpty().Max(),
        kind == OperationKind.ResizeCohort ? _plans.Max(plan => plan.Born) + Shard.ObservationTicks : 0);

    /// <summary>All VMs that it ever had.</summary>
    public long VmsEver => _plans.Sum(plan => (long)plan.Vms);

    /// <summary>Every shard that it ever had.</summary>
    public IReadOnlyList<ShardPlan> Plans => _plans;

    /// <summary>Takes note of an operation; those of one cohort come with ticks that never fall.</summary>
    /// <returns>Plans of the shards that come with it.</returns>
    public IReadOnlyList<ShardPlan> Record(ShardOperation operation)
    {
        _operations.Add(operation);
        switch (operation.Kind)
        {
            case OperationKind.PatchKernel:
                _kernel = operation.Kernel!;
                break;
            case OperationKind.PauseInvalidations or OperationKind.ResumeInvalidations:
                _mayInvalidate = operation.Kind == OperationKind.ResumeInvalidations;
                break;
            case OperationKind.RemoveCohort:
                (Vms, IsRemoved) = (0, true);
                break;
            case OperationKind.ResizeCohort:
                int before = _plans.Count;
                Grow(operation.Vms, operation.Tick);
                Vms = operation.Vms;
                return _plans[before..];
        }

        return [];
    }

    /// <summary>What a shard that has come to a tick has still before it, in order.</summary>
    public IEnumerable<ShardOperation> OperationsFrom(ShardPlan plan, long tick) =>
        _operations.Skip(plan.OperationsBefore).Where(operation => operation.Tick >= tick && operation.Kind != OperationKind.AddCohort);

    /// <summary>Builds a planned shard, or a part of it, at the start of its history, with all that is to be done to it.</summary>
    public Shard Create(ShardPlan plan, int firstVm, int vms, ShardOptions options)
    {
        Shard shard = Create(First, plan, firstVm, vms, options);
        Schedule(shard, plan);
        return shard;
    }

    /// <summary>Builds a planned shard at the start of its history, with nothing to be done to it.</summary>
    public static Shard Create(Cohort cohort, ShardPlan plan, int firstVm, int vms, ShardOptions options)
    {
        Shard shard = Shard.Create(cohort with { Kernel = plan.Kernel }, firstVm, vms, options);
        shard.Restart(cohort, plan.Born);
        shard.MayInvalidate = plan.MayInvalidate;
        return shard;
    }

    /// <summary>Has a planned shard do what is still before it.</summary>
    public void Schedule(Shard shard, ShardPlan plan)
    {
        foreach (ShardOperation operation in OperationsFrom(plan, shard.Tick))
            shard.Schedule(operation);
    }

    /// <summary>
    /// One VM again, from the start of its history, with all that was done to it: the last VM of that number that started by a tick. Null where there
    /// was none.
    /// </summary>
    public Shard? StartOf(int vm, long tick, ShardOptions options) =>
        _plans.FindLast(plan => vm >= plan.FirstVm && vm < plan.FirstVm + plan.Vms && plan.Born <= tick) is { } plan
            ? Create(plan, vm, 1, options) : null;

    private void Grow(int vms, long born)
    {
        for (int first = Vms; first < vms; first += FleetOptions.ShardVms)
            _plans.Add(new(first, Math.Min(FleetOptions.ShardVms, vms - first), born, _kernel, _mayInvalidate, _operations.Count));
        Vms = Math.Max(Vms, vms);
    }
}
