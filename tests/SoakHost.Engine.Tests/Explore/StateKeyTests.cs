using CsCheck;
using SoakHost.Engine.Explore;

namespace SoakHost.Engine.Tests.Explore;

public sealed class StateKeyTests
{
    private static readonly Gen<int> Part = Gen.OneOf(Gen.Int[1, 300], Gen.Int[1, StateKey.VcpuMax], Gen.Const(StateKey.VcpuMax));
    private static readonly Gen<int> Shared = Gen.OneOf(Gen.Int[0, 3000], Gen.Int[0, int.MaxValue], Gen.Const(int.MaxValue));

    [Fact]
    public void Every_part_comes_back_and_none_touches_another() =>
        Gen.Select(Shared, Part.Array[1, 4]).Sample((shared, parts) =>
        {
            StateKey key = Key(shared, parts);
            Assert.Equal(shared, key.Shared);
            Assert.Equal([.. parts, .. new int[4 - parts.Length]], Enumerable.Range(0, 4).Select(key.Vcpu));
            Assert.Equal((7, key.Vcpu(3)), (key.WithShared(7).Shared, key.WithShared(7).Vcpu(3)));
            Assert.Equal(Key(shared, [5, .. parts[1..]]), key.WithVcpu(0, 5));
        });

    [Fact]
    public void States_that_differ_in_who_is_who_have_one_key_in_order_and_others_do_not() =>
        Gen.Select(Shared, Part.Array[1, 4], Gen.Int[0, 1000]).Sample((shared, parts, seed) =>
        {
            int[] shuffled = [.. parts];
            new Random(seed).Shuffle(shuffled);
            StateKey sorted = Key(shared, parts).Sorted();
            Assert.Equal(sorted, Key(shared, shuffled).Sorted());
            Assert.Equal(parts.Order(), Enumerable.Range(0, parts.Length).Select(sorted.Vcpu).Order());
            Assert.Equal(shared, sorted.Shared);
            Assert.NotEqual(sorted, Key(shared, [parts[0] ^ 1024, .. parts[1..]]).Sorted());
        });

    [Fact]
    public void Ranks_have_no_gaps_and_no_two_states_of_a_shared_part_have_one()
    {
        const int highest = 9;
        for (int vcpus = 1; vcpus <= 4; vcpus++)
        {
            var ranks = new StateRanks(vcpus);
            int all = (int)Math.Pow(highest, vcpus);
            HashSet<StateKey> states =
            [
                .. Enumerable.Range(0, all).Select(combination =>
                    Key(7, [.. Enumerable.Range(0, vcpus).Select(v => 1 + (combination / (int)Math.Pow(highest, v) % highest))])
                        .Sorted()),
            ];
            Assert.Equal(Enumerable.Range(0, states.Count).Select(rank => (uint)rank), states.Select(ranks.Of).Order());
        }
    }

    [Theory]
    [InlineData(1, 4096, true)]
    [InlineData(1, 4097, false)]
    [InlineData(1, StateKey.VcpuMax, false)]
    [InlineData(3, 1000, true)]
    [InlineData(3, 4096, false)]
    public void A_state_whose_parts_have_high_numbers_has_no_rank(int vcpus, int part, bool hasRank) =>
        Assert.Equal(
            hasRank, new StateRanks(vcpus).Of(Key(0, [.. Enumerable.Repeat(part, vcpus)])) is not StateRanks.None);

    // Dense states are bits, and sparse ones soon too many for bits; of high numbers some have no rank.
    [Theory]
    [InlineData(40, 16, 20_000, 30_000)]
    [InlineData(3, 1500, 95_000, 100_000)]
    [InlineData(2000, 6000, 95_000, 100_000)]
    public void A_set_has_what_was_added_and_nothing_else(int sharedParts, int highest, int least, int most)
    {
        var random = new Random(1);
        var set = new StateSet(vcpus: 3);
        HashSet<StateKey> expected = [];
        for (int i = 0; i < 100_000; i++)
        {
            int shared = random.Next(sharedParts);
            StateKey key = Key(shared, [.. Enumerable.Range(0, 3).Select(_ => random.Next(1, highest))]).Sorted();
            uint rank = set.Ranks.Of(key);
            set.Prefetch(key, rank);
            Assert.Equal(expected.Contains(key), set.Contains(key, rank));
            Assert.Equal(expected.Add(key), set.Add(key, rank));
            Assert.True(set.Contains(key, rank));
        }

        Assert.InRange(expected.Count, least, most);
        Assert.All(expected, key => Assert.True(set.Contains(key, set.Ranks.Of(key))));
    }

    [Fact]
    public void Bits_give_way_to_keys_before_they_take_more_memory_and_what_is_a_bit_stays_one()
    {
        var few = new RankedStates();
        Assert.Equal((8 * 64) + 4 + 32, few.BytesWith(0, 0));
        Assert.Equal((8 * 64) + (4 * 1000) + 32, few.BytesWith(0, (1000 * 512) - 1));
        Assert.False(few.HasPage(0, 600));
        few.AddPage(0, 600);
        Assert.Equal((true, false, false), (few.HasPage(0, 1023), few.HasPage(0, 511), few.HasPage(1, 600)));
        Assert.Equal((8 * 64) + (4 * 2) + 32 + 4 + 32, few.BytesWith(1, 0));
        for (uint page = 2; page < 8; page++)
            few.AddPage(0, page * 512);
        Assert.InRange(few.BytesWith(1, 0), 2 * 8 * 64, (2 * 8 * 64) + 200);

        // In one part of the set bits may take 65,536 times 43 bytes, and a table up to such a rank takes half of that.
        var set = new StateSet(vcpus: 3);
        StateKey[] states = [.. from shared in (int[])[0, 16, 32, 0] from parts in (int[][])[[1000, 1, 1], [5, 2, 1]]
            select Key(shared, parts)];
        HashSet<StateKey> expected = [];
        foreach (StateKey state in states)
        {
            Assert.Equal(expected.Add(state), set.Add(state, set.Ranks.Of(state)));
            Assert.All(states, any => Assert.Equal(expected.Contains(any), set.Contains(any, set.Ranks.Of(any))));
        }
    }

    private static StateKey Key(int shared, int[] parts)
    {
        StateKey key = default(StateKey).WithShared(shared);
        foreach ((int v, int part) in parts.Index())
            key = key.WithVcpu(v, part);
        return key;
    }
}
