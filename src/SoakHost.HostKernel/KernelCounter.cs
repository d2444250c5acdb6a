using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Tracing;

namespace SoakHost.HostKernel;

/// <summary>Faults fixed from a boundary on.</summary>
/// <param name="Boundary">The boundary.</param>
/// <param name="Fixes">How many, at least.</param>
/// <param name="First">The counter at the first of them that was seen; null where there is none.</param>
/// <param name="Last">The counter at the last.</param>
public sealed record BoundaryFixes(Boundary Boundary, ulong Fixes, ulong? First, ulong? Last);

/// <summary><c>mmu_invalidate_seq</c> as the kernel itself showed it, of one VM or of several.</summary>
/// <param name="HasSnapshots">
/// Whether each fault's own snapshot was read (<c>kvm_mmu_spte_requested</c>, Linux 6.3 and later), rather than the counter at
/// each fault (<c>kvm_page_fault</c>).
/// </param>
/// <param name="First">The first reading.</param>
/// <param name="Last">The highest.</param>
/// <param name="Fixes">Faults fixed.</param>
/// <param name="Past">Those from each boundary on.</param>
/// <param name="Ahead">Invalidations by which it ran ahead of those that were made: of other sources.</param>
/// <param name="IsBelow">Whether it ever was below the invalidations that had ended: then the count is wrong.</param>
public sealed record KernelCounter(
    bool HasSnapshots, ulong First, ulong Last, ulong Fixes, ImmutableArray<BoundaryFixes> Past, ulong Ahead, bool IsBelow)
{
    /// <summary>Where it was read, as reports name it.</summary>
    public string Source => HasSnapshots ? KernelLayout.MappingRequested : KernelLayout.FaultTaken;

    /// <summary>What the kernel showed of it, in sentences that go on from a name and a colon.</summary>
    public string Describe()
    {
        string what = HasSnapshots ? "with a snapshot of" : "with the counter at";
        IEnumerable<string> past = Past.Where(each => each.Fixes > 0).Select(each =>
            $"; {each.Fixes} faults were fixed {what} {each.Boundary} or above, the first at 0x{each.First:x}, the last at "
            + $"0x{each.Last:x}");
        string bounds = IsBelow ? "It did not lie within the counted bounds."
            : Ahead > 0
                ? $"It ran ahead of the count by up to {Ahead}: other sources, such as compaction, moved it too."
                : "It lay within the counted bounds all along.";
        return $"the kernel's counter, as read at {Source}, went from 0x{First:x} to 0x{Last:x}"
            + $"{string.Concat(past)}. {bounds}";
    }

    /// <summary>The counters of several VMs as one; null where none was read.</summary>
    /// <param name="counters">Of each VM; null where it was not read. All have the same boundaries.</param>
    public static KernelCounter? Sum(IEnumerable<KernelCounter?> counters) => counters.OfType<KernelCounter>()
        .Aggregate((KernelCounter?)null, (sum, each) => sum is null ? each : sum + each);

    /// <summary>Two VMs' as one.</summary>
    public static KernelCounter operator +(KernelCounter left, KernelCounter right)
    {
        ArgumentNullException.ThrowIfNull(left);
        ArgumentNullException.ThrowIfNull(right);
        return new KernelCounter(
            left.HasSnapshots,
            Math.Min(left.First, right.First),
            Math.Max(left.Last, right.Last),
            left.Fixes + right.Fixes,
            [
                .. left.Past.Zip(right.Past, (one, other) => new BoundaryFixes(
                    one.Boundary, one.Fixes + other.Fixes, Least(one.First, other.First), Most(one.Last, other.Last))),
            ],
            Math.Max(left.Ahead, right.Ahead),
            left.IsBelow || right.IsBelow);
    }

    /// <summary>The same as <c>+</c>.</summary>
    public static KernelCounter Add(KernelCounter left, KernelCounter right) => left + right;

    private static ulong? Least(ulong? one, ulong? other) => one is null || other is null ? one ?? other
        : Math.Min(one.Value, other.Value);

    private static ulong? Most(ulong? one, ulong? other) => one is null || other is null ? one ?? other
        : Math.Max(one.Value, other.Value);
}

/// <summary>What was read at one look at a vCPU's faults: totals, and numbers of the last one.</summary>
/// <param name="Faults">Faults taken, as the tracepoint counts them.</param>
/// <param name="InvalidateSeq">The counter at the last of them.</param>
/// <param name="Mappings">Mappings made for them.</param>
/// <param name="Snapshot">The snapshot of the last.</param>
/// <param name="MappingsFrom2To31">Mappings with a snapshot of 2^31 or above.</param>
internal readonly record struct CounterReading(
    ulong Faults, ulong InvalidateSeq, ulong Mappings, ulong Snapshot, ulong MappingsFrom2To31)
{
    public static CounterReading Of(FaultRecord record) => new(
        record.Faults, record.InvalidateSeq, record.Mappings, record.Snapshot, record.MappingsFrom2To31);
}

/// <summary>
/// Puts together what the kernel showed of one VM's counter, look by look. Pure: it knows neither kernel nor clock. Past 2^31 the
/// kernel's own program counts every fault. Past other boundaries those count that were fixed between two looks which both found
/// the counter there: what was fixed in between nobody knows, so that it is a lower bound.
/// </summary>
internal sealed class CounterLog(IEnumerable<Boundary> boundaries, int vcpus, bool hasSnapshots)
{
    private static readonly Boundary Exact = Boundary.AtPower(31);

    private readonly Side[] _past = [.. boundaries.Select(boundary => new Side(boundary, vcpus))];
    private readonly ulong[] _fixes = new ulong[vcpus];
    private readonly ulong[] _exact = new ulong[vcpus];
    private readonly ulong[] _faults = new ulong[vcpus];
    private ulong? _first;
    private ulong _last;
    private ulong _ahead;
    private readonly bool[] _wasBelow = new bool[vcpus];
    private bool _isBelow;

    /// <summary>What was seen so far; null where no fault was.</summary>
    public KernelCounter? Seen => _first is not { } first ? null : new KernelCounter(
        hasSnapshots,
        first,
        _last,
        Sum(_fixes),
        [.. _past.Select(side => hasSnapshots && side.Boundary == Exact ? side.With(Sum(_exact)) : side.Seen)],
        _ahead,
        _isBelow);

    /// <summary>Takes a look at a vCPU.</summary>
    /// <param name="vcpu">Its number.</param>
    /// <param name="reading">What the kernel shows.</param>
    /// <param name="faultsFixed">Faults fixed, by the vCPU's statistics; null where the kernel counts none.</param>
    /// <param name="endedBefore">Invalidations that had ended before the look before.</param>
    /// <param name="begun">Invalidations that have begun by now.</param>
    public void Add(int vcpu, CounterReading reading, ulong? faultsFixed, long endedBefore, long begun)
    {
        if (reading.Faults == 0 && reading.Mappings == 0)
            return;

        // Under some kinds of shadow paging (kvm_pvm) the tracepoint of faults is never reached, and only mappings are.
        // A mapping tells nothing new of the counter: it may be seen a look later than its fault.
        (ulong seq, ulong count) = reading.Faults > 0 ? (reading.InvalidateSeq, reading.Faults)
            : (reading.Snapshot, reading.Mappings);
        if (count != _faults[vcpu])
        {
            // Since the look before it has faulted: the counter was read after that look. A look that comes between the count
            // and the counter of one fault finds the counter of the fault before: once proves nothing.
            bool isBelow = reading.Faults > 0 && _faults[vcpu] > 0 && seq < (ulong)endedBefore;
            _isBelow |= isBelow && _wasBelow[vcpu];
            _wasBelow[vcpu] = isBelow;
            _ahead = Math.Max(_ahead, seq - Math.Min(seq, (ulong)begun));
            _first ??= seq;
            _last = Math.Max(_last, seq);
            _faults[vcpu] = count;
        }

        (_fixes[vcpu], _exact[vcpu]) = (hasSnapshots ? reading.Mappings : faultsFixed ?? 0, reading.MappingsFrom2To31);
        foreach (Side side in _past)
            side.Add(vcpu, hasSnapshots ? reading.Snapshot : seq, _fixes[vcpu]);
    }

    private static ulong Sum(ulong[] numbers) => numbers.Aggregate(0ul, (sum, each) => sum + each);

    /// <summary>From one boundary on.</summary>
    private sealed class Side(Boundary boundary, int vcpus)
    {
        private readonly ulong?[] _start = new ulong?[vcpus];
        private readonly ulong[] _fixes = new ulong[vcpus];
        private readonly bool[] _wasPast = new bool[vcpus];
        private ulong? _first;
        private ulong? _last;

        public Boundary Boundary => boundary;

        public BoundaryFixes Seen => With(Sum(_fixes));

        public BoundaryFixes With(ulong fixes) => new(boundary, fixes, _first, _last);

        public void Add(int vcpu, ulong at, ulong fixes)
        {
            if (boundary.Count == 0 || at < boundary.Count)
                return;
            _first ??= at;
            _last = Math.Max(_last ?? at, at);
            if (_wasPast[vcpu])
                _start[vcpu] ??= fixes;
            _wasPast[vcpu] = true;
            _fixes[vcpu] = fixes - Math.Min(fixes, _start[vcpu] ?? fixes);
        }
    }
}

/// <summary>Follows the faults of this process's VMs in the kernel, where it may.</summary>
internal sealed class CounterTracing : IDisposable
{
    private readonly FaultTracer? _tracer;

    private CounterTracing(FaultTracer? tracer, bool hasSnapshots, string? whyNot) =>
        (_tracer, HasSnapshots, WhyNot) = (tracer, hasSnapshots, whyNot);

    /// <summary>Whether each fault's snapshot is shown.</summary>
    public bool HasSnapshots { get; }

    /// <summary>Why nothing is read; null where something is.</summary>
    public string? WhyNot { get; }

    /// <summary>Begins, or says why it cannot.</summary>
    public static CounterTracing Begin()
    {
        try
        {
            var layout = KernelLayout.OfThisKernel();
            return new CounterTracing(FaultTracer.Begin(layout), layout.SnapshotOfFault is not null, null);
        }
        catch (TracingException reason)
        {
            return new CounterTracing(null, false, reason.Message);
        }
    }

    /// <summary>What the kernel shows of a thread's faults; null where it shows none.</summary>
    public CounterReading? Read(int thread) =>
        thread > 0 && _tracer?.Read(thread) is { } record ? CounterReading.Of(record) : null;

    /// <inheritdoc/>
    public void Dispose() => _tracer?.Dispose();
}
