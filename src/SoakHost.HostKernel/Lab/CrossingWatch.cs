using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel.Lab;

/// <summary>
/// Follows a VM across one boundary, from what its kernel shows. Pure: it knows neither machine nor clock.
/// </summary>
/// <param name="boundary">The boundary.</param>
/// <param name="setTo">The value that was written into the counter.</param>
/// <param name="endedBefore">Invalidations that had ended before it was written.</param>
/// <param name="vcpus">vCPUs of the VM.</param>
/// <remarks>
/// What a vCPU last saw may be from before the write. The counter has moved since then by no more than the invalidations made:
/// what lies farther from the value that was written is older.
///
/// A fault is counted on a side of the boundary only if the counter was there at the look before it and at the look after: of
/// those in between nobody knows.
/// </remarks>
internal sealed class CrossingWatch(Boundary boundary, ulong setTo, long endedBefore, int vcpus)
{
    /// <summary>Faults fixed of each vCPU that show that a side is sound.</summary>
    public const ulong FixedMin = 16;

    // Invalidations of other sources than ours, such as compaction. The lab stays at least a thousand below a boundary.
    private const ulong OthersMax = 256;

    private readonly Side _before = new(vcpus);
    private readonly Side _after = new(vcpus);
    private LabStatus? _last;
    private LabStatus? _marked;

    /// <summary>Below the boundary.</summary>
    public LabSide Before => _before.Seen;

    /// <summary>From the boundary on.</summary>
    public LabSide After => _after.Seen;

    /// <summary>Whether every vCPU faults on the far side.</summary>
    public bool IsPast { get; private set; }

    /// <summary>Whether enough faults of every vCPU were fixed below the boundary.</summary>
    public bool IsSoundBefore => _before.IsSound;

    /// <summary>Whether enough faults of every vCPU were fixed from the boundary on.</summary>
    public bool IsSoundAfter => _after.IsSound;

    /// <summary>vCPUs that are hung.</summary>
    public int Hung { get; private set; }

    /// <summary>The last look at which any was.</summary>
    public LabStatus? LastHung { get; private set; }

    /// <summary>vCPUs that made no progress since <see cref="Mark"/>, and are not called hung.</summary>
    public int Stalled => _last is null || _marked is null ? 0 : _last.Vcpus.Zip(_marked.Vcpus)
        .Count(pair => pair.First.State != VcpuState.Hung && pair.First.Progress <= pair.Second.Progress);

    /// <summary>
    /// Whether a vCPU hangs on the far side whose faults were fixed below. One that hung below may be carried past the boundary
    /// by invalidations that go on.
    /// </summary>
    public bool IsHungAfter { get; private set; }

    /// <summary>Every vCPU must make progress from here on: one may hang only after some faults past the boundary.</summary>
    public void Mark() => _marked = _last;

    /// <summary>Takes a look at the VM.</summary>
    public void Add(LabStatus status)
    {
        _last = status;
        int past = 0;
        (Hung, IsHungAfter) = (0, false);
        ulong moved = (ulong)Math.Max(0, status.Begun - endedBefore) + OthersMax;

        // It may have been written past the boundary at once.
        ulong distance = unchecked(boundary.Count - setTo) is var below && below <= long.MaxValue ? below : 0;
        for (int index = 0; index < vcpus; index++)
        {
            LabVcpuStatus vcpu = status.Vcpus[index];
            ulong since = unchecked(vcpu.InvalidateSeq - setTo);
            bool isHere = since <= moved;
            bool isPast = isHere && since >= distance;
            _before.Add(index, vcpu, isHere && !isPast);
            _after.Add(index, vcpu, isPast);
            past += isPast ? 1 : 0;
            if (vcpu.State != VcpuState.Hung)
                continue;
            Hung++;
            LastHung = status;
            IsHungAfter |= isPast && _before.IsSoundOf(index);
        }

        IsPast = past == vcpus;
    }

    /// <summary>One side.</summary>
    private sealed class Side(int vcpus)
    {
        private readonly ulong?[] _start = new ulong?[vcpus];
        private readonly ulong[] _fixed = new ulong[vcpus];
        private readonly bool[] _wasHere = new bool[vcpus];
        private ulong? _first;
        private ulong? _last;

        public bool IsSound => Array.TrueForAll(_fixed, each => each >= FixedMin);

        public bool IsSoundOf(int vcpu) => _fixed[vcpu] >= FixedMin;

        public LabSide Seen => new(_first, _last, [.. _fixed], null);

        public void Add(int index, LabVcpuStatus vcpu, bool isHere)
        {
            if (isHere)
            {
                _first ??= vcpu.InvalidateSeq;
                _last = vcpu.InvalidateSeq;
                if (_wasHere[index])
                {
                    _start[index] ??= vcpu.Progress;
                    _fixed[index] = vcpu.Progress - Math.Min(vcpu.Progress, _start[index]!.Value);
                }
            }

            _wasHere[index] = isHere;
        }
    }
}
