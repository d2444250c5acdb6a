using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.HostKernel;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Configuration;

/// <summary>One entry of <c>Soak:Fleet</c>.</summary>
internal sealed record CohortOptions
{
    /// <summary>The entry's own key, such as <c>Soak:Fleet:1</c>.</summary>
    public required string Key { get; init; }

    /// <summary>Name, unique in the fleet: 1 to 63 of a-z, 0-9 and -. It becomes a label of metrics.</summary>
    public required string Name { get; init; }

    /// <summary>The kernel, by the name that <c>soakhost kernels</c> lists it under; null for "host", this machine's own.</summary>
    public required Kernel? Kernel { get; init; }

    /// <summary>Number of VMs, 1 to 1,000,000, default 64; of real ones 1 to 64, default 1.</summary>
    public int Vms { get; init; } = 64;

    /// <summary>vCPUs of each VM, 1 to 8, default 4; of real ones 1 to 64 and what KVM allows, default 2.</summary>
    public int Vcpus { get; init; } = 4;

    /// <summary>Concurrent invalidators of each VM, 1 to 4. Default 1.</summary>
    public int Invalidators { get; init; } = 1;

    /// <summary>Whether memslots are updated now and then. Default false.</summary>
    public bool MemslotUpdates { get; init; }

    /// <summary>Guest pages of each VM, 1 to 64. Default 32.</summary>
    public int Pages { get; init; } = 32;

    /// <summary>Longest range of one invalidation in pages, 1 to <see cref="Pages"/>. Default 16, or all pages if they are fewer.</summary>
    public int RangePages { get; init; } = 16;

    /// <summary>Where <c>mmu_invalidate_seq</c> starts, any 64-bit number. Default 2^31-1000000.</summary>
    public ulong InvalidateSeqStart { get; init; } = new VmParameters().InvalidateSeqStart;

    /// <summary>What must be seen for the cohort to pass: progress, hang, unsafe-install or accounting-error. Default progress.</summary>
    public Defect Expect { get; init; }

    /// <summary>How to run real VMs; null for simulated ones.</summary>
    public HostCohortOptions? Host { get; init; }

    /// <summary>Why this machine cannot run real VMs; null where it can, or need not.</summary>
    public string? Unsupported { get; init; }

    /// <summary>The cohort that it describes.</summary>
    public Cohort ToCohort() => Host is { } host ? new HostCohort(Name, host) : ToSimulated();

    /// <summary>The simulated cohort that it describes.</summary>
    /// <exception cref="InvalidOperationException">It describes real VMs.</exception>
    public SimulatedCohort ToSimulated() => new()
    {
        Name = Name,
        Kernel = Kernel ?? throw new InvalidOperationException($"cohort \"{Name}\" is not simulated"),
        Vms = Vms,
        Expected = Expect,
        Vm = new VmParameters
        {
            Vcpus = Vcpus,
            Invalidators = Invalidators,
            MemslotUpdates = MemslotUpdates,
            Pages = Pages,
            RangePages = RangePages,
            InvalidateSeqStart = InvalidateSeqStart,
        },
    };
}
