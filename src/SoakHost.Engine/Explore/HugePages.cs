using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace SoakHost.Engine.Explore;

/// <summary>
/// Large arrays on huge pages, where Linux has them for the asking (<c>transparent_hugepage/enabled</c> is <c>madvise</c>). A
/// table that is read at random misses the TLB at nearly every look with pages of 4 KiB.
/// </summary>
internal static partial class HugePages
{
    // asm-generic/mman-common.h
    private const int AdviceHugePage = 14;
    private const nuint PageBytes = 2 << 20;

    /// <summary>An array of zeros that stays where it is.</summary>
    /// <param name="length">Its length.</param>
    public static unsafe T[] Allocate<T>(int length)
        where T : unmanaged
    {
        T[] array = GC.AllocateArray<T>(length, pinned: true);
        nuint bytes = (nuint)length * (nuint)Unsafe.SizeOf<T>();
        if (bytes < 2 * PageBytes || !OperatingSystem.IsLinux())
            return array;

        // Whole huge pages inside the array. A hint: where it is refused the array is as good, and slower.
        nuint first = (nuint)Unsafe.AsPointer(ref array[0]);
        nuint start = (first + PageBytes - 1) & ~(PageBytes - 1), end = (first + bytes) & ~(PageBytes - 1);
        _ = Advise(start, end - start, AdviceHugePage);
        return array;
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nuint address, nuint length, int advice);
}
