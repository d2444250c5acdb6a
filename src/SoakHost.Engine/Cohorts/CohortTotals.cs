using System.Collections.Immutable;

namespace SoakHost.Engine.Cohorts;

/// <summary>
/// Sums over a cohort's VMs since the run began. A figure that this kind of cohort cannot measure is null, never 0.
/// </summary>
public sealed record CohortTotals
{
    /// <summary>Ended invalidations.</summary>
    public long? Invalidations { get; init; }

    /// <summary>Guest accesses that found their page mapped: the progress of vCPUs.</summary>
    public long? GuestAccesses { get; init; }

    /// <summary>Fault attempts that ended with the page installed.</summary>
    public long? Fixed { get; init; }

    /// <summary>Fault attempts that were retried.</summary>
    public long? Retried { get; init; }

    /// <summary>Retries that nothing warranted, while an invalidation was in progress elsewhere: no defect.</summary>
    public long? OvercautiousRetries { get; init; }

    /// <summary>Retries that nothing warranted, while no invalidation was in progress at all.</summary>
    public long? UnjustifiedRetries { get; init; }

    /// <summary>Installs of a page that the host had taken away.</summary>
    public long? UnsafeInstalls { get; init; }

    /// <summary>Changes by the primary MMU of a range of which the guest still had a page.</summary>
    public long? StaleMappings { get; init; }

    /// <summary>Zaps after which the kernel's total of mapped pages differed from their number.</summary>
    public long? AccountingErrors { get; init; }

    /// <summary>vCPUs that were hung and recovered.</summary>
    public long Recoveries { get; init; }

    /// <summary>Lives that VMs started in place of one that had ended; null where VMs are not replaced.</summary>
    public long? LivesStarted { get; init; }

    /// <summary>
    /// VMs of a control that crossed the boundary from which they must hang, and hung; null where that is not counted.
    /// </summary>
    public long? HangsCaught { get; init; }

    /// <summary>
    /// VMs of a control that crossed that boundary, and whose lives ended without a hang; null where that is not counted.
    /// </summary>
    public long? HangsMissed { get; init; }

    /// <summary>Ticks from the crossings to the hangs that were caught, their sum; null where that is not counted.</summary>
    public long? DetectionTicks { get; init; }

    /// <summary>VMs that crossed each boundary with a fault in flight, lowest boundary first.</summary>
    public required ImmutableArray<BoundaryCrossings> Crossings { get; init; }

    /// <summary>Ended invalidations and completed fault attempts, as far as they are measured.</summary>
    public long Operations => (Invalidations ?? 0) + (Fixed ?? 0) + (Retried ?? 0);

    /// <summary>Crossings of any boundary with a fault in flight.</summary>
    public long CrossingsInAll => Crossings.Sum(crossing => crossing.Vms);

    /// <summary>Crossings of 2^31 and higher boundaries with a fault in flight; those below are of mutants alone.</summary>
    public long CrossingsFrom31 => Crossings.Where(crossing => crossing.Boundary.Count is 0 or >= 1UL << 31)
        .Sum(crossing => crossing.Vms);

    /// <summary>VMs that crossed one boundary with a fault in flight.</summary>
    public long CrossingsOf(Boundary boundary) => Crossings.FirstOrDefault(crossing => crossing.Boundary == boundary).Vms;
}

/// <summary>VMs that crossed a boundary with a fault in flight.</summary>
/// <param name="Boundary">The boundary.</param>
/// <param name="Vms">How many VMs; one that crosses again counts again.</param>
public readonly record struct BoundaryCrossings(Boundary Boundary, long Vms);
