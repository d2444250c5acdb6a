using System.Numerics;
using SoakHost.Configuration;
using SoakHost.HostKernel;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>Which incidents are asked for. All is text here, so that what is wrong with it can be told; numbers are spelled as in configuration.</summary>
internal sealed record IncidentQuery(string? Cohort, string? Run, string? Vm, string? Vms, string? Vcpu, string? Hung)
{
    /// <summary>The filter.</summary>
    /// <exception cref="ArgumentException">Something is out of its range, or makes no sense; which, and what is allowed.</exception>
    public IncidentFilter ToFilter() => new()
    {
        Cohort = Cohort,
        Run = Number("run", Run, 1, long.MaxValue),
        Vm = (int?)Number("vm", Vm, 0, SoakOptions.VmsMax - 1),
        Vms = Vms is null || Vm is not null ? (int?)Number("vms", Vms, 1, SoakOptions.VmsMax) ?? 1
            : throw new ArgumentException($"vms is {Shown(Vms)}; it is allowed only with vm, the first of them"),
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

    // What somebody sent is repeated to them, but not all of it.
    private static string Shown(string text) => text.Length <= 40 ? $"\"{text}\"" : $"\"{text[..40]}...\"";
}
