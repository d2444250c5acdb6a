using SoakHost.Configuration;
using SoakHost.HostKernel;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>
/// Which incidents are asked for. All of it is text: errors must name the parameter, and numbers are spelled as in configuration.
/// </summary>
internal sealed record IncidentQuery(
    string? Cohort, string? Run, string? Vm, string? Vms, string? Vcpu, string? Kind, string? Hung)
{
    /// <summary>The parameters.</summary>
    public static IReadOnlyList<string> Names { get; } = ["cohort", "run", "vm", "vms", "vcpu", "kind", "hung"];

    /// <summary>The filter.</summary>
    /// <exception cref="ArgumentException">A parameter is out of its range.</exception>
    public IncidentFilter ToFilter() => new()
    {
        Cohort = Cohort,
        Run = QueryText.Number("run", Run, 1, long.MaxValue),
        Vm = (int?)QueryText.Number("vm", Vm, 0, SoakOptions.VmsMax - 1),
        Vms = Vms is null || Vm is not null ? (int?)QueryText.Number("vms", Vms, 1, SoakOptions.VmsMax) ?? 1
            : throw new ArgumentException($"vms is {ConfigurationErrors.Quote(Vms)}; it needs vm, the first of them"),
        Vcpu = (int?)QueryText.Number("vcpu", Vcpu, 0, HostCohortOptions.VcpusMax - 1),
        Kind = Kind is null ? null : IncidentKinds.Find(Kind)
            ?? throw new ArgumentException(
                $"kind is {ConfigurationErrors.Quote(Kind)}; it must be one of {string.Join(", ", IncidentKinds.Names)}"),
        IsHung = Hung switch
        {
            null => null,
            "true" => true,
            "false" => false,
            _ => throw new ArgumentException($"hung is {ConfigurationErrors.Quote(Hung)}; it must be true or false"),
        },
    };
}
