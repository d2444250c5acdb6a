using SoakHost.HostKernel.Tracing;
using SoakHost.Watch.Discovery;
using SoakHost.Watch.Samples;

namespace SoakHost.Watch.Sources;

/// <summary>What is known of a thread's faults; null where it has taken none.</summary>
/// <param name="thread">Its number.</param>
internal delegate FaultRecord? ReadFaults(int thread);

/// <summary>
/// The counter of one VM and the faulting address of each of its vCPUs, by eBPF. A record is as old as the thread's last fault:
/// what did not change since the look before is not given again. At the first look at a thread nothing is given: the record may
/// be that of another thread, which had this number before.
/// </summary>
internal sealed class TracedFaults(ReadFaults read)
{
    private readonly Dictionary<int, FaultRecord> _before = [];

    /// <summary>Reads the VM's vCPUs now.</summary>
    /// <returns>The counter, as the newest fault of any vCPU saw it, and each vCPU's last fault.</returns>
    public (CounterReading Counter, IReadOnlyDictionary<int, FaultTrace> Traces) Read(WatchedVm vm)
    {
        (CounterReading counter, Dictionary<int, FaultTrace> traces, ulong newest) = (new(), [], 0);
        foreach (WatchedVcpu vcpu in vm.Vcpus)
        {
            if (vcpu.ThreadId is not { } thread)
                continue;
            FaultRecord now = read(thread) ?? default;
            bool isKnown = _before.TryGetValue(thread, out FaultRecord before);
            _before[thread] = now;
            if (!isKnown || before.Faults == now.Faults)
                continue;
            traces.Add(vcpu.Number, new FaultTrace(null, now.Address, now.ErrorCode, now.Repeats));

            // What cannot be read comes as 0, and no VM lies there.
            if (now.Kvm != 0 && now.Nanoseconds > newest)
                (counter, newest) = (new CounterReading(now.InvalidateSeq, now.InProgress), now.Nanoseconds);
        }

        return (counter, traces);
    }
}
