using SoakHost.Watch.Samples;

namespace SoakHost.Watch.Verdicts;

/// <summary>A state and why, before it has its times.</summary>
internal sealed record Finding
{
    public Finding(WatchState state, params ReadOnlySpan<string> reasons)
    {
        State = state;
        foreach (string reason in reasons)
        {
            if (reason.Length > 0)
                Reasons.Add(reason);
        }
    }

    public WatchState State { get; }

    public List<string> Reasons { get; } = [];

    public HangProof? Proof { get; init; }

    public double? UnresolvedPerSecond { get; init; }

    public static Finding Unknown(params ReadOnlySpan<string> reasons) => new(WatchState.Unknown, reasons);
}

/// <summary>Which samples say anything.</summary>
internal static class Figures
{
    public static bool AreIn(VcpuSample sample) =>
        sample.Stats != new VcpuFigures() || sample.Trace != new FaultTrace() || sample.Thread != new ThreadFigures()
        || sample.Exits != new ExitFigures();
}

/// <summary>From where on a figure counts. Field cases gave them; shares are 0 to 1.</summary>
internal static class Limits
{
    /// <summary>Faults that count as taking faults. A hung vCPU took 1,958 to 652,588 a second.</summary>
    public const ulong FaultsMin = 16;

    /// <summary>Unresolved faults a second that prove a hang in quiet.</summary>
    public const double HungPerSecondMin = 100;

    /// <summary>Faults in a row at one instruction and address, more than in health while the counter stands still.</summary>
    public const ulong RepeatsMin = 100_000;

    /// <summary>The same where an affected kernel's check cannot match the counter. A run of 1,926 was seen.</summary>
    public const ulong RepeatsBeyondBoundaryMin = 1000;

    /// <summary>Share of unresolved faults from which a storm shows. In health it was 0.0005.</summary>
    public const double RetriesShareMin = 0.9;

    /// <summary>The same share of a sum, in which one hung vCPU hides among others.</summary>
    public const double RetriesShareOfSumMin = 0.1;

    /// <summary>Unresolved faults a second from which a storm shows.</summary>
    public const double RetriesPerSecondMin = 1000;

    /// <summary>HLT exits a second of a spin. One had 34,000; idle guests have hundreds.</summary>
    public const double HaltsPerSecondMin = 1000;

    /// <summary>Share of HLT among a spin's exits. A sick one had 0.997, a healthy one 0.18.</summary>
    public const double HaltShareMin = 0.95;

    /// <summary>Exits for each fault taken from which faults do not matter.</summary>
    public const ulong ExitsOfSpinPerFaultMin = 100;

    /// <summary>Share of processor time of a spin.</summary>
    public const double SpinCpuShareMin = 0.5;

    /// <summary>Share of processor time from which a thread runs.</summary>
    public const double CpuShareMin = 0.01;

    public const int ErrorInterrupted = 4;
    public const int ErrorAgain = 11;

    /// <summary>Whether the vCPU of an idle guest waits in this kernel function (kvm_vcpu_block, virt/kvm/kvm_main.c).</summary>
    public static bool IsHaltWait(string function) => function is "kvm_vcpu_block" or "kvm_vcpu_halt" or "kvm_vcpu_check_block"
        or "kvm_arch_vcpu_ioctl_run" or "vcpu_block" or "vcpu_run";

    /// <summary>
    /// Seconds without invalidations that prove a hang. The counter leaves no gap; a range that began before the window may be in
    /// progress without a flush, and such were seen to take 5 s.
    /// </summary>
    /// <remarks>
    /// Of one that is known to be in progress it takes more: the longest that was seen to end took 4.846 s, of the eight in a
    /// freeze of 20 s by NUMA balancing (kvm list, January 2024). Six seconds are a quarter more, and let a watch that looks
    /// every second say so within ten of the beginning. That is no proof that it never ends: a hang that rests on it is over when
    /// it does.
    /// </remarks>
    public static double QuietSecondsMin(Quiet how) => how switch
    {
        Quiet.Held => 6,
        Quiet.ByCounter => 0.5,
        Quiet.ByInvalidations => 2,
        _ => 4.99,
    };
}
