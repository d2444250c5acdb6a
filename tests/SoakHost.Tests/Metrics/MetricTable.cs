namespace SoakHost.Tests.Metrics;

/// <summary>Every metric there is: alert rules, dashboards and the README rely on these names and labels.</summary>
internal static class MetricTable
{
    /// <summary>The one that simulated VMs do not have.</summary>
    public const string ExpectedCrossing = "soakhost_boundary_expected_crossing_timestamp_seconds";

    public static IReadOnlyDictionary<string, (string Type, string Labels)> All { get; } = new Dictionary<string, (string Type, string Labels)>
    {
        ["soakhost_invalidations_total"] = ("counter", "cohort,kernel"),
        ["soakhost_guest_accesses_total"] = ("counter", "cohort,kernel"),
        ["soakhost_faults_total"] = ("counter", "cohort,kernel,outcome"),
        ["soakhost_unjustified_retries_total"] = ("counter", "cohort,kernel"),
        ["soakhost_unsafe_installs_total"] = ("counter", "cohort,kernel"),
        ["soakhost_accounting_errors_total"] = ("counter", "cohort,kernel"),
        ["soakhost_vcpu_recoveries_total"] = ("counter", "cohort,kernel"),
        ["soakhost_boundary_crossings_total"] = ("counter", "cohort,kernel,boundary"),
        [ExpectedCrossing] = ("gauge", "cohort,kernel,boundary"),
        ["soakhost_incidents_total"] = ("counter", "cohort,kernel,kind"),
        ["soakhost_vms"] = ("gauge", "cohort,kernel,expect"),
        ["soakhost_vcpus"] = ("gauge", "cohort,kernel,expect,state"),
        ["soakhost_vcpu_last_progress_timestamp_seconds"] = ("gauge", "cohort,kernel,vm,vcpu"),
        ["soakhost_vcpu_stall_info"] = ("gauge", "cohort,kernel,expect,vm,vcpu,state,page,invalidate_seq,snapshot"),
        ["soakhost_invalidate_seq"] = ("gauge", "cohort,kernel,stat"),
        ["soakhost_verdict"] = ("gauge", "cohort,kernel,expect,verdict"),
        ["soakhost_worker_last_slice_timestamp_seconds"] = ("gauge", "worker"),
        ["soakhost_worker_slices_total"] = ("counter", "worker"),
        ["soakhost_worker_busy_seconds_total"] = ("counter", "worker"),
        ["soakhost_worker_slice_max_seconds"] = ("gauge", "worker"),
        ["soakhost_worker_idle"] = ("gauge", "worker"),
        ["soakhost_workers"] = ("gauge", ""),
        ["soakhost_hang_expected_from"] = ("gauge", "cohort,kernel"),
        ["soakhost_checkpoint_interval_seconds"] = ("gauge", ""),
        ["soakhost_checkpoint_last_success_timestamp_seconds"] = ("gauge", ""),
        ["soakhost_interventions_total"] = ("counter", "cohort,kind"),
        ["soakhost_build_info"] = ("gauge", "version,model_version,vector_bits"),
        ["soakhost_alerts_received_total"] = ("counter", "status"),
        ["process_start_time_seconds"] = ("gauge", ""),
        ["process_resident_memory_bytes"] = ("gauge", ""),
        ["process_cpu_seconds_total"] = ("counter", ""),
        ["process_open_fds"] = ("gauge", ""),
        ["dotnet_gc_collections_total"] = ("counter", "generation"),
        ["dotnet_gc_heap_bytes"] = ("gauge", ""),
        ["dotnet_gc_pause_seconds_total"] = ("counter", ""),
        ["dotnet_gc_allocated_bytes_total"] = ("counter", ""),
    };
}
