using System.Runtime.InteropServices;
using System.Text;

namespace SoakHost.Storage;

/// <summary>Which file a path leads to. Elsewhere than on Linux, where no file can be removed while it is open, all files are alike.</summary>
internal readonly partial record struct FileIdentity(ulong Device, ulong Inode)
{
    private const int CurrentDirectory = -100;
    private const uint WantInode = 0x100;

    // struct statx of Linux, include/uapi/linux/stat.h: the same on every architecture.
    private const int StatBytes = 256;
    private const int InodeOffset = 32;
    private const int DeviceOffset = 136;

    /// <summary>The file at a path; null where there is none, or it cannot be reached.</summary>
    public static FileIdentity? Of(string path)
    {
        if (!OperatingSystem.IsLinux())
            return File.Exists(path) ? default(FileIdentity) : null;
        Span<byte> stat = stackalloc byte[StatBytes];
        return Stat(CurrentDirectory, Encoding.UTF8.GetBytes(path + '\0'), 0, WantInode, stat) != 0 ? null
            : new FileIdentity(MemoryMarshal.Read<ulong>(stat[DeviceOffset..]), MemoryMarshal.Read<ulong>(stat[InodeOffset..]));
    }

    [LibraryImport("libc", EntryPoint = "statx")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Stat(int directory, ReadOnlySpan<byte> path, int flags, uint mask, Span<byte> stat);
}
