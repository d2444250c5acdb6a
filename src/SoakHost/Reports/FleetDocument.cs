using System.Globalization;
using System.Text.Json.Serialization;
using SoakHost.Configuration;
using SoakHost.Engine;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;

namespace SoakHost.Reports;

/// <summary>The watchdog's report as JSON. Its size is bounded: at most 100 cohorts, as many that were removed, 1024 workers and 100 stalled vCPUs.</summary>
internal sealed record FleetDocument
{
    // A cohort of a million VMs can lose thousands of shards.
    private const int FailuresMax = 10;
    private const int RemovedMax = 100;

    public required Verdict Verdict { get; init; }

    public required IReadOnlyList<string> Reasons { get; init; }

    public required ulong Seed { get; init; }

    public required int ModelVersion { get; init; }

    public required DateTimeOffset Started { get; init; }

    public required DateTimeOffset Time { get; init; }

    public required double ElapsedSeconds { get; init; }

    public required long Operations { get; init; }

    public required double OperationsPerSecond { get; init; }

    public required IReadOnlyList<CohortDocument> Cohorts { get; init; }

    /// <summary>Cohorts that were removed while the run went on, the first of them.</summary>
    public required IReadOnlyList<RemovedDocument> Removed { get; init; }

    /// <summary>Whether every VM has come to the run's last tick.</summary>
    public required bool IsDone { get; init; }

    public required IReadOnlyList<WorkerDocument> Workers { get; init; }

    public required IReadOnlyList<int> SilentWorkers { get; init; }

    /// <summary>The program's version, for those who follow the fleet and may outlive the program.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Version { get; init; }

    /// <summary>The run's number in the data directory, for those who follow the fleet: incidents of other runs are kept there too. Absent as long as it has none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public long? Run { get; init; }

    /// <summary>The time between two reports, for those who follow the fleet and are to know when it has gone silent.</summary>
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
            Seed = run.Seed,
            ModelVersion = Model.ModelVersion.Current,
            Started = report.Started,
            Time = report.Time,
            ElapsedSeconds = elapsed,
            Operations = operations,
            OperationsPerSecond = elapsed > 0 ? (operations - report.OperationsBefore) / elapsed : 0,
            Cohorts = [.. report.Cohorts.Select(cohort => Of(cohort, run))],
            Removed = [.. report.Removed.Take(RemovedMax).Select(cohort => new RemovedDocument(
                cohort.Cohort.Name, cohort.Kernel.Info.Name, cohort.Totals.Operations, cohort.Verdict, cohort.Reason))],
            IsDone = report.IsDone,
            Workers = [.. report.Workers.Select(Of)],
            SilentWorkers = report.SilentWorkers,
        };
    }

    /// <summary>The document of a report for those who follow the fleet: with what they alone need, and the vCPUs in cells.</summary>
    public static FleetDocument WithCells(FleetReport report, SoakOptions run, long runId)
    {
        FleetDocument document = Of(report, run);
        VcpuCells?[] cells = VcpuCells.Of(report.Cohorts);
        return document with
        {
            Version = ProgramVersion.Current,
            Run = runId == 0 ? null : runId,
            IntervalSeconds = run.WatchdogInterval.TotalSeconds,
            Cohorts = [.. document.Cohorts.Select((cohort, c) => cohort with { VcpuCells = cells[c] })],
        };
    }

    private static CohortDocument Of(CohortReport report, SoakOptions run)
    {
        CohortSnapshot snapshot = report.Snapshot;
        Totals totals = report.Totals;
        return new CohortDocument
        {
            Name = report.Cohort.Name,
            Kernel = report.Kernel.Info.Name,
            Expect = report.Cohort.Expected.Label(),
            Vms = report.Cohort.Vms,
            Vcpus = report.Cohort.Vms * report.Cohort.Vm.Vcpus,
            Operations = totals.Operations,
            Invalidations = totals.Invalidations,
            FaultsFixed = totals.Fixed,
            FaultsRetried = totals.Retried,
            GuestAccesses = totals.GuestAccesses,
            Crossings = Reports.Crossings.ByBoundary(totals, snapshot.Host),
            InvalidateSeq = new(Hex(snapshot.InvalidateSeqMin), Hex(snapshot.InvalidateSeqMedian), Hex(snapshot.InvalidateSeqMax)),
            VcpusRunning = report.Running,
            VcpusStarved = report.Starved,
            VcpusHung = report.Hung,
            InvalidationsPaused = snapshot.InvalidationsPaused,
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
            Host = snapshot.Host is { } host ? Of(host) : null,
        };
    }

    private static HostDocument Of(HostFigures host) => new(
        host.KernelRelease,
        host.Mmu,
        host.Cpu,
        host.InvalidationsPerSecond,
        host.Until,
        host.Boundaries.Where(boundary => boundary.Expected is not null).ToDictionary(boundary => boundary.Name, boundary => boundary.Expected!.Value),
        host.ExpectedEnd,
        host.NotCovered);

    private static StallDocument Of(in StalledVcpu vcpu, DateTimeOffset lastProgress, CohortReport report, SoakOptions run)
    {
        Cohort cohort = report.Cohort;
        IncidentId? hang = vcpu.Condition == VcpuCondition.Hung
            ? new(FindingKind.VcpuHung, cohort.Name, vcpu.Vm, vcpu.Vcpu, vcpu.Tick) : null;
        return new StallDocument(
            vcpu.Vm, vcpu.Vcpu, vcpu.Condition, vcpu.Page, Hex(vcpu.InvalidateSeq),
            cohort.Kernel.Info.IsSimulated ? Hex(vcpu.Snapshot) : "unknown", vcpu.Tick, lastProgress,
            hang?.ToString(), hang is { } id ? ReplayCommandLine.Of(report, run, id) : null);
    }

    private static WorkerDocument Of(WorkerReport worker) => new(
        worker.Index, worker.LastSlice, worker.Slices, worker.Busy.TotalSeconds, worker.LongestSlice.TotalSeconds, worker.IsIdle);

    private static string Hex(ulong value) => string.Create(CultureInfo.InvariantCulture, $"0x{value:x}");
}

/// <summary>One cohort of a <see cref="FleetDocument"/>.</summary>
internal sealed record CohortDocument
{
    public required string Name { get; init; }

    public required string Kernel { get; init; }

    public required string Expect { get; init; }

    public required int Vms { get; init; }

    public required int Vcpus { get; init; }

    public required long Operations { get; init; }

    public required long Invalidations { get; init; }

    public required long FaultsFixed { get; init; }

    public required long FaultsRetried { get; init; }

    public required long GuestAccesses { get; init; }

    public required IReadOnlyDictionary<string, long> Crossings { get; init; }

    public required CounterDocument InvalidateSeq { get; init; }

    public required int VcpusRunning { get; init; }

    public required int VcpusStarved { get; init; }

    public required int VcpusHung { get; init; }

    /// <summary>Whether no invalidation begins until an intervention resumes them.</summary>
    public required bool InvalidationsPaused { get; init; }

    public required long VcpuRecoveries { get; init; }

    public required long UnjustifiedRetries { get; init; }

    public required long OvercautiousRetries { get; init; }

    public required long UnsafeInstalls { get; init; }

    public required long StaleMappings { get; init; }

    public required long AccountingErrors { get; init; }

    public required Verdict Verdict { get; init; }

    public required string Reason { get; init; }

    public required IReadOnlyList<string> Failures { get; init; }

    public required IReadOnlyList<StallDocument> Stalled { get; init; }

    /// <summary>The vCPUs in cells, for those who follow the fleet; absent where a cohort has none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public VcpuCells? VcpuCells { get; init; }

    /// <summary>What only real VMs have.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public HostDocument? Host { get; init; }
}

/// <summary>What a cohort had done and shown as it was removed.</summary>
internal sealed record RemovedDocument(string Name, string Kernel, long Operations, Verdict Verdict, string Reason);

/// <summary>Where real VMs run, and how far they are.</summary>
internal sealed record HostDocument(
    string KernelRelease,
    string Mmu,
    string Cpu,
    double InvalidationsPerSecond,
    long Until,
    IReadOnlyDictionary<string, DateTimeOffset> ExpectedCrossings,
    DateTimeOffset? ExpectedEnd,
    IReadOnlyList<string> NotCovered);
