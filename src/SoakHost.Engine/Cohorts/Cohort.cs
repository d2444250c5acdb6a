using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Cohorts;

/// <summary>
/// VMs of one kernel and one set of parameters, as configured. Each kind of cohort is a subtype with parameters of its own; this
/// is what all kinds have.
/// </summary>
public abstract record Cohort
{
    /// <summary>Name, unique in the fleet.</summary>
    public required string Name { get; init; }

    /// <summary>Number of VMs; 0 where they are found only while the cohort runs.</summary>
    public required int Vms { get; init; }

    /// <summary>What must be seen for the cohort to pass.</summary>
    public Defect Expected { get; init; }

    /// <summary>The kind, as reports and metrics spell it: "simulated" or "host".</summary>
    public abstract string Kind { get; }

    /// <summary>The name of the kernel that the VMs start with.</summary>
    public abstract string KernelName { get; }

    /// <summary>vCPUs of each VM; null where VMs differ.</summary>
    public abstract int? VcpusPerVm { get; }

    /// <summary>Where <c>mmu_invalidate_seq</c> of every VM starts; null where nobody knows.</summary>
    public abstract ulong? InvalidateSeqStart { get; }

    /// <summary>The totals before anything happened: 0 for what this kind measures, null for what it cannot.</summary>
    public abstract CohortTotals NoTotals { get; }

    /// <summary>vCPUs of all VMs; 0 where that is not known before the cohort runs.</summary>
    public long Vcpus => (long)Vms * (VcpusPerVm ?? 0);
}

/// <summary>
/// A cohort that the fleet's workers do not advance: its source has threads of its own. The fleet creates the source, starts it,
/// stops it and disposes it.
/// </summary>
public abstract record ExternalCohort : Cohort
{
    /// <summary>Creates what runs the cohort; nothing runs yet.</summary>
    /// <param name="time">The clock.</param>
    public abstract IExternalCohortSource CreateSource(TimeProvider time);
}
