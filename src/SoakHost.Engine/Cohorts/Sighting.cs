namespace SoakHost.Engine.Cohorts;

/// <summary>When something was seen in a VM, and what could be seen then.</summary>
public readonly record struct Sighting
{
    private readonly ulong _low, _high, _snapshot;
    private readonly int _page;
    private readonly bool _hasCounter, _hasSnapshot;

    /// <summary>A sighting.</summary>
    /// <param name="time">When.</param>
    /// <param name="page">The guest page concerned; null where there is none or it is not known.</param>
    /// <param name="invalidateSeq"><c>mmu_invalidate_seq</c> at that time; null where nobody knows it.</param>
    /// <param name="snapshot">The snapshot as the kernel stored it; null where there is none or nobody can see it.</param>
    public Sighting(FindingTime time, int? page, CounterRange? invalidateSeq, ulong? snapshot)
    {
        (Time, _page) = (time, page ?? -1);
        (_hasCounter, _low, _high) = (invalidateSeq is not null, invalidateSeq?.Low ?? 0, invalidateSeq?.High ?? 0);
        (_hasSnapshot, _snapshot) = (snapshot is not null, snapshot ?? 0);
    }

    /// <summary>When.</summary>
    public FindingTime Time { get; }

    /// <summary>The guest page concerned; null where there is none or it is not known.</summary>
    public int? Page => _page < 0 ? null : _page;

    /// <summary><c>mmu_invalidate_seq</c> at that time; null where nobody knows it.</summary>
    public CounterRange? InvalidateSeq => _hasCounter ? new CounterRange(_low, _high) : null;

    /// <summary>The snapshot as the kernel stored it; null where there is none or nobody can see it.</summary>
    public ulong? Snapshot => _hasSnapshot ? _snapshot : null;

    /// <summary>In a simulated VM, where the counter is known exactly.</summary>
    internal static Sighting AtTick(long tick, ulong invalidateSeq, int? page = null, ulong? snapshot = null) =>
        new(FindingTime.AtTick(tick), page, CounterRange.Exactly(invalidateSeq), snapshot);
}
