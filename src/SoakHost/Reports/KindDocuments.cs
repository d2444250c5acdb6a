using System.Collections.Immutable;
using System.Text.Json;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.HostKernel;

namespace SoakHost.Reports;

/// <summary>What each kind of cohort adds to the documents that all kinds have. A new kind is registered here.</summary>
internal static class KindDocuments
{
    /// <summary>A cohort of the fleet's document, with what its kind adds.</summary>
    public static CohortDocument Complete(CohortDocument document, CohortSnapshot snapshot) => snapshot switch
    {
        SimulatedSnapshot simulated => document with
        {
            InvalidationsPaused = simulated.InvalidationsPaused,
            Tick = simulated.Tick,
            VmsCrossed = ByBoundary(simulated.VmsCrossed),
        },
        HostSnapshot host => document with { Host = HostDocument.Of(host) },
        _ => document,
    };

    /// <summary>A cohort of a check's document, with what its kind adds.</summary>
    public static CheckCohortDocument Complete(
        CheckCohortDocument document,
        CohortSnapshot snapshot,
        ImmutableArray<string> reasons) =>
        snapshot is not HostSnapshot host
            ? document
            : document with
            {
                KernelRelease = host.KernelRelease,
                Mmu = host.Mmu,
                Cpu = host.Cpu,
                InvalidationsPerSecond = host.InvalidationsPerSecond,
                Reasons = reasons,
                NotCovered = host.NotCovered,
                KernelCounter = JsonSerializer.SerializeToElement(
                    KernelCounterDocument.Of(host.KernelCounter), ReportJson.Default.KernelCounterDocument!),
            };

    /// <summary>VMs that crossed each boundary with a fault in flight, by the boundary's name.</summary>
    public static IReadOnlyDictionary<string, long> ByBoundary(this CohortTotals totals) => ByBoundary(totals.Crossings);

    private static Dictionary<string, long> ByBoundary(ImmutableArray<BoundaryCrossings> crossings) =>
        crossings.ToDictionary(crossing => crossing.Boundary.Name, crossing => crossing.Vms);
}

/// <summary>Where real VMs run, and how far they are.</summary>
/// <param name="KernelRelease">As <c>uname -r</c> gives it.</param>
/// <param name="Mmu">The MMU mode.</param>
/// <param name="Cpu">The processor's model name.</param>
/// <param name="InvalidationsPerSecond">Of all VMs, over the last seconds.</param>
/// <param name="Until">Invalidations of each VM after which it has done its work.</param>
/// <param name="ExpectedCrossings">When each boundary that is still to cross is expected, by the boundary's name.</param>
/// <param name="ExpectedEnd">When the last VM is expected to have done its work; null where there is no rate.</param>
/// <param name="NotCovered">Sentences on what the run cannot say.</param>
internal sealed record HostDocument(
    string KernelRelease,
    string Mmu,
    string Cpu,
    double InvalidationsPerSecond,
    long Until,
    IReadOnlyDictionary<string, DateTimeOffset> ExpectedCrossings,
    DateTimeOffset? ExpectedEnd,
    IReadOnlyList<string> NotCovered)
{
    /// <summary>The document of a snapshot.</summary>
    public static HostDocument Of(HostSnapshot host) => new(
        host.KernelRelease,
        host.Mmu,
        host.Cpu,
        host.Forecast?.InvalidationsPerSecond ?? 0,
        host.Until,
        host.Forecast?.Crossings.ToDictionary(crossing => crossing.Boundary.Name, crossing => crossing.Expected) ?? [],
        host.ExpectedEnd,
        host.NotCovered);
}
