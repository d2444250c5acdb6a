using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Statistics;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel;

/// <summary>One real VM: its memory, its vCPUs and its invalidators, and what it is doing.</summary>
internal sealed class HostVm : IHostVm
{
    private readonly HostCohortOptions _options;
    private readonly TimeProvider _time;
    private readonly KvmDescriptor _descriptor;
    private readonly Vcpu[] _vcpus;
    private readonly Probes _probes;
    private readonly SuspectWatch _suspects;
    private readonly CrossingLog _crossings;
    private readonly RateMeter _rate;
    private readonly CounterTracing _tracing;
    private readonly CounterLog _counter;
    private long _endedBefore;
    private HostVmPhase _phase;

    internal HostVm(KvmDevice device, HostCohortOptions options, int index, CounterTracing tracing, TimeProvider time)
    {
        (_options, _time, _tracing, Index) = (options, time, tracing, index);
        IEnumerable<Boundary> boundaries = options.Boundaries.Distinct().Order().Select(count => new Boundary((ulong)count));
        _counter = new CounterLog(boundaries, options.Vcpus, tracing.HasSnapshots);
        _descriptor = device.CreateVm();
        _vcpus = new Vcpu[options.Vcpus];
        try
        {
            Memory = new GuestMemory(_descriptor, options.Shape);
            for (int vcpu = 0; vcpu < _vcpus.Length; vcpu++)
            {
                int turn = (index * _vcpus.Length) + vcpu;
                int? cpu = options.VcpuCpus.Count > 0 ? options.VcpuCpus[turn % options.VcpuCpus.Count] : null;
                _vcpus[vcpu] = new Vcpu(device, _descriptor, Memory, vcpu, RoleOf(vcpu, _vcpus.Length), options, cpu);
            }

            _crossings = new CrossingLog(_vcpus, time);
            Invalidators = new Invalidators(options, Memory, time, _crossings.Note);
            _suspects = new SuspectWatch(options, Invalidators, _vcpus, time);
            _probes = new Probes(options, Memory, _vcpus, time);
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

    internal int Index { get; }

    internal GuestMemory Memory { get; }

    internal Invalidators Invalidators { get; }

    internal static VcpuRole RoleOf(int vcpu, int vcpus) =>
        vcpus > 1 && (vcpu % 4 == 3 || vcpu == vcpus - 1) ? VcpuRole.Sibling : VcpuRole.Soaked;

    /// <inheritdoc/>
    public void Start()
    {
        foreach (Vcpu vcpu in _vcpus)
            vcpu.Start();
        Invalidators.Start();
    }

    /// <inheritdoc/>
    public void Step()
    {
        long now = _time.GetTimestamp();
        long ended = Invalidators.Ended;
        _rate.Note(now, ended);
        _probes.GiveWork(now, _options.IsNearBoundary(ended));
        _suspects.Observe();
        ReadCounter(ended);
        _crossings.FollowLast();
        _suspects.Settle();
        if (_suspects.HasHung)
            _probes.LetSiblingsTouchSoakedPages();
        _phase = NextPhase(now);
    }

    /// <inheritdoc/>
    public void RequestStop()
    {
        Invalidators.RequestStop();
        foreach (Vcpu vcpu in _vcpus)
            vcpu.RequestStop();
    }

    /// <inheritdoc/>
    public bool TryJoin(Deadline deadline)
    {
        bool haveEnded = Invalidators.TryJoin(deadline);
        foreach (Vcpu vcpu in _vcpus)
            haveEnded &= vcpu.TryJoin(deadline);
        return haveEnded;
    }

    /// <inheritdoc/>
    public HostVmSnapshot Snapshot(DateTimeOffset at)
    {
        long ended = Invalidators.Ended;
        double rate = _rate.PerSecond;
        long next = _options.Boundaries.Where(each => each > ended && each <= _options.Until).DefaultIfEmpty(0).Min();
        return new HostVmSnapshot(
            Index,
            _phase,
            ended,
            Invalidators.Begun,
            rate,
            next > 0 ? next : null,
            next > 0 ? Expected(next - ended) : null,
            ended < _options.Until ? Expected(_options.Until - ended) : null,
            _crossings.Crossings,
            _suspects.Quiesces,
            [.. _vcpus.Select(_suspects.Describe)])
        {
            Counter = _counter.Seen,
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
        Memory?.Dispose();
        Invalidators?.Dispose();
    }

    private void ReadCounter(long ended)
    {
        foreach (Vcpu vcpu in _vcpus)
        {
            // The statistics first: what is fixed by now was fixed with the counter at most at what is read next.
            FaultCounters? faults = vcpu.ReadFaults();
            if (_tracing.Read(vcpu.ThreadNumber) is { } reading)
                _counter.Add(vcpu.Index, reading, SlowFixes(faults), _endedBefore, Invalidators.Begun);
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
        if (Array.TrueForAll(_vcpus, vcpu => vcpu.Role == VcpuRole.Sibling || vcpu.Stop != VcpuStop.None))
            return HostVmPhase.Lost;
        if (Invalidators.ArePausing)
            return HostVmPhase.Quiesced;
        if (Invalidators.AreDone)
            return _probes.AreLastRoundsDone(now, _suspects) ? HostVmPhase.Finished : HostVmPhase.Finishing;
        return _options.IsNearBoundary(Invalidators.Ended) ? HostVmPhase.AtBoundary : HostVmPhase.Soaking;
    }
}
