using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Statistics;
using SoakHost.HostKernel.Watch;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.HostKernel;

/// <summary>One real VM: its memory, its vCPUs and its invalidators, and what it is doing.</summary>
internal sealed class HostVm : IHostVm
{
    /// <summary>
    /// The longest that vCPUs have for a first round before anything is invalidated. One that does not answer is judged with the
    /// others.
    /// </summary>
    private static readonly TimeSpan PrepareWithin = TimeSpan.FromSeconds(2);

    private readonly HostCohortOptions _options;
    private readonly TimeProvider _time;
    private readonly KvmDescriptor _descriptor;
    private readonly Vcpu[] _vcpus;
    private readonly WorkloadRunner? _workloads;
    private readonly string? _whyNoWorkloads;
    private readonly Probes _probes;
    private readonly SuspectWatch _suspects;
    private readonly CrossingLog _crossings;
    private readonly RateMeter _rate;
    private readonly CounterTracing _tracing;
    private readonly CounterLog _counter;
    private long _vcpusStarted;
    private long _endedBefore;
    private long? _lastLook;
    private bool _wasNearBoundary;
    private int _crossingsBefore;
    private TimeSpan _lookGap;
    private long? _startRead;
    private HostVmPhase _phase;

    internal HostVm(KvmDevice device, HostCohortOptions options, int index, CounterTracing tracing, TimeProvider time)
    {
        _whyNoWorkloads = options.WhyNoWorkloads(device.Limits);
        if (_whyNoWorkloads is not null)
            options = options with { Workloads = [] };
        (_options, _time, _tracing, Index) = (options, time, tracing, index);
        IEnumerable<Boundary> boundaries = options.Boundaries.Distinct().Order().Select(count => new Boundary((ulong)count));
        _counter = new CounterLog(boundaries, options.VcpusInAll, tracing.HasSnapshots);
        _descriptor = device.CreateVm();
        bool hasRings = options.HasRings && DirtyRing.TryEnable(_descriptor);
        _vcpus = new Vcpu[options.VcpusInAll];
        try
        {
            Memory = new GuestMemory(_descriptor, options.Shape);
            for (int vcpu = 0; vcpu < _vcpus.Length; vcpu++)
            {
                int turn = (index * _vcpus.Length) + vcpu;
                int? cpu = options.VcpuCpus.Count > 0 ? options.VcpuCpus[turn % options.VcpuCpus.Count] : null;
                VcpuRole role = vcpu < options.Vcpus ? RoleOf(vcpu, options.Vcpus) : VcpuRole.Workload;
                _vcpus[vcpu] = new Vcpu(device, _descriptor, Memory, vcpu, role, options, cpu);
            }

            Vcpu[] own = _vcpus[..options.Vcpus];

            _crossings = new CrossingLog(_vcpus, time);
            Invalidators = new Invalidators(options, Memory, time, _crossings.Note);
            if (options.Workloads.Count > 0)
            {
                Vcpu guest = _vcpus[^1];
                _workloads = new WorkloadRunner(
                    WorkloadRunner.Of(_descriptor, options, guest, hasRings), guest, () => guest.ReadFaults()?.Fixed,
                    () => _crossings.Count,
                    () => new CounterBounds(CounterStart + Invalidators.Ended, CounterStart + Begun), time);
            }

            _suspects = new SuspectWatch(options, Invalidators, _vcpus, time, _workloads);
            _probes = new Probes(options, Memory, own, time);
            _rate = new RateMeter(time);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public bool IsOver => _phase is HostVmPhase.Finished or HostVmPhase.Lost || Failure is not null;

    /// <inheritdoc/>
    public string? Failure => Invalidators.Failure;

    /// <inheritdoc/>
    public IEnumerable<string> Shortcomings
    {
        get
        {
            foreach (Vcpu vcpu in _vcpus)
            {
                if (vcpu.StatisticsMissing is { } missing)
                    yield return $"Verdicts rest on heartbeats and quiescing alone: {missing}.";
                if (vcpu.PinningError is { } error)
                    yield return error;
            }

            if (Invalidators.PinningError is { } reason)
                yield return reason;
        }
    }

    /// <summary>The most invalidations that have begun, those of the workloads among them.</summary>
    private long Begun => Invalidators.Begun + (_workloads?.InvalidationsMax ?? 0);

    /// <summary>Where the counter started.</summary>
    private long CounterStart => _startRead ?? _options.CounterStart ?? 0;

    internal int Index { get; }

    internal GuestMemory Memory { get; }

    internal Invalidators Invalidators { get; }

    internal static VcpuRole RoleOf(int vcpu, int vcpus) =>
        vcpus > 1 && (vcpu % 4 == 3 || vcpu == vcpus - 1) ? VcpuRole.Sibling : VcpuRole.Soaked;

    /// <summary>
    /// Starts the vCPUs. Invalidations begin once each has made a round: until then nothing waits for the process's mmap_lock
    /// behind an invalidator, and everything that a look touches is there.
    /// </summary>
    public void Start()
    {
        _vcpusStarted = _time.GetTimestamp();
        foreach (Vcpu vcpu in _vcpus)
            vcpu.Start();
    }

    /// <inheritdoc/>
    public void Step()
    {
        long now = _time.GetTimestamp();
        long ended = Invalidators.Ended;
        _rate.Note(now, ended);
        bool isNearBoundary = _options.IsNearBoundary(ended, CounterStart);
        NoteGap(now, isNearBoundary);
        _probes.GiveWork(now, isNearBoundary && _phase != HostVmPhase.Preparing);
        _workloads?.SetNearBoundary(isNearBoundary);
        _suspects.Observe();
        ReadCounter(ended);
        _crossings.FollowLast();
        if (_phase == HostVmPhase.Preparing && !TryBegin(now))
            return;
        _suspects.Settle();
        if (_suspects.HasHung)
            _probes.LetSiblingsTouchSoakedPages();
        _phase = NextPhase(now);
    }

    /// <inheritdoc/>
    public void StopInvalidating()
    {
        Invalidators.RequestStop();
        _workloads?.RequestStop();
    }

    /// <inheritdoc/>
    public void RequestStop()
    {
        StopInvalidating();
        foreach (Vcpu vcpu in _vcpus)
            vcpu.RequestStop();
    }

    /// <inheritdoc/>
    public bool TryJoin(Deadline deadline)
    {
        bool haveEnded = Invalidators.TryJoin(deadline) & (_workloads?.TryJoin(deadline) ?? true);
        foreach (Vcpu vcpu in _vcpus)
            haveEnded &= vcpu.TryJoin(deadline);
        return haveEnded;
    }

    /// <inheritdoc/>
    public HostVmSnapshot Snapshot(DateTimeOffset at)
    {
        long ended = Invalidators.Ended;
        double rate = _rate.PerSecond;
        long start = CounterStart;
        long next = _options.BoundariesFrom(start).FirstOrDefault(each => each > start + ended);
        bool isAtWork = _phase is HostVmPhase.Soaking or HostVmPhase.AtBoundary;
        return new HostVmSnapshot(
            Index,
            _phase,
            ended,
            Begun,
            rate,
            next > 0 ? next : null,
            next > 0 && isAtWork ? Expected(next - start - ended) : null,
            ended < _options.Until && isAtWork ? Expected(_options.Until - ended) : null,
            _crossings.Crossings,
            _suspects.Quiesces,
            [.. _vcpus.Select(_suspects.Describe)])
        {
            Counter = _counter.Seen,
            Start = start,
            IsStartRead = _startRead is not null,
            LookGap = _lookGap,
            Workloads = _workloads?.States ?? [],
            Stale = _workloads?.Stale,
            WhyNoWorkloads = _whyNoWorkloads,
        };

        DateTimeOffset? Expected(long invalidations)
        {
            // A rate close to nothing gives a date past the end of the calendar, that is, none.
            double seconds = invalidations / rate;
            return rate > 0 && seconds < 1e9 ? at.AddSeconds(seconds) : null;
        }
    }

    /// <summary>Returns everything to the kernel. Its threads must have ended.</summary>
    public void Dispose()
    {
        foreach (Vcpu? vcpu in _vcpus)
            vcpu?.Dispose();

        // The VM goes before its memory, so that no memslot ever points to what is unmapped.
        _descriptor.Dispose();
        _workloads?.Dispose();
        Memory?.Dispose();
        Invalidators?.Dispose();
    }

    /// <summary>Begins to invalidate once every vCPU has made a round, or had time enough for one.</summary>
    private bool TryBegin(long now)
    {
        bool isLate = _time.GetElapsedTime(_vcpusStarted, now) >= PrepareWithin;
        if (!isLate && !Array.TrueForAll(_vcpus, vcpu => vcpu.Rounds > 0 || vcpu.Role == VcpuRole.Workload))
            return false;

        // Nothing was invalidated so far: wherever the counter is, there it started. From past the last boundary that can be
        // asked for none is reached, and the run shows nothing.
        _startRead = _counter.Seen is { } seen ? (long)Math.Min(seen.Last, (ulong)HostCohortRanges.CounterStart.Max) : null;
        _suspects.Start = CounterStart;
        Invalidators.Start(CounterStart);
        _workloads?.Start();
        _phase = HostVmPhase.Soaking;
        return true;
    }

    /// <summary>Notes how long nobody looked, where a boundary was near before or after it, or was crossed meanwhile.</summary>
    private void NoteGap(long now, bool isNearBoundary)
    {
        int crossings = _crossings.Count;
        bool matters = isNearBoundary || _wasNearBoundary || crossings != _crossingsBefore;
        if (_lastLook is { } last && matters && _time.GetElapsedTime(last, now) is var gap && gap > _lookGap)
            _lookGap = gap;
        (_lastLook, _wasNearBoundary, _crossingsBefore) = (now, isNearBoundary, crossings);
    }

    private void ReadCounter(long ended)
    {
        foreach (Vcpu vcpu in _vcpus)
        {
            // The statistics first: what is fixed by now was fixed with the counter at most at what is read next.
            FaultCounters? faults = vcpu.ReadFaults();
            if (_tracing.Read(vcpu.ThreadNumber) is { } reading)
            {
                _counter.Add(
                    vcpu.Index, reading, SlowFixes(faults), CounterStart + _endedBefore, CounterStart + Begun);
            }
        }

        _endedBefore = ended;
    }

    /// <summary>A fix on the fast path looks at no counter.</summary>
    private static ulong? SlowFixes(FaultCounters? faults) =>
        faults is { } known ? known.Fixed - Math.Min(known.Fixed, known.Fast) : null;

    private HostVmPhase NextPhase(long now)
    {
        if (_suspects.HasHung)
            return _probes.AreLastRoundsDone(now, _suspects) ? HostVmPhase.Lost : HostVmPhase.Quiesced;
        if (_workloads is { Stale: not null })
            return HostVmPhase.Lost;
        if (Array.TrueForAll(_vcpus, vcpu => vcpu.Role != VcpuRole.Soaked || vcpu.Stop != VcpuStop.None))
            return HostVmPhase.Lost;
        if (Invalidators.ArePausing)
            return HostVmPhase.Quiesced;
        if (Invalidators.AreDone && _workloads?.AreFinished(now) == false)
            return HostVmPhase.Finishing;
        if (Invalidators.AreDone)
            return _probes.AreLastRoundsDone(now, _suspects) ? HostVmPhase.Finished : HostVmPhase.Finishing;
        return _options.IsNearBoundary(Invalidators.Ended, CounterStart) ? HostVmPhase.AtBoundary : HostVmPhase.Soaking;
    }
}
