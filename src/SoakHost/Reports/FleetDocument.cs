using System.Collections.Immutable;
using System.Text.Json.Serialization;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Watchdogs;

namespace SoakHost.Reports;

/// <summary>
/// The watchdog's report as JSON. Its size is bounded: at most 100 cohorts, 100 removed cohorts, 1024 workers and 100 stalled
/// vCPUs.
/// </summary>
internal sealed record FleetDocument
{
    // A cohort of a million VMs can lose thousands of shards.
    private const int FailuresMax = 10;
    private const int RemovedMax = 100;

    public required Verdict Verdict { get; init; }

    /// <summary>Why the verdict is not a pass; empty when it is.</summary>
    public required IReadOnlyList<VerdictReason> Reasons { get; init; }

    /// <summary>What was seen, in one line: "41,200 crossings clean; the control hung in 10,233 of 10,233".</summary>
    public required string Evidence { get; init; }

    /// <summary>In hex, as all values of 64 bits: JavaScript's numbers have 53.</summary>
    public required string Seed { get; init; }

    public required int ModelVersion { get; init; }

    /// <summary>The part of the fleet that this process runs, such as "2/8"; "0/1" is all of it.</summary>
    public required string Part { get; init; }

    public required DateTimeOffset Started { get; init; }

    public required DateTimeOffset Time { get; init; }

    public required double ElapsedSeconds { get; init; }

    public required long Operations { get; init; }

    public required double OperationsPerSecond { get; init; }

    public required IReadOnlyList<CohortDocument> Cohorts { get; init; }

    /// <summary>Cohorts that were removed during the run, the first 100 of them.</summary>
    public required IReadOnlyList<RemovedDocument> Removed { get; init; }

    /// <summary>Whether every VM has reached the run's last tick.</summary>
    public required bool IsDone { get; init; }

    public required IReadOnlyList<WorkerDocument> Workers { get; init; }

    public required IReadOnlyList<int> SilentWorkers { get; init; }

    /// <summary>The program's version; in the stream only, whose clients can outlive the program.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Version { get; init; }

    /// <summary>
    /// The run's number in the data directory, which also keeps incidents of other runs; in the stream only. Absent until it has
    /// one.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public long? Run { get; init; }

    /// <summary>Whether the service also watches the VMs of its host; in the stream only, and absent where it does not.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public bool? Watches { get; init; }

    /// <summary>Seconds between two reports, so that clients notice silence; in the stream only.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? IntervalSeconds { get; init; }

    /// <summary>The document of a report.</summary>
    public static FleetDocument Of(FleetReport report, SoakOptions run)
    {
        double elapsed = (report.Time - report.Started).TotalSeconds;
        long operations = report.Operations;
        return new FleetDocument
        {
            Verdict = report.Verdict,
            Reasons = report.Reasons,
            Evidence = report.Evidence,
            Seed = Hex64.Of(run.Seed),
            ModelVersion = Model.ModelVersion.Current,
            Part = run.Part.ToString(),
            Started = report.Started,
            Time = report.Time,
            ElapsedSeconds = elapsed,
            Operations = operations,
            OperationsPerSecond = elapsed > 0 ? (operations - report.OperationsBefore) / elapsed : 0,
            Cohorts = [.. report.Cohorts.Select(cohort => Of(cohort, run))],
            Removed = [.. report.Removed.Take(RemovedMax).Select(cohort => new RemovedDocument(
                cohort.Cohort.Name, cohort.KernelName, cohort.Totals.Operations, cohort.Verdict, cohort.Reason))],
            IsDone = report.IsDone,
            Workers = [.. report.Workers.Select(Of)],
            SilentWorkers = report.SilentWorkers,
        };
    }

    /// <summary>The document of a report in the stream: with version, run, interval, and the vCPUs in cells.</summary>
    public static FleetDocument WithCells(FleetReport report, SoakOptions run, long runId)
    {
        FleetDocument document = Of(report, run);
        VcpuCells?[] cells = VcpuCells.Of(report.Cohorts);
        return document with
        {
            Version = ProgramVersion.Current,
            Run = runId == 0 ? null : runId,
            IntervalSeconds = run.WatchdogInterval.TotalSeconds,
            Watches = run.Watch ? true : null,
            Cohorts =
            [
                .. document.Cohorts.Select((cohort, c) => cohort with
                {
                    VcpuCells = cells[c],
                    Counters = CounterPlaces.Of(report.Cohorts[c].Snapshot),
                }),
            ],
        };
    }

    private static CohortDocument Of(CohortReport report, SoakOptions run)
    {
        CohortSnapshot snapshot = report.Snapshot;
        CohortTotals totals = report.Totals;
        var document = new CohortDocument
        {
            Name = report.Cohort.Name,
            Kind = report.Cohort.Kind,
            Kernel = report.KernelName,
            Expect = report.Cohort.Expected.Label(),
            Vms = report.Cohort.Vms,
            FirstVm = run.Part.Index,
            VmStep = run.Part.Count,
            Vcpus = report.Vcpus,
            Operations = totals.Operations,
            Invalidations = totals.Invalidations,
            FaultsFixed = totals.Fixed,
            FaultsRetried = totals.Retried,
            GuestAccesses = totals.GuestAccesses,
            LivesStarted = totals.LivesStarted,
            HangsCaught = totals.HangsCaught,
            HangsMissed = totals.HangsMissed,
            Crossings = totals.ByBoundary(),
            VmsCrossed = totals.ByBoundary(),
            ToyBoundary = ToyBoundary.Of(report.Cohort, totals)?.Name,
            InvalidateSeq = snapshot.InvalidateSeq is { } seq ? CounterDocument.Of(seq) : null,
            VcpusRunning = report.Running,
            VcpusStarved = report.Starved,
            VcpusHung = report.Hung,
            VcpusStopped = report.Stopped,
            VcpuRecoveries = totals.Recoveries,
            UnjustifiedRetries = totals.UnjustifiedRetries,
            OvercautiousRetries = totals.OvercautiousRetries,
            UnsafeInstalls = totals.UnsafeInstalls,
            StaleMappings = totals.StaleMappings,
            AccountingErrors = totals.AccountingErrors,
            Verdict = report.Verdict,
            Reason = report.Reason,
            Failures = [.. snapshot.Failures.Take(FailuresMax)],
            Stalled = [.. report.Stalls.Select(stall => Of(stall.Vcpu, stall.LastProgress, report, run))],
        };
        return KindDocuments.Complete(document, snapshot);
    }

    private static StallDocument Of(in StalledVcpu vcpu, DateTimeOffset lastProgress, CohortReport report, SoakOptions run)
    {
        Cohort cohort = report.Cohort;
        FindingKind kind = vcpu.Condition == VcpuCondition.Deadlocked ? FindingKind.Deadlock : FindingKind.VcpuHung;
        IncidentId? hang = vcpu.Condition.IsForEver() ? new(kind, cohort.Name, vcpu.Vm, vcpu.Vcpu, vcpu.Time) : null;
        return new StallDocument(
            vcpu.Vm,
            vcpu.Vcpu,
            vcpu.Condition,
            vcpu.Page,
            vcpu.InvalidateSeq?.ToString(),
            vcpu.Snapshot is { } held ? Hex64.Of(held) : null,
            vcpu.Time.Tick,
            vcpu.Time.Elapsed?.TotalSeconds,
            lastProgress,
            hang?.ToString(),
            hang is { } id ? ReplayCommandLine.Of(report, run, id, vcpu.Origin) : null);
    }

    private static WorkerDocument Of(WorkerReport worker) => new(
        worker.Index, worker.LastSlice, worker.Slices, worker.Busy.TotalSeconds, worker.LongestSlice.TotalSeconds, worker.IsIdle);
}

/// <summary>One cohort of a <see cref="FleetDocument"/>.</summary>
internal sealed record CohortDocument
{
    public required string Name { get; init; }

    /// <summary>The kind of cohort: "simulated" or "host".</summary>
    public required string Kind { get; init; }

    public required string Kernel { get; init; }

    public required string Expect { get; init; }

    public required int Vms { get; init; }

    /// <summary>The number of the first VM.</summary>
    public required int FirstVm { get; init; }

    /// <summary>The distance between the numbers of two VMs that follow each other: the number of parts of the fleet.</summary>
    public required int VmStep { get; init; }

    /// <summary>Ticks of the VMs that are furthest behind; absent for real VMs.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public long? Tick { get; init; }

    public required int Vcpus { get; init; }

    public required long Operations { get; init; }

    /// <summary>This and every other figure is null where this kind of cohort cannot measure it.</summary>
    public required long? Invalidations { get; init; }

    public required long? FaultsFixed { get; init; }

    public required long? FaultsRetried { get; init; }

    public required long? GuestAccesses { get; init; }

    /// <summary>Lives that VMs started in place of one that had ended.</summary>
    public required long? LivesStarted { get; init; }

    /// <summary>VMs of a control that crossed the boundary from which they must hang, and hung.</summary>
    public required long? HangsCaught { get; init; }

    /// <summary>VMs of a control that crossed that boundary, and whose lives ended without a hang.</summary>
    public required long? HangsMissed { get; init; }

    /// <summary>Crossings of each boundary with a fault in flight; a VM that crosses again counts again.</summary>
    public required IReadOnlyDictionary<string, long> Crossings { get; init; }

    /// <summary>VMs that crossed each boundary with a fault in flight, in any of their lives: each VM once.</summary>
    public required IReadOnlyDictionary<string, long> VmsCrossed { get; init; }

    /// <summary>
    /// The highest boundary that the cohort crosses, where it is below 2^31 and so says nothing about a real kernel; else null.
    /// </summary>
    public required string? ToyBoundary { get; init; }

    public required CounterDocument? InvalidateSeq { get; init; }

    public required int VcpusRunning { get; init; }

    public required int VcpusStarved { get; init; }

    public required int VcpusHung { get; init; }

    /// <summary>vCPUs that make no progress for a reason that is not the defect.</summary>
    public required int VcpusStopped { get; init; }

    /// <summary>Whether no invalidation begins until an intervention resumes them. Only simulated VMs can be paused.</summary>
    public bool InvalidationsPaused { get; init; }

    public required long VcpuRecoveries { get; init; }

    public required long? UnjustifiedRetries { get; init; }

    public required long? OvercautiousRetries { get; init; }

    public required long? UnsafeInstalls { get; init; }

    public required long? StaleMappings { get; init; }

    public required long? AccountingErrors { get; init; }

    public required Verdict Verdict { get; init; }

    public required string Reason { get; init; }

    public required IReadOnlyList<string> Failures { get; init; }

    public required IReadOnlyList<StallDocument> Stalled { get; init; }

    /// <summary>The vCPUs in cells; in the stream only, and absent where the state of a vCPU is unknown.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public VcpuCells? VcpuCells { get; init; }

    /// <summary>The interleavings in which simulated VMs crossed boundaries; absent for real VMs.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public CoverageDocument? Interleavings { get; init; }

    /// <summary>Where the counters are; in the stream only, and absent where not each of them is known.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ImmutableArray<CounterPlaces>? Counters { get; init; }

    /// <summary>Figures that only real VMs have.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public HostDocument? Host { get; init; }
}

/// <summary>A removed cohort's last figures.</summary>
internal sealed record RemovedDocument(string Name, string Kernel, long Operations, Verdict Verdict, string Reason);
