using System.Collections.Immutable;
using SoakHost.Engine.Watchdogs;

namespace SoakHost.Engine.Fleets;

/// <summary>
/// What only a cohort of real VMs has: where it runs, how far it is, and a verdict of its own, since no oracle counts its unjustified
/// retries and unsafe installs. Those totals stay 0, which says nothing.
/// </summary>
public sealed record HostFigures
{
    /// <summary>The kernel, as <c>uname -r</c> gives it.</summary>
    public required string KernelRelease { get; init; }

    /// <summary>The MMU mode, as module parameters tell: two-dimensional paging or shadow.</summary>
    public required string Mmu { get; init; }

    /// <summary>The processor's model name.</summary>
    public required string Cpu { get; init; }

    /// <summary>When these figures were taken.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>Time since the start; up to the end, once it is over.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>Invalidations a second of all VMs, of the last seconds.</summary>
    public required double InvalidationsPerSecond { get; init; }

    /// <summary>Invalidations that each VM is to have.</summary>
    public required long Until { get; init; }

    /// <summary>0 to 1: how far the VM is that is furthest behind.</summary>
    public required double Share { get; init; }

    /// <summary>When the last VM is expected to have done its work at the present rate; null where there is no rate.</summary>
    public required DateTimeOffset? ExpectedEnd { get; init; }

    /// <summary>Whether going on would show nothing more.</summary>
    public required bool IsOver { get; init; }

    /// <summary>The boundaries, lowest first, those past the end of the run too.</summary>
    public required ImmutableArray<HostBoundary> Boundaries { get; init; }

    /// <summary>The source's own verdict; inconclusive until it is over.</summary>
    public required Verdict Verdict { get; init; }

    /// <summary>Sentences that justify it, a pass too.</summary>
    public required ImmutableArray<string> Reasons { get; init; }

    /// <summary>Sentences on what the run cannot say.</summary>
    public required ImmutableArray<string> NotCovered { get; init; }

    /// <summary>So many invalidations a second, over all of the run.</summary>
    public double Average(long invalidations) => Elapsed > TimeSpan.Zero ? invalidations / Elapsed.TotalSeconds : 0;
}

/// <summary>A boundary of real VMs.</summary>
/// <param name="Name">As people write it: 2^31.</param>
/// <param name="Count">The count.</param>
/// <param name="Crossings">VMs that crossed it with a probe in flight.</param>
/// <param name="Expected">When the last VM is expected to cross it at the present rate; null once all did, and where there is no rate or
/// the run ends before.</param>
public sealed record HostBoundary(string Name, long Count, int Crossings, DateTimeOffset? Expected);
