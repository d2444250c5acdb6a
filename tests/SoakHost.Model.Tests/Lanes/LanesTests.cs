using CsCheck;
using SoakHost.Model.Lanes;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Model.Tests.Lanes;

/// <summary>Every operation of a row of lanes against plain arithmetic on each lane, one class a width.</summary>
public abstract class LanesTests<TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    // Where carries, signs and masks turn over, all pairs of them and of any numbers.
    private static readonly uint[] Edges =
        [0, 1, 2, 31, 32, 33, 63, 64, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_fffe, 0xffff_ffff];

    [Fact]
    public void Bits_and_sums_are_those_of_each_lane()
    {
        ForEachPair((a, b) =>
        {
            AssertLanes(a & b, lane => a[lane] & b[lane]);
            AssertLanes(a | b, lane => a[lane] | b[lane]);
            AssertLanes(a ^ b, lane => a[lane] ^ b[lane]);
            AssertLanes(~a, lane => ~a[lane]);
            AssertLanes(TLanes.Except(a, b), lane => a[lane] & ~b[lane]);
            AssertLanes(a + b, lane => unchecked(a[lane] + b[lane]));
            AssertLanes(a - b, lane => unchecked(a[lane] - b[lane]));
            AssertLanes(a * b, lane => unchecked(a[lane] * b[lane]));
        });
    }

    [Fact]
    public void A_row_is_shifted_by_one_count()
    {
        ForEachPair((a, _) =>
        {
            for (int count = 0; count < 32; count++)
            {
                int by = count;
                AssertLanes(a << by, lane => a[lane] << by);
                AssertLanes(a >>> by, lane => a[lane] >> by);
                AssertLanes(a >> by, lane => unchecked((uint)((int)a[lane] >> by)));
            }
        });
    }

    [Fact]
    public void Each_lane_is_shifted_by_its_own_count_and_nothing_is_left_from_32_on()
    {
        ForEachPair((a, counts) =>
            AssertLanes(TLanes.ShiftLeft(a, counts), lane => counts[lane] >= 32 ? 0 : a[lane] << (int)counts[lane]));
        for (uint count = 0; count < 70; count++)
        {
            uint by = count;
            AssertLanes(
                TLanes.ShiftLeft(TLanes.Broadcast(0xffff_ffff), TLanes.Broadcast(by)),
                _ => (uint)(0xffff_ffffUL << (int)Math.Min(by, 32)));
        }
    }

    [Fact]
    public void Lanes_compare_as_unsigned_numbers_and_a_true_lane_is_all_ones()
    {
        ForEachPair((a, b) =>
        {
            AssertLanes(TLanes.LessThan(a, b), lane => a[lane] < b[lane] ? uint.MaxValue : 0);
            AssertLanes(TLanes.IsZero(a), lane => a[lane] == 0 ? uint.MaxValue : 0);
            AssertLanes(TLanes.Select(TLanes.LessThan(a, b), a, b), lane => Math.Min(a[lane], b[lane]));
        });
    }

    [Fact]
    public void Replacing_one_lane_leaves_the_others()
    {
        for (int replaced = 0; replaced < TLanes.Count; replaced++)
        {
            int where = replaced;
            AssertLanes(TLanes.Broadcast(7).With(where, 0xdead_beef), lane => lane == where ? 0xdead_beef : 7);
        }
    }

    [Fact]
    public void A_counter_carries_from_its_low_word_into_its_high_one_and_wraps()
    {
        foreach (uint high in Edges)
        {
            foreach (uint low in Edges)
            {
                var counter = new Counter<TLanes>(TLanes.Broadcast(low), TLanes.Broadcast(high));
                for (int lane = 0; lane < TLanes.Count; lane++)
                {
                    // One lane counts, its neighbours stay.
                    Counter<TLanes> next = counter.PlusOneWhere(TLanes.Broadcast(0).With(lane, uint.MaxValue));
                    ulong start = ((ulong)high << 32) | low;
                    for (int other = 0; other < TLanes.Count; other++)
                    {
                        Assert.Equal(other == lane ? unchecked(start + 1) : start, next[other]);
                        Assert.Equal(other == lane, next.DiffersFrom(counter)[other] != 0);
                    }
                }
            }
        }
    }

    [Fact]
    public void Up_to_32_pages_are_a_set_in_each_lane() => AssertPagesAreSets<Pages32<TLanes>>();

    [Fact]
    public void Up_to_64_pages_are_a_set_in_each_lane() => AssertPagesAreSets<Pages64<TLanes>>();

    private static void AssertPagesAreSets<TPages>()
        where TPages : unmanaged, IPages<TPages, TLanes>
    {
        ulong capacity = ulong.MaxValue >> (64 - TPages.Capacity);
        Assert.Equal(TPages.Capacity, 1 << TPages.IndexBits);

        // Every lane with a number of its own, so that no lane can stand in for another.
        for (uint first = 0; first < 2 * TPages.Capacity; first++)
        {
            TLanes numbers = Row(lane => (first + (uint)lane) % (2 * (uint)TPages.Capacity));
            AssertPages(
                TPages.Below(numbers),
                lane => capacity & (numbers[lane] >= 64 ? ulong.MaxValue : (1UL << (int)numbers[lane]) - 1));
            TLanes indexes = Row(lane => (first + (uint)lane) % (uint)TPages.Capacity);
            AssertPages(TPages.Page(indexes), lane => 1UL << (int)indexes[lane]);
        }

        Gen.ULong.Sample(CheckAny, iter: 1000);

        void CheckAny(ulong seed)
        {
            var draws = new Draws(seed);
            TPages a = Any(draws), b = Any(draws);
            TLanes mask = Row(_ => draws.Below(2) == 0 ? 0 : uint.MaxValue);
            AssertPages(a & b, lane => a[lane] & b[lane]);
            AssertPages(a | b, lane => a[lane] | b[lane]);
            AssertPages(~a, lane => ~a[lane] & capacity);
            AssertPages(TPages.DownByOne(a), lane => a[lane] >> 1);
            AssertPages(TPages.ExceptWhere(a, mask), lane => mask[lane] == 0 ? a[lane] : 0);
            AssertPages(a.Where(mask), lane => mask[lane] == 0 ? 0 : a[lane]);
            AssertPages(TPages.Select(mask, a, b), lane => mask[lane] == 0 ? b[lane] : a[lane]);
            AssertLanes(a.Number, lane => (uint)ulong.PopCount(a[lane]));
            AssertLanes(TLanes.IsZero(a.Any), lane => a[lane] == 0 ? uint.MaxValue : 0);
        }

        TPages Any(Draws from)
        {
            var pages = default(TPages);
            for (int lane = 0; lane < TLanes.Count; lane++)
                pages = pages.With(lane, from.Below(8) == 0 ? 0 : from.Next() & capacity);
            return pages;
        }
    }

    private static void ForEachPair(Action<TLanes, TLanes> check) => Gen.ULong.Sample(seed => ForEachPair(check, seed), iter: 2);

    private static void ForEachPair(Action<TLanes, TLanes> check, ulong seed)
    {
        var draws = new Draws(seed);
        foreach (uint left in Edges)
        {
            foreach (uint right in Edges)
                check(Row(lane => lane == 0 ? left : Any()), Row(lane => lane == 0 ? right : Any()));
        }

        uint Any() => draws.Below(2) == 0 ? Edges[draws.Below(Edges.Length)] : (uint)(draws.Next() >> 32);
    }

    private static TLanes Row(Func<int, uint> value)
    {
        TLanes row = TLanes.Broadcast(0);
        for (int lane = 0; lane < TLanes.Count; lane++)
            row = row.With(lane, value(lane));
        return row;
    }

    private static void AssertLanes(TLanes row, Func<int, uint> expected)
    {
        for (int lane = 0; lane < TLanes.Count; lane++)
            Assert.Equal(expected(lane), row[lane]);
    }

    private static void AssertPages<TPages>(TPages pages, Func<int, ulong> expected)
        where TPages : unmanaged, IPages<TPages, TLanes>
    {
        for (int lane = 0; lane < TLanes.Count; lane++)
            Assert.Equal(expected(lane), pages[lane]);
    }
}

public sealed class Lanes32Tests : LanesTests<Lanes32>;

public sealed class Lanes128Tests : LanesTests<Lanes128>;

public sealed class Lanes256Tests : LanesTests<Lanes256>;

public sealed class Lanes512Tests : LanesTests<Lanes512>;
