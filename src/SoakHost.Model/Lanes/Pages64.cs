using System.Runtime.CompilerServices;

namespace SoakHost.Model.Lanes;

/// <summary>Up to 64 guest pages in each lane, in two words.</summary>
public readonly struct Pages64<TLanes> : IPages<Pages64<TLanes>, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    private readonly TLanes _low;
    private readonly TLanes _high;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Pages64(TLanes low, TLanes high) => (_low, _high) = (low, high);

    /// <inheritdoc/>
    public static int Capacity => 64;

    /// <inheritdoc/>
    public static int IndexBits => 6;

    /// <inheritdoc/>
    public TLanes Any
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _low | _high;
    }

    /// <inheritdoc/>
    public TLanes Number
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Bits.Count(_low) + Bits.Count(_high);
    }

    /// <inheritdoc/>
    public ulong this[int lane] => _low[lane] | ((ulong)_high[lane] << 32);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages64<TLanes> Page(TLanes index)
    {
        TLanes one = TLanes.Broadcast(1);
        return new(TLanes.ShiftLeft(one, index), TLanes.ShiftLeft(one, index - TLanes.Broadcast(32)));
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages64<TLanes> Below(TLanes end)
    {
        TLanes all = TLanes.Broadcast(uint.MaxValue);
        TLanes endsInLow = TLanes.IsZero(end >>> 5);
        TLanes high = ~TLanes.ShiftLeft(all, end - TLanes.Broadcast(32)) & ~endsInLow;
        return new(~TLanes.ShiftLeft(all, end), high);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages64<TLanes> operator &(Pages64<TLanes> left, Pages64<TLanes> right) =>
        new(left._low & right._low, left._high & right._high);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages64<TLanes> operator |(Pages64<TLanes> left, Pages64<TLanes> right) =>
        new(left._low | right._low, left._high | right._high);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages64<TLanes> Except(Pages64<TLanes> pages, Pages64<TLanes> others) =>
        new(TLanes.Except(pages._low, others._low), TLanes.Except(pages._high, others._high));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages64<TLanes> ExceptWhere(Pages64<TLanes> pages, TLanes mask) =>
        new(TLanes.Except(pages._low, mask), TLanes.Except(pages._high, mask));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages64<TLanes> operator ~(Pages64<TLanes> pages) => new(~pages._low, ~pages._high);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages64<TLanes> DownByOne(Pages64<TLanes> pages) =>
        new((pages._low >>> 1) | (pages._high << 31), pages._high >>> 1);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages64<TLanes> UpByOne(Pages64<TLanes> pages) =>
        new(pages._low << 1, (pages._high << 1) | (pages._low >>> 31));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Pages64<TLanes> Where(TLanes mask) => new(_low & mask, _high & mask);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages64<TLanes> Select(TLanes mask, Pages64<TLanes> whenTrue, Pages64<TLanes> whenFalse) =>
        new(TLanes.Select(mask, whenTrue._low, whenFalse._low), TLanes.Select(mask, whenTrue._high, whenFalse._high));

    /// <inheritdoc/>
    public Pages64<TLanes> With(int lane, ulong pages) =>
        new(_low.With(lane, unchecked((uint)pages)), _high.With(lane, (uint)(pages >> 32)));
}
