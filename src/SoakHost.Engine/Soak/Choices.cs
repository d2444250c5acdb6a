using System.Runtime.CompilerServices;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Soak;

/// <summary>
/// How the bits of a draw become choices. One 32-bit draw serves as many actors as its bits suffice for: a vCPU uses 3 bits to
/// decide whether it moves and as many as name a page for its next page; an invalidator uses 3, and twice as many as name a page,
/// for start and length. The memslot updater has a draw of its own: 10 bits to decide whether an update begins, 3 whether one
/// that is under way goes on, and as many as name a page for the size of the memslot.
/// </summary>
internal static class Choices<TPages, TLanes>
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    private const int MoveBits = 3;
    private const int RareBits = 10;

    /// <summary>4 for up to 32 pages, 3 for up to 64.</summary>
    public static int VcpusPerDraw => 32 / (MoveBits + TPages.IndexBits);

    /// <summary>2.</summary>
    public static int InvalidatorsPerDraw => 32 / (MoveBits + (2 * TPages.IndexBits));

    /// <summary>
    /// Mask: the actor moves, 7 times out of 8. Often enough that few lanes idle, seldom enough that any actor can be
    /// overtaken by any other any number of times.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Moves(ref TLanes bits)
    {
        TLanes stays = TLanes.IsZero(bits & TLanes.Broadcast((1 << MoveBits) - 1));
        bits >>>= MoveBits;
        return ~stays;
    }

    /// <summary>
    /// A number from 0 to <paramref name="bound"/> - 1, the bound being at most what the bits can name. Where it is no power of
    /// two some numbers come twice as often as others, which no outcome depends on.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Below(ref TLanes bits, TLanes bound)
    {
        TLanes number = ((bits & TLanes.Broadcast((1u << TPages.IndexBits) - 1)) * bound) >>> TPages.IndexBits;
        bits >>>= TPages.IndexBits;
        return number;
    }

    /// <summary>Mask: true once in 1024 draws.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes IsRare(ref TLanes bits)
    {
        TLanes isRare = TLanes.IsZero(bits & TLanes.Broadcast((1 << RareBits) - 1));
        bits >>>= RareBits;
        return isRare;
    }
}
