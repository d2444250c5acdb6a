using SoakHost.Watch.Samples;

namespace SoakHost.Watch.Verdicts.Tests;

/// <summary>Samples of a made-up vCPU, for tests: what a test does not set is not known.</summary>
internal static class Sampled
{
    /// <summary>A kernel of the fleet in which the defect was found.</summary>
    public static readonly KernelFacts Affected = new("6.1.38", true);

    public static readonly KernelFacts Sound = new("6.8.0", false);

    public static VcpuSample At(double seconds, int? vcpu = 0) =>
        new() { TimeSeconds = seconds, Vm = "web-17", Vcpu = vcpu, Kernel = Affected };

    /// <summary>Statistics in the order of field reports.</summary>
    public static VcpuFigures Faults(
        ulong taken, ulong fixedFaults = 0, ulong emulate = 0, ulong spurious = 0, ulong fast = 0, ulong? exits = null) =>
        new(taken, fixedFaults, emulate, spurious, fast, exits);

    /// <summary>One sample a period, each made from its time in seconds.</summary>
    public static VcpuVerdict Judge(double until, double every, Func<double, VcpuSample> sample) => VcpuHistory.Judge(
        Enumerable.Range(0, (int)Math.Round(until / every) + 1).Select(i => sample(i * every)))!;
}
