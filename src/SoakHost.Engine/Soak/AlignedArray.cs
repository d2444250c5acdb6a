using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace SoakHost.Engine.Soak;

/// <summary>
/// An array whose elements start at a multiple of 64 bytes, so that no 512-bit load or store straddles two cache lines. Zeroed;
/// it never moves; the garbage collector frees it.
/// </summary>
internal sealed class AlignedArray<T>
    where T : unmanaged
{
    private const int Alignment = 64;

    private readonly byte[] _bytes;
    private readonly int _offset;

    public AlignedArray(int length)
    {
        Length = length;
        _bytes = GC.AllocateArray<byte>(checked((length * Unsafe.SizeOf<T>()) + Alignment), pinned: true);
        nint address = Marshal.UnsafeAddrOfPinnedArrayElement(_bytes, 0);
        _offset = (int)(-address & (Alignment - 1));
    }

    public int Length { get; }

    public Span<T> Span => MemoryMarshal.Cast<byte, T>(_bytes.AsSpan(_offset, Length * Unsafe.SizeOf<T>()));
}
