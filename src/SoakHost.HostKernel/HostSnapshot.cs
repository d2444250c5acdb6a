using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Watch;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.HostKernel;

/// <summary>A vCPU that is, or was, hung.</summary>
/// <param name="Vm">Its VM's number.</param>
/// <param name="Vcpu">Its number.</param>
/// <param name="IsHung">Whether it still is.</param>
/// <param name="Evidence">Why it was called so.</param>
public sealed record VcpuHang(int Vm, int Vcpu, bool IsHung, HangEvidence Evidence);

/// <summary>A stale mapping, and in which VM.</summary>
/// <param name="Vm">Its VM's number.</param>
/// <param name="Mapping">The evidence.</param>
public sealed record VmStaleMapping(int Vm, StaleMapping Mapping);

/// <summary>What one workload did in a check of the host's kernel.</summary>
/// <param name="Workload">Its name.</param>
/// <param name="Events">How often it did what it does.</param>
/// <param name="FaultsFixedBefore">
/// Faults fixed before the highest boundary that was crossed; null where the kernel counts none.
/// </param>
/// <param name="FaultsFixedAfter">Faults fixed after it; null where the kernel counts none.</param>
/// <param name="Offered">Whether this kernel offers it.</param>
public sealed record WorkloadCoverage(
    string Workload, long Events, ulong? FaultsFixedBefore, ulong? FaultsFixedAfter, bool Offered);

/// <summary>
/// The figures of a cohort of real VMs at one time. Unjustified retries, unsafe installs and accounting errors are not among its
/// totals: nobody can see them on a real kernel.
/// </summary>
public sealed record HostSnapshot : ExternalSnapshot
{
    /// <summary>The kernel, as <c>uname -r</c> gives it.</summary>
    public required string KernelRelease { get; init; }

    /// <summary>The MMU mode, as module parameters say: two-dimensional paging or shadow.</summary>
    public required string Mmu { get; init; }

    /// <summary>The processor's model name.</summary>
    public required string Cpu { get; init; }

    /// <summary>Time since the start; up to the end, once it is over.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>Invalidations of each VM after which it has done its work.</summary>
    public required long Until { get; init; }

    /// <summary>When the last VM is expected to have done its work at the present rate; null where there is no rate.</summary>
    public required DateTimeOffset? ExpectedEnd { get; init; }

    /// <summary>Sentences on what the run cannot say.</summary>
    public required ImmutableArray<string> NotCovered { get; init; }

    /// <summary>The kernel's own counter, over all VMs; null where it was not read.</summary>
    public KernelCounter? KernelCounter { get; init; }

    /// <summary>When the VMs were last looked at.</summary>
    public DateTimeOffset At { get; init; }

    /// <summary>Boundaries that every VM crossed with faults fixed on both sides, lowest first.</summary>
    public ImmutableArray<Boundary> Crossed { get; init; } = [];

    /// <summary>
    /// Where the counter was when a hang was confirmed that lasted, or when its vCPU was last seen to work if that was well below
    /// 2^31; of several hangs the first. Null where none lasted.
    /// </summary>
    public ulong? HungAt { get; init; }

    /// <summary>Each vCPU that is, or was, hung.</summary>
    public ImmutableArray<VcpuHang> Hangs { get; init; } = [];

    /// <summary>The first stale mapping of each VM that had one.</summary>
    public ImmutableArray<VmStaleMapping> StaleMappings { get; init; } = [];

    /// <summary>What each workload did.</summary>
    public ImmutableArray<WorkloadCoverage> Coverage { get; init; } = [];

    /// <summary>The short runs of other boundaries.</summary>
    public ImmutableArray<BoundaryResult> OtherBoundaries { get; init; } = [];

    /// <summary>Whether the long count is left out.</summary>
    public bool IsQuick { get; init; }

    /// <summary>Whether nothing but the long count is missing for a pass.</summary>
    public bool IsQuickPass { get; init; }

    /// <inheritdoc/>
    public override string KernelName => HostCohort.KindName;

    /// <summary>Invalidations a second of all VMs, on average since the start.</summary>
    public double InvalidationsPerSecond => Elapsed > TimeSpan.Zero ? (Totals.Invalidations ?? 0) / Elapsed.TotalSeconds : 0;
}
