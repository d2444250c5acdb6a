using System.Diagnostics.CodeAnalysis;
using SoakHost.Engine.Cohorts;

namespace SoakHost.HostKernel;

/// <summary>A cohort of real VMs on this machine's own kernel.</summary>
public sealed record HostCohort : ExternalCohort
{
    /// <summary>The kind, and the name that configuration and metrics give this machine's own kernel.</summary>
    public const string KindName = "host";

    /// <summary>A cohort.</summary>
    /// <param name="name">Its name, unique in the fleet.</param>
    /// <param name="options">What to run.</param>
    [SetsRequiredMembers]
    public HostCohort(string name, HostCohortOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        (Name, Vms, Options) = (name, options.Vms, options);
    }

    /// <summary>What to run.</summary>
    public HostCohortOptions Options { get; }

    /// <inheritdoc/>
    public override string Kind => KindName;

    /// <inheritdoc/>
    public override string KernelName => KindName;

    /// <inheritdoc/>
    public override int? VcpusPerVm => Options.VcpusInAll;

    /// <summary>A real VM's counter starts at 0, unless its kernel was built to start elsewhere.</summary>
    public override ulong? InvalidateSeqStart => (ulong)(Options.CounterStart ?? 0);

    /// <inheritdoc/>
    public override CohortTotals NoTotals => new()
    {
        Invalidations = 0,
        GuestAccesses = 0,
        Crossings = [.. CountedBoundaries.Select(boundary => new BoundaryCrossings(boundary, 0))],
    };

    /// <summary>The boundaries of the options, lowest first, each once.</summary>
    internal IEnumerable<Boundary> CountedBoundaries =>
        Options.Boundaries.Distinct().Order().Select(count => new Boundary((ulong)count));

    /// <inheritdoc/>
    public override IExternalCohortSource CreateSource(TimeProvider time) => new HostCohortSource(this, time);
}
