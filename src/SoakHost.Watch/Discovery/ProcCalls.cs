using System.Buffers.Text;
using System.Runtime.InteropServices;
using System.Text;

namespace SoakHost.Watch.Discovery;

/// <summary>
/// Files and links by the plain system calls. Those of /proc are small and many: .NET's streams and file objects cost several
/// times what the kernel takes for them.
/// </summary>
internal static unsafe partial class ProcCalls
{
    private const int CloseOnExec = 0x80000;
    private const int LimitOpenFiles = 7;

    // struct statx, the same on every architecture: mask, and size 40 bytes on.
    private const int StatxBytes = 256;
    private const int StatxSizeAt = 40;
    private const uint StatxSize = 0x200;
    private const int AtWorkingFolder = -100;

    private const int ErrorNotPermitted = 1;
    private const int ErrorNoEntry = 2;
    private const int ErrorAccess = 13;

    /// <summary>Reads a file from its beginning.</summary>
    /// <returns>How many bytes it gave, at most as many as <paramref name="target"/> takes; -1 where it cannot be read.</returns>
    public static int Read(string path, Span<byte> target)
    {
        int descriptor = Open(path, CloseOnExec);
        if (descriptor < 0)
            return -1;
        try
        {
            fixed (byte* start = target)
            {
                // A file of /proc may give a part at a time.
                int length = 0;
                while (length < target.Length)
                {
                    nint read = Read(descriptor, start + length, (nuint)(target.Length - length));
                    if (read < 0)
                        return -1;
                    if (read == 0)
                        break;
                    length += (int)read;
                }

                return length;
            }
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

    /// <summary>Opens a file to be read many times.</summary>
    /// <returns>Its descriptor; negative where it cannot be opened.</returns>
    public static int Open(string path) => Open(path, CloseOnExec);

    /// <summary>Closes what was opened.</summary>
    public static void CloseFile(int descriptor) => _ = Close(descriptor);

    /// <summary>Reads an open file from its beginning, in one call.</summary>
    /// <returns>How many bytes it gave; -1 where it cannot be read.</returns>
    public static int ReadAgain(int descriptor, Span<byte> target)
    {
        fixed (byte* start = target)
            return (int)ReadAt(descriptor, start, (nuint)target.Length, 0);
    }

    /// <summary>The size that a file or folder says it has, in bytes or whatever it counts; 0 where it says none.</summary>
    public static long SizeOf(string path)
    {
        byte* told = stackalloc byte[StatxBytes];
        return Statx(AtWorkingFolder, path, 0, StatxSize, told) == 0 && (*(uint*)told & StatxSize) != 0
            ? *(long*)(told + StatxSizeAt) : 0;
    }

    /// <summary>The most files that this process may have open; 0 where that is not known.</summary>
    public static ulong OpenFilesMax()
    {
        ulong* limits = stackalloc ulong[2];
        return GetLimit(LimitOpenFiles, limits) == 0 ? limits[0] : 0;
    }

    /// <summary>The names in a folder that are numbers, with the inodes of what they name, in no order.</summary>
    /// <exception cref="UnauthorizedAccessException">The folder may not be read.</exception>
    /// <exception cref="IOException">It cannot be.</exception>
    public static List<(int Number, ulong Inode)> Numbers(string folder)
    {
        List<(int Number, ulong Inode)> found = [];
        using var entries = new Entries(folder);
        while (entries.NextNumber() is { } number)
            found.Add((number, entries.Inode));
        return found;
    }

    /// <summary>Where the symbolic links of a folder lead whose names are numbers, if that begins so; in no order.</summary>
    /// <exception cref="UnauthorizedAccessException">The folder may not be read.</exception>
    /// <exception cref="IOException">It cannot be.</exception>
    public static List<(int Number, string Target)> Links(string folder, ReadOnlySpan<byte> prefix)
    {
        const int targetMax = 256;
        byte* target = stackalloc byte[targetMax];
        List<(int Number, string Target)> found = [];
        using var entries = new Entries(folder);
        while (entries.NextNumber() is { } number)
        {
            nint length = ReadLinkAt(entries.Descriptor, entries.Name, target, targetMax);
            if (length >= 0 && new ReadOnlySpan<byte>(target, (int)length).StartsWith(prefix))
                found.Add((number, Encoding.UTF8.GetString(target, (int)length)));
        }

        return found;
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "read")]
    private static partial nint Read(int descriptor, byte* target, nuint length);

    [LibraryImport("libc", EntryPoint = "pread")]
    private static partial nint ReadAt(int descriptor, byte* target, nuint length, nint offset);

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int folder, string path, int flags, uint mask, byte* target);

    [LibraryImport("libc", EntryPoint = "getrlimit")]
    private static partial int GetLimit(int resource, ulong* limits);

    [LibraryImport("libc", EntryPoint = "readlinkat")]
    private static partial nint ReadLinkAt(int folder, byte* name, byte* target, nuint length);

    [LibraryImport("libc", EntryPoint = "opendir", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint OpenFolder(string path);

    [LibraryImport("libc", EntryPoint = "readdir")]
    private static partial byte* ReadFolder(nint folder);

    [LibraryImport("libc", EntryPoint = "dirfd")]
    private static partial int DescriptorOf(nint folder);

    [LibraryImport("libc", EntryPoint = "closedir")]
    private static partial int CloseFolder(nint folder);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);

    /// <summary>The entries of a folder. .NET's enumeration asks the kernel twice more about each that is a link.</summary>
    private ref struct Entries : IDisposable
    {
        // struct dirent, 64 bits, of glibc and musl: inode, offset, record length, type, name.
        private const int NameAt = 19;

        private readonly nint _folder;

        public Entries(string path)
        {
            _folder = OpenFolder(path);
            if (_folder != 0)
                return;
            int error = Marshal.GetLastPInvokeError();
            string what = $"{path} cannot be read: {Marshal.GetPInvokeErrorMessage(error)} (errno {error})";
            throw error switch
            {
                ErrorNotPermitted or ErrorAccess => new UnauthorizedAccessException(what),
                ErrorNoEntry => new DirectoryNotFoundException(what),
                _ => new IOException(what),
            };
        }

        /// <summary>The folder's file descriptor.</summary>
        public readonly int Descriptor => DescriptorOf(_folder);

        /// <summary>The name of the present entry, with a final zero.</summary>
        public byte* Name { get; private set; }

        /// <summary>The inode of what the present entry names.</summary>
        public ulong Inode { get; private set; }

        /// <summary>Goes to the next entry whose name is a number; null at the end.</summary>
        public int? NextNumber()
        {
            while (ReadFolder(_folder) is var entry && entry != null)
            {
                Name = entry + NameAt;
                Inode = *(ulong*)entry;
                ReadOnlySpan<byte> name = MemoryMarshal.CreateReadOnlySpanFromNullTerminated(Name);
                if (Utf8Parser.TryParse(name, out uint number, out int used) && used == name.Length && number <= int.MaxValue)
                    return (int)number;
            }

            return null;
        }

        public readonly void Dispose() => _ = CloseFolder(_folder);
    }
}
