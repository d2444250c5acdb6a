using SoakHost.HostKernel;
using SoakHost.HostKernel.Lab;

namespace SoakHost.Reports;

/// <summary>The kernel's own counter, as it was read in the kernel.</summary>
/// <param name="Source">How it was read.</param>
/// <param name="First">Its first reading, in hex.</param>
/// <param name="Last">Its last reading, in hex.</param>
/// <param name="Fixes">Faults fixed of which it is known where the counter was.</param>
/// <param name="FixesPast">Those of them past each boundary, by its name.</param>
internal sealed record KernelCounterDocument(
    string Source, string First, string Last, ulong Fixes, IReadOnlyDictionary<string, ulong> FixesPast)
{
    /// <summary>That of a cohort of real VMs; null where it was not read.</summary>
    public static KernelCounterDocument? Of(KernelCounter? counter) => counter is null ? null : new(
        counter.Source,
        Hex64.Of(counter.First),
        Hex64.Of(counter.Last),
        counter.Fixes,
        counter.Past.ToDictionary(each => each.Boundary.Name, each => each.Fixes));

    /// <summary>That of a kernel in the lab; null where it was not read.</summary>
    public static KernelCounterDocument? Of(LabRun run) => run.Counter is not { } counter ? null : new(
        "gdb, bpf",
        Hex64.Of(counter.First),
        Hex64.Of(counter.Last),
        run.Crossings.Aggregate(0ul, (sum, crossing) => sum + crossing.Before.FixedInAll + crossing.After.FixedInAll),
        run.Crossings.ToDictionary(crossing => crossing.Boundary.Name, crossing => crossing.After.FixedInAll));
}
