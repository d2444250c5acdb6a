using System.Buffers.Text;
using SoakHost.Watch.Discovery;
using SoakHost.Watch.Samples;

namespace SoakHost.Watch.Sources;

/// <summary>What /proc tells of one thread, read again and again.</summary>
internal sealed class ThreadFiles(ProcFiles files, int pid, int thread) : IDisposable
{
    private readonly KeptFile _stat = new(files, $"proc/{pid}/task/{thread}/stat");
    private readonly KeptFile _schedstat = new(files, $"proc/{pid}/task/{thread}/schedstat");
    private readonly KeptFile _wchan = new(files, $"proc/{pid}/task/{thread}/wchan");

    private bool _wasRead;
    private ulong? _exits;

    /// <summary>Whether it has ended since it was read first.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>Its figures now; none where it has ended.</summary>
    /// <param name="exits">
    /// How often its vCPU has stopped for the host by now; null where that is not known. Where that has grown since the last
    /// reading, the thread hangs nowhere in the host, and where it waits is not read: that costs the kernel the most.
    /// </param>
    public ThreadFigures Read(ulong? exits)
    {
        bool isMoving = exits > _exits;
        _exits = exits;
        ThreadStat stat = default;
        Span<byte> bytes = stackalloc byte[ThreadStat.BytesMax];
        bool isThere = _stat.Read(bytes) is > 0 and var length && ThreadStat.TryParse(bytes[..length], out stat);
        HasEnded = _wasRead && !isThere;
        _wasRead |= isThere;
        if (!isThere)
            return new();
        // schedstat counts nanoseconds, where the kernel keeps it.
        double seconds = _schedstat.Read(bytes) is > 0 and var read
            && Utf8Parser.TryParse(bytes[..read], out ulong nanoseconds, out int used) && used < read && bytes[used] == ' '
            ? nanoseconds / 1e9 : stat.CpuTicks / ThreadStat.TicksPerSecond;
        // One that runs waits nowhere, and the kernel says "0".
        return new ThreadFigures(stat.State, seconds, stat.State == "R" ? "" : isMoving ? null : _wchan.Text());
    }

    public void Dispose()
    {
        _stat.Dispose();
        _schedstat.Dispose();
        _wchan.Dispose();
    }
}
