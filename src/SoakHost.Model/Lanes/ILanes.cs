namespace SoakHost.Model.Lanes;

/// <summary>
/// A row of 32-bit lanes, one VM a lane. The protocol is written once against this interface; the type argument decides
/// how many VMs one instruction advances.
/// </summary>
/// <remarks>
/// A <em>mask</em> is a row whose lanes are each all ones (true) or all zeros (false). <em>Evidence</em> is a row in which any
/// bit set in a lane means true; it is turned into a mask once, at the end of a judgement, by <see cref="IsZero"/>.
/// </remarks>
public interface ILanes<TSelf>
    where TSelf : unmanaged, ILanes<TSelf>
{
    /// <summary>Number of lanes, 1 to 16.</summary>
    static abstract int Count { get; }

    /// <summary>Every lane set to <paramref name="value"/>.</summary>
    static abstract TSelf Broadcast(uint value);

    /// <summary>And, bit by bit.</summary>
    static abstract TSelf operator &(TSelf left, TSelf right);

    /// <summary>Or, bit by bit.</summary>
    static abstract TSelf operator |(TSelf left, TSelf right);

    /// <summary>Exclusive or, bit by bit.</summary>
    static abstract TSelf operator ^(TSelf left, TSelf right);

    /// <summary>Complement, bit by bit; turns a mask round.</summary>
    static abstract TSelf operator ~(TSelf value);

    /// <summary>
    /// <paramref name="value"/> without <paramref name="bits"/>: one instruction, where &amp; and ~ would be two.
    /// </summary>
    static abstract TSelf Except(TSelf value, TSelf bits);

    /// <summary>Lane by lane modulo 2^32.</summary>
    static abstract TSelf operator +(TSelf left, TSelf right);

    /// <summary>Lane by lane modulo 2^32. Subtracting a mask adds one where it is true.</summary>
    static abstract TSelf operator -(TSelf left, TSelf right);

    /// <summary>Lane by lane modulo 2^32.</summary>
    static abstract TSelf operator *(TSelf left, TSelf right);

    /// <summary>Shifts every lane by the same <paramref name="count"/>, 0 to 31.</summary>
    static abstract TSelf operator <<(TSelf value, int count);

    /// <summary>Shifts every lane by the same <paramref name="count"/>, 0 to 31, filling with the sign bit.</summary>
    static abstract TSelf operator >>(TSelf value, int count);

    /// <summary>Shifts every lane by the same <paramref name="count"/>, 0 to 31, filling with zeros.</summary>
    static abstract TSelf operator >>>(TSelf value, int count);

    /// <summary>Shifts each lane left by its own count; a count of 32 or more, read as unsigned, leaves 0.</summary>
    static abstract TSelf ShiftLeft(TSelf value, TSelf counts);

    /// <summary>Mask of the lanes that are 0.</summary>
    static abstract TSelf IsZero(TSelf value);

    /// <summary>
    /// Mask of the lanes in which <paramref name="left"/> is below <paramref name="right"/>, as unsigned numbers.
    /// </summary>
    static abstract TSelf LessThan(TSelf left, TSelf right);

    /// <summary><paramref name="whenTrue"/> where <paramref name="mask"/> is true, else <paramref name="whenFalse"/>.</summary>
    static abstract TSelf Select(TSelf mask, TSelf whenTrue, TSelf whenFalse);

    /// <summary>One lane's value. For reading and writing states, not for the hot loop.</summary>
    uint this[int lane] { get; }

    /// <summary>A copy with one lane replaced. For reading and writing states, not for the hot loop.</summary>
    TSelf With(int lane, uint value);
}
