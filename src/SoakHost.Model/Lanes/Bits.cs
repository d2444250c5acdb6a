using System.Runtime.CompilerServices;

namespace SoakHost.Model.Lanes;

/// <summary>
/// Counting bits lane by lane: .NET has no such instruction for vectors, so pairs, nibbles and bytes are added up.
/// </summary>
internal static class Bits
{
    /// <summary>Number of bits set in each lane, 0 to 32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Count<TLanes>(TLanes bits)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        TLanes twos = TLanes.Broadcast(0x33333333);
        TLanes pairs = bits - ((bits >>> 1) & TLanes.Broadcast(0x55555555));
        TLanes nibbles = (pairs & twos) + ((pairs >>> 2) & twos);
        TLanes bytes = (nibbles + (nibbles >>> 4)) & TLanes.Broadcast(0x0f0f0f0f);
        return (bytes * TLanes.Broadcast(0x01010101)) >>> 24;
    }
}
