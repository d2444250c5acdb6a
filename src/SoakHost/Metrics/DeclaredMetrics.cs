using System.Reflection;

namespace SoakHost.Metrics;

/// <summary>Every metric of the program.</summary>
internal static class DeclaredMetrics
{
    private static readonly string[] OfCohort = ["cohort", "kernel"];

    public static readonly MetricDeclaration Invalidations = Counter("soakhost_invalidations_total", "Ended invalidations",
        OfCohort);

    public static readonly MetricDeclaration Faults =
        Counter("soakhost_faults_total", "Completed fault attempts by outcome: fixed or retried", [.. OfCohort, "outcome"]);

    public static readonly MetricDeclaration GuestAccesses =
        Counter("soakhost_guest_accesses_total", "Guest accesses that found their page mapped: the progress of vCPUs", OfCohort);

    public static readonly MetricDeclaration UnjustifiedRetries =
        Counter("soakhost_unjustified_retries_total", "Retries without a reason: a defect", OfCohort);

    public static readonly MetricDeclaration OvercautiousRetries =
        Counter("soakhost_overcautious_retries_total", "Retries because of other pages: no defect", OfCohort);

    public static readonly MetricDeclaration UnsafeInstalls =
        Counter("soakhost_unsafe_installs_total", "Installs of a page that the host had taken away: a defect", OfCohort);

    public static readonly MetricDeclaration StaleMappings =
        Counter("soakhost_stale_mappings_total", "Changes by the host of a page that the guest still had: a defect", OfCohort);

    public static readonly MetricDeclaration AccountingErrors =
        Counter("soakhost_accounting_errors_total", "Zaps after which the kernel's total of mapped pages was wrong: a defect",
            OfCohort);

    public static readonly MetricDeclaration Recoveries = Counter("soakhost_vcpu_recoveries_total",
        "vCPUs that were hung or deadlocked and recovered", OfCohort);

    public static readonly MetricDeclaration Crossings = Counter(
        "soakhost_boundary_crossings_total", "VMs whose counter crossed the boundary with a fault in flight",
        [.. OfCohort, "boundary"]);

    public static readonly MetricDeclaration InterleavingsSeen = Gauge(
        "soakhost_crossing_interleavings_seen",
        "Interleavings of vCPUs and invalidators in which counters of a simulated cohort crossed the boundary",
        [.. OfCohort, "boundary"]);

    public static readonly MetricDeclaration InterleavingsPossible = Gauge(
        "soakhost_crossing_interleavings_possible",
        "Interleavings in which a counter of the cohort can cross a boundary, the same number for each boundary", OfCohort);

    public static readonly MetricDeclaration LivesStarted = Counter(
        "soakhost_vm_lives_started_total", "Lives that simulated VMs started in place of one that had ended", OfCohort);

    public static readonly MetricDeclaration ControlHangs = Counter(
        "soakhost_control_hangs_total",
        "VMs of a control that crossed the boundary from which they must hang, by outcome: caught if one of their vCPUs was "
            + "found hung, missed if the life ended without a hang",
        [.. OfCohort, "outcome"]);

    public static readonly MetricDeclaration DetectionTicks = Counter(
        "soakhost_control_hang_detection_ticks_total",
        "Ticks from the crossing to the hang that was found, of all hangs of a control that were caught",
        OfCohort);

    public static readonly MetricDeclaration ExpectedCrossing = GaugeAtTimes(
        "soakhost_boundary_expected_crossing_timestamp_seconds",
        "When the last real VM is expected to cross the boundary at its present rate, in seconds since 1970. Absent for "
        + "simulated VMs, after the crossing, and without a rate",
        [.. OfCohort, "boundary"]);

    public static readonly MetricDeclaration Incidents = Counter(
        "soakhost_incidents_total",
        "Incidents by kind: hang and deadlock count each one of a vCPU, unsafe_install, stale_mapping and accounting_error "
            + "count VMs",
        [.. OfCohort, "kind"]);

    public static readonly MetricDeclaration Vms = Gauge(
        "soakhost_vms", "VMs, by the kind of their cohort: simulated or host", [.. OfCohort, "expect", "kind"]);

    public static readonly MetricDeclaration Vcpus = Gauge(
        "soakhost_vcpus", "vCPUs by state: running, starved, hung, deadlocked, or stopped for a reason that is not the defect",
        [.. OfCohort, "expect", "state"]);

    public static readonly MetricDeclaration LastProgress = GaugeAtTimes(
        "soakhost_vcpu_last_progress_timestamp_seconds",
        "When a stalled vCPU last made progress, in seconds since 1970, or when the service first saw it stalled. At most 100 "
        + "vCPUs",
        [.. OfCohort, "vm", "vcpu"]);

    public static readonly MetricDeclaration StallInfo = GaugeAtTimes(
        "soakhost_vcpu_stall_info",
        "1 for each stalled vCPU, with its page, counter and snapshot when it stalled. At most 100 vCPUs",
        [.. OfCohort, "expect", "vm", "vcpu", "state", "page", "invalidate_seq", "snapshot"]);

    public static readonly MetricDeclaration InvalidateSeq =
        Gauge(
            "soakhost_invalidate_seq",
            "mmu_invalidate_seq over the cohort's VMs: min, median or max. For real VMs the least it can be; max is the most",
            [.. OfCohort, "stat"]);

    public static readonly MetricDeclaration HangExpectedFrom = GaugeAtTimes(
        "soakhost_hang_expected_from",
        "The mmu_invalidate_seq at which the cohort must hang. Only for cohorts that are expected to hang", OfCohort);

    public static readonly MetricDeclaration Verdict = Gauge(
        "soakhost_verdict",
        "1 for the cohort's verdict so far, 0 for the others: pass, violation or inconclusive; for real VMs also unsupported",
        [.. OfCohort, "expect", "verdict"]);

    public static readonly MetricDeclaration LastSlice =
        Gauge("soakhost_worker_last_slice_timestamp_seconds", "When the worker's last slice ended, in seconds since 1970",
            "worker");

    public static readonly MetricDeclaration Slices = Counter("soakhost_worker_slices_total", "Slices that the worker finished",
        "worker");

    public static readonly MetricDeclaration Busy =
        Counter("soakhost_worker_busy_seconds_total", "Time that the worker spent in slices, in seconds", "worker");

    public static readonly MetricDeclaration SliceMax =
        Gauge("soakhost_worker_slice_max_seconds",
            "The worker's longest slice between the watchdog's last two reports, in seconds", "worker");

    public static readonly MetricDeclaration Idle =
        Gauge("soakhost_worker_idle", "1 while the worker has nothing to advance: every VM reached its last tick or was removed",
            "worker");

    public static readonly MetricDeclaration Workers = Gauge("soakhost_workers", "Workers; 0 in a fleet of real VMs only");

    public static readonly MetricDeclaration FleetParts = Gauge(
        "soakhost_fleet_parts",
        "Parts that the fleet is split into, 1 if it is not; the label part is the one that this process runs, counted from 0",
        "part", "parts");

    public static readonly MetricDeclaration CheckpointInterval =
        Gauge("soakhost_checkpoint_interval_seconds", "Configured time between two checkpoints, in seconds");

    public static readonly MetricDeclaration CheckpointLastSuccess = Gauge(
        "soakhost_checkpoint_last_success_timestamp_seconds",
        "When the last checkpoint of every shard was written, in seconds since 1970; before the first one, when the service "
        + "started");

    public static readonly MetricDeclaration CommitDuration = new MetricDeclaration(
        "soakhost_commit_duration_seconds", MetricType.Histogram,
        "Time that a commit to the database took, also one that failed, in seconds")
    {
        Buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    };

    public static readonly MetricDeclaration DataDirectoryBytes = GaugeAtTimes(
        "soakhost_data_directory_bytes",
        "Length of the files in the data directory at the last checkpoint, in bytes. Absent while it cannot be read");

    public static readonly MetricDeclaration DataDirectoryFree = GaugeAtTimes(
        "soakhost_data_directory_free_bytes",
        "What the file system of the data directory had left for the service at the last checkpoint, in bytes. Absent while it "
        + "cannot be read");

    public static readonly MetricDeclaration StorageLastFailure = GaugeAtTimes(
        "soakhost_storage_last_failure_timestamp_seconds",
        "When writing to the data directory failed last, in seconds since 1970. Absent where it has not since the start");

    public static readonly MetricDeclaration Interventions = Counter(
        "soakhost_interventions_total",
        "Interventions since the service started: kernel, migrate, pause, resume, memslots, counter, add, resize or remove",
        "cohort", "kind");

    public static readonly MetricDeclaration BuildInfo = Gauge(
        "soakhost_build_info", "1, with the versions of the program and the model, and the width of vectors in bits", "version",
        "model_version", "vector_bits");

    public static readonly MetricDeclaration AlertsReceived =
        Counter("soakhost_alerts_received_total", "Alerts received on the webhook by status: firing or resolved", "status");

    public static readonly MetricDeclaration RequestsRefused = Counter(
        "soakhost_requests_refused_total",
        "Requests refused by status: 401 without a token, 403 for another reason, 429 after too many of them from one address",
        "status");

    public static readonly MetricDeclaration StartTime = Gauge("process_start_time_seconds",
        "When the process started, in seconds since 1970");

    public static readonly MetricDeclaration ResidentMemory = Gauge("process_resident_memory_bytes", "Resident memory in bytes");

    public static readonly MetricDeclaration Cpu = Counter("process_cpu_seconds_total",
        "Processor time in user and kernel mode, in seconds");

    public static readonly MetricDeclaration OpenFds =
        Gauge("process_open_fds", "Open file descriptors, counted at most every 15 s. Only on Linux");

    public static readonly MetricDeclaration Collections = Counter(
        "dotnet_gc_collections_total", "Garbage collections by generation; each one collects the younger generations too",
        "generation");

    public static readonly MetricDeclaration Heap = Gauge("dotnet_gc_heap_bytes", "Managed heap in use, in bytes");

    public static readonly MetricDeclaration Pause =
        Counter("dotnet_gc_pause_seconds_total", "Time for which garbage collection stopped every thread, in seconds");

    public static readonly MetricDeclaration Allocated = Counter("dotnet_gc_allocated_bytes_total",
        "Bytes allocated on the managed heap");

    /// <summary>All of them, in the order of the documents.</summary>
    public static IReadOnlyList<MetricDeclaration> All { get; } =
    [
        .. typeof(DeclaredMetrics).GetFields(BindingFlags.Public | BindingFlags.Static)
            .Select(field => field.GetValue(null)).OfType<MetricDeclaration>(),
    ];

    private static MetricDeclaration Counter(string name, string help, params string[] labels) =>
        new(name, MetricType.Counter, help, labels);

    private static MetricDeclaration Gauge(string name, string help, params string[] labels) =>
        new(name, MetricType.Gauge, help, labels);

    private static MetricDeclaration GaugeAtTimes(string name, string help, params string[] labels) =>
        Gauge(name, help, labels) with { MayBeAbsent = true };
}
