using System.Runtime.CompilerServices;

namespace SoakHost.Model.Lanes;

/// <summary>Up to 32 guest pages in each lane.</summary>
public readonly struct Pages32<TLanes> : IPages<Pages32<TLanes>, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    private readonly TLanes _bits;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Pages32(TLanes bits) => _bits = bits;

    /// <inheritdoc/>
    public static int Capacity => 32;

    /// <inheritdoc/>
    public static int IndexBits => 5;

    /// <inheritdoc/>
    public TLanes Any
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _bits;
    }

    /// <inheritdoc/>
    public TLanes Number
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Bits.Count(_bits);
    }

    /// <inheritdoc/>
    public ulong this[int lane] => _bits[lane];

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages32<TLanes> Page(TLanes index) => new(TLanes.ShiftLeft(TLanes.Broadcast(1), index));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages32<TLanes> Below(TLanes end) => new(~TLanes.ShiftLeft(TLanes.Broadcast(uint.MaxValue), end));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages32<TLanes> operator &(Pages32<TLanes> left, Pages32<TLanes> right) => new(left._bits & right._bits);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages32<TLanes> operator |(Pages32<TLanes> left, Pages32<TLanes> right) => new(left._bits | right._bits);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages32<TLanes> Except(Pages32<TLanes> pages, Pages32<TLanes> others) =>
        new(TLanes.Except(pages._bits, others._bits));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages32<TLanes> ExceptWhere(Pages32<TLanes> pages, TLanes mask) => new(TLanes.Except(pages._bits, mask));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages32<TLanes> operator ~(Pages32<TLanes> pages) => new(~pages._bits);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages32<TLanes> DownByOne(Pages32<TLanes> pages) => new(pages._bits >>> 1);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages32<TLanes> UpByOne(Pages32<TLanes> pages) => new(pages._bits << 1);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Pages32<TLanes> Where(TLanes mask) => new(_bits & mask);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Pages32<TLanes> Select(TLanes mask, Pages32<TLanes> whenTrue, Pages32<TLanes> whenFalse) =>
        new(TLanes.Select(mask, whenTrue._bits, whenFalse._bits));

    /// <inheritdoc/>
    public Pages32<TLanes> With(int lane, ulong pages) => new(_bits.With(lane, checked((uint)pages)));
}
