using System.Collections.Immutable;
using System.Globalization;
using SoakHost.Engine.Timelines;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Explore;

/// <summary>The small VM to explore, and how far.</summary>
public sealed record ExploreOptions
{
    /// <summary>
    /// The starts worth crossing: 1 and 2 below every power at which a counter or a narrowing of it turns, and 0.
    /// </summary>
    public static IReadOnlyList<ulong> DefaultStarts { get; } =
    [
        0,
        .. new ulong[] { 1UL << 15, 1UL << 16, 1UL << 31, 1UL << 32, 1UL << 63, 0 }.SelectMany(turn =>
            new[] { turn - 1, turn - 2 }),
    ];

    /// <summary>vCPUs, 1 to 4. Default 2.</summary>
    public int Vcpus { get; init; } = 2;

    /// <summary>Invalidators, 1 to 4. Default 2.</summary>
    public int Invalidators { get; init; } = 2;

    /// <summary>Guest pages, 1 to 8. Default 2.</summary>
    public int Pages { get; init; } = 2;

    /// <summary>
    /// Invalidations that may begin in all, 0 to 200. Default 4: enough to pass a boundary from 2 below it and go on.
    /// </summary>
    public int Invalidations { get; init; } = 4;

    /// <summary>Memslot updates in all, 0 to 100. Default 0: memslots stay as they are.</summary>
    public int MemslotUpdates { get; init; }

    /// <summary>Where the counter starts.</summary>
    public ulong Start { get; init; }

    /// <summary>
    /// Whether states that differ only in which vCPU, or which invalidator, is which count as one. Sound because all are alike,
    /// and checks look at each. Default true.
    /// </summary>
    public bool MergesSymmetric { get; init; } = true;

    /// <summary>
    /// The one kind of defect to look for, going past all others; exploration ends with the first. By default it looks for all
    /// kinds and goes on to the end, so that a harmless defect does not hide a serious one.
    /// </summary>
    public ExploreVerdict? Target { get; init; }

    /// <summary>Whether exploration ends with the first defect, of whatever kind. Default false.</summary>
    public bool StopsAtFirstDefect { get; init; }

    /// <summary>
    /// States to hold at the most, 1,000 to 100,000,000, 15 to 90 bytes each, and up to 500 with four invalidators. Default
    /// 20,000,000.
    /// </summary>
    public int StatesMax { get; init; } = 20_000_000;

    /// <summary>Threads that explore, 1 to 1,024; results do not depend on it. Default: one a processor.</summary>
    public int Workers { get; init; } = Math.Min(Environment.ProcessorCount, 1024);

    /// <summary>Every option that is out of its range, in sentences; empty when all are in it.</summary>
    public IEnumerable<(string Key, string Error)> Errors()
    {
        (string Key, int Value, int Min, int Max)[] ranges =
        [
            (nameof(Vcpus), Vcpus, 1, 4),
            (nameof(Invalidators), Invalidators, 1, 4),
            (nameof(Pages), Pages, 1, 8),
            (nameof(Invalidations), Invalidations, 0, 200),
            (nameof(MemslotUpdates), MemslotUpdates, 0, 100),
            (nameof(StatesMax), StatesMax, 1_000, 100_000_000),
            (nameof(Workers), Workers, 1, 1024),
        ];
        return ranges.Where(range => range.Value < range.Min || range.Value > range.Max).Select(range =>
            (range.Key, string.Create(CultureInfo.InvariantCulture, $"is {range.Value}; allowed is {range.Min} to {range.Max}")));
    }
}

/// <summary>What an exploration came to: a kind of defect, the most serious first, or why there is none.</summary>
public enum ExploreVerdict
{
    /// <summary>No reachable state within the bound has a defect, or none of the kind that was looked for.</summary>
    Proven,

    /// <summary>A page was installed that the host took away.</summary>
    UnsafeInstall,

    /// <summary>The primary MMU changed a page that the guest still had.</summary>
    StaleMapping,

    /// <summary>A memslot update and a reader of <c>kvm->srcu</c> wait for each other for ever.</summary>
    Deadlock,

    /// <summary>A vCPU whose fault is never fixed although every invalidation has stopped.</summary>
    Hang,

    /// <summary>The total of mapped pages differs from their number.</summary>
    AccountingError,

    /// <summary>A retry that nothing warranted, after which the vCPU's fault is fixed.</summary>
    UnjustifiedRetry,

    /// <summary>The limit of states was reached before all were seen, and none of those seen has a defect.</summary>
    LimitReached,

    /// <summary>It was stopped before all states were seen, and none of those seen has a defect.</summary>
    Stopped,
}

/// <summary>How far an exploration is.</summary>
/// <param name="States">Distinct states found.</param>
/// <param name="Depth">Steps from the start to the states being looked at.</param>
/// <param name="Pending">States found but not looked at yet.</param>
public readonly record struct ExploreProgress(int States, int Depth, int Pending);

/// <summary>What an exploration came to.</summary>
public sealed record ExploreResult
{
    /// <summary>The kernel.</summary>
    public required KernelInfo Kernel { get; init; }

    /// <summary>What was explored.</summary>
    public required ExploreOptions Options { get; init; }

    /// <summary>The verdict: of several kinds of defect the most serious.</summary>
    public required ExploreVerdict Verdict { get; init; }

    /// <summary>The first defect of each kind that was found, the most serious first; empty when there is none.</summary>
    public required ImmutableArray<ExploreDefect> Defects { get; init; }

    /// <summary>Distinct states found.</summary>
    public required int States { get; init; }

    /// <summary>Steps from the start to the deepest state looked at.</summary>
    public required int Depth { get; init; }

    /// <summary>Time it took.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>The shortest story that shows the defect that the verdict names, or null.</summary>
    public Timeline? Counterexample => Defects.IsEmpty ? null : Defects[0].Story;
}

/// <summary>The first defect of a kind.</summary>
/// <param name="Kind">Its kind.</param>
/// <param name="Depth">
/// Steps to it: to the step that is the defect, that step counted, or to the state in which a vCPU is hung.
/// </param>
/// <param name="Path">The steps from a new VM to it.</param>
/// <param name="Story">The shortest story that shows one. That of a hang goes on until the vCPU's retries repeat.</param>
public sealed record ExploreDefect(ExploreVerdict Kind, int Depth, ExplorePath Path, Timeline Story);

/// <summary>A way from a new VM to a defect.</summary>
/// <param name="Steps">The steps, in order. The last one is the defect unless a vCPU is hung.</param>
/// <param name="Hung">The vCPU that is never fixed from there, or null.</param>
public sealed record ExplorePath(IReadOnlyList<ExploreStep> Steps, int? Hung);

/// <summary>One actor's step.</summary>
/// <param name="Actor">vCPUs are numbered first, then invalidators, then the memslot updater.</param>
/// <param name="First">The page that a vCPU goes on with, or the first page of the range that an invalidator begins.</param>
/// <param name="End">One past the last page of that range.</param>
public readonly record struct ExploreStep(int Actor, int First, int End);
