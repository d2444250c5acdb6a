using System.Numerics;
using SoakHost.Configuration;
using SoakHost.HostKernel;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>The filters of a query, as text, so that errors can quote them; numbers are spelled as in configuration.</summary>
internal sealed record IncidentQuery(string? Cohort, string? Run, string? Vm, string? Vms, string? Vcpu, string? Hung)
{
    /// <summary>The filter.</summary>
    /// <exception cref="ArgumentException">A filter is invalid; the message names it, its value and what is allowed.</exception>
    public IncidentFilter ToFilter() => new()
    {
        Cohort = Cohort,
        Run = Number("run", Run, 1, long.MaxValue),
        Vm = (int?)Number("vm", Vm, 0, SoakOptions.VmsMax - 1),
        Vms = Vms is null || Vm is not null ? (int?)Number("vms", Vms, 1, SoakOptions.VmsMax) ?? 1
            : throw new ArgumentException($"vms is {Shown(Vms)}; it requires vm, the first VM"),
        Vcpu = (int?)Number("vcpu", Vcpu, 0, HostCohortOptions.VcpusMax - 1),
        IsHung = Hung switch
        {
            null => null,
            "true" => true,
            "false" => false,
            _ => throw new ArgumentException($"hung is {Shown(Hung)}; allowed is true or false"),
        },
    };

    private static long? Number(string name, string? text, long min, long max) =>
        text is null ? null
        : NumberSyntax.TryParse(text, out BigInteger value) && value >= min && value <= max ? (long)value
        : throw new ArgumentException($"{name} is {Shown(text)}; allowed is {min} to {max}");

    // Long input is cut in the error.
    private static string Shown(string text) => text.Length <= 40 ? $"\"{text}\"" : $"\"{text[..40]}...\"";
}
