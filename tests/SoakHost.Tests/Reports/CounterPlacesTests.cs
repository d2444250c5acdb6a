using System.Collections.Immutable;
using CsCheck;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Reports;

namespace SoakHost.Tests.Reports;

public sealed class CounterPlacesTests
{
    [Fact]
    public void Each_VM_counts_at_the_boundary_that_is_nearest_by_the_bits_of_its_distance()
    {
        ImmutableArray<CounterPlaces> places = Of(
            crossed64: 1, (1UL << 31) - 1, (1UL << 31) - 5, 1UL << 31, (1UL << 31) + 4, ulong.MaxValue, 2);
        Assert.Equal(["2^31", "2^64"], places.Select(place => place.Boundary));
        Assert.Equal([0, 1, 0, 1], places[0].Before);
        Assert.Equal([1, 0, 0, 1], places[0].Past);
        Assert.Equal("0x1", places[0].NearestBefore);
        Assert.Equal([0, 1], places[1].Before);
        Assert.Equal([0, 0, 1], places[1].Past);
        Assert.Equal("0x1", places[1].NearestBefore);
    }

    [Fact]
    public void A_low_counter_is_past_2_to_the_64_only_where_a_VM_has_crossed_it()
    {
        CounterPlaces place = Assert.Single(Of(crossed64: 0, 2));
        Assert.Equal(("2^31", 1, "0x7ffffffe"), (place.Boundary, place.Before[31], place.NearestBefore));
        Assert.Empty(place.Past);
    }

    [Fact]
    public void Every_VM_is_at_one_place_whatever_its_counter()
    {
        Gen<ulong> near = Gen.Select(Gen.Int[0, 63], Gen.Int[-300, 300], (power, off) => unchecked((1UL << power) + (ulong)off));
        Gen.OneOf(Gen.ULong, near).Array[1, 100].Sample(seqs =>
        {
            ImmutableArray<CounterPlaces> places = Of(crossed64: seqs.Length % 2, seqs);
            return places.Sum(place => place.Before.Sum() + place.Past.Sum()) == seqs.Length
                && places.All(place => (place.NearestBefore is null) == (place.Before.Length == 0));
        });
    }

    [Fact]
    public void Where_the_counters_are_not_known_one_by_one_there_are_none()
    {
        Assert.Null(CounterPlaces.Of(Sample.Host("here", TimeSpan.FromSeconds(1)).Snapshot));
        Assert.Null(CounterPlaces.Of(Sample.Simulated()));
    }

    private static ImmutableArray<CounterPlaces> Of(long crossed64, params ulong[] seqs)
    {
        SimulatedSnapshot snapshot = Sample.Simulated();
        CohortTotals totals = snapshot.Totals;
        return CounterPlaces.Of(snapshot with
        {
            // In two shards.
            InvalidateSeqs = [[.. seqs.Take(1)], [.. seqs.Skip(1)]],
            Totals = totals with { Crossings = [.. totals.Crossings.Take(3), new(Boundary.AtPower(64), crossed64)] },
        })!.Value;
    }
}
