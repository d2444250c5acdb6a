using System.Globalization;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Metrics;

/// <summary>The watchdog's latest report as metrics. Every cohort has its series, at zero, before it has figures.</summary>
internal sealed class FleetMetrics
{
    private static readonly Verdict[] Verdicts = Enum.GetValues<Verdict>();

    private const string Unknown = "unknown";

    // For kernels that name no boundary of their own, such as one that is not expected to hang.
    private const ulong HangBoundary = 1UL << 31;

    private readonly Func<IReadOnlyList<Cohort>> _cohorts;
    private readonly FleetPart _part;
    private readonly int _vectorBits;
    private readonly Func<FleetReport> _latest;
    private readonly MetricFamily _invalidations,
        _guestAccesses,
        _faults,
        _unjustifiedRetries,
        _overcautiousRetries;
    private readonly MetricFamily _unsafeInstalls,
        _staleMappings,
        _accountingErrors;
    private readonly MetricFamily _recoveries,
        _vms,
        _vcpus,
        _lastProgress,
        _stallInfo,
        _invalidateSeq,
        _crossings,
        _interleavingsSeen,
        _interleavingsPossible,
        _lives,
        _controlHangs,
        _detectionTicks,
        _verdict,
        _incidents;
    private readonly MetricFamily _expectedCrossing;
    private readonly MetricFamily _lastSlice, _slices, _busy, _sliceMax, _idle, _workers, _hangExpectedFrom, _buildInfo;
    private readonly MetricFamily _fleetParts;

    /// <summary>Registers every family.</summary>
    /// <param name="registry">Where.</param>
    /// <param name="cohorts">Returns the cohorts that there are now.</param>
    /// <param name="part">The part of the fleet that this process runs.</param>
    /// <param name="vectorBits">Width of the vectors in bits.</param>
    /// <param name="latest">Returns the watchdog's latest report.</param>
    public FleetMetrics(
        MetricRegistry registry, Func<IReadOnlyList<Cohort>> cohorts, FleetPart part, int vectorBits, Func<FleetReport> latest)
    {
        (_cohorts, _part, _vectorBits, _latest) = (cohorts, part, vectorBits, latest);
        _invalidations = registry.Add(DeclaredMetrics.Invalidations);
        _guestAccesses = registry.Add(DeclaredMetrics.GuestAccesses);
        _faults = registry.Add(DeclaredMetrics.Faults);
        _unjustifiedRetries = registry.Add(DeclaredMetrics.UnjustifiedRetries);
        _overcautiousRetries = registry.Add(DeclaredMetrics.OvercautiousRetries);
        _unsafeInstalls = registry.Add(DeclaredMetrics.UnsafeInstalls);
        _staleMappings = registry.Add(DeclaredMetrics.StaleMappings);
        _accountingErrors = registry.Add(DeclaredMetrics.AccountingErrors);
        _recoveries = registry.Add(DeclaredMetrics.Recoveries);
        _vms = registry.Add(DeclaredMetrics.Vms);
        _vcpus = registry.Add(DeclaredMetrics.Vcpus);
        _lastProgress = registry.Add(DeclaredMetrics.LastProgress);
        _stallInfo = registry.Add(DeclaredMetrics.StallInfo);
        _invalidateSeq = registry.Add(DeclaredMetrics.InvalidateSeq);
        _crossings = registry.Add(DeclaredMetrics.Crossings);
        _interleavingsSeen = registry.Add(DeclaredMetrics.InterleavingsSeen);
        _interleavingsPossible = registry.Add(DeclaredMetrics.InterleavingsPossible);
        _lives = registry.Add(DeclaredMetrics.LivesStarted);
        _controlHangs = registry.Add(DeclaredMetrics.ControlHangs);
        _detectionTicks = registry.Add(DeclaredMetrics.DetectionTicks);
        _verdict = registry.Add(DeclaredMetrics.Verdict);
        _incidents = registry.Add(DeclaredMetrics.Incidents);
        _expectedCrossing = registry.Add(DeclaredMetrics.ExpectedCrossing);
        _lastSlice = registry.Add(DeclaredMetrics.LastSlice);
        _slices = registry.Add(DeclaredMetrics.Slices);
        _busy = registry.Add(DeclaredMetrics.Busy);
        _sliceMax = registry.Add(DeclaredMetrics.SliceMax);
        _idle = registry.Add(DeclaredMetrics.Idle);
        _workers = registry.Add(DeclaredMetrics.Workers);
        _fleetParts = registry.Add(DeclaredMetrics.FleetParts);
        _hangExpectedFrom = registry.Add(DeclaredMetrics.HangExpectedFrom);
        _buildInfo = registry.Add(DeclaredMetrics.BuildInfo);
        registry.BeforeScrape(Fill);
    }

    private void Fill()
    {
        FleetReport report = _latest();
        var reports = report.Cohorts.ToDictionary(cohort => cohort.Cohort.Name);
        foreach (Cohort cohort in _cohorts())
            Fill(cohort, reports.GetValueOrDefault(cohort.Name));
        foreach (WorkerReport worker in report.Workers)
            Fill(worker);
        _workers.Set(report.Workers.Length);
        _fleetParts.Set(_part.Count, Text(_part.Index), Text(_part.Count));
        _buildInfo.Set(1, ProgramVersion.Current, Text(ModelVersion.Current), Text(_vectorBits));
    }

    private void Fill(Cohort cohort, CohortReport? report)
    {
        (string name, string kernel, string expect) = (
            cohort.Name,
            report?.KernelName ?? cohort.KernelName,
            cohort.Expected.Label());
        FillTotals(report?.Totals ?? cohort.NoTotals, cohort.Expected, name, kernel);
        if (CoverageOf(cohort, report) is { } coverage)
        {
            _interleavingsPossible.Set(coverage.Possible, name, kernel);
            foreach (BoundaryCoverage boundary in coverage.Boundaries)
                _interleavingsSeen.Set(boundary.Seen, name, kernel, boundary.Boundary.Name);
        }

        foreach (BoundaryForecast crossing in report?.Snapshot.Forecast?.Crossings ?? [])
            _expectedCrossing.Set(Seconds(crossing.Expected), name, kernel, crossing.Boundary.Name);

        IncidentCounts incidents = report?.Incidents ?? default;
        _incidents.Set(incidents.Hangs, name, kernel, "hang");
        _incidents.Set(incidents.UnsafeInstalls, name, kernel, "unsafe_install");
        _incidents.Set(incidents.StaleMappings, name, kernel, "stale_mapping");
        _incidents.Set(incidents.AccountingErrors, name, kernel, "accounting_error");
        _incidents.Set(incidents.Deadlocks, name, kernel, "deadlock");

        Set(
            _invalidateSeq,
            report is null ? cohort.InvalidateSeqStart : report.Snapshot.InvalidateSeq?.Min.Low,
            name,
            kernel,
            "min");
        Set(
            _invalidateSeq,
            report is null ? cohort.InvalidateSeqStart : report.Snapshot.InvalidateSeq?.Median.Low,
            name,
            kernel,
            "median");
        Set(
            _invalidateSeq,
            report is null ? cohort.InvalidateSeqStart : report.Snapshot.InvalidateSeq?.Max.High,
            name,
            kernel,
            "max");
        if (cohort is SimulatedCohort { Expected: Defect.Hang } control)
        {
            ulong configured = control.Kernel.Info.ExpectedFrom is var from and not 0 ? from : HangBoundary;
            _hangExpectedFrom.Set(report?.Snapshot.HangExpectedFrom ?? configured, name, kernel);
        }

        _vms.Set(report?.Cohort.Vms ?? cohort.Vms, name, kernel, expect, cohort.Kind);
        _vcpus.Set(report?.Running ?? (double)cohort.Vcpus, name, kernel, expect, "running");
        _vcpus.Set(report?.Starved ?? 0, name, kernel, expect, "starved");
        _vcpus.Set((report?.Hung - report?.Deadlocked) ?? 0, name, kernel, expect, "hung");
        _vcpus.Set(report?.Deadlocked ?? 0, name, kernel, expect, "deadlocked");
        _vcpus.Set(report?.Stopped ?? 0, name, kernel, expect, "stopped");
        Verdict verdict = report?.Verdict ?? Verdict.Inconclusive;
        foreach (Verdict other in Verdicts)
            _verdict.Set(other == verdict ? 1 : 0, name, kernel, expect, other.ToString().ToLowerInvariant());

        if (report is null)
            return;
        foreach (Stall stall in report.Stalls)
        {
            StalledVcpu vcpu = stall.Vcpu;
            _lastProgress.Set(Seconds(stall.LastProgress), name, kernel, Text(vcpu.Vm), Text(vcpu.Vcpu));
            _stallInfo.Set(
                1, name, kernel, expect, Text(vcpu.Vm), Text(vcpu.Vcpu), vcpu.Condition.ToString().ToLowerInvariant(),
                vcpu.Page is { } page ? Text(page) : Unknown, vcpu.InvalidateSeq?.ToString() ?? Unknown,
                vcpu.Snapshot is { } snapshot ? Hex(snapshot) : Unknown);
        }
    }

    /// <summary>What crossings covered; null for cohorts of a kind that does not know.</summary>
    private static CrossingCoverage? CoverageOf(Cohort cohort, CohortReport? report) => (report?.Snapshot, cohort) switch
    {
        (SimulatedSnapshot snapshot, _) => snapshot.Coverage,
        (null, SimulatedCohort { Kernel: var kernel, Vm: var vm }) => CrossingCoverage.None(Interleavings.Of(kernel, vm)),
        _ => null,
    };

    private void FillTotals(CohortTotals totals, Defect expected, string name, string kernel)
    {
        Set(_invalidations, totals.Invalidations, name, kernel);
        Set(_faults, totals.Fixed, name, kernel, "fixed");
        Set(_faults, totals.Retried, name, kernel, "retried");
        Set(_guestAccesses, totals.GuestAccesses, name, kernel);
        Set(_unjustifiedRetries, totals.UnjustifiedRetries, name, kernel);
        Set(_overcautiousRetries, totals.OvercautiousRetries, name, kernel);
        Set(_unsafeInstalls, totals.UnsafeInstalls, name, kernel);
        Set(_staleMappings, totals.StaleMappings, name, kernel);
        Set(_accountingErrors, totals.AccountingErrors, name, kernel);
        _recoveries.Set(totals.Recoveries, name, kernel);
        Set(_lives, totals.LivesStarted, name, kernel);
        if (expected == Defect.Hang)
        {
            Set(_controlHangs, totals.HangsCaught, name, kernel, "caught");
            Set(_controlHangs, totals.HangsMissed, name, kernel, "missed");
            Set(_detectionTicks, totals.DetectionTicks, name, kernel);
        }

        foreach (BoundaryCrossings crossings in totals.Crossings)
            _crossings.Set(crossings.Vms, name, kernel, crossings.Boundary.Name);
    }

    /// <summary>A figure that was not measured has no series.</summary>
    private static void Set(MetricFamily family, double? value, params string[] labels)
    {
        if (value is { } measured)
            family.Set(measured, labels);
    }

    private void Fill(WorkerReport worker)
    {
        string index = Text(worker.Index);
        _lastSlice.Set(Seconds(worker.LastSlice), index);
        _slices.Set(worker.Slices, index);
        _busy.Set(worker.Busy.TotalSeconds, index);
        _sliceMax.Set(worker.LongestSlice.TotalSeconds, index);
        _idle.Set(worker.IsIdle ? 1 : 0, index);
    }

    private static double Seconds(DateTimeOffset time) => (time - DateTimeOffset.UnixEpoch).TotalSeconds;

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);

    private static string Hex(ulong value) => string.Create(CultureInfo.InvariantCulture, $"0x{value:x}");
}
