using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;

namespace SoakHost.Engine.Watchdogs;

/// <summary>Everything the watchdog knows at one time. Immutable; metrics, logs, API and page all read this.</summary>
public sealed record FleetReport
{
    /// <summary>When it was made.</summary>
    public required DateTimeOffset Time { get; init; }

    /// <summary>
    /// The same by the timestamps of the <see cref="TimeProvider"/>: ages are taken from it, since the time of day may be set.
    /// </summary>
    public long Timestamp { get; init; }

    /// <summary>When the watchdog began to watch.</summary>
    public required DateTimeOffset Started { get; init; }

    /// <summary>Operations that were done before the watchdog began: those of a run that was resumed.</summary>
    public long OperationsBefore { get; init; }

    /// <summary>The cohorts that have figures, in the order of the fleet.</summary>
    public required ImmutableArray<CohortReport> Cohorts { get; init; }

    /// <summary>How many cohorts there are, those without figures too.</summary>
    public int CohortsInAll { get; init; }

    /// <summary>Cohorts that were removed in this run: what they did and showed, without any VMs.</summary>
    public ImmutableArray<CohortReport> Removed { get; init; } = [];

    /// <summary>Operations of the run, those of cohorts that were removed too.</summary>
    public long Operations => Cohorts.Concat(Removed).Sum(cohort => cohort.Totals.Operations);

    /// <summary>The workers.</summary>
    public required ImmutableArray<WorkerReport> Workers { get; init; }

    /// <summary>Whether every VM has come to the run's last tick.</summary>
    public bool IsDone { get; init; }

    /// <summary>Workers that have finished no slice for longer than the watchdog allows.</summary>
    public required ImmutableArray<int> SilentWorkers { get; init; }

    /// <summary>The run's verdict so far.</summary>
    public required Verdict Verdict { get; init; }

    /// <summary>Why it is not a pass; empty when it is.</summary>
    public required ImmutableArray<VerdictReason> Reasons { get; init; }

    /// <summary>What was seen, in one line, as <see cref="Verdicts.Evidence"/> says it.</summary>
    public string Evidence => Verdicts.Evidence(Cohorts);
}

/// <summary>One cohort's part of a report.</summary>
public sealed record CohortReport
{
    /// <summary>What was configured, with the number of VMs that the figures describe.</summary>
    public required Cohort Cohort { get; init; }

    /// <summary>
    /// What was configured, with the number of VMs in all parts of the fleet: what a VM's number is counted in.
    /// </summary>
    public Cohort WholeCohort => Snapshot is SimulatedSnapshot simulated ? Cohort with { Vms = simulated.VmsInFleet } : Cohort;

    /// <summary>Its latest figures.</summary>
    public required CohortSnapshot Snapshot { get; init; }

    /// <summary>vCPUs whose faults are fixed.</summary>
    public required int Running { get; init; }

    /// <summary>vCPUs that are starved.</summary>
    public required int Starved { get; init; }

    /// <summary>vCPUs that are hung, deadlocked ones included.</summary>
    public required int Hung { get; init; }

    /// <summary>vCPUs that are deadlocked.</summary>
    public int Deadlocked { get; init; }

    /// <summary>vCPUs that make no progress for a reason that is not the defect.</summary>
    public int Stopped { get; init; }

    /// <summary>
    /// Incidents since the run began, by kind: vCPUs that hung, VMs with unsafe installs, stale mappings, accounting errors.
    /// </summary>
    public required IncidentCounts Incidents { get; init; }

    /// <summary>Stalled vCPUs with the time of their last progress; at most 100 in all of a report's cohorts.</summary>
    public required ImmutableArray<Stall> Stalls { get; init; }

    /// <summary>The verdict so far.</summary>
    public required Verdict Verdict { get; init; }

    /// <summary>The sentences that justify it.</summary>
    public required ImmutableArray<string> Reasons { get; init; }

    /// <summary>The sentences in one line.</summary>
    public string Reason => string.Join("; ", Reasons.Select(reason => reason.TrimEnd('.')));

    /// <summary>The name of the kernel that the VMs run now.</summary>
    public string KernelName => Snapshot.KernelName;

    /// <summary>All vCPUs whose condition is known.</summary>
    public int Vcpus => Running + Starved + Hung + Stopped;

    /// <summary>Sums over the cohort's VMs.</summary>
    public CohortTotals Totals => Snapshot.Totals;

    /// <summary>Findings since the report before.</summary>
    public ImmutableArray<Finding> Findings => Snapshot.Findings;
}

/// <summary>A stalled vCPU.</summary>
/// <param name="Vcpu">Which, and how it was found.</param>
/// <param name="LastProgress">
/// When it last made progress: as its source says, or the time of the last report in which it was not stalled.
/// </param>
public readonly record struct Stall(StalledVcpu Vcpu, DateTimeOffset LastProgress);
