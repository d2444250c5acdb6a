using System.Collections.Immutable;

namespace SoakHost.Engine.Cohorts;

/// <summary>
/// A cohort's figures at one time. Immutable. Each kind of cohort has a subtype with figures of its own; this is what all kinds
/// have, and it is all that a verdict rests on.
/// </summary>
public abstract record CohortSnapshot
{
    /// <summary>The most stalled vCPUs that one snapshot describes; <see cref="Conditions"/> has all of them.</summary>
    public const int StalledMax = 100;

    /// <summary>The name of the kernel that the VMs run now.</summary>
    public abstract string KernelName { get; }

    /// <summary>VMs that the figures describe, including those that were taken out of service.</summary>
    public required int Vms { get; init; }

    /// <summary>Sums over all VMs that the cohort has or had.</summary>
    public required CohortTotals Totals { get; init; }

    /// <summary><c>mmu_invalidate_seq</c> over the VMs; null where nobody knows it.</summary>
    public required CounterSpread? InvalidateSeq { get; init; }

    /// <summary>The condition of each vCPU: the first VM's, then the second's, and so on, in runs of consecutive VMs.</summary>
    public required ImmutableArray<ImmutableArray<VcpuCondition>> Conditions { get; init; }

    /// <summary>The first <see cref="StalledMax"/> starved or hung vCPUs, lowest VM first.</summary>
    public required ImmutableArray<StalledVcpu> Stalled { get; init; }

    /// <summary>Findings since the snapshot before.</summary>
    public required ImmutableArray<Finding> Findings { get; init; }

    /// <summary>What stopped VMs or vCPUs and is not the defect, in sentences; empty when all is well.</summary>
    public ImmutableArray<string> Failures { get; init; } = [];

    /// <summary>Whether no VM is in service.</summary>
    public bool IsOutOfService { get; init; }

    /// <summary>Why this machine cannot run the cohort; null where it can.</summary>
    public string? Unsupported { get; init; }

    /// <summary>
    /// The evidence of each hang that was not expected, in sentences, where the kind has more to say than their number.
    /// </summary>
    public ImmutableArray<string> Violations { get; init; } = [];

    /// <summary>What must still be seen before the cohort may pass, in sentences.</summary>
    public ImmutableArray<string> Missing { get; init; } = [];

    /// <summary>
    /// The counter from which vCPUs of a control must hang, under the kernel that it runs now; null where that is not known.
    /// </summary>
    public ulong? HangExpectedFrom { get; init; }

    /// <summary>What was seen that justifies a pass, in sentences.</summary>
    public ImmutableArray<string> Seen { get; init; } = [];

    /// <summary>When boundaries will be crossed; null where the rate is not that of a real clock.</summary>
    public CounterForecast? Forecast { get; init; }

    /// <summary>What the figures are about and what they do not cover, in lines for the summary of a run.</summary>
    public ImmutableArray<string> Remarks { get; init; } = [];
}

/// <summary>The snapshot of an <see cref="ExternalCohort"/>, which may come to an end of its own.</summary>
public abstract record ExternalSnapshot : CohortSnapshot
{
    /// <summary>Whether running longer would show nothing more.</summary>
    public required bool IsOver { get; init; }

    /// <summary>0 to 1: how much of its work is done.</summary>
    public required double Share { get; init; }

    /// <summary>How far it is, in one line.</summary>
    public required string Progress { get; init; }
}

/// <summary>How fast counters move, and when boundaries will be crossed at that rate.</summary>
/// <param name="InvalidationsPerSecond">Of all VMs, over the last seconds.</param>
/// <param name="Since">How long the rate has been measured.</param>
/// <param name="Crossings">Each boundary that the last VM is still to cross, lowest first. Empty where there is no rate.</param>
public sealed record CounterForecast(double InvalidationsPerSecond, TimeSpan Since, ImmutableArray<BoundaryForecast> Crossings);

/// <summary>When a boundary will be crossed.</summary>
/// <param name="Boundary">The boundary.</param>
/// <param name="Expected">When the last VM is expected to cross it.</param>
public readonly record struct BoundaryForecast(Boundary Boundary, DateTimeOffset Expected);
