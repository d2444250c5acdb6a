using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace SoakHost.Engine.Explore;

/// <summary>
/// A set of states as bits: for each shared part a table of pages, and in a page a bit for each of 512 ranks. Where states are
/// dense that is a few bits a state, and states that are one step from each other are near each other in memory.
/// </summary>
internal sealed class RankedStates
{
    private const int PageBits = 9;
    private const int WordsPerPage = 1 << (PageBits - 6);
    private const int TableOverheadBytes = 32;

    // By shared part and page of ranks, where its words begin; page 0 is nobody's and means that there is none.
    private int[][] _tables = [];
    private ulong[] _words = new ulong[8 * WordsPerPage];
    private int _pages = 1;
    private long _tableBytes;

    private bool IsFull => (_pages + 1) * WordsPerPage > _words.Length;

    /// <summary>Memory that it takes, if it gets the page of a rank too.</summary>
    public long BytesWith(int shared, uint rank)
    {
        int length = TableOf(shared).Length;
        int wanted = LengthFor((int)(rank >> PageBits), length);
        long words = IsFull ? 2L * _words.Length : _words.Length;
        return (8 * words) + _tableBytes + (4L * (wanted - length)) + TableOverheadBytes;
    }

    public bool HasPage(int shared, uint rank) => PageOf(shared, rank) != 0;

    public Found Find(int shared, uint rank)
    {
        int page = PageOf(shared, rank);
        return new(page != 0, (_words[WordOf(page, rank)] & BitOf(rank)) != 0);
    }

    /// <summary>Brings the bit near, and returns true, if its page is there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public unsafe bool Prefetch(int shared, uint rank)
    {
        int page = PageOf(shared, rank);
        if (page == 0)
            return false;

        // A hint: it does no harm where the array has moved.
        if (Sse.IsSupported)
            Sse.Prefetch0(Unsafe.AsPointer(ref _words[WordOf(page, rank)]));
        return true;
    }

    /// <summary>Makes a page for a rank that has none.</summary>
    public void AddPage(int shared, uint rank)
    {
        int index = (int)(rank >> PageBits);
        if (shared >= _tables.Length)
        {
            int before = _tables.Length;
            Array.Resize(ref _tables, Math.Max(2 * before, shared + 1));
            _tables.AsSpan(before).Fill([]);
        }

        ref int[] table = ref _tables[shared];
        if (index >= table.Length)
        {
            int length = LengthFor(index, table.Length);
            _tableBytes += (4L * (length - table.Length)) + (table.Length == 0 ? TableOverheadBytes : 0);
            Array.Resize(ref table, length);
        }

        if (IsFull)
        {
            ulong[] words = HugePages.Allocate<ulong>(2 * _words.Length);
            _words.CopyTo(words, 0);
            _words = words;
        }

        table[index] = _pages++;
    }

    /// <summary>Adds a state whose rank has a page; returns false where it is there already.</summary>
    public bool Add(int shared, uint rank)
    {
        ref ulong word = ref _words[WordOf(PageOf(shared, rank), rank)];
        bool isNew = (word & BitOf(rank)) == 0;
        word |= BitOf(rank);
        return isNew;
    }

    private static int LengthFor(int index, int length) => index < length ? length : Math.Max(index + 1, length + (length / 2));

    private static int WordOf(int page, uint rank) => (page * WordsPerPage) + (int)((rank >> 6) & (WordsPerPage - 1));

    private static ulong BitOf(uint rank) => 1UL << (int)(rank & 63);

    private int[] TableOf(int shared) => shared < _tables.Length ? _tables[shared] : [];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int PageOf(int shared, uint rank)
    {
        int[][] tables = _tables;
        if ((uint)shared >= (uint)tables.Length)
            return 0;
        int[] table = tables[shared];
        uint index = rank >> PageBits;
        return index < (uint)table.Length ? table[index] : 0;
    }

    /// <summary>Where a state was looked for.</summary>
    /// <param name="HasPage">Whether its rank has a page; else it is not among the bits.</param>
    /// <param name="Contains">Whether its bit is set.</param>
    public readonly record struct Found(bool HasPage, bool Contains);
}
