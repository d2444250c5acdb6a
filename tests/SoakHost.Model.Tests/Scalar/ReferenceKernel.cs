namespace SoakHost.Model.Tests.Scalar;

/// <summary>When a fault's snapshot of the counter is taken.</summary>
public enum SnapshotTaken
{
    AsTheFaultIsTaken,
    JustBeforeResolving,
    AfterResolving,
}

/// <summary>
/// What one kernel does differently, read out of MODEL.md's tables and written down as plainly as they are. Every default is what
/// a correct kernel does.
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

    /// <summary>The vCPUs that reload an obsolete root before they access a page.</summary>
    public Func<int, bool> ReloadsRoot { get; init; } = _ => true;

    /// <summary>The vCPUs that try a fault again without leaving the kernel.</summary>
    public Func<int, bool> RetriesInKernel { get; init; } = _ => false;

    /// <summary>Whether those leave it for user space where the memslot is invalid.</summary>
    public bool GivesUpOnInvalidSlot { get; init; } = true;

    public bool TestsForInvalidSlot { get; init; } = true;

    public bool WaitsForReadersBeforeTheZap { get; init; } = true;

    /// <summary>Whether a memslot update zaps what belongs to the memslot and leaves the roots alone.</summary>
    public bool ZapsTheSlotAlone { get; init; }

    public bool HullsRanges { get; init; } = true;

    public bool TestsTheRangesLastPage { get; init; } = true;

    public bool EveryEndClearsTheRange { get; init; }

    /// <summary>Whether the range is kept as frame numbers where host addresses are compared: no page is ever in it.</summary>
    public bool RangeMatchesNothing { get; init; }

    /// <summary>Whether any invalidation in progress stalls every fault.</summary>
    public bool IsCoarse { get; init; }

    /// <summary>Whether a begin raises the number in progress, and an end lowers it.</summary>
    public bool CountsInProgress { get; init; } = true;

    /// <summary>Whether an invalidation is refused, and never ended, from its first page.</summary>
    public Func<int, bool> IsNeverEnded { get; init; } = _ => false;

    /// <summary>The pages of a range that the zap takes away as the invalidation begins.</summary>
    public Func<(int Start, int End), (int Start, int End)> Zapped { get; init; } = own => own;

    /// <summary>Whether the zap drops the lock and goes on in a step of its own.</summary>
    public bool YieldsInZap { get; init; }

    /// <summary>Whether it takes a page of the range away after that, from the page and the range.</summary>
    public Func<int, (int Start, int End), bool> IsZappedAfterYield { get; init; } = (_, _) => true;

    public bool FlushesBeforeYield { get; init; } = true;

    public bool RaisesAfterYield { get; init; }

    /// <summary>Whether an end forgets to lower the number in progress, from the counter with this end counted.</summary>
    public Func<ulong, bool> ForgetsToLower { get; init; } = _ => false;

    /// <summary>The kernel's total of mapped pages after that many were freed.</summary>
    public Func<ulong, int, ulong> TotalAfterFreeing { get; init; } = (total, pages) => unchecked(total - (ulong)pages);

    /// <summary>Every release, historical defect and mutant.</summary>
    public static IReadOnlyList<ReferenceKernel> All { get; } =
    [
        new("linux-5.11") { IsCoarse = true },
        new("linux-5.12-i386") { TotalAfterFreeing = (total, pages) => unchecked(total + (uint)-pages) },
        new("linux-5.15") { TestsRoot = false },
        new("linux-6.1") { Kept = seq => unchecked((ulong)(int)seq) },
        new("linux-6.1.y"),
        new("linux-6.3") { SnapshotTaken = SnapshotTaken.JustBeforeResolving },
        Since69("linux-6.9"),
        new("apic-page-4.14") { Zapped = _ => (0, 0) },
        new("tdp-flush-5.11") { YieldsInZap = true, FlushesBeforeYield = false, Zapped = FirstPage },
        new("tdp-nx-5.11") { YieldsInZap = true, FlushesBeforeYield = false },
        new("mmu-notifiers-5.11") { IsNeverEnded = start => start == 0 },
        new("ppc-hash-5.13") { Zapped = FirstPage },
        new("zap-gfn-5.14") { CountsInProgress = false, CountOne = seq => seq },
        new("tdp-iterator-5.15")
        {
            YieldsInZap = true,
            Zapped = FirstPage,
            IsZappedAfterYield = (page, own) => page != own.Start + 1,
        },
        new("pae-root-5.16") { TestsRoot = false },
        new("gpc-5.18") { YieldsInZap = true, RaisesAfterYield = true, IsZappedAfterYield = (_, _) => false },
        new("zap-gfn-5.16") { RangeMatchesNothing = true },
        new("arm64-6.2") { SnapshotTaken = SnapshotTaken.AfterResolving, IsCoarse = true },
        new("riscv-6.2") { SnapshotTaken = SnapshotTaken.AfterResolving, IsCoarse = true },
        new("apic-access-6.4") { TestsInProgress = false, SeqMoved = (_, _) => false },
        new("gpc-5.19") { IsCoarse = true },
        Since69("prefault-reload-6.11") with { RetriesInKernel = vcpu => vcpu == 0, ReloadsRoot = vcpu => vcpu != 0 },
        Since69("prefault-root-6.11") with { RetriesInKernel = vcpu => vcpu == 0 },
        Since69("prefault-6.17") with { RetriesInKernel = vcpu => vcpu == 0, GivesUpOnInvalidSlot = false },
        Since69("tdx-6.17") with { RetriesInKernel = _ => true, GivesUpOnInvalidSlot = false, ZapsTheSlotAlone = true },
        new("amdgpu-hmm-chunk") { SnapshotTaken = SnapshotTaken.AfterResolving },
        new("odp-int-seq") { SeqMoved = (snapshot, seq) => unchecked((uint)snapshot != (uint)seq) },
        new("snapshot-u32") { Kept = seq => unchecked((uint)seq) },
        new("snapshot-i16") { Kept = seq => unchecked((ulong)(short)seq) },
        new("snapshot-u16") { Kept = seq => unchecked((ushort)seq) },
        new("snapshot-i8") { Kept = seq => unchecked((ulong)(sbyte)seq) },
        new("snapshot-u8") { Kept = seq => unchecked((byte)seq) },
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
        new("root-never-reloaded") { ReloadsRoot = _ => false },
        new("invalid-slot-used") { TestsForInvalidSlot = false },
        new("no-srcu-wait") { WaitsForReadersBeforeTheZap = false, ZapsTheSlotAlone = true },
    ];

    private static ReferenceKernel Since69(string name) =>
        new(name) { SnapshotTaken = SnapshotTaken.JustBeforeResolving, ChecksWithoutLockToo = true };

    private static (int Start, int End) FirstPage((int Start, int End) own) => (own.Start, own.Start + 1);

    public static ReferenceKernel Of(string name) => All.Single(kernel => kernel.Name == name);
}
