using SoakHost.Watch.Samples;

namespace SoakHost.Watch.Sources;

/// <summary>From KVM's names of statistics to the figures of a sample. Names that a kernel lacks stay unknown.</summary>
internal static class FigureNames
{
    /// <summary>The statistics that are figures of a sample. KVM has five times as many.</summary>
    public static IReadOnlyList<string> All { get; } =
    [
        "pf_taken", "pf_fixed", "pf_emulate", "pf_spurious", "pf_fast", "exits", "halt_exits", "mmio_exits", "signal_exits",
        "remote_tlb_flush", "remote_tlb_flush_requests",
    ];

    /// <summary>A vCPU's figures, from values in the order of <see cref="All"/>.</summary>
    public static VcpuFigures Vcpu(ReadOnlySpan<ulong?> values) => new(
        values[0], values[1], values[2], values[3], values[4], values[5], values[6], values[7], values[8]);

    /// <summary>A VM's figures, from values in the order of <see cref="All"/>.</summary>
    public static VmFigures Vm(ReadOnlySpan<ulong?> values) => new(values[9], values[10]);

    /// <summary>The values in the order of <see cref="All"/>.</summary>
    public static ulong?[] Values(IReadOnlyDictionary<string, ulong> values) =>
        [.. All.Select(name => values.TryGetValue(name, out ulong value) ? (ulong?)value : null)];
}
