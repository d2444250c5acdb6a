using System.Globalization;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Reports;

namespace SoakHost.Metrics;

/// <summary>What the watchdog's latest report says, as metrics. Series of every cohort of the fleet exist, at zero, before it has figures.</summary>
internal sealed class FleetMetrics
{
    private static readonly Verdict[] Verdicts = Enum.GetValues<Verdict>();

    private const string Unknown = "unknown";

    // Where a kernel does not say, such as one that is not expected to hang at all.
    private const ulong HangBoundary = 1UL << 31;

    private readonly Func<IReadOnlyList<Cohort>> _cohorts;
    private readonly int _vectorBits;
    private readonly Func<FleetReport> _latest;
    private readonly MetricFamily _invalidations, _guestAccesses, _faults, _unjustifiedRetries, _unsafeInstalls, _accountingErrors;
    private readonly MetricFamily _recoveries, _vms, _vcpus, _lastProgress, _stallInfo, _invalidateSeq, _crossings, _verdict, _incidents;
    private readonly MetricFamily _expectedCrossing;
    private readonly MetricFamily _lastSlice, _slices, _busy, _sliceMax, _idle, _workers, _hangExpectedFrom, _buildInfo;

    /// <summary>Registers every family.</summary>
    /// <param name="registry">Where.</param>
    /// <param name="cohorts">Tells the cohorts that there are.</param>
    /// <param name="vectorBits">Width of the vectors in bits.</param>
    /// <param name="latest">Tells the watchdog's latest report.</param>
    public FleetMetrics(MetricRegistry registry, Func<IReadOnlyList<Cohort>> cohorts, int vectorBits, Func<FleetReport> latest)
    {
        (_cohorts, _vectorBits, _latest) = (cohorts, vectorBits, latest);
        string[] cohort = ["cohort", "kernel"];
        _invalidations = registry.Counter("soakhost_invalidations_total", "Ended invalidations.", cohort);
        _faults = registry.Counter("soakhost_faults_total", "Completed fault attempts, by outcome: fixed or retried.", [.. cohort, "outcome"]);
        _guestAccesses = registry.Counter(
            "soakhost_guest_accesses_total", "Guest accesses that found their page mapped: the progress of vCPUs.", cohort);
        _unjustifiedRetries = registry.Counter("soakhost_unjustified_retries_total", "Retries that nothing warranted: a defect.", cohort);
        _unsafeInstalls = registry.Counter("soakhost_unsafe_installs_total", "Installs of a page that the host took away: a defect.", cohort);
        _accountingErrors = registry.Counter(
            "soakhost_accounting_errors_total", "Zaps after which the kernel's total of mapped pages was wrong: a defect.", cohort);
        _recoveries = registry.Counter("soakhost_vcpu_recoveries_total", "vCPUs that were hung and recovered.", cohort);
        _incidents = registry.Counter(
            "soakhost_incidents_total",
            "Incidents by kind: each time a vCPU hung, and VMs that had an unsafe install or an accounting error.",
            [.. cohort, "kind"]);
        _crossings = registry.Counter(
            "soakhost_boundary_crossings_total", "VMs whose counter crossed the boundary with a fault in flight.", [.. cohort, "boundary"]);
        _expectedCrossing = registry.Gauge(
            "soakhost_boundary_expected_crossing_timestamp_seconds",
            "When the last real VM is expected to cross the boundary at the present rate, in seconds since 1970. Absent for simulated VMs, "
            + "once it is crossed, and while there is no rate.",
            [.. cohort, "boundary"]);
        _vms = registry.Gauge("soakhost_vms", "VMs, by the kind of their cohort: simulated or host.", [.. cohort, "expect", "kind"]);
        _vcpus = registry.Gauge("soakhost_vcpus", "vCPUs by state: running, starved, hung, or stopped for a reason that is not the defect.", [.. cohort, "expect", "state"]);
        _lastProgress = registry.Gauge(
            "soakhost_vcpu_last_progress_timestamp_seconds",
            "When a stalled vCPU last made progress, in seconds since 1970. At most 100 vCPUs, stalled ones alone.",
            [.. cohort, "vm", "vcpu"]);
        _stallInfo = registry.Gauge(
            "soakhost_vcpu_stall_info",
            "1 for each stalled vCPU, with page, counter and snapshot as they were when it was found. At most 100 vCPUs.",
            [.. cohort, "expect", "vm", "vcpu", "state", "page", "invalidate_seq", "snapshot"]);
        _invalidateSeq = registry.Gauge(
            "soakhost_invalidate_seq", "mmu_invalidate_seq over the cohort's VMs: min, median or max. Of real VMs the least it can be, and for max the most.", [.. cohort, "stat"]);
        _hangExpectedFrom = registry.Gauge(
            "soakhost_hang_expected_from", "The mmu_invalidate_seq from which on the cohort must hang. Of cohorts that are expected to hang alone.", cohort);
        _verdict = registry.Gauge("soakhost_verdict", "1 for the cohort's verdict so far, 0 for the others.", [.. cohort, "expect", "verdict"]);
        _lastSlice = registry.Gauge(
            "soakhost_worker_last_slice_timestamp_seconds", "When the worker's last slice ended, in seconds since 1970.", "worker");
        _slices = registry.Counter("soakhost_worker_slices_total", "Slices that the worker finished.", "worker");
        _busy = registry.Counter("soakhost_worker_busy_seconds_total", "Time that the worker spent in slices, in seconds.", "worker");
        _sliceMax = registry.Gauge(
            "soakhost_worker_slice_max_seconds", "The longest slice between the watchdog's last two reports, in seconds.", "worker");
        _idle = registry.Gauge(
            "soakhost_worker_idle", "1 while the worker has nothing left to advance: every VM came to its last tick or was removed.", "worker");
        _workers = registry.Gauge("soakhost_workers", "Workers: 0 in a fleet of real VMs alone.");
        _buildInfo = registry.Gauge(
            "soakhost_build_info",
            "1, with the program's version, the model's, and the width of the vectors in bits.",
            "version", "model_version", "vector_bits");
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
        _buildInfo.Set(1, ProgramVersion.Current, Text(ModelVersion.Current), Text(_vectorBits));
    }

    private void Fill(Cohort cohort, CohortReport? report)
    {
        (string name, string kernel, string expect) = (cohort.Name, report?.KernelName ?? cohort.KernelName, cohort.Expected.Label());
        FillTotals(report?.Totals ?? cohort.NoTotals, name, kernel);
        foreach (BoundaryForecast crossing in report?.Snapshot.Forecast?.Crossings ?? [])
            _expectedCrossing.Set(Seconds(crossing.Expected), name, kernel, crossing.Boundary.Name);

        IncidentCounts incidents = report?.Incidents ?? default;
        _incidents.Set(incidents.Hangs, name, kernel, "hang");
        _incidents.Set(incidents.UnsafeInstalls, name, kernel, "unsafe_install");
        _incidents.Set(incidents.AccountingErrors, name, kernel, "accounting_error");

        Set(_invalidateSeq, report is null ? cohort.InvalidateSeqStart : report.Snapshot.InvalidateSeq?.Min.Low, name, kernel, "min");
        Set(_invalidateSeq, report is null ? cohort.InvalidateSeqStart : report.Snapshot.InvalidateSeq?.Median.Low, name, kernel, "median");
        Set(_invalidateSeq, report is null ? cohort.InvalidateSeqStart : report.Snapshot.InvalidateSeq?.Max.High, name, kernel, "max");
        if (cohort is SimulatedCohort { Expected: Defect.Hang } control)
        {
            Kernel runs = (report?.Snapshot as SimulatedSnapshot)?.Kernel ?? control.Kernel;
            _hangExpectedFrom.Set(runs.Info.ExpectedFrom is var from and not 0 ? from : HangBoundary, name, kernel);
        }

        _vms.Set(report?.Cohort.Vms ?? cohort.Vms, name, kernel, expect, cohort.Kind);
        _vcpus.Set(report?.Running ?? (double)cohort.Vcpus, name, kernel, expect, "running");
        _vcpus.Set(report?.Starved ?? 0, name, kernel, expect, "starved");
        _vcpus.Set(report?.Hung ?? 0, name, kernel, expect, "hung");
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

    private void FillTotals(CohortTotals totals, string name, string kernel)
    {
        Set(_invalidations, totals.Invalidations, name, kernel);
        Set(_faults, totals.Fixed, name, kernel, "fixed");
        Set(_faults, totals.Retried, name, kernel, "retried");
        Set(_guestAccesses, totals.GuestAccesses, name, kernel);
        Set(_unjustifiedRetries, totals.UnjustifiedRetries, name, kernel);
        Set(_unsafeInstalls, totals.UnsafeInstalls, name, kernel);
        Set(_accountingErrors, totals.AccountingErrors, name, kernel);
        _recoveries.Set(totals.Recoveries, name, kernel);
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
