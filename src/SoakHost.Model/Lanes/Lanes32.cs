using System.Runtime.CompilerServices;

namespace SoakHost.Model.Lanes;

/// <summary>One VM in one 32-bit register: for machines without vectors, and for following a single VM.</summary>
public readonly struct Lanes32 : ILanes<Lanes32>
{
    private readonly uint _value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Lanes32(uint value) => _value = value;

    /// <inheritdoc/>
    public static int Count => 1;

    /// <inheritdoc/>
    public uint this[int lane] => _value;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 Broadcast(uint value) => new(value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 operator &(Lanes32 left, Lanes32 right) => new(left._value & right._value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 operator |(Lanes32 left, Lanes32 right) => new(left._value | right._value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 operator ^(Lanes32 left, Lanes32 right) => new(left._value ^ right._value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 operator ~(Lanes32 value) => new(~value._value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 Except(Lanes32 value, Lanes32 bits) => new(value._value & ~bits._value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 operator +(Lanes32 left, Lanes32 right) => new(unchecked(left._value + right._value));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 operator -(Lanes32 left, Lanes32 right) => new(unchecked(left._value - right._value));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 operator *(Lanes32 left, Lanes32 right) => new(unchecked(left._value * right._value));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 operator <<(Lanes32 value, int count) => new(value._value << count);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 operator >>(Lanes32 value, int count) => new(unchecked((uint)((int)value._value >> count)));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 operator >>>(Lanes32 value, int count) => new(value._value >>> count);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 ShiftLeft(Lanes32 value, Lanes32 counts) => new(ShiftLeft(value._value, counts._value));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 IsZero(Lanes32 value) => new(value._value == 0 ? uint.MaxValue : 0);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 LessThan(Lanes32 left, Lanes32 right) => new(left._value < right._value ? uint.MaxValue : 0);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes32 Select(Lanes32 mask, Lanes32 whenTrue, Lanes32 whenFalse) =>
        new((whenTrue._value & mask._value) | (whenFalse._value & ~mask._value));

    /// <inheritdoc/>
    public Lanes32 With(int lane, uint value) => new(value);

    /// <summary>C# takes shift counts modulo 32; the lanes' contract is 0 from 32 on.</summary>
    internal static uint ShiftLeft(uint value, uint count) => count < 32 ? value << (int)count : 0;
}
