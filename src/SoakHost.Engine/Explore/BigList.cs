namespace SoakHost.Engine.Explore;

/// <summary>A list of up to 2^31 - 1 items that grows without copying them.</summary>
internal sealed class BigList<T>
    where T : struct
{
    private const int ChunkBits = 13;

    private readonly List<T[]> _chunks = [];

    public int Count { get; private set; }

    public ref T this[int index] => ref _chunks[index >> ChunkBits][index & ((1 << ChunkBits) - 1)];

    public void Add(T item)
    {
        AddRoom(1);
        this[Count - 1] = item;
    }

    /// <summary>Makes room for some more items, whose contents are whatever was there before.</summary>
    public void AddRoom(int count)
    {
        Count += count;
        while (Count > (long)_chunks.Count << ChunkBits)
            _chunks.Add(new T[1 << ChunkBits]);
    }

    public void Clear() => Count = 0;
}
