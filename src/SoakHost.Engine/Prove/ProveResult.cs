using SoakHost.Engine.Timelines;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Prove;

/// <summary>What a proof came to.</summary>
public enum ProofVerdict
{
    /// <summary>For every counter and any number of invalidations the kernel does nothing wrong.</summary>
    Proven,

    /// <summary>It does, and here is how: from a new VM, step by step.</summary>
    Refuted,

    /// <summary>Neither: the solver gave up, or what it found was not seen to be reachable.</summary>
    NotProven,
}

/// <summary>What became of one obligation.</summary>
public enum ObligationOutcome
{
    /// <summary>It is as it must be.</summary>
    Holds,

    /// <summary>There is a counterexample to it.</summary>
    Fails,

    /// <summary>The solver did not say.</summary>
    Unknown,
}

/// <summary>One obligation's result.</summary>
/// <param name="Name">Its name, such as <c>vcpu-check-safe</c>.</param>
/// <param name="Question">What it asks, in a sentence.</param>
/// <param name="Outcome">What became of it.</param>
/// <param name="Elapsed">Time the solver took.</param>
/// <param name="Failed">
/// Where it fails: the names of the claims that do, such as <c>unsafe-install</c> or a part of the invariant.
/// </param>
/// <param name="Detail">Where it fails, the state, as names and values; where the solver did not say, why.</param>
public sealed record ObligationResult(
    string Name, string Question, ObligationOutcome Outcome, TimeSpan Elapsed, IReadOnlyList<string> Failed, string Detail);

/// <summary>Counters one after another.</summary>
/// <param name="Lowest">The first.</param>
/// <param name="Highest">The last.</param>
public readonly record struct CounterInterval(ulong Lowest, ulong Highest);

/// <summary>Where a kernel breaks.</summary>
public sealed record Breakage
{
    /// <summary>What goes wrong.</summary>
    public required string Defect { get; init; }

    /// <summary>The fewest invalidations that must end during one fault attempt.</summary>
    public required ulong FaultSpan { get; init; }

    /// <summary>Whether it was proven that with fewer nothing goes wrong.</summary>
    public required bool IsShortest { get; init; }

    /// <summary>The lowest value of <c>mmu_invalidate_seq</c> at the step that goes wrong, with that span.</summary>
    public required ulong LowestCounter { get; init; }

    /// <summary>The highest.</summary>
    public required ulong HighestCounter { get; init; }

    /// <summary>
    /// The counters at which it goes wrong, from the lowest on; the first few where there are too many to list.
    /// </summary>
    public required IReadOnlyList<CounterInterval> Intervals { get; init; }

    /// <summary>Whether these are all intervals.</summary>
    public required bool AreAllIntervals { get; init; }

    /// <summary>Whether it was proven that with that span nothing goes wrong at any other counter.</summary>
    public required bool IsExact { get; init; }

    /// <summary>Where the VM of <see cref="Story"/> starts to count.</summary>
    public required ulong Start { get; init; }

    /// <summary>What its story takes that not every VM has, in words; empty where any will do.</summary>
    public required string Takes { get; init; }

    /// <summary>How it goes wrong at the lowest counter.</summary>
    public required Timeline Story { get; init; }
}

/// <summary>How far a proof is.</summary>
/// <param name="Kernel">The kernel's name.</param>
/// <param name="Stage">What is being done, in words.</param>
/// <param name="Done">Questions answered.</param>
/// <param name="Total">Questions known so far.</param>
public readonly record struct ProveProgress(string Kernel, string Stage, int Done, int Total);

/// <summary>What was proven of a kernel, or refuted.</summary>
public sealed record ProveResult
{
    /// <summary>The kernel.</summary>
    public required KernelInfo Kernel { get; init; }

    /// <summary>What was to be proven.</summary>
    public required ProveOptions Options { get; init; }

    /// <summary>The solver's name.</summary>
    public required string Solver { get; init; }

    /// <summary>The verdict.</summary>
    public required ProofVerdict Verdict { get; init; }

    /// <summary>Where it is not proven, why, in a sentence; else empty.</summary>
    public required string Reason { get; init; }

    /// <summary>Every obligation.</summary>
    public required IReadOnlyList<ObligationResult> Obligations { get; init; }

    /// <summary>Where it is refuted, where the kernel breaks.</summary>
    public Breakage? Breakage { get; init; }

    /// <summary>Time it took.</summary>
    public required TimeSpan Elapsed { get; init; }
}
