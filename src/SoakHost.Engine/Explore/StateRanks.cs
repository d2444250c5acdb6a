using System.Runtime.CompilerServices;

namespace SoakHost.Engine.Explore;

/// <summary>
/// A number for the vCPUs of a state, from 0 without gaps: the place of their parts' numbers, in falling order, among all such
/// combinations with repetition (the combinatorial number system). A combination of lower numbers has a lower rank.
/// </summary>
internal sealed class StateRanks
{
    /// <summary>The rank of a state that has none: the numbers of its parts are too high.</summary>
    public const uint None = uint.MaxValue;

    private const int NumberMax = 1 << 12;
    private const ulong RankMax = (1 << 28) - 1;

    // For each vCPU of a state, what the number of its part adds to the rank.
    private readonly ulong[] _first;
    private readonly ulong[] _second;
    private readonly ulong[] _third;
    private readonly ulong[] _fourth;

    /// <summary>The ranks of states of so many vCPUs, 1 to 4.</summary>
    public StateRanks(int vcpus) =>
        (_first, _second, _third, _fourth) = (Terms(vcpus), Terms(vcpus - 1), Terms(vcpus - 2), Terms(vcpus - 3));

    /// <summary>The rank of a state whose vCPUs are in falling order, or <see cref="None"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Of(StateKey state)
    {
        int first = state.Vcpu(0);
        if (first > NumberMax)
            return None;
        ulong rank = _first[first] + _second[state.Vcpu(1)] + _third[state.Vcpu(2)] + _fourth[state.Vcpu(3)];
        return rank <= RankMax ? (uint)rank : None;
    }

    // The number of combinations with repetition of so many lower numbers: C(number + count - 2, count).
    private static ulong[] Terms(int count)
    {
        ulong[] terms = new ulong[NumberMax + 1];
        for (int number = 1; number <= NumberMax && count > 0; number++)
        {
            ulong term = 1;
            for (int i = 1; i <= count; i++)
                term = term * (ulong)(number - 2 + i) / (ulong)i;
            terms[number] = term;
        }

        return terms;
    }
}
