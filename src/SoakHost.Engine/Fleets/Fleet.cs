using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

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
    /// <param name="external">Makes the source of a cohort whose kernel is not simulated; the fleet disposes it.</param>
    public Fleet(FleetOptions options, TimeProvider time, Func<Cohort, IExternalCohort>? external = null)
    {
        Options = options;
        _cohorts = [.. options.Cohorts.Select(Source)];
        _simulated = [.. _cohorts.OfType<SimulatedCohort>()];
        _external = [.. _cohorts.OfType<IExternalCohort>()];
        _workers = [.. Share(_simulated, options.Workers).Select((slots, w) => new Worker(w, slots, options, time, _stop.Token))];

        ICohortSource Source(Cohort cohort) =>
            cohort.Kernel.Info.IsSimulated ? new SimulatedCohort(cohort, Cut(cohort, options.Shards))
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

    /// <summary>Lets invalidations and memslot updates of a cohort begin, or not, from each shard's next slice on.</summary>
    public void SetMayInvalidate(string cohort, bool mayInvalidate) =>
        Enqueue(cohort, shard => shard.MayInvalidate = mayInvalidate);

    /// <summary>Patches a cohort's kernel from each shard's next slice on.</summary>
    public void PatchKernel(string cohort, Kernel kernel) => Enqueue(cohort, shard => shard.PatchKernel(kernel));

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

    private void Enqueue(string cohort, Action<Shard> operation)
    {
        SimulatedCohort found = Array.Find(_simulated, candidate => candidate.Cohort.Name == cohort)
            ?? throw new ArgumentException($"there is no simulated cohort \"{cohort}\"", nameof(cohort));
        foreach (ShardSlot slot in found.Slots)
            slot.Enqueue(operation);
    }

    private static int CountStuck(Shard shard)
    {
        int stuck = 0;
        for (int vm = shard.FirstVm; vm < shard.FirstVm + shard.Vms; vm++)
            stuck += shard.Read(vm).Vcpus.Count(vcpu => vcpu.ConsecutiveRetries > 0);
        return stuck;
    }

    private static ShardSlot[] Cut(Cohort cohort, ShardOptions options)
    {
        var slots = new ShardSlot[(cohort.Vms + FleetOptions.ShardVms - 1) / FleetOptions.ShardVms];
        for (int s = 0; s < slots.Length; s++)
        {
            int firstVm = s * FleetOptions.ShardVms;
            slots[s] = new(Shard.Create(cohort, firstVm, Math.Min(FleetOptions.ShardVms, cohort.Vms - firstVm), options));
        }

        return slots;
    }

    /// <summary>Gives each shard to the worker with the least work so far, the heaviest first.</summary>
    private static IEnumerable<IReadOnlyList<ShardSlot>> Share(SimulatedCohort[] cohorts, int workers)
    {
        var shares = new PriorityQueue<List<ShardSlot>, (long Work, int Worker)>();
        for (int w = 0; w < workers; w++)
            shares.Enqueue([], (0, w));
        var slots = cohorts
            .SelectMany(cohort => cohort.Slots.Select(slot => (Slot: slot, Work: Work(cohort.Cohort, slot))))
            .OrderByDescending(entry => entry.Work);
        foreach ((ShardSlot slot, long work) in slots)
        {
            shares.TryDequeue(out List<ShardSlot>? share, out (long Work, int Worker) at);
            share!.Add(slot);
            shares.Enqueue(share, (at.Work + work, at.Worker));
        }

        return shares.UnorderedItems.Where(item => item.Element.Count > 0).OrderBy(item => item.Priority.Worker)
            .Select(item => item.Element);
    }

    private static long Work(Cohort cohort, ShardSlot slot) => (long)slot.Vms * (cohort.Vm.Vcpus + cohort.Vm.Invalidators);
}
