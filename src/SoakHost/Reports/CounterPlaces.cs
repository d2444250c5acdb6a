using System.Collections.Immutable;
using System.Numerics;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;

namespace SoakHost.Reports;

/// <summary>
/// How far the counters of a cohort's VMs are from one boundary, for the live page's axis: a few numbers for any number of VMs.
/// Each VM counts at the boundary that is nearest to its counter.
/// </summary>
/// <param name="Boundary">The boundary, such as "2^31".</param>
/// <param name="Before">
/// VMs before the boundary, by their distance: entry k counts distances of k bits, from 2^(k-1) to 2^k - 1. The last entry is not
/// 0.
/// </param>
/// <param name="Past">VMs past the boundary, likewise; entry 0 counts those that are exactly at it.</param>
/// <param name="NearestBefore">
/// Invalidations that the first VM to cross the boundary still needs, in hex; null where none is before it.
/// </param>
internal sealed record CounterPlaces(string Boundary, int[] Before, int[] Past, string? NearestBefore)
{
    private const int BitsMax = 65;

    /// <summary>The places at each boundary that has any, lowest boundary first; null where nobody knows each counter.</summary>
    public static ImmutableArray<CounterPlaces>? Of(CohortSnapshot snapshot)
    {
        if (snapshot is not SimulatedSnapshot { InvalidateSeqs.IsEmpty: false } simulated)
            return null;

        // Just past 2^64 a counter is as low as that of a VM that started low: it counts as past once a VM has crossed 2^64.
        Boundary[] boundaries = [.. simulated.Totals.Crossings.Select(crossing => crossing.Boundary)];
        bool hasComeRound = simulated.Totals.CrossingsOf(SimulatedCohort.Boundaries[^1]) > 0;
        int[][] before = [.. boundaries.Select(_ => new int[BitsMax])], past = [.. boundaries.Select(_ => new int[BitsMax])];
        long[] nearestBefore = new long[boundaries.Length];
        foreach (ulong seq in simulated.InvalidateSeqs.SelectMany(run => run))
        {
            (int nearest, long distance) = Nearest(seq, boundaries, hasComeRound);
            (distance < 0 ? before : past)[nearest][BitsOf(distance)]++;
            if (distance < 0 && (nearestBefore[nearest] == 0 || distance > nearestBefore[nearest]))
                nearestBefore[nearest] = distance;
        }

        return
        [
            .. boundaries.Select((boundary, b) => new CounterPlaces(
                    boundary.Name, Trimmed(before[b]), Trimmed(past[b]),
                    nearestBefore[b] == 0 ? null : Hex64.Of(Magnitude(nearestBefore[b]))))
                .Where(places => places.Before.Length + places.Past.Length > 0),
        ];
    }

    private static (int Boundary, long Distance) Nearest(ulong seq, Boundary[] boundaries, bool hasComeRound)
    {
        (int nearest, long least) = (0, long.MaxValue);
        for (int b = 0; b < boundaries.Length; b++)
        {
            long distance = unchecked((long)(seq - boundaries[b].Count));
            bool isNotYetRound = boundaries[b].Count == 0 && distance >= 0 && !hasComeRound;
            if (!isNotYetRound && Magnitude(distance) < Magnitude(least))
                (nearest, least) = (b, distance);
        }

        return (nearest, least);
    }

    private static ulong Magnitude(long distance) => distance < 0 ? unchecked((ulong)-distance) : (ulong)distance;

    private static int BitsOf(long distance) => 64 - BitOperations.LeadingZeroCount(Magnitude(distance));

    private static int[] Trimmed(int[] counts) => counts[..(Array.FindLastIndex(counts, count => count != 0) + 1)];
}
