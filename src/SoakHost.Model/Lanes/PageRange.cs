using System.Runtime.CompilerServices;

namespace SoakHost.Model.Lanes;

/// <summary>
/// A range [start, end) of pages in each lane, kept as two sets: all pages from the start on, and all pages below the end. The
/// hull of two ranges is then the union of each, with no search for first and last bits.
/// </summary>
/// <param name="From">Every page at the start or after it.</param>
/// <param name="Below">Every page before the end.</param>
public readonly record struct PageRange<TPages, TLanes>(TPages From, TPages Below)
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    /// <summary>The pages in the range.</summary>
    public TPages Pages
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => From & Below;
    }

    /// <summary>The smallest range that holds both.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public PageRange<TPages, TLanes> Hull(PageRange<TPages, TLanes> other) => new(From | other.From, Below | other.Below);

    /// <summary><paramref name="whenTrue"/> where <paramref name="mask"/> is true, else <paramref name="whenFalse"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static PageRange<TPages, TLanes> Select(
        TLanes mask, PageRange<TPages, TLanes> whenTrue, PageRange<TPages, TLanes> whenFalse) =>
        new(TPages.Select(mask, whenTrue.From, whenFalse.From), TPages.Select(mask, whenTrue.Below, whenFalse.Below));
}
