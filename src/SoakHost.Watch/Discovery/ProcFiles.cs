using System.Buffers;
using System.Globalization;
using System.Text;

namespace SoakHost.Watch.Discovery;

/// <summary>The files of /proc, /sys and debugfs below one root. Whatever is in them, what is read is bounded.</summary>
/// <param name="root">The root of the file system; another one for tests.</param>
public class ProcFiles(string root = "/")
{
    /// <summary>Most bytes read of one file.</summary>
    public const int BytesMax = 64 * 1024;

    private static ReadOnlySpan<byte> KvmPrefix => "anon_inode:kvm-"u8;

    /// <summary>Every process, by its number.</summary>
    public IEnumerable<int> Processes() => Numbers(Path.Combine(root, "proc"));

    /// <summary>The threads of a process.</summary>
    public IEnumerable<int> Threads(int pid) => Numbers(Path.Combine(root, $"proc/{pid}/task"));

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
            int length = ProcCalls.Read(Path.Combine(root, path), bytes.AsSpan(0, BytesMax));
            return length < 0 ? null : Encoding.UTF8.GetString(bytes, 0, length).TrimEnd('\n');
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    /// <summary>A file with one number; null where it cannot be read or is something else.</summary>
    public ulong? Number(string path) =>
        ulong.TryParse(Text(path), NumberStyles.None, CultureInfo.InvariantCulture, out ulong number) ? number : null;

    private static List<int> Numbers(string folder)
    {
        try
        {
            return [.. ProcCalls.Numbers(folder).Where(number => number > 0).Order()];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
