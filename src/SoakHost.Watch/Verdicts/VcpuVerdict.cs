namespace SoakHost.Watch.Verdicts;

/// <summary>What a watched vCPU does. The defect shows as <see cref="Hung"/>.</summary>
public enum WatchState
{
    /// <summary>The figures do not decide; the reasons say what is missing.</summary>
    Unknown,

    /// <summary>It makes progress, or rests.</summary>
    Running,

    /// <summary>It takes faults and none is resolved. Nothing says yet whether it is starved or hung.</summary>
    Stalled,

    /// <summary>Invalidations keep its faults from being resolved, or did so until just now. It recovers when they end.</summary>
    Starved,

    /// <summary>
    /// Its faults cannot be resolved, with proof: never again, or not before an invalidation ends that is stuck.
    /// </summary>
    Hung,

    /// <summary>It does nothing but leave the guest by HLT and enter it again, and takes a processor for it.</summary>
    HaltSpin,

    /// <summary>Its thread sleeps in the host, is stopped, or gets no processor time.</summary>
    BlockedInHost,

    /// <summary>The kernel fails to emulate the guest's instruction.</summary>
    EmulationFailed,

    /// <summary>KVM_RUN ends with an error, or goes to user space at each fault.</summary>
    RunFailed,
}

/// <summary>What a verdict of <see cref="WatchState.Hung"/> rests on.</summary>
public enum HangProof
{
    /// <summary>The counter has a value that an affected kernel's check never matches.</summary>
    Counter,

    /// <summary>No invalidation began or ended while faults were taken and none resolved.</summary>
    Quiet,

    /// <summary>One instruction faulted at one address a hundred thousand times while the counter stood still.</summary>
    Repeats,
}

/// <summary>The verdict on one vCPU at one moment.</summary>
/// <param name="State">What it does.</param>
/// <param name="Proof">What a hang is proven by; null for every other state.</param>
/// <param name="Since">When this began, in the samples' seconds. A hang began when its faults were last resolved.</param>
/// <param name="At">When it was last looked at, in the samples' seconds.</param>
/// <param name="UnresolvedPerSecond">Faults taken and not resolved, a second; null where that is not known.</param>
/// <param name="Cause">What keeps it from making progress, where the host's facts name it.</param>
/// <param name="Reasons">Why this is the state, in sentences for a person; never empty.</param>
public sealed record VcpuVerdict(
    WatchState State, HangProof? Proof, double Since, double At, double? UnresolvedPerSecond, string? Cause,
    IReadOnlyList<string> Reasons)
{
    /// <summary>Seconds that the state has lasted.</summary>
    public double SinceSeconds => At - Since;
}

/// <summary>Names of states and proofs, as documents and metrics spell them.</summary>
public static class WatchNames
{
    /// <summary>A fact that may be unknown.</summary>
    public static string YesOrNo(bool? fact) => fact switch { true => "yes", false => "no", null => "unknown" };

    /// <summary>The evidence's name.</summary>
    public static string Name(this KernelEvidence evidence) => evidence switch
    {
        KernelEvidence.Check => "check",
        KernelEvidence.Release => "release",
        _ => "nothing",
    };

    /// <summary>Every state.</summary>
    public static IReadOnlyList<WatchState> All { get; } = [.. Enum.GetValues<WatchState>()];

    /// <summary>The state's name.</summary>
    public static string Name(this WatchState state) => state switch
    {
        WatchState.Running => "running",
        WatchState.Stalled => "stalled",
        WatchState.Starved => "starved",
        WatchState.Hung => "hung",
        WatchState.HaltSpin => "halt-spin",
        WatchState.BlockedInHost => "blocked-in-host",
        WatchState.EmulationFailed => "emulation-failed",
        WatchState.RunFailed => "run-failed",
        _ => "unknown",
    };

    /// <summary>The proof's name.</summary>
    public static string Name(this HangProof proof) => proof switch
    {
        HangProof.Counter => "counter",
        HangProof.Quiet => "quiet",
        _ => "repeats",
    };
}
