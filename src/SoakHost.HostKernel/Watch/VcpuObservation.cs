using SoakHost.HostKernel.Statistics;

namespace SoakHost.HostKernel.Watch;

/// <summary>One look at one vCPU from outside: everything a verdict may rest on, and nothing that only the kernel
/// knows.</summary>
public readonly record struct VcpuObservation
{
    /// <summary>The guest's heartbeat: pages read since the VM was created.</summary>
    public required ulong Heartbeat { get; init; }

    /// <summary>Whether the vCPU was asked for work that it has not finished.</summary>
    public required bool ProgressDue { get; init; }

    /// <summary>Whether every thread that invalidates memory of this VM is known to be stopped.</summary>
    public required bool InvalidationsStopped { get; init; }

    /// <summary>The vCPU's statistics; null where the kernel gives none, or counts no faults taken.</summary>
    public FaultCounters? Faults { get; init; }

    /// <summary>Processor time of the vCPU's thread; null where it cannot be read.</summary>
    public TimeSpan? ProcessorTime { get; init; }

    /// <summary>How the vCPU ended, if it did.</summary>
    public VcpuStop Stop { get; init; }

    /// <summary>Where the counter lay: what had certainly ended, at least.</summary>
    public long InvalidationsEnded { get; init; }

    /// <summary>What had begun: the counter was at most this, apart from what other sources added.</summary>
    public long InvalidationsBegun { get; init; }

    /// <summary>Whether the guest's instruction pointer was at the instruction that reads a page; null where it was not
    /// sampled.</summary>
    public bool? AtAccess { get; init; }

    /// <summary>The guest's instruction pointer when its registers were last noted; null where they were not.</summary>
    public ulong? InstructionPointer { get; init; }

    /// <summary>Times that its registers were noted.</summary>
    public long Samples { get; init; }

    /// <summary>
    /// Whether the guest's program can stand still at no instruction, whatever it does: then one that does has a fault that is
    /// not fixed, wherever that is.
    /// </summary>
    public bool CannotStandStill { get; init; }

    /// <summary>The guest address that instruction reads; null where it was not sampled, or the guest was elsewhere.</summary>
    public ulong? AccessAddress { get; init; }
}

/// <summary>Where a VM's counter lay.</summary>
/// <param name="Ended">At least here: invalidations that had ended.</param>
/// <param name="Begun">At most here, but for what other sources added: invalidations that had begun.</param>
public readonly record struct CounterBounds(long Ended, long Begun)
{
    /// <summary>One number where both are the same.</summary>
    public override string ToString() => Ended == Begun ? $"{Ended}" : $"{Ended} to {Begun}";
}

/// <summary>Why a vCPU is called hung, in figures that were read.</summary>
/// <param name="Proof">What the verdict rests on.</param>
/// <param name="LastHeartbeatAt">When its heartbeat was last seen to move.</param>
/// <param name="QuiescedAt">When invalidations had stopped.</param>
/// <param name="ConfirmedAt">When it was looked at again and had not moved.</param>
/// <param name="InvalidationsEnded">The least that the kernel's counter can have been.</param>
/// <param name="InvalidationsBegun">The most, but for what other sources added.</param>
/// <param name="FaultsBefore">Statistics when faults were last seen to be fixed.</param>
/// <param name="FaultsAtQuiesce">Statistics when invalidations had stopped.</param>
/// <param name="FaultsAfter">Statistics when it was confirmed.</param>
/// <param name="FaultingAddress">The guest address it reads in vain, from its registers; null where they were
/// elsewhere.</param>
public sealed record HangEvidence(
    HangProof Proof,
    DateTimeOffset LastHeartbeatAt,
    DateTimeOffset QuiescedAt,
    DateTimeOffset ConfirmedAt,
    long InvalidationsEnded,
    long InvalidationsBegun,
    FaultCounters? FaultsBefore,
    FaultCounters? FaultsAtQuiesce,
    FaultCounters? FaultsAfter,
    ulong? FaultingAddress)
{
    /// <summary>The counter when its heartbeat was last seen to move.</summary>
    public CounterBounds? AtLastHeartbeat { get; init; }

    /// <summary>The counter when a fault of it was last seen to be fixed; null where the kernel counts none.</summary>
    public CounterBounds? AtLastFix { get; init; }

    /// <summary>The counter when invalidations had stopped, to see whether it recovers.</summary>
    public CounterBounds Stopped => new(InvalidationsEnded, InvalidationsBegun);

    /// <summary>The evidence in a sentence for a person.</summary>
    public override string ToString()
    {
        string progress = AtLastHeartbeat is { } heartbeat ? $"; its heartbeat last moved at {heartbeat}" : "";
        string fix = AtLastFix is { } last ? $", and its last fix was at {last}" : "";
        string address = FaultingAddress is { } value ? $", reading guest address 0x{value:x}" : "";
        string quiet = $"{(ConfirmedAt - QuiescedAt).TotalSeconds:0.###} s without any invalidation";
        return Proof == HangProof.Statistics && FaultsAtQuiesce is { } before && FaultsAfter is { } after
            ? $"hung, with invalidations stopped at {Stopped}{address}: in {quiet}, {after.Taken - before.Taken} faults were "
                + $"taken and none fixed{progress}{fix}"
            : $"hung, with invalidations stopped at {Stopped}{address}: no heartbeat in {quiet}{progress}; "
                + "the kernel counts no faults, so this rests on the heartbeat alone";
    }
}
