using System.Runtime.CompilerServices;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Soak;

/// <summary>
/// One random stream a lane: xoshiro128++ (Blackman and Vigna, 2019), period 2^128 - 1, seeded by SplitMix64 from the seed and
/// the numbers of the VM and of its life. A stream depends on nothing else.
/// </summary>
internal struct RandomLanes<TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    private TLanes _s0;
    private TLanes _s1;
    private TLanes _s2;
    private TLanes _s3;

    /// <summary>The next 32 bits of every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TLanes Next()
    {
        TLanes sum = _s0 + _s3;
        TLanes result = ((sum << 7) | (sum >>> 25)) + _s0;
        TLanes shifted = _s1 << 9;
        _s2 ^= _s0;
        _s3 ^= _s1;
        _s1 ^= _s2;
        _s0 ^= _s3;
        _s2 ^= shifted;
        _s3 = (_s3 << 11) | (_s3 >>> 21);
        return result;
    }

    /// <summary>One lane's place in its stream.</summary>
    public readonly RandomState Read(int lane) => new(_s0[lane], _s1[lane], _s2[lane], _s3[lane]);

    /// <summary>Puts one lane's stream at a place.</summary>
    public void Write(int lane, RandomState state)
    {
        _s0 = _s0.With(lane, state.S0);
        _s1 = _s1.With(lane, state.S1);
        _s2 = _s2.With(lane, state.S2);
        _s3 = _s3.With(lane, state.S3);
    }
}

/// <summary>Where random streams start.</summary>
internal static class RandomStream
{
    /// <summary>The start of the stream of one life of a VM.</summary>
    /// <param name="seed">The run's seed.</param>
    /// <param name="vm">The VM's number in its cohort.</param>
    /// <param name="life">The number of the life, from 0.</param>
    public static RandomState Start(ulong seed, long vm, int life)
    {
        // The numbers are spread over all 64 bits first, so that neighbours, and neighbouring seeds, start far apart.
        ulong state = seed ^ SplitMix64(unchecked((ulong)vm + 0x9e3779b97f4a7c15)) ^ SplitMix64((ulong)life);
        return new RandomState(Word(ref state), Word(ref state), Word(ref state), Word(ref state) | 1);

        static uint Word(ref ulong state) => (uint)(SplitMix64(unchecked(state += 0x9e3779b97f4a7c15)) >> 32);
    }

    private static ulong SplitMix64(ulong value)
    {
        unchecked
        {
            value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
            value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
            return value ^ (value >> 31);
        }
    }
}

/// <summary>A place in a VM's random stream: the four words of xoshiro128++, never all zero.</summary>
public readonly record struct RandomState(uint S0, uint S1, uint S2, uint S3);
