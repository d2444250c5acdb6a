namespace SoakHost.Model.Kernels;

/// <summary>Where a kernel comes from.</summary>
public enum KernelGroup
{
    /// <summary>A Linux release, as people run it.</summary>
    Release,

    /// <summary>A defect that Linux really had: a correct kernel with what one commit later repaired.</summary>
    HistoricalDefect,

    /// <summary>No kernel was ever like this: one defect was seeded into a correct one, to see it caught.</summary>
    Mutant,
}

/// <summary>The upstream commit that repaired a historical defect.</summary>
/// <param name="Commit">Its first twelve digits, or where it was discussed if it has none.</param>
/// <param name="Title">Its title.</param>
/// <param name="File">The source file, and the function.</param>
/// <param name="Since">The first release with the defect, or null where that is not known.</param>
/// <param name="Until">The first release without it, or null where it is not repaired.</param>
public sealed record UpstreamFix(string Commit, string Title, string File, string? Since = null, string? Until = null)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Commit} \"{Title}\"{(Until is null ? "" : $" ({Until})")}, {File}";
}

/// <summary>What a kernel or mutant is expected to be caught as.</summary>
public enum Defect
{
    /// <summary>Nothing: every vCPU progresses, safely.</summary>
    None,

    /// <summary>A vCPU hangs: its fault is never fixed, even once invalidations have stopped.</summary>
    Hang,

    /// <summary>A page is installed that the host took away.</summary>
    UnsafeInstall,

    /// <summary>The total of mapped pages differs from their number.</summary>
    AccountingError,

    /// <summary>
    /// The guest still has a page that the primary MMU gives to somebody else: the zap missed it, or its TLB was not flushed.
    /// </summary>
    StaleMapping,

    /// <summary>A memslot update and a reader of <c>kvm->srcu</c> wait for each other for ever.</summary>
    Deadlock,
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
    /// <summary>A historical defect, described by the commit that repaired it.</summary>
    public KernelInfo(string name, string description, UpstreamFix fix, Defect expected)
        : this(name, description, fix.ToString(), expected) => (Group, Fix) = (KernelGroup.HistoricalDefect, fix);

    /// <summary>Release, historical defect or mutant. Default: release.</summary>
    public KernelGroup Group { get; init; }

    /// <summary>What repaired a historical defect; else null.</summary>
    public UpstreamFix? Fix { get; init; }

    /// <summary>
    /// What the kernel keeps its snapshot in, such as "an int", where that does not hold every counter: stories explain a
    /// snapshot that came back changed by it. Null where the snapshot is kept whole.
    /// </summary>
    public string? SnapshotKeptAs { get; init; }

    /// <summary>Whether the defect shows only once memslots are updated.</summary>
    public bool NeedsMemslotUpdates { get; init; }

    /// <summary>The fewest concurrent invalidators that make the defect show. Default 1.</summary>
    public int InvalidatorsMin { get; init; } = 1;

    /// <summary>
    /// Whether the defect shows only if a fault spans more invalidations than any soak or exploration holds, so that a proof
    /// alone can show it. Default false.
    /// </summary>
    public bool IsRefutedByProofAlone { get; init; }

    /// <summary>
    /// Why a mutant or historical defect is expected to show none; null for those that must be caught, and for releases.
    /// </summary>
    public string? SurvivesBecause { get; init; }
}
