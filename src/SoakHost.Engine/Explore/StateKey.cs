using System.Runtime.CompilerServices;

namespace SoakHost.Engine.Explore;

/// <summary>
/// A state as the numbers of its parts (<see cref="Parts{TKernel, TMemslots}"/>): 32 bits for what vCPUs share, and 24 for
/// each of up to four vCPUs. Equal for equal states, and for no others.
/// </summary>
internal readonly record struct StateKey(ulong Low, ulong High)
{
    /// <summary>The highest number of a vCPU's part.</summary>
    public const int VcpuMax = (1 << VcpuBits) - 1;

    private const int VcpuBits = 24;
    private const int SharedShift = 2 * VcpuBits;
    private const ulong VcpusMask = (1UL << SharedShift) - 1;

    public int Shared => (int)((uint)(Low >> SharedShift) | ((uint)(High >> SharedShift) << 16));

    /// <summary>One vCPU's part; 0 where there is no such vCPU.</summary>
    public int Vcpu(int v) => (int)((v < 2 ? Low : High) >> (VcpuBits * (v & 1))) & VcpuMax;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public StateKey WithShared(int shared)
    {
        return new(
            (Low & VcpusMask) | ((ulong)(uint)shared << SharedShift),
            (High & VcpusMask) | ((ulong)((uint)shared >> 16) << SharedShift));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public StateKey WithVcpu(int v, int part)
    {
        int shift = VcpuBits * (v & 1);
        ulong mask = (ulong)VcpuMax << shift;
        return v < 2 ? new((Low & ~mask) | ((ulong)part << shift), High) : new(Low, (High & ~mask) | ((ulong)part << shift));
    }

    /// <summary>
    /// The same with the numbers of its vCPUs' parts in falling order: by that a state is known. Without merging no two vCPUs
    /// have a number in common, so that even then no two states are taken for one.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public StateKey Sorted()
    {
        ulong a = Low & VcpuMax, b = (Low >> VcpuBits) & VcpuMax, c = High & VcpuMax, d = (High >> VcpuBits) & VcpuMax;
        (a, b) = (Math.Max(a, b), Math.Min(a, b));
        if (c != 0)
        {
            (c, d) = (Math.Max(c, d), Math.Min(c, d));
            (a, c) = (Math.Max(a, c), Math.Min(a, c));
            (b, d) = (Math.Max(b, d), Math.Min(b, d));
            (b, c) = (Math.Max(b, c), Math.Min(b, c));
        }

        return new(a | (b << VcpuBits) | (Low & ~VcpusMask), c | (d << VcpuBits) | (High & ~VcpusMask));
    }

    /// <summary>A well-mixed hash: two rounds of multiply and fold.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Hash()
    {
        ulong high = Math.BigMul(Low ^ 0x6a09e667f3bcc909, High ^ 0xbb67ae8584caa73b, out ulong low);
        high = Math.BigMul(high ^ low, 0x9e3779b97f4a7c15, out low);
        return high ^ low;
    }
}
