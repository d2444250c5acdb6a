using System.Buffers;
using System.Globalization;
using System.Text;

namespace SoakHost.Watch.Discovery;

/// <summary>A process of this host.</summary>
/// <param name="Pid">Its number.</param>
/// <param name="Inode">The inode of its folder: another process of the same number has another one.</param>
public readonly record struct ProcessEntry(int Pid, ulong Inode);

/// <summary>The files of /proc, /sys and debugfs below one root. Whatever is in them, what is read is bounded.</summary>
/// <param name="root">The root of the file system; another one for tests.</param>
public class ProcFiles(string root = "/")
{
    /// <summary>Most bytes read of one file.</summary>
    public const int BytesMax = 64 * 1024;

    private static ReadOnlySpan<byte> KvmPrefix => "anon_inode:kvm-"u8;

    /// <summary>Every process, in ascending order.</summary>
    public IReadOnlyList<ProcessEntry> Processes() =>
        [.. Numbers(Path.Combine(root, "proc")).Select(entry => new ProcessEntry(entry.Number, entry.Inode))];

    /// <summary>The threads of a process.</summary>
    public IEnumerable<int> Threads(int pid) => Numbers(Path.Combine(root, $"proc/{pid}/task")).Select(entry => entry.Number);

    /// <summary>
    /// How many files a process has open, which Linux 6.2 and later tell without listing them; 0 where that is not told.
    /// </summary>
    public virtual long FilesOpen(int pid) => ProcCalls.SizeOf(Path.Combine(root, $"proc/{pid}/fd"));

    /// <summary>What each of a process's file descriptors is that KVM gave out, in ascending order.</summary>
    /// <exception cref="UnauthorizedAccessException">The process may not be looked into.</exception>
    public virtual IReadOnlyList<(int Descriptor, string Target)> Descriptors(int pid)
    {
        List<(int Descriptor, string Target)> found = ProcCalls.Links(Path.Combine(root, $"proc/{pid}/fd"), KvmPrefix);
        found.Sort();
        return found;
    }

    /// <summary>The names in a folder; empty where it cannot be read.</summary>
    public IReadOnlyList<string> Folder(string path)
    {
        try
        {
            return [.. Directory.EnumerateFileSystemEntries(Path.Combine(root, path)).Select(entry => Path.GetFileName(entry))];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    /// <summary>A file's text, without its last line's end; null where it cannot be read.</summary>
    public string? Text(string path)
    {
        byte[] bytes = ArrayPool<byte>.Shared.Rent(BytesMax);
        try
        {
            int length = Read(path, bytes.AsSpan(0, BytesMax));
            return length < 0 ? null : Encoding.UTF8.GetString(bytes, 0, length).TrimEnd('\n');
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    /// <summary>Reads a file from its beginning.</summary>
    /// <returns>How many bytes it gave, at most as many as <paramref name="target"/> takes; -1 where it cannot be read.</returns>
    public int Read(string path, Span<byte> target) => ProcCalls.Read(Path.Combine(root, path), target);

    /// <summary>A file with one number; null where it cannot be read or is something else.</summary>
    public ulong? Number(string path) =>
        ulong.TryParse(Text(path), NumberStyles.None, CultureInfo.InvariantCulture, out ulong number) ? number : null;

    /// <summary>Where a file of this root lies.</summary>
    internal string PathOf(string path) => Path.Combine(root, path);

    private static List<(int Number, ulong Inode)> Numbers(string folder)
    {
        try
        {
            return [.. ProcCalls.Numbers(folder).Where(entry => entry.Number > 0).OrderBy(entry => entry.Number)];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
