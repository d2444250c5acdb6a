using SoakHost.Configuration;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Api;

/// <summary>The body of an intervention. Each kind takes the fields of <see cref="Table"/>.</summary>
internal sealed record InterventionRequest
{
    private static readonly Setting<InterventionRequest> KernelField = new Setting<InterventionRequest, Kernel>(
        nameof(Kernel), "the kernel that the VMs run from now on", new KernelName(),
        request => request.Kernel!, (request, value) => request with { Kernel = value })
    { IsRequired = true };

    private static readonly Setting<InterventionRequest> VmField = new Setting<InterventionRequest, int>(
        nameof(Vm), "one VM, instead of the whole cohort", new WholeNumber<int>(0, SoakOptions.VmsMax - 1),
        request => request.Vm ?? 0, (request, value) => request with { Vm = value })
    { DefaultText = "" };

    private static readonly Setting<InterventionRequest> CounterField = Counter(isRequired: true);

    private static readonly Setting<InterventionRequest> VmsField = new Setting<InterventionRequest, int>(
        nameof(Vms), "the new number of VMs", new WholeNumber<int>(1, SoakOptions.VmsMax),
        request => request.Vms, (request, value) => request with { Vms = value })
    { IsRequired = true };

    private static readonly Setting<InterventionRequest> TickField = new Setting<InterventionRequest, long>(
        nameof(Tick),
        $"the tick at which it takes effect, a multiple of {Shard.ObservationTicks}, at which no VM of the cohort has arrived; "
        + "all parts of a fleet need the same one",
        new WholeNumber<long>(Shard.ObservationTicks, 1L << 60),
        request => request.Tick, (request, value) => request with { Tick = value })
    { DefaultText = "the next that every VM can take" };

    /// <summary>The kernel to run.</summary>
    public Kernel? Kernel { get; init; }

    /// <summary>The one VM; null for the whole cohort.</summary>
    public int? Vm { get; init; }

    /// <summary>The counter's new value.</summary>
    public ulong InvalidateSeq { get; init; }

    /// <summary>The new number of VMs; 0 where it does not change.</summary>
    public int Vms { get; init; }

    /// <summary>The tick at which it takes effect; 0 has the fleet choose.</summary>
    public long Tick { get; init; }

    /// <summary>The fields that a kind takes.</summary>
    public static SettingTable<InterventionRequest> Table(InterventionKind kind) => new(new InterventionRequest(), kind switch
    {
        InterventionKind.PatchKernel => [KernelField, TickField],
        InterventionKind.Migrate => [VmField, Counter(isRequired: false), TickField],
        InterventionKind.UpdateMemslots => [VmField, TickField],
        InterventionKind.SetCounter => [VmField, CounterField, TickField],
        InterventionKind.ResizeCohort => [VmsField, TickField],
        _ => [TickField],
    });

    /// <summary>The intervention, without a tick.</summary>
    public ShardIntervention ToIntervention(InterventionKind kind) =>
        new() { Kind = kind, Vm = Vm, Kernel = Kernel, InvalidateSeq = InvalidateSeq, Vms = Vms, Tick = Tick };

    private static Setting<InterventionRequest> Counter(bool isRequired) => new Setting<InterventionRequest, ulong>(
        nameof(InvalidateSeq), "the counter's new value", new WholeNumber<ulong>(0, ulong.MaxValue),
        request => request.InvalidateSeq, (request, value) => request with { InvalidateSeq = value })
    { IsRequired = isRequired };
}
