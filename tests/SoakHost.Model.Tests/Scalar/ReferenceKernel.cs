namespace SoakHost.Model.Tests.Scalar;

/// <summary>When a fault's snapshot of the counter is taken.</summary>
public enum SnapshotTaken
{
    AsTheFaultIsTaken,
    JustBeforeResolving,
    AfterResolving,
}

/// <summary>
/// What one kernel does differently, read out of MODEL.md's tables and written down as plainly as they are. Every default is what a
/// correct kernel does.
/// </summary>
public sealed record ReferenceKernel(string Name)
{
    public SnapshotTaken SnapshotTaken { get; init; } = SnapshotTaken.AsTheFaultIsTaken;

    /// <summary>The counter as it comes back out of the variable that the snapshot is kept in.</summary>
    public Func<ulong, ulong> Kept { get; init; } = seq => seq;

    public bool RetriesKeepTheFirstSnapshot { get; init; }

    /// <summary>Whether the kernel finds that the counter moved, from the snapshot and the counter.</summary>
    public Func<ulong, ulong, bool> SeqMoved { get; init; } = (snapshot, seq) => snapshot != seq;

    public Func<ulong, ulong> CountOne { get; init; } = seq => unchecked(seq + 1);

    public bool CountsAtBegin { get; init; }

    public bool ChecksWithoutLockToo { get; init; }

    public bool InstallsInAStepOfItsOwn { get; init; }

    public bool TestsInProgress { get; init; } = true;

    public bool TestsRoot { get; init; } = true;

    public bool ReloadsRoot { get; init; } = true;

    public bool HullsRanges { get; init; } = true;

    public bool TestsTheRangesLastPage { get; init; } = true;

    public bool EveryEndClearsTheRange { get; init; }

    /// <summary>Whether an end forgets to lower the number in progress, from the counter with this end counted.</summary>
    public Func<ulong, bool> ForgetsToLower { get; init; } = _ => false;

    /// <summary>The kernel's total of mapped pages after that many were freed.</summary>
    public Func<ulong, int, ulong> TotalAfterFreeing { get; init; } = (total, pages) => unchecked(total - (ulong)pages);

    /// <summary>Every kernel and mutant of MODEL.md.</summary>
    public static IReadOnlyList<ReferenceKernel> All { get; } =
    [
        new("linux-5.15") { TestsRoot = false },
        new("linux-6.1") { Kept = seq => unchecked((ulong)(int)seq) },
        new("linux-6.1.y"),
        new("linux-6.3") { SnapshotTaken = SnapshotTaken.JustBeforeResolving },
        new("linux-6.9") { SnapshotTaken = SnapshotTaken.JustBeforeResolving, ChecksWithoutLockToo = true },
        new("linux-5.12-i386") { TotalAfterFreeing = (total, pages) => unchecked(total + (uint)-pages) },
        new("snapshot-u32") { Kept = seq => unchecked((uint)seq) },
        new("snapshot-i16") { Kept = seq => unchecked((ulong)(short)seq) },
        new("snapshot-u16") { Kept = seq => unchecked((ushort)seq) },
        new("snapshot-once") { RetriesKeepTheFirstSnapshot = true },
        new("compare-low-32") { SeqMoved = (snapshot, seq) => unchecked((uint)snapshot != (uint)seq) },
        new("compare-signed") { SeqMoved = (snapshot, seq) => unchecked((long)snapshot < (long)seq) },
        new("saturating-seq") { CountOne = seq => seq < int.MaxValue ? seq + 1 : seq },
        new("no-in-progress-check") { TestsInProgress = false },
        new("no-seq-check") { SeqMoved = (_, _) => false },
        new("seq-at-begin") { CountsAtBegin = true },
        new("snapshot-after-resolve") { SnapshotTaken = SnapshotTaken.AfterResolving },
        new("check-before-lock") { InstallsInAStepOfItsOwn = true },
        new("range-not-hulled") { HullsRanges = false },
        new("range-end-off-by-one") { TestsTheRangesLastPage = false },
        new("range-cleared-at-end") { EveryEndClearsTheRange = true },
        new("unbalanced-end") { ForgetsToLower = seq => seq % 8 == 0 },
        new("no-root-check") { TestsRoot = false },
        new("root-never-reloaded") { ReloadsRoot = false },
    ];

    public static ReferenceKernel Of(string name) => All.Single(kernel => kernel.Name == name);
}
