using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel;

/// <summary>
/// Watches a VM's vCPUs, and stops the VM's invalidations while a suspicion is settled, or for good once a vCPU hung.
/// </summary>
internal sealed class SuspectWatch
{
    private readonly Invalidators _invalidators;
    private readonly IReadOnlyList<Vcpu> _vcpus;
    private readonly VcpuWatch[] _watches;
    private readonly VcpuObservation[] _seen;
    private readonly WorkloadRunner? _workloads;

    internal SuspectWatch(
        HostCohortOptions options, Invalidators invalidators, IReadOnlyList<Vcpu> vcpus, TimeProvider time,
        WorkloadRunner? workloads = null)
    {
        (_invalidators, _vcpus, _workloads) = (invalidators, vcpus, workloads);
        _watches = [.. vcpus.Select(_ => new VcpuWatch(options.Watch, time))];
        _seen = new VcpuObservation[vcpus.Count];
    }

    /// <summary>Where the counter started.</summary>
    internal long Start { get; set; }

    /// <summary>Times that invalidations were stopped.</summary>
    internal int Quiesces { get; private set; }

    /// <summary>Whether invalidations must be stopped, or stay stopped, for a vCPU to be judged.</summary>
    internal bool WantQuiesce => Array.Exists(_watches, watch => watch.WantsQuiesce);

    /// <summary>Whether a vCPU is hung.</summary>
    internal bool HasHung => Array.Exists(_watches, watch => watch.State == VcpuState.Hung);

    /// <summary>Whether one vCPU is hung.</summary>
    internal bool IsHung(int vcpu) => _watches[vcpu].State == VcpuState.Hung;

    /// <summary>Looks at every vCPU.</summary>
    internal void Observe()
    {
        bool areStopped = _invalidators.AreStopped && _workloads is not { AreStopped: false };

        // Ended is read before begun, so that the counter lies between the two.
        long ended = _invalidators.Ended;
        long begun = _invalidators.Begun + (_workloads?.InvalidationsMax ?? 0);
        for (int index = 0; index < _watches.Length; index++)
        {
            if (_watches[index].WantsQuiesce)
                _vcpus[index].RequestSample();
            else
                _vcpus[index].ForgetSample();
            _seen[index] = _vcpus[index].Observe(areStopped, Start + ended, Start + begun);
            _watches[index].Observe(_seen[index]);
        }
    }

    /// <summary>Stops the VM's invalidations, or lets them go on.</summary>
    internal void Settle()
    {
        bool mustStop = WantQuiesce || HasHung;
        if (mustStop && !_invalidators.ArePausing)
        {
            _invalidators.Pause();
            _workloads?.Pause();
            Quiesces++;
        }
        else if (!mustStop && _invalidators.ArePausing)
        {
            _invalidators.Resume();
            _workloads?.Resume();
        }
    }

    /// <summary>A vCPU as of the last look.</summary>
    internal HostVcpuSnapshot Describe(Vcpu vcpu)
    {
        (VcpuWatch watch, VcpuObservation seen) = (_watches[vcpu.Index], _seen[vcpu.Index]);
        return new HostVcpuSnapshot(
            vcpu.Index,
            vcpu.Role,
            watch.State,
            vcpu.Heartbeat,
            vcpu.Rounds,
            seen.Faults,
            seen.ProcessorTime,
            watch.LastProgressAt,
            watch.Suspicions,
            watch.Starvations,
            watch.Recoveries,
            watch.Evidence,
            vcpu.StopReason);
    }
}
