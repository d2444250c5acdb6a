using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Statistics;
using SoakHost.HostKernel.Tracing;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel.Lab;

/// <summary>
/// The VM inside a kernel in the lab: its vCPUs touch pages without a rest while these are invalidated. It goes on after a hang:
/// invalidations stop, and go on once the vCPUs do.
/// </summary>
internal sealed class LabVm : IDisposable
{
    private readonly TimeProvider _time;
    private readonly KvmDescriptor _descriptor;
    private readonly KvmDescriptor? _statistics;
    private readonly GuestMemory _memory;
    private readonly Vcpu[] _vcpus;
    private readonly Invalidators _invalidators;
    private readonly FaultTracer _tracer;
    private readonly RateMeter _rate;
    private SuspectWatch _suspects;

    /// <summary>Creates the VM.</summary>
    /// <param name="device">The kernel's KVM.</param>
    /// <param name="tracer">Follows its vCPUs' faults.</param>
    /// <param name="time">The clock.</param>
    public LabVm(KvmDevice device, FaultTracer tracer, TimeProvider time)
    {
        (_tracer, _time) = (tracer, time);
        _rate = new RateMeter(time);
        _descriptor = device.CreateVm();

        // Nothing here reads it. A VMM keeps it open for whoever watches, and so does this.
        _statistics = _descriptor.TryRequest(KvmAbi.GetStatsDescriptor) is >= 0 and var statistics
            ? new KvmDescriptor(statistics) : null;
        _memory = new GuestMemory(_descriptor, Options.Shape);
        _vcpus = [.. Enumerable.Range(0, Options.Vcpus)
            .Select(index => new Vcpu(device, _descriptor, _memory, index, VcpuRole.Soaked, Options, cpu: null))];
        _invalidators = new Invalidators(Options, _memory, time, (_, _) => { });
        _suspects = new SuspectWatch(Options, _invalidators, _vcpus, time);
    }

    /// <summary>
    /// What is run. Calls are short and half of the time is the vCPUs', for an emulated machine is slow: in a storm its vCPUs
    /// would starve.
    /// </summary>
    public static HostCohortOptions Options { get; } = new()
    {
        Vcpus = 2,
        VmasPerCall = 64,
        DutyCycle = 0.5,
        Boundaries = [],
        Workloads = [],
        Until = HostCohortRanges.Count.Max,
        Watch = new VcpuWatchOptions { SuspectAfter = TimeSpan.FromSeconds(1), QuiesceFor = TimeSpan.FromSeconds(1) },
    };

    /// <summary>The kernel's <c>struct kvm</c>; null until a vCPU has faulted.</summary>
    public ulong? Kvm => _vcpus.Select(Trace).OfType<FaultRecord>().Select(record => (ulong?)record.Kvm)
        .FirstOrDefault(address => address != 0);

    /// <summary>Why it cannot go on; null where it can.</summary>
    public string? Failure => _invalidators.Failure
        ?? _vcpus.Select(vcpu => vcpu.StopReason).FirstOrDefault(reason => reason is not null);

    /// <summary>Starts the threads.</summary>
    public void Start()
    {
        foreach (Vcpu vcpu in _vcpus)
            vcpu.Start();
        _invalidators.Start(start: 0);
    }

    /// <summary>Forgets what the vCPUs did so far: they are judged anew.</summary>
    public void BeginStage() => _suspects = new SuspectWatch(Options, _invalidators, _vcpus, _time);

    /// <summary>A look at every vCPU, and what follows from it.</summary>
    public void Step()
    {
        _rate.Note(_time.GetTimestamp(), _invalidators.Ended);
        foreach (Vcpu vcpu in _vcpus)
            vcpu.Ring(_memory.Base, Options.Vmas, _memory.VmaBytes, continuous: true);
        _suspects.Observe();
        _suspects.Settle();
    }

    /// <summary>What it does now.</summary>
    public LabStatus Describe(string stage) => new(
        stage,
        _invalidators.Ended,
        _invalidators.Begun,
        (long)_rate.PerSecond,
        _invalidators.AreStopped,
        [.. _vcpus.Select(Describe)]);

    /// <summary>Stops the threads; the kernel gets everything back.</summary>
    public void Dispose()
    {
        var deadline = new Deadline(_time, HostSoak.StopWithin);
        _invalidators.RequestStop();
        foreach (Vcpu vcpu in _vcpus)
            vcpu.RequestStop();
        bool haveEnded = _invalidators.TryJoin(deadline);
        foreach (Vcpu vcpu in _vcpus)
            haveEnded &= vcpu.TryJoin(deadline);
        if (!haveEnded)
            return;
        foreach (Vcpu vcpu in _vcpus)
            vcpu.Dispose();
        _statistics?.Dispose();
        _descriptor.Dispose();
        _memory.Dispose();
        _invalidators.Dispose();
    }

    private FaultRecord? Trace(Vcpu vcpu) => vcpu.ThreadNumber is > 0 and var thread ? _tracer.Read(thread) : null;

    private LabVcpuStatus Describe(Vcpu vcpu)
    {
        HostVcpuSnapshot seen = _suspects.Describe(vcpu);

        // In this order: every fault counted here was fixed with the counter at most at what is read after it.
        FaultCounters? faults = vcpu.ReadFaults();
        FaultRecord record = Trace(vcpu) ?? default;
        HangEvidence? evidence = seen.State == VcpuState.Hung ? seen.Evidence : null;
        ulong? inQuiet = evidence is { FaultsAtQuiesce: { } before, FaultsAfter: { } after } ? after.Taken - before.Taken : null;
        return new LabVcpuStatus
        {
            State = seen.State,
            Heartbeat = vcpu.Heartbeat,
            Taken = faults?.Taken,

            // A fix on the fast path looks at no counter, and shows nothing.
            Fixed = faults is { } known ? known.Fixed - Math.Min(known.Fixed, known.Fast) : null,
            Recoveries = seen.Recoveries,
            InvalidateSeq = record.InvalidateSeq,
            Mappings = record.Mappings,
            Snapshot = record.Snapshot,
            TakenInQuiet = inQuiet,
            QuietSeconds = evidence is { } hang ? (hang.ConfirmedAt - hang.QuiescedAt).TotalSeconds : null,
        };
    }
}
