using System.Collections.Immutable;

namespace SoakHost.Engine.Timelines;

/// <summary>What a step amounts to.</summary>
public enum StepVerdict
{
    /// <summary>Nothing was judged.</summary>
    None,

    /// <summary>The guest progressed.</summary>
    Progress,

    /// <summary>A retry that something warranted.</summary>
    JustifiedRetry,

    /// <summary>A retry that nothing warranted, while an invalidation was in progress elsewhere: no defect.</summary>
    OvercautiousRetry,

    /// <summary>A retry that nothing warranted, while no invalidation was in progress: a defect.</summary>
    UnjustifiedRetry,

    /// <summary>A page was installed that nothing has touched since it was resolved.</summary>
    SafeInstall,

    /// <summary>A page was installed that the host took away: a defect.</summary>
    UnsafeInstall,

    /// <summary>The primary MMU changed a page that the guest still had: a defect.</summary>
    StaleMapping,

    /// <summary>The total of mapped pages differs from their number: a defect.</summary>
    AccountingError,

    /// <summary>A retry that waits for a memslot update that waits for the vCPU that retries: a defect.</summary>
    Deadlock,
}

/// <summary>One step of one actor, told for people.</summary>
public sealed record TimelineStep
{
    /// <summary>The tick it happened in; in a counterexample, the number of the step.</summary>
    public required long Tick { get; init; }

    /// <summary>Who: "vCPU 0", "invalidator 1" or "memslot updater".</summary>
    public required string Actor { get; init; }

    /// <summary>What it did.</summary>
    public required string Action { get; init; }

    /// <summary>
    /// The function of Linux that does it, such as "is_page_fault_stale()"; empty where the guest or the primary MMU moves, or
    /// where nobody knows it.
    /// </summary>
    public string Function { get; init; } = "";

    /// <summary><c>mmu_invalidate_seq</c> after it.</summary>
    public required ulong InvalidateSeq { get; init; }

    /// <summary>The snapshot that the actor's fault holds, where it has one.</summary>
    public ulong? Snapshot { get; init; }

    /// <summary><c>mmu_invalidate_in_progress</c> after it.</summary>
    public required uint InProgress { get; init; }

    /// <summary>The range in progress as [start, end), after it.</summary>
    public required (int Start, int End) Range { get; init; }

    /// <summary>Mapped pages after it, one bit each.</summary>
    public required ulong Mapped { get; init; }

    /// <summary>What it amounts to.</summary>
    public StepVerdict Verdict { get; init; }

    /// <summary>What the truth has to say for or against the verdict; empty where nothing was judged.</summary>
    public string Truth { get; init; } = "";

    /// <summary>Where it went wrong: why, in a sentence; else empty.</summary>
    public string Explanation { get; init; } = "";

    /// <summary>Whether the step is a defect.</summary>
    public bool IsDefect => Verdict
        is StepVerdict.UnjustifiedRetry or StepVerdict.UnsafeInstall or StepVerdict.StaleMapping or StepVerdict.AccountingError
            or StepVerdict.Deadlock;
}

/// <summary>A story of steps.</summary>
/// <param name="Kernel">The kernel's name.</param>
/// <param name="Steps">The steps, in order.</param>
/// <param name="Conclusion">What it comes to, in a sentence.</param>
public sealed record Timeline(string Kernel, ImmutableArray<TimelineStep> Steps, string Conclusion)
{
    /// <summary>Pages as people write them: "0-3, 7", or "none".</summary>
    public static string DescribePages(ulong pages)
    {
        List<string> runs = [];
        for (int page = 0; page < 64; page++)
        {
            if ((pages >> page & 1) == 0)
                continue;
            int first = page;
            while (page < 63 && (pages >> (page + 1) & 1) != 0)
                page++;
            runs.Add(first == page ? $"{first}" : $"{first}-{page}");
        }

        return runs.Count == 0 ? "none" : string.Join(", ", runs);
    }
}
