using System.Collections.Immutable;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Watchdogs;

/// <summary>Everything the watchdog knows at one time. Immutable; metrics, logs, API and page all read this.</summary>
public sealed record FleetReport
{
    /// <summary>When it was made.</summary>
    public required DateTimeOffset Time { get; init; }

    /// <summary>The same by the timestamps of the <see cref="TimeProvider"/>: ages are taken from it, since the time of day may be set.</summary>
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
}

/// <summary>One cohort's part of a report.</summary>
public sealed record CohortReport
{
    /// <summary>What was configured, with the number of VMs that the figures are of.</summary>
    public required Cohort Cohort { get; init; }

    /// <summary>Whether anything was done to it since it came into the fleet, on which its VMs' histories depend then.</summary>
    public bool HasInterventions { get; init; }

    /// <summary>Its latest figures.</summary>
    public required CohortSnapshot Snapshot { get; init; }

    /// <summary>vCPUs whose faults get fixed.</summary>
    public required int Running { get; init; }

    /// <summary>vCPUs that are starved.</summary>
    public required int Starved { get; init; }

    /// <summary>vCPUs that are hung.</summary>
    public required int Hung { get; init; }

    /// <summary>Incidents since the run began, by kind: vCPUs that hung, VMs with unsafe installs, stale mappings, accounting errors.</summary>
    public required IncidentCounts Incidents { get; init; }

    /// <summary>Stalled vCPUs with the time at which they were last seen to get on; at most 100 in all of a report's cohorts.</summary>
    public required ImmutableArray<Stall> Stalls { get; init; }

    /// <summary>The verdict so far.</summary>
    public required Verdict Verdict { get; init; }

    /// <summary>Why, in a sentence.</summary>
    public required string Reason { get; init; }

    /// <summary>The kernel the VMs run now.</summary>
    public Kernel Kernel => Snapshot.Kernel;

    /// <summary>Sums over the cohort's VMs.</summary>
    public Totals Totals => Snapshot.Totals;

    /// <summary>What was found since the report before.</summary>
    public ImmutableArray<Finding> Findings => Snapshot.Findings;
}

/// <summary>A stalled vCPU.</summary>
/// <param name="Vcpu">Which, and how it was found.</param>
/// <param name="LastProgress">The last report in which it was not stalled, or the start of the run.</param>
public readonly record struct Stall(StalledVcpu Vcpu, DateTimeOffset LastProgress);

/// <summary>Incidents since the run began.</summary>
/// <param name="Hangs">vCPUs that hung, each time they did.</param>
/// <param name="UnsafeInstalls">VMs that had an unsafe install.</param>
/// <param name="AccountingErrors">VMs that had an accounting error.</param>
/// <param name="StaleMappings">VMs that had a stale mapping.</param>
public readonly record struct IncidentCounts(long Hangs, long UnsafeInstalls, long AccountingErrors, long StaleMappings)
{
    /// <summary>The sum of both.</summary>
    public static IncidentCounts operator +(IncidentCounts left, IncidentCounts right) => new(
        left.Hangs + right.Hangs,
        left.UnsafeInstalls + right.UnsafeInstalls,
        left.AccountingErrors + right.AccountingErrors,
        left.StaleMappings + right.StaleMappings);

    /// <summary>These and the incidents among some findings.</summary>
    internal IncidentCounts With(IEnumerable<Finding> findings)
    {
        (long hangs, long unsafeInstalls, long accountingErrors, long staleMappings) = this;
        foreach (Finding finding in findings)
        {
            hangs += finding.Kind == FindingKind.VcpuHung ? 1 : 0;
            unsafeInstalls += finding.Kind == FindingKind.UnsafeInstall ? 1 : 0;
            accountingErrors += finding.Kind == FindingKind.AccountingError ? 1 : 0;
            staleMappings += finding.Kind == FindingKind.StaleMapping ? 1 : 0;
        }

        return new(hangs, unsafeInstalls, accountingErrors, staleMappings);
    }
}
