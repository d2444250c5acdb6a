namespace SoakHost.Model.Kernels;

/// <summary>What a kernel or mutant is expected to be caught as.</summary>
public enum Defect
{
    /// <summary>Nothing: every vCPU progresses, safely.</summary>
    None,

    /// <summary>Unjustified retries without end: the vCPU hangs.</summary>
    Hang,

    /// <summary>A page is installed that the host took away.</summary>
    UnsafeInstall,

    /// <summary>The total of mapped pages differs from their number.</summary>
    AccountingError,
}

/// <summary>What a person needs to know of a kernel.</summary>
/// <param name="Name">The name used in configuration, metrics and reports.</param>
/// <param name="Description">What differs, in one sentence.</param>
/// <param name="Source">Commit, file and function that the difference was taken from.</param>
/// <param name="Expected">The defect it is expected to show.</param>
/// <param name="ExpectedFrom">
/// The counter at which the defect first shows, so that a start a little below it sees both sides; 0 when any counter does.
/// </param>
public sealed record KernelInfo(string Name, string Description, string Source, Defect Expected, ulong ExpectedFrom = 0)
{
    /// <summary>Whether no kernel ever was like this: one defect was seeded into a correct one, to see it caught.</summary>
    public bool IsMutant { get; init; }

    /// <summary>Whether the defect shows only once memslots are updated.</summary>
    public bool NeedsMemslotUpdates { get; init; }

    /// <summary>The fewest concurrent invalidators that make the defect show. Default 1.</summary>
    public int InvalidatorsMin { get; init; } = 1;

    /// <summary>Why a mutant is expected to show no defect at all; null for those that must be caught, and for kernels.</summary>
    public string? SurvivesBecause { get; init; }
}
