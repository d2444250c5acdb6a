namespace SoakHost.HostKernel.Watch;

/// <summary>What a vCPU of a real VM is doing, as far as it can be told from outside. Only <see cref="Hung"/> is the
/// defect.</summary>
public enum VcpuState
{
    /// <summary>Nothing was asked of it: between two probes.</summary>
    Resting,

    /// <summary>Its heartbeat moves, or has not stood still for long.</summary>
    Running,

    /// <summary>Heartbeat and faults fixed stand still while faults taken climb. Invalidations go on, so nothing is
    /// proven.</summary>
    Suspect,

    /// <summary>A suspect, with every invalidation of its VM stopped, to see whether it recovers.</summary>
    Quiescing,

    /// <summary>An invalidation storm kept its fault from being fixed, or let faults be fixed and taken away at once; it
    /// ends with the storm.</summary>
    Starved,

    /// <summary>Faults are taken and none fixed although nothing is being invalidated: the retry protocol has failed.</summary>
    Hung,

    /// <summary>Faults are fixed with nothing being invalidated, and yet the guest makes no progress. Not this defect;
    /// worth a look.</summary>
    FixedInVain,

    /// <summary>It runs, takes no faults and has no heartbeat: the guest's own code loops.</summary>
    LoopingInGuest,

    /// <summary>Its thread gets no processor time.</summary>
    NotScheduled,

    /// <summary>The guest executed HLT.</summary>
    Halted,

    /// <summary>KVM_RUN failed or gave up on the guest (memory inaccessible, triple fault, internal error).</summary>
    RunFailed,

    /// <summary>No progress, and what can be read here does not say why.</summary>
    Unexplained,
}

/// <summary>How a vCPU's last KVM_RUN ended, where it will not be entered again.</summary>
public enum VcpuStop
{
    /// <summary>It did not end: the vCPU runs, or rests.</summary>
    None,

    /// <summary>HLT.</summary>
    Halted,

    /// <summary>An error, or an exit that a sweeping guest never makes.</summary>
    Failed,
}

/// <summary>How sure a verdict of <see cref="VcpuState.Hung"/> is.</summary>
public enum HangProof
{
    /// <summary>Faults taken climbed and none was fixed, before and while invalidations were stopped.</summary>
    Statistics,

    /// <summary>The kernel counts no faults: the heartbeat alone stood still, before and while invalidations were
    /// stopped.</summary>
    HeartbeatAlone,
}
