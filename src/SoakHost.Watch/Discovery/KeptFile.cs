using System.Text;

namespace SoakHost.Watch.Discovery;

/// <summary>
/// A small file of /proc that is read at each look. It is kept open: opening it anew takes the kernel three times what reading
/// it does. An open file of a thread stays that of this thread, and says so once the thread has ended.
/// </summary>
/// <remarks>
/// All of them together keep a quarter of the files open that this process may have; the others are opened anew.
/// </remarks>
/// <param name="files">/proc.</param>
/// <param name="path">The file.</param>
/// <param name="most">Most that stay open together; null for that quarter.</param>
internal sealed class KeptFile(ProcFiles files, string path, int? most = null) : IDisposable
{
    private const int BytesMax = 1024;
    private const int NotOpen = -1;

    // What a process may have open at least, where it is not known.
    private const ulong OpenFilesMin = 1024;
    private static readonly int KeptMax = (int)Math.Min(
        int.MaxValue, (ProcCalls.OpenFilesMax() is > 0 and var max ? max : OpenFilesMin) / 4);

    private static int _kept;

    private int _descriptor = NotOpen;

    /// <summary>The file's text now, without its last line's end; null where it cannot be read.</summary>
    public string? Text()
    {
        Span<byte> bytes = stackalloc byte[BytesMax];
        int length = Read(bytes);
        return length < 0 ? null : Encoding.UTF8.GetString(bytes[..length]).TrimEnd('\n');
    }

    /// <summary>Reads what the file has now.</summary>
    /// <returns>How many bytes it gave, at most as many as <paramref name="target"/> takes; -1 where it cannot be read.</returns>
    public int Read(Span<byte> target)
    {
        int length = _descriptor == NotOpen ? -1 : ProcCalls.ReadAgain(_descriptor, target);
        if (length >= 0)
            return length;
        // The thread has ended, and there may be another one of this number.
        Dispose();
        return TryOpen() ? ProcCalls.ReadAgain(_descriptor, target) : files.Read(path, target);
    }

    public void Dispose()
    {
        if (_descriptor == NotOpen)
            return;
        ProcCalls.CloseFile(_descriptor);
        _descriptor = NotOpen;
        Interlocked.Decrement(ref _kept);
    }

    private bool TryOpen()
    {
        if (Interlocked.Increment(ref _kept) <= (most ?? KeptMax) && ProcCalls.Open(files.PathOf(path)) is >= 0 and var opened)
        {
            _descriptor = opened;
            return true;
        }

        Interlocked.Decrement(ref _kept);
        return false;
    }
}
