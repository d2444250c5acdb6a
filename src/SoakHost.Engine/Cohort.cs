using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine;

/// <summary>VMs of one kernel and one set of parameters, as configured.</summary>
public sealed record Cohort
{
    /// <summary>Name, unique in the fleet.</summary>
    public required string Name { get; init; }

    /// <summary>The kernel that the VMs start with.</summary>
    public required Kernel Kernel { get; init; }

    /// <summary>Number of VMs, 1 to 1,000,000; of real VMs, 1 to 64.</summary>
    public required int Vms { get; init; }

    /// <summary>What each VM is like. Of real VMs only the number of vCPUs counts, and that their counters start at 0.</summary>
    public VmParameters Vm { get; init; } = new();

    /// <summary>What must be seen for the cohort to pass.</summary>
    public Defect Expected { get; init; }
}
