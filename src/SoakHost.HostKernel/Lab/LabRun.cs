using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Lab.Images;

namespace SoakHost.HostKernel.Lab;

/// <summary>vCPUs that were called hung, and whether they went on.</summary>
/// <param name="Vcpus">vCPUs that hung.</param>
/// <param name="VcpusAll">vCPUs of the VM.</param>
/// <param name="InvalidateSeq">The counter then, read in the kernel's memory.</param>
/// <param name="TakenInQuiet">
/// Faults that they took, and none of them fixed, while nothing was invalidated; null where the kernel counts none.
/// </param>
/// <param name="QuietSeconds">How long that was.</param>
/// <param name="HasRecovered">Whether all of them went on once the kernel's words were put back.</param>
public sealed record LabHang(
    int Vcpus, int VcpusAll, ulong InvalidateSeq, ulong? TakenInQuiet, double QuietSeconds, bool HasRecovered);

/// <summary>What vCPUs did on one side of a boundary.</summary>
/// <param name="First">The counter at the first fault that was seen there; null where none was.</param>
/// <param name="Last">The counter at the last.</param>
/// <param name="Fixed">Faults fixed there, of each vCPU.</param>
/// <param name="Hang">The hang there; null where there was none.</param>
public sealed record LabSide(ulong? First, ulong? Last, ImmutableArray<ulong> Fixed, LabHang? Hang)
{
    /// <summary>Faults fixed by all vCPUs.</summary>
    public ulong FixedInAll => Fixed.Aggregate(0ul, (sum, each) => sum + each);
}

/// <summary>A boundary that was tried.</summary>
/// <param name="Boundary">The boundary.</param>
/// <param name="SetTo">The value that was written into the kernel's counter, below the boundary.</param>
/// <param name="Before">Below the boundary.</param>
/// <param name="After">From the boundary on.</param>
/// <param name="IsCrossed">
/// Whether the kernel's own invalidations moved the counter across. A kernel that hangs below is set past the boundary instead.
/// </param>
public sealed record LabCrossing(Boundary Boundary, ulong SetTo, LabSide Before, LabSide After, bool IsCrossed)
{
    /// <summary>vCPUs that stopped making progress past the boundary, without proof that they are hung.</summary>
    public int Stalled { get; init; }
}

/// <summary>The kernel's counter, as it was read in the kernel.</summary>
/// <param name="First">At the beginning, before anything was written.</param>
/// <param name="Last">At the end.</param>
/// <param name="Below">The invalidations that had ended before the first reading: the counter was at least this.</param>
/// <param name="Above">Those that had begun after it: without other sources it was at most this.</param>
public sealed record LabCounter(ulong First, ulong Last, long Below, long Above);

/// <summary>What was seen of one kernel in the lab. What it amounts to is <see cref="LabJudgement"/>'s.</summary>
public sealed record LabRun
{
    /// <summary>The image; null where the file is none.</summary>
    public KernelImage? Image { get; init; }

    /// <summary>The image's path, as it was given.</summary>
    public required string Path { get; init; }

    /// <summary>The modules that it was given; empty where KVM is built in.</summary>
    public ImmutableArray<LabModule> Modules { get; init; } = [];

    /// <summary>Why this kernel cannot be tried; null where it can.</summary>
    public string? Unsupported { get; init; }

    /// <summary>What ended the run too early; null where nothing did.</summary>
    public string? Failure { get; init; }

    /// <summary>Kernel, MMU mode and CPU, as the program inside reads them; null where it did not come so far.</summary>
    public HostMachine? Machine { get; init; }

    /// <summary>How the machine was run.</summary>
    public string Accelerator { get; init; } = "";

    /// <summary>The hang that was provoked first, to know that a hang on this kernel is seen; null where none was seen.</summary>
    public LabHang? Control { get; init; }

    /// <summary>The kernel's counter; null where it was not read.</summary>
    public LabCounter? Counter { get; init; }

    /// <summary>The counter's boundaries that were to be tried.</summary>
    public required ImmutableArray<Boundary> Boundaries { get; init; }

    /// <summary>Those that were tried.</summary>
    public ImmutableArray<LabCrossing> Crossings { get; init; } = [];

    /// <summary>The other boundaries that were to be crossed, each in a short run of its own.</summary>
    public ImmutableArray<string> Others { get; init; } = [];

    /// <summary>Those that were.</summary>
    public ImmutableArray<BoundaryResult> OtherResults { get; init; } = [];

    /// <summary>What the watch inside saw, oldest first; empty where nobody asked for one.</summary>
    public ImmutableArray<LabWatched> Watched { get; init; } = [];

    /// <summary>From power-on to the program's first word; null where it said none.</summary>
    public TimeSpan? Boot { get; init; }

    /// <summary>Time that it took.</summary>
    public TimeSpan Elapsed { get; init; }

    /// <summary>Whether somebody stopped it.</summary>
    public bool WasInterrupted { get; init; }
}
