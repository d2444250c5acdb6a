using System.Collections.Immutable;
using SoakHost.HostKernel.Statistics;

namespace SoakHost.HostKernel;

/// <summary>
/// The boundaries that a VM has crossed, and what its soaked vCPUs did before and after each. An invalidator notes a crossing;
/// the soak's thread follows the last one.
/// </summary>
internal sealed class CrossingLog(IReadOnlyList<Vcpu> vcpus, TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly List<(BoundaryCrossing Crossing, ulong AccessesBefore)> _crossings = [];

    /// <summary>The crossings so far.</summary>
    internal ImmutableArray<BoundaryCrossing> Crossings
    {
        get
        {
            lock (_gate)
                return [.. _crossings.Select(entry => entry.Crossing)];
        }
    }

    /// <summary>How many there are.</summary>
    internal int Count
    {
        get
        {
            lock (_gate)
                return _crossings.Count;
        }
    }

    /// <summary>Notes a crossing, by the thread whose call crossed the boundary.</summary>
    /// <param name="boundary">The boundary.</param>
    /// <param name="count">The count after that call.</param>
    internal void Note(long boundary, long count)
    {
        (FaultCounters faults, ulong accesses, int atWork) = Sum();
        lock (_gate)
        {
            var crossing = new BoundaryCrossing(boundary, time.GetUtcNow(), count, atWork, faults.Taken, faults.Fixed, 0, 0, 0);
            _crossings.Add((crossing, accesses));
        }
    }

    /// <summary>Updates what was done since the last crossing.</summary>
    internal void FollowLast()
    {
        lock (_gate)
        {
            if (_crossings.Count == 0)
                return;
            (FaultCounters faults, ulong accesses, _) = Sum();
            (BoundaryCrossing last, ulong accessesBefore) = _crossings[^1];
            BoundaryCrossing now = last with
            {
                FaultsTakenAfter = faults.Taken - Math.Min(faults.Taken, last.FaultsTakenBefore),
                FaultsFixedAfter = faults.Fixed - Math.Min(faults.Fixed, last.FaultsFixedBefore),
                AccessesAfter = accesses - accessesBefore,
            };
            _crossings[^1] = (now, accessesBefore);
        }
    }

    /// <summary>Sums over the soaked vCPUs as of now, and how many are at work.</summary>
    private (FaultCounters Faults, ulong Accesses, int AtWork) Sum()
    {
        ulong taken = 0, fixedFaults = 0, accesses = 0;
        int atWork = 0;
        foreach (Vcpu vcpu in vcpus)
        {
            if (vcpu.Role != VcpuRole.Soaked)
                continue;
            FaultCounters? faults = vcpu.ReadFaults();
            taken += faults?.Taken ?? 0;
            fixedFaults += faults?.Fixed ?? 0;
            accesses += vcpu.Heartbeat;
            if (vcpu.ProgressDue)
                atWork++;
        }

        return (new FaultCounters(taken, fixedFaults, 0, 0, 0, 0, 0), accesses, atWork);
    }
}
