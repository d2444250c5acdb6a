using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Lab.Machines;

namespace SoakHost.HostKernel.Lab;

/// <summary>How kernels are tried.</summary>
public sealed record LabOptions
{
    /// <summary>The machine.</summary>
    public MachineOptions Machine { get; init; } = new();

    /// <summary>The folder of the kernel's modules; null to look beside the image and on this machine.</summary>
    public string? Modules { get; init; }

    /// <summary>The longest that one kernel takes. Default 5 minutes.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// Whether the watch looks on from inside as well. Hangs are then left for longer, and a storm is made. Default false.
    /// </summary>
    public bool Watches { get; init; }

    /// <summary>The program's own folder.</summary>
    public string ProgramFolder { get; init; } = AppContext.BaseDirectory;

    /// <summary>The folder of the runtime that it runs on.</summary>
    public string RuntimeFolder { get; init; } = System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory();

    /// <summary>The counters whose boundaries are crossed. Default: <c>mmu_invalidate_seq</c> alone.</summary>
    public IReadOnlyList<string> Counters { get; init; } = BoundaryNames.Usual;

    /// <summary>The boundaries of <c>mmu_invalidate_seq</c>, in the order in which they are tried.</summary>
    public ImmutableArray<Boundary> Boundaries { get; init; } =
        [Boundary.AtPower(31), Boundary.AtPower(32), Boundary.AtPower(63), Boundary.AtPower(64)];
}
