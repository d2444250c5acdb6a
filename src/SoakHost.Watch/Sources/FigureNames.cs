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

    public static VcpuFigures Vcpu(IReadOnlyDictionary<string, ulong> values) => new(
        Of(values, "pf_taken"), Of(values, "pf_fixed"), Of(values, "pf_emulate"), Of(values, "pf_spurious"),
        Of(values, "pf_fast"), Of(values, "exits"), Of(values, "halt_exits"), Of(values, "mmio_exits"),
        Of(values, "signal_exits"));

    public static VmFigures Vm(IReadOnlyDictionary<string, ulong> values) =>
        new(Of(values, "remote_tlb_flush"), Of(values, "remote_tlb_flush_requests"));

    private static ulong? Of(IReadOnlyDictionary<string, ulong> values, string name) =>
        values.TryGetValue(name, out ulong value) ? value : null;
}
