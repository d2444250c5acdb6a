using SoakHost.Engine.Cohorts;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Soak;

/// <summary>A cohort of simulated VMs, which the fleet's workers advance.</summary>
public sealed record SimulatedCohort : Cohort
{
    /// <summary>The kernel that the VMs start with.</summary>
    public required Kernel Kernel { get; init; }

    /// <summary>What each VM is like.</summary>
    public VmParameters Vm { get; init; } = new();

    /// <inheritdoc/>
    public override string Kind => "simulated";

    /// <inheritdoc/>
    public override string KernelName => Kernel.Info.Name;

    /// <inheritdoc/>
    public override int? VcpusPerVm => Vm.Vcpus;

    /// <inheritdoc/>
    public override ulong? InvalidateSeqStart => Vm.InvalidateSeqStart;

    /// <inheritdoc/>
    public override CohortTotals NoTotals => default(Totals).ForCohort();
}

/// <summary>A simulated cohort's figures at one time.</summary>
public sealed record SimulatedSnapshot : CohortSnapshot
{
    /// <summary>The kernel that the VMs run now.</summary>
    public required Kernel Kernel { get; init; }

    /// <summary>Ticks of the shard that is furthest behind.</summary>
    public required long Tick { get; init; }

    /// <summary>Whether no invalidation begins in any VM until an intervention resumes them.</summary>
    public bool InvalidationsPaused { get; init; }

    /// <summary>Whether the histories of the VMs depend on interventions.</summary>
    public bool HasInterventions { get; init; }

    /// <summary>VMs that the cohort has in all parts of the fleet.</summary>
    public required int VmsInFleet { get; init; }

    /// <inheritdoc/>
    public override string KernelName => Kernel.Info.Name;
}
