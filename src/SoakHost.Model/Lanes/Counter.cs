using System.Runtime.CompilerServices;

namespace SoakHost.Model.Lanes;

/// <summary>A 64-bit number in each lane, as two words: the only numbers of the model that need more than 32 bits.</summary>
/// <param name="low">Bits 0 to 31.</param>
/// <param name="high">Bits 32 to 63.</param>
public struct Counter<TLanes>(TLanes low, TLanes high)
    where TLanes : unmanaged, ILanes<TLanes>
{
    /// <summary>Bits 0 to 31.</summary>
    public TLanes Low = low;

    /// <summary>Bits 32 to 63.</summary>
    public TLanes High = high;

    /// <summary>The number plus one where <paramref name="mask"/> is true, modulo 2^64.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly Counter<TLanes> PlusOneWhere(TLanes mask)
    {
        TLanes low = Low - mask;
        return new(low, High - (TLanes.IsZero(low) & mask));
    }

    /// <summary>Evidence that the two numbers differ: any bit set.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly TLanes DiffersFrom(Counter<TLanes> other) => (Low ^ other.Low) | (High ^ other.High);

    /// <summary><paramref name="whenTrue"/> where <paramref name="mask"/> is true, else <paramref name="whenFalse"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Counter<TLanes> Select(TLanes mask, Counter<TLanes> whenTrue, Counter<TLanes> whenFalse) =>
        new(TLanes.Select(mask, whenTrue.Low, whenFalse.Low), TLanes.Select(mask, whenTrue.High, whenFalse.High));

    /// <summary>One lane's number. For reading and writing states, not for the hot loop.</summary>
    public readonly ulong this[int lane] => Low[lane] | ((ulong)High[lane] << 32);

    /// <summary>A copy with one lane replaced. For reading and writing states, not for the hot loop.</summary>
    public readonly Counter<TLanes> With(int lane, ulong value) =>
        new(Low.With(lane, unchecked((uint)value)), High.With(lane, (uint)(value >> 32)));
}
