using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using SoakHost.Model;
using SoakHost.Model.Lanes;
using Pages = SoakHost.Model.Lanes.Pages32<SoakHost.Model.Lanes.Lanes32>;

namespace SoakHost.Engine.Explore;

/// <summary>A view of one VM's state in a buffer.</summary>
internal readonly ref struct State(Span<byte> bytes, ExploreOptions options)
{
    private readonly Span<byte> _bytes = bytes;

    public readonly Span<VcpuLanes<Pages, Lanes32>> Vcpus = MemoryMarshal.Cast<byte, VcpuLanes<Pages, Lanes32>>(
        bytes[StateBuffer.VcpusAt..StateBuffer.InvalidatorsAt(options)]);

    public readonly Span<InvalidatorLanes<Pages, Lanes32>> Invalidators =
        MemoryMarshal.Cast<byte, InvalidatorLanes<Pages, Lanes32>>(bytes[StateBuffer.InvalidatorsAt(options)..]);

    public ref VmLanes<Pages, Lanes32> Vm => ref MemoryMarshal.AsRef<VmLanes<Pages, Lanes32>>(_bytes[StateBuffer.VmAt..]);

    /// <summary>Invalidations that have begun.</summary>
    public ref int Begun => ref MemoryMarshal.AsRef<int>(_bytes);

    /// <summary>Memslot updates so far.</summary>
    public ref int Updated => ref MemoryMarshal.AsRef<int>(_bytes[sizeof(int)..]);

    public void CopyFrom(State other) => other._bytes.CopyTo(_bytes);
}

/// <summary>States one after another.</summary>
internal sealed class StateBuffer(ExploreOptions options)
{
    public const int VmAt = 2 * sizeof(int);

    private const int ChunkStates = 4096;

    private readonly int _size =
        InvalidatorsAt(options) + (options.Invalidators * Unsafe.SizeOf<InvalidatorLanes<Pages, Lanes32>>());

    private readonly List<byte[]> _chunks = [];

    public static int VcpusAt => VmAt + Unsafe.SizeOf<VmLanes<Pages, Lanes32>>();

    public int Count { get; private set; }

    public State this[int index] =>
        new(_chunks[index / ChunkStates].AsSpan(index % ChunkStates * _size, _size), options);

    public static int InvalidatorsAt(ExploreOptions options) =>
        VcpusAt + (options.Vcpus * Unsafe.SizeOf<VcpuLanes<Pages, Lanes32>>());

    public State Add()
    {
        Add(1);
        return this[Count - 1];
    }

    /// <summary>Makes room for some more states, whose contents are whatever was there before.</summary>
    public void Add(int count)
    {
        Count += count;
        while (Count > _chunks.Count * ChunkStates)
            _chunks.Add(new byte[ChunkStates * _size]);
    }

    public void RemoveLast() => Count--;

    public void Clear() => Count = 0;
}
