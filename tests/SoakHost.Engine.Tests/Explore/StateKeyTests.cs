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
    public void A_set_has_what_was_added_and_nothing_else()
    {
        var random = new Random(1);
        var set = new StateSet();
        HashSet<StateKey> expected = [];
        for (int i = 0; i < 100_000; i++)
        {
            StateKey key = Key(random.Next(40), [.. Enumerable.Range(0, 3).Select(_ => random.Next(1, 16))]);
            Assert.Equal(expected.Contains(key), set.Contains(key, key.Hash()));
            Assert.Equal(expected.Add(key), set.Add(key, key.Hash()));
        }

        Assert.InRange(expected.Count, 60_000, 80_000);
    }

    private static StateKey Key(int shared, int[] parts)
    {
        StateKey key = default(StateKey).WithShared(shared);
        foreach ((int v, int part) in parts.Index())
            key = key.WithVcpu(v, part);
        return key;
    }
}
