namespace SoakHost.Model.Lanes;

/// <summary>A set of guest pages in each lane, one bit a page: one word for up to 32 pages, two for up to 64.</summary>
public interface IPages<TSelf, TLanes>
    where TSelf : unmanaged, IPages<TSelf, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    /// <summary>The most pages a set can hold, 32 or 64.</summary>
    static abstract int Capacity { get; }

    /// <summary>Bits that name one page: 5 or 6.</summary>
    static abstract int IndexBits { get; }

    /// <summary>The set of the one page <paramref name="index"/>, 0 to Capacity - 1.</summary>
    static abstract TSelf Page(TLanes index);

    /// <summary>
    /// All pages below <paramref name="end"/>, 0 to 2 * Capacity - 1; at Capacity and beyond that is every page.
    /// </summary>
    static abstract TSelf Below(TLanes end);

    /// <summary>The pages in both.</summary>
    static abstract TSelf operator &(TSelf left, TSelf right);

    /// <summary>The pages in either.</summary>
    static abstract TSelf operator |(TSelf left, TSelf right);

    /// <summary><paramref name="pages"/> without <paramref name="others"/>.</summary>
    static abstract TSelf Except(TSelf pages, TSelf others);

    /// <summary><paramref name="pages"/>, and none where <paramref name="mask"/> is true.</summary>
    static abstract TSelf ExceptWhere(TSelf pages, TLanes mask);

    /// <summary>All pages of the words that are not in the set, those beyond the VM's last page too.</summary>
    static abstract TSelf operator ~(TSelf pages);

    /// <summary>The set moved one page down; page 0 falls out.</summary>
    static abstract TSelf DownByOne(TSelf pages);

    /// <summary>The set moved one page up; the last page of the words falls out.</summary>
    static abstract TSelf UpByOne(TSelf pages);

    /// <summary>Evidence that the set is not empty: any bit set.</summary>
    TLanes Any { get; }

    /// <summary>Number of pages, 0 to 64.</summary>
    TLanes Number { get; }

    /// <summary>The set in the lanes where <paramref name="mask"/> is true, empty in the others.</summary>
    TSelf Where(TLanes mask);

    /// <summary><paramref name="whenTrue"/> where <paramref name="mask"/> is true, else <paramref name="whenFalse"/>.</summary>
    static abstract TSelf Select(TLanes mask, TSelf whenTrue, TSelf whenFalse);

    /// <summary>One lane's set. For reading and writing states, not for the hot loop.</summary>
    ulong this[int lane] { get; }

    /// <summary>A copy with one lane replaced. For reading and writing states, not for the hot loop.</summary>
    TSelf With(int lane, ulong pages);
}
