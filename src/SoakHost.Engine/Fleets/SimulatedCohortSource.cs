using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Fleets;

/// <summary>A simulated cohort while it runs: the sum of its shards, including those that are over.</summary>
internal sealed class SimulatedCohortSource : ICohortSource
{
    private readonly List<Finding> _findings = [];
    private ShardSnapshot?[] _latest = [];
    private ulong[] _seqs = [];
    private volatile ShardSlot[] _slots;
    private volatile CohortHistory _history;
    private volatile SimulatedCohort _cohort;

    /// <summary>A cohort at the start of its history, or as it is resumed.</summary>
    /// <param name="history">What was done to it.</param>
    /// <param name="build">Builds a shard's slot.</param>
    public SimulatedCohortSource(CohortHistory history, Func<CohortHistory, ShardPlan, ShardSlot> build)
    {
        _history = history;
        _slots = [.. history.Plans.Select(plan => build(history, plan))];
        _cohort = history.First with { Vms = history.Vms };
        Baseline = new(
            _slots.Sum(slot => slot.Baseline.Operations),
            _slots.Aggregate(default(IncidentCounts), (sum, slot) => sum + slot.Baseline.Incidents));
    }

    /// <inheritdoc/>
    public Cohort Cohort => _cohort;

    /// <inheritdoc/>
    public CohortBaseline Baseline { get; }

    /// <summary>Its interventions so far.</summary>
    public CohortHistory History => _history;

    /// <summary>Its shards, including those that are over.</summary>
    public IReadOnlyList<ShardSlot> Slots => _slots;

    /// <summary>Takes over an intervention.</summary>
    /// <param name="history">The history with it.</param>
    /// <param name="added">
    /// The slots of shards that start with it, each with a first snapshot: the cohort is never without figures.
    /// </param>
    public void Follow(CohortHistory history, IEnumerable<ShardSlot> added)
    {
        _slots = [.. _slots, .. added];
        _history = history;
        _cohort = history.First with { Vms = history.Vms };
    }

    /// <inheritdoc/>
    public void Request()
    {
        foreach (ShardSlot slot in _slots)
            slot.Request();
    }

    /// <inheritdoc/>
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

        // A shard that failed before its first snapshot never has one; the others are shown without it. Findings are kept until
        // there is a snapshot to go with them.
        ShardSnapshot[] shards = [.. _latest.OfType<ShardSnapshot>()];
        if (shards.Length + slots.Count(slot => slot.Failure is not null) < slots.Length || shards.Length == 0)
            return null;
        Totals totals = shards.Aggregate(default(Totals), (sum, shard) => sum + shard.Totals);


        // Shards that are over count in the sums alone. If all are over, the last one stands for the cohort. While a live patch
        // reaches the shards one by one, some still run the kernel before it.
        ShardSnapshot[] all = shards;
        shards = shards.Where(shard => !shard.InvalidateSeqs.IsEmpty).DefaultIfEmpty(shards[^1]).ToArray();
        Kernel kernel = shards[0].Kernel;
        CrossingCoverage coverage = CrossingCoverage.Union(
            all.Where(shard => shard.Kernel.Info.Name == kernel.Info.Name).Select(shard => shard.Coverage));
        _findings.Sort(InOrder);
        ImmutableArray<Finding> findings = [.. _findings];
        _findings.Clear();
        _findings.TrimExcess();
        var snapshot = new SimulatedSnapshot
        {
            Kernel = kernel,
            Vms = slots.Select((slot, s) => _latest[s]?.InvalidateSeqs.Length ?? slot.Plan.Vms).Sum(),
            Tick = shards.Min(shard => shard.Tick),
            Totals = totals.ForCohort(),
            InvalidateSeq = Spread(shards),
            InvalidateSeqs = [.. shards.Select(shard => shard.InvalidateSeqs)],
            VmsCrossed = [.. VmsCrossed(shards)],
            Conditions = [.. shards.Select(shard => shard.Conditions)],
            Stalled = [.. shards.SelectMany(shard => shard.Stalled).Take(CohortSnapshot.StalledMax)],
            Findings = findings,
            HasInterventions = _history.HasInterventions,
            VmsInFleet = _history.Vms,
            InvalidationsPaused = Array.TrueForAll(shards, shard => shard.InvalidationsPaused),
            Failures = [.. slots.Where(slot => slot.Failure is not null).Select(Describe)],
            IsOutOfService = slots.All(slot => slot.Failure is not null),
            HangExpectedFrom = _cohort.Expected == Defect.Hang ? VmLives.HangExpectedFrom(kernel.Info) : null,
            LastHangTick = shards.Max(shard => shard.LastHangTick),
            LastRecoveryTick = shards.Max(shard => shard.LastRecoveryTick),
            Coverage = coverage,
        };
        bool hangsNow = Array.Exists(shards, shard => shard.Conditions.Any(condition => condition.IsForEver()));
        return snapshot with { Missing = [.. SimulatedEvidence.FindMissing(_cohort.Expected, snapshot, hangsNow)] };
    }

    // A whole fleet can hang at once: comparing field by field takes a fifth of the time that comparing tuples does.
    private static int InOrder(Finding a, Finding b)
    {
        int byTime = FindingTime.Compare(a.Time, b.Time);
        return byTime != 0 ? byTime : a.Vm != b.Vm ? a.Vm.CompareTo(b.Vm) : (a.Vcpu ?? -1).CompareTo(b.Vcpu ?? -1);
    }

    private static string Describe(ShardSlot slot) =>
        $"{slot.Numbers} were taken out of service: {slot.Failure!.Message}";

    private static IEnumerable<BoundaryCrossings> VmsCrossed(ShardSnapshot[] shards) =>
        SimulatedCohort.Boundaries.Select((boundary, b) => new BoundaryCrossings(
            boundary, shards.Sum(shard => shard.VmsCrossed.IsEmpty ? 0 : shard.VmsCrossed[b])));

    private CounterSpread? Spread(ShardSnapshot[] shards)
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
        return count == 0 ? null : new CounterSpread(
            CounterRange.Exactly(min), CounterRange.Exactly(Selection.Nth(seqs, count / 2)), CounterRange.Exactly(max));
    }
}
