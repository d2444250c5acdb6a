using System.Collections.Immutable;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Fleets;

/// <summary>A cohort as the watchdog sees it, simulated or real.</summary>
public interface ICohortSource
{
    /// <summary>What was configured, with the number of VMs that it has now.</summary>
    Cohort Cohort { get; }

    /// <summary>Whether anything was done to it since it came into the fleet, on which its VMs' histories depend then.</summary>
    bool HasInterventions => false;

    /// <summary>What had been seen of it before this process, if it was resumed.</summary>
    CohortBaseline Baseline => default;

    /// <summary>Asks for fresh figures.</summary>
    void Request();

    /// <summary>The latest figures, with the findings since the last call; null before the first are there. One reader.</summary>
    CohortSnapshot? Take();
}

/// <summary>A cohort that is no part of the workers' rounds: it has threads of its own, which the fleet starts and stops.</summary>
public interface IExternalCohort : ICohortSource, IDisposable
{
    /// <summary>Starts it. What goes wrong is told by the next snapshot, and does not take the other cohorts along.</summary>
    void Start();

    /// <summary>Asks it to stop, and returns at once.</summary>
    void RequestStop();

    /// <summary>Waits for its threads, after <see cref="RequestStop"/>.</summary>
    /// <returns>Whether it stopped in time.</returns>
    bool Join(TimeSpan timeout);
}

/// <summary>What had been seen of a cohort before this process.</summary>
/// <param name="Totals">Sums over its VMs.</param>
/// <param name="Incidents">Incidents among the findings that were given out; later snapshots have the others.</param>
public readonly record struct CohortBaseline(Totals Totals, IncidentCounts Incidents);

/// <summary>A cohort's figures at one time. Immutable.</summary>
public sealed record CohortSnapshot
{
    /// <summary>The kernel that the VMs run now.</summary>
    public required Kernel Kernel { get; init; }

    /// <summary>VMs that these are the figures of, with those that were taken out of service.</summary>
    public required int Vms { get; init; }

    /// <summary>Ticks of the shard that is furthest behind.</summary>
    public required long Tick { get; init; }

    /// <summary>Sums over the cohort's VMs, those that are gone too.</summary>
    public required Totals Totals { get; init; }

    /// <summary>The lowest <c>mmu_invalidate_seq</c> of any VM.</summary>
    public required ulong InvalidateSeqMin { get; init; }

    /// <summary>The median of all VMs.</summary>
    public required ulong InvalidateSeqMedian { get; init; }

    /// <summary>The highest of any VM.</summary>
    public required ulong InvalidateSeqMax { get; init; }

    /// <summary>
    /// The condition of each vCPU: the first VM's, then the second's, and so on, in runs of consecutive VMs. A vCPU of a real VM that
    /// stopped for another reason is in none of these conditions, and left out: <see cref="Failures"/> has its name.
    /// </summary>
    public required ImmutableArray<ImmutableArray<VcpuCondition>> Conditions { get; init; }

    /// <summary>Some of the stalled vCPUs, lowest VM first: all of them up to <see cref="ShardSnapshot.StalledMax"/>.</summary>
    public required ImmutableArray<StalledVcpu> Stalled { get; init; }

    /// <summary>What was found since the snapshot before.</summary>
    public required ImmutableArray<Finding> Findings { get; init; }

    /// <summary>Whether no invalidation begins in any VM until an intervention lets them. Real VMs are never paused.</summary>
    public bool InvalidationsPaused { get; init; }

    /// <summary>Why VMs were taken out of service; empty when all is well.</summary>
    public ImmutableArray<string> Failures { get; init; } = [];

    /// <summary>Whether all of them were.</summary>
    public bool IsOutOfService { get; init; }

    /// <summary>What only real VMs have; null for simulated ones.</summary>
    public HostFigures? Host { get; init; }
}

/// <summary>A simulated cohort: the sum of its shards, those that are over too.</summary>
internal sealed class SimulatedCohort : ICohortSource
{
    private readonly List<Finding> _findings = [];
    private ShardSnapshot?[] _latest = [];
    private ulong[] _seqs = [];
    private volatile ShardSlot[] _slots;
    private volatile CohortHistory _history;
    private volatile Cohort _cohort;

    /// <summary>A cohort at the start of its history, or as it is resumed.</summary>
    /// <param name="history">Its past.</param>
    /// <param name="build">Builds a shard's place.</param>
    public SimulatedCohort(CohortHistory history, Func<CohortHistory, ShardPlan, ShardSlot> build)
    {
        _history = history;
        _slots = [.. history.Plans.Select(plan => build(history, plan))];
        _cohort = history.First with { Vms = history.Vms };
        Baseline = new(
            _slots.Aggregate(default(Totals), (sum, slot) => sum + slot.Baseline.Totals),
            _slots.Aggregate(default(IncidentCounts), (sum, slot) => sum + slot.Baseline.Incidents));
    }

    public Cohort Cohort => _cohort;

    public bool HasInterventions => _history.HasInterventions;

    public CohortBaseline Baseline { get; }

    /// <summary>Its interventions so far.</summary>
    public CohortHistory History => _history;

    public IReadOnlyList<ShardSlot> Slots => _slots;

    /// <summary>Takes over an intervention.</summary>
    /// <param name="history">The history with it.</param>
    /// <param name="added">The slots of shards that start with it, each with a first snapshot: the cohort is never without figures.</param>
    public void Follow(CohortHistory history, IEnumerable<ShardSlot> added)
    {
        _slots = [.. _slots, .. added];
        _history = history;
        _cohort = history.First with { Vms = history.Vms };
    }

    public void Request()
    {
        foreach (ShardSlot slot in _slots)
            slot.Request();
    }

    public CohortSnapshot? Take()
    {
        ShardSlot[] slots = _slots;
        Array.Resize(ref _latest, slots.Length);
        for (int s = 0; s < slots.Length; s++)
        {
            if (slots[s].Take() is not { } fresh)
                continue;
            _latest[s] = fresh;
            _findings.AddRange(fresh.Findings);
        }

        // A shard that failed before its first snapshot never has one; the others are shown without it. What was found is kept until
        // there is a snapshot to go with it.
        ShardSnapshot[] shards = [.. _latest.OfType<ShardSnapshot>()];
        if (shards.Length + slots.Count(slot => slot.Failure is not null) < slots.Length || shards.Length == 0)
            return null;
        Totals totals = shards.Aggregate(default(Totals), (sum, shard) => sum + shard.Totals);

        // Shards that are over count by what they did; one stands for all where no other is left.
        shards = shards.Where(shard => !shard.InvalidateSeqs.IsEmpty).DefaultIfEmpty(shards[^1]).ToArray();
        _findings.Sort(InOrder);
        ImmutableArray<Finding> findings = [.. _findings];
        _findings.Clear();
        _findings.TrimExcess();
        (ulong min, ulong median, ulong max) = Spread(shards);
        return new CohortSnapshot
        {
            Kernel = shards[0].Kernel,
            Vms = slots.Select((slot, s) => _latest[s]?.InvalidateSeqs.Length ?? slot.Plan.Vms).Sum(),
            Tick = shards.Min(shard => shard.Tick),
            Totals = totals,
            InvalidateSeqMin = min,
            InvalidateSeqMedian = median,
            InvalidateSeqMax = max,
            Conditions = [.. shards.Select(shard => shard.Conditions)],
            Stalled = [.. shards.SelectMany(shard => shard.Stalled).Take(ShardSnapshot.StalledMax)],
            Findings = findings,
            InvalidationsPaused = Array.TrueForAll(shards, shard => shard.InvalidationsPaused),
            Failures = [.. slots.Where(slot => slot.Failure is not null).Select(Describe)],
            IsOutOfService = slots.All(slot => slot.Failure is not null),
        };
    }

    // A fleet can hang all at once: comparing fields one by one takes a fifth of the time that comparing tuples does.
    private static int InOrder(Finding a, Finding b) =>
        a.Tick != b.Tick ? a.Tick.CompareTo(b.Tick) : a.Vm != b.Vm ? a.Vm.CompareTo(b.Vm) : a.Vcpu.CompareTo(b.Vcpu);

    private static string Describe(ShardSlot slot) =>
        $"{slot.Numbers} were taken out of service: {slot.Failure!.Message}";

    private (ulong Min, ulong Median, ulong Max) Spread(ShardSnapshot[] shards)
    {
        int count = shards.Sum(shard => shard.InvalidateSeqs.Length);
        if (_seqs.Length < count)
            _seqs = new ulong[count];
        int at = 0;
        foreach (ShardSnapshot shard in shards)
        {
            shard.InvalidateSeqs.CopyTo(_seqs, at);
            at += shard.InvalidateSeqs.Length;
        }

        Span<ulong> seqs = _seqs.AsSpan(0, count);
        (ulong min, ulong max) = (ulong.MaxValue, ulong.MinValue);
        foreach (ulong seq in seqs)
            (min, max) = (Math.Min(min, seq), Math.Max(max, seq));
        return count == 0 ? default : (min, Selection.Nth(seqs, count / 2), max);
    }
}
