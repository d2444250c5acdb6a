using System.Collections.Immutable;
using System.Numerics;
using SoakHost.Engine.Cohorts;

namespace SoakHost.Engine.Soak;

/// <summary>
/// Named states in which a sound soak must have crossed a boundary at some time: a defect of the retry protocol shows in them
/// first.
/// </summary>
[Flags]
public enum CrossingStates
{
    /// <summary>None of them.</summary>
    None = 0,

    /// <summary>A fault was in flight.</summary>
    FaultInFlight = 8,

    /// <summary>A fault was in flight that took its snapshot at the last count before the boundary.</summary>
    SnapshotJustBefore = 1,

    /// <summary>A second invalidation was in progress, so that the range in progress was the hull of both.</summary>
    SecondInvalidation = 2,

    /// <summary>A memslot update had made all roots obsolete while a fault was in flight.</summary>
    RootReplaced = 4,
}

/// <summary>How named states are written.</summary>
public static class CrossingStateNames
{
    /// <summary>Each state of a set, in order.</summary>
    public static IEnumerable<CrossingStates> Split(this CrossingStates states) =>
        Enum.GetValues<CrossingStates>().Where(state => state != CrossingStates.None && states.HasFlag(state));

    /// <summary>The state's name in documents and metrics.</summary>
    /// <param name="state">A single state.</param>
    public static string Label(this CrossingStates state) => state switch
    {
        CrossingStates.FaultInFlight => "fault_in_flight",
        CrossingStates.SnapshotJustBefore => "snapshot_just_before",
        CrossingStates.SecondInvalidation => "second_invalidation",
        CrossingStates.RootReplaced => "root_replaced",
        _ => throw new ArgumentOutOfRangeException(nameof(state), state, "it is no single state"),
    };

    /// <summary>What follows "has crossed 2^31" in a sentence.</summary>
    /// <param name="state">A single state.</param>
    public static string Describe(this CrossingStates state) => state switch
    {
        CrossingStates.FaultInFlight => "with a fault in flight",
        CrossingStates.SnapshotJustBefore => "with a snapshot taken at the last count before the boundary",
        CrossingStates.SecondInvalidation => "with a second invalidation in progress",
        CrossingStates.RootReplaced => "with a root replaced during a fault",
        _ => throw new ArgumentOutOfRangeException(nameof(state), state, "it is no single state"),
    };
}

/// <summary>How far crossings of one boundary covered what is possible. Immutable.</summary>
/// <param name="Boundary">The boundary.</param>
/// <param name="Bits">
/// A bit for each interleaving that was seen, in words of 64, as <see cref="Interleavings"/> numbers them; empty where none was.
/// </param>
/// <param name="Reached">The named states in which it was crossed.</param>
public sealed record BoundaryCoverage(Boundary Boundary, ImmutableArray<ulong> Bits, CrossingStates Reached)
{
    /// <summary>Interleavings that were seen.</summary>
    public int Seen => Bits.Sum(word => BitOperations.PopCount(word));

    /// <summary>What both saw of the same boundary.</summary>
    internal BoundaryCoverage Union(BoundaryCoverage other) => new(
        Boundary,
        Bits.IsEmpty ? other.Bits : other.Bits.IsEmpty ? Bits : [.. Bits.Zip(other.Bits, (one, two) => one | two)],
        Reached | other.Reached);
}

/// <summary>
/// How far the crossings of a cohort covered the interleavings that its kernel and the shape of its VMs allow, since its VMs run
/// that kernel. Immutable.
/// </summary>
public sealed record CrossingCoverage
{
    /// <summary>Interleavings that are possible at each boundary.</summary>
    public required int Possible { get; init; }

    /// <summary>The named states that the kernel and the shape of the VMs allow.</summary>
    public required CrossingStates Expected { get; init; }

    /// <summary>Each boundary, lowest first.</summary>
    public required ImmutableArray<BoundaryCoverage> Boundaries { get; init; }

    /// <summary>Boundaries that were crossed. The others are not what a run is about.</summary>
    public IEnumerable<BoundaryCoverage> Crossed => Boundaries.Where(boundary => !boundary.Bits.IsEmpty);

    /// <summary>Interleavings seen at the boundaries that were crossed.</summary>
    public int Seen => Crossed.Sum(boundary => boundary.Seen);

    /// <summary>Interleavings possible at the boundaries that were crossed.</summary>
    public int PossibleInAll => Crossed.Count() * Possible;

    /// <summary>
    /// Expected states in which no boundary from 2^31 on was crossed; those below are of mutants alone. Where none was crossed
    /// with a fault in flight, that alone: the others follow from it.
    /// </summary>
    public CrossingStates NeverReached
    {
        get
        {
            CrossingStates reached = Boundaries.Where(crossed => crossed.Boundary.Count is 0 or >= 1UL << 31)
                .Aggregate(CrossingStates.None, (states, crossed) => states | crossed.Reached);
            return reached.HasFlag(CrossingStates.FaultInFlight) ? Expected & ~reached : CrossingStates.FaultInFlight;
        }
    }

    /// <summary>No crossing at all.</summary>
    /// <param name="interleavings">Those of the kernel and the shape of the VMs.</param>
    public static CrossingCoverage None(Interleavings interleavings)
    {
        ArgumentNullException.ThrowIfNull(interleavings);
        ImmutableArray<BoundaryCoverage>.Builder boundaries = ImmutableArray.CreateBuilder<BoundaryCoverage>();
        foreach (int power in VmLives.Powers)
            boundaries.Add(new(Boundary.AtPower(power), [], CrossingStates.None));
        return new CrossingCoverage
        {
            Possible = interleavings.Possible,
            Expected = interleavings.Expected,
            Boundaries = boundaries.ToImmutable(),
        };
    }

    /// <summary>What several parts of one cohort saw, under one kernel.</summary>
    /// <param name="parts">At least one.</param>
    public static CrossingCoverage Union(IEnumerable<CrossingCoverage> parts) => parts.Aggregate((one, other) => one with
    {
        Boundaries = [.. one.Boundaries.Zip(other.Boundaries, (left, right) => left.Union(right))],
    });
}
