using System.Buffers;
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
    private const int BytesMax = 4096;
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
        byte[] bytes = ArrayPool<byte>.Shared.Rent(BytesMax);
        try
        {
            int length = _descriptor == NotOpen ? -1 : ProcCalls.ReadAgain(_descriptor, bytes.AsSpan(0, BytesMax));
            if (length < 0)
            {
                // The thread has ended, and there may be another one of this number.
                Dispose();
                if (!TryOpen())
                    return files.Text(path);
                length = ProcCalls.ReadAgain(_descriptor, bytes.AsSpan(0, BytesMax));
            }

            return length < 0 ? null : Encoding.UTF8.GetString(bytes, 0, length).TrimEnd('\n');
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
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
