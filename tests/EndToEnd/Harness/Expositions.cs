namespace SoakHost.EndToEnd.Harness;

/// <summary>What a service with a small fleet would expose, for <see cref="StubFleet.Exposition"/>.</summary>
public static class Expositions
{
    /// <summary>The control is hung, as expected. In cohort stable one vCPU is hung, unexpectedly, and one is starved.</summary>
    public static string StableHangs { get; } =
        Cohort("control", "linux-6.1", "hang", running: 3, starved: 0, hung: 5, "pass")
        + Cohort("stable", "linux-6.1.y", "progress", running: 6, starved: 1, hung: 1, "violation")
        + Stalled("stable", "linux-6.1.y", "progress", vm: 1, vcpu: 2, "hung")
        + Stalled("stable", "linux-6.1.y", "progress", vm: 0, vcpu: 3, "starved")
        + Service;

    /// <summary>The same fleet after cohort stable was patched: its vCPUs run, and the hung one has recovered.</summary>
    public static string StableRuns { get; } =
        Cohort("control", "linux-6.1", "hang", running: 3, starved: 0, hung: 5, "pass")
        + Cohort("stable", "linux-6.1.y", "progress", running: 8, starved: 0, hung: 0, "pass", recoveries: 1)
        + Service;

    /// <summary>
    /// What a watch exposes of two VMs: vCPU 2 of one is hung, and its counter moves; the other's counter was not read.
    /// </summary>
    public static string Watched { get; } =
        Vcpu("web-17", 2, "hung", "quiet", taken: 600_000, resolved: 0)
        + Vcpu("web-17", 0, "running", "", taken: 900, resolved: 900)
        + Vcpu("db", 0, "starved", "", taken: 5000, resolved: 300)
        + """
        soakhost_watch_invalidate_seq{vm="web-17"} 2000000*n
        soakhost_watch_expected_crossing_timestamp_seconds{vm="web-17"} 4000000000
        soakhost_watch_crossing_not_before_timestamp_seconds{vm="db"} 4000000000
        soakhost_watch_kernel_info{release="6.1.38",affected="yes",decided_by="check"} 1
        soakhost_watch_kernel_checked_timestamp_seconds{verdict="violation past 2^31"} now-90
        soakhost_watch_unread 1
        soakhost_watch_last_look_timestamp_seconds now-3

        """;

    private const string Service =
        """
        soakhost_worker_last_slice_timestamp_seconds{worker="0"} now-0
        soakhost_worker_slices_total{worker="0"} 200*n
        soakhost_worker_busy_seconds_total{worker="0"} 1*n
        soakhost_worker_slice_max_seconds{worker="0"} 0.004
        soakhost_worker_idle{worker="0"} 0
        soakhost_workers 1
        soakhost_fleet_parts{part="0",parts="1"} 1
        soakhost_hang_expected_from{cohort="control",kernel="linux-6.1"} 2147483648
        soakhost_checkpoint_interval_seconds 10
        soakhost_checkpoint_last_success_timestamp_seconds now-3
        soakhost_commit_duration_seconds_bucket{le="0.005"} 1*n
        soakhost_commit_duration_seconds_bucket{le="+Inf"} 1*n
        soakhost_commit_duration_seconds_sum 0.003*n
        soakhost_commit_duration_seconds_count 1*n
        soakhost_data_directory_bytes 900000
        soakhost_data_directory_free_bytes 90000000000
        soakhost_build_info{version="0.1.0",model_version="1",vector_bits="256"} 1
        soakhost_alerts_received_total{status="firing"} 1*n
        soakhost_alerts_received_total{status="resolved"} 0
        soakhost_requests_refused_total{status="401"} 0
        soakhost_requests_refused_total{status="403"} 0
        soakhost_requests_refused_total{status="429"} 0
        process_start_time_seconds 1700000000
        process_resident_memory_bytes 120000000
        process_cpu_seconds_total 2*n
        process_open_fds 210
        dotnet_gc_collections_total{generation="0"} 1*n
        dotnet_gc_heap_bytes 9000000
        dotnet_gc_pause_seconds_total 0
        dotnet_gc_allocated_bytes_total 1000*n

        """;

    private static string Cohort(
        string name, string kernel, string expect, int running, int starved, int hung, string verdict, int recoveries = 0)
    {
        string of = $"cohort=\"{name}\",kernel=\"{kernel}\"";
        return
            $$"""
            soakhost_invalidations_total{{{of}}} 500000*n
            soakhost_faults_total{{{of}},outcome="fixed"} 300000*n
            soakhost_faults_total{{{of}},outcome="retried"} 200000*n
            soakhost_guest_accesses_total{{{of}}} 900000*n
            soakhost_unjustified_retries_total{{{of}}} {{hung * 1000}}*n
            soakhost_overcautious_retries_total{{{of}}} 0
            soakhost_unsafe_installs_total{{{of}}} 0
            soakhost_stale_mappings_total{{{of}}} 0
            soakhost_accounting_errors_total{{{of}}} 0
            soakhost_vms{{{of}},expect="{{expect}}",kind="simulated"} 2
            soakhost_vcpus{{{of}},expect="{{expect}}",state="running"} {{running}}
            soakhost_vcpus{{{of}},expect="{{expect}}",state="starved"} {{starved}}
            soakhost_vcpus{{{of}},expect="{{expect}}",state="hung"} {{hung}}
            soakhost_vcpus{{{of}},expect="{{expect}}",state="deadlocked"} 0
            soakhost_vcpus{{{of}},expect="{{expect}}",state="stopped"} 0
            soakhost_vcpu_recoveries_total{{{of}}} {{recoveries}}
            soakhost_invalidate_seq{{{of}},stat="min"} 2147483700
            soakhost_invalidate_seq{{{of}},stat="median"} 2147484000
            soakhost_invalidate_seq{{{of}},stat="max"} 2147490000
            soakhost_crossing_interleavings_possible{{{of}}} 20
            soakhost_crossing_interleavings_seen{{{of}},boundary="2^31"} 17
            soakhost_vm_lives_started_total{{{of}}} 7*n
            soakhost_boundary_crossings_total{{{of}},boundary="2^15"} 0
            soakhost_boundary_crossings_total{{{of}},boundary="2^16"} 0
            soakhost_boundary_crossings_total{{{of}},boundary="2^31"} 2
            soakhost_boundary_crossings_total{{{of}},boundary="2^32"} 0
            soakhost_boundary_crossings_total{{{of}},boundary="2^63"} 0
            soakhost_boundary_crossings_total{{{of}},boundary="2^64"} 0
            soakhost_verdict{{{of}},expect="{{expect}}",verdict="pass"} {{(verdict == "pass" ? 1 : 0)}}
            soakhost_verdict{{{of}},expect="{{expect}}",verdict="violation"} {{(verdict == "violation" ? 1 : 0)}}
            soakhost_verdict{{{of}},expect="{{expect}}",verdict="inconclusive"} 0
            soakhost_verdict{{{of}},expect="{{expect}}",verdict="unsupported"} 0
            soakhost_interventions_total{cohort="{{name}}",kind="kernel"} 0
            soakhost_incidents_total{{{of}},kind="hang"} {{hung}}
            soakhost_incidents_total{{{of}},kind="unsafe_install"} 0
            soakhost_incidents_total{{{of}},kind="stale_mapping"} 0
            soakhost_incidents_total{{{of}},kind="accounting_error"} 0
            soakhost_incidents_total{{{of}},kind="deadlock"} 0

            """
            + (expect == "hang" ? ControlHangs(of, hung) : "");
    }

    private static string Vcpu(string vm, int vcpu, string state, string proof, long taken, long resolved)
    {
        string of = $"vm=\"{vm}\",kvm_id=\"100.4711.9\",vcpu=\"{vcpu}\"";
        return
            $$"""
            soakhost_watch_vcpu_state{vm="{{vm}}",vcpu="{{vcpu}}",state="{{state}}",proof="{{proof}}"} 1
            soakhost_watch_vcpu_faults_total{{{of}},kind="taken"} {{taken}}*n
            soakhost_watch_vcpu_faults_total{{{of}},kind="fixed"} {{resolved}}*n
            soakhost_watch_vcpu_faults_total{{{of}},kind="emulated"} 0
            soakhost_watch_vcpu_faults_total{{{of}},kind="spurious"} 0
            soakhost_watch_vcpu_faults_total{{{of}},kind="fast"} 0

            """;
    }

    private static string ControlHangs(string of, int hung) =>
        $$"""
        soakhost_control_hangs_total{{{of}},outcome="caught"} {{hung}}
        soakhost_control_hangs_total{{{of}},outcome="missed"} 0
        soakhost_control_hang_detection_ticks_total{{{of}}} {{hung * 4000}}

        """;

    private static string Stalled(string cohort, string kernel, string expect, int vm, int vcpu, string state)
    {
        string of = $"cohort=\"{cohort}\",kernel=\"{kernel}\",vm=\"{vm}\",vcpu=\"{vcpu}\"";
        return
            $$"""
            soakhost_vcpu_last_progress_timestamp_seconds{{{of}}} now-90
            soakhost_vcpu_stall_info{{{of}},expect="{{expect}}",state="{{state}}",page="5",invalidate_seq="0x80000000",snapshot="0xffffffff80000000"} 1

            """;
    }
}
