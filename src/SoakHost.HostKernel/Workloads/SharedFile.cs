using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Workloads;

/// <summary>A file that guest memory is mapped from: of a memfd or a guest_memfd, or on a disk.</summary>
internal sealed unsafe class SharedFile : IDisposable
{
    /// <summary>A guest_memfd that the host can map, whose pages are its own too.</summary>
    public const int GuestFileFlags = KvmAbi.GuestFileMap | KvmAbi.GuestFileInitShared;

    private const int OpenCreateExclusively = 0xc0; // O_CREAT | O_EXCL
    private const int OwnerOnly = 0x180; // 0600

    private readonly int _number;

    private SharedFile(int number, long length) => (_number, Length) = (number, length);

    public long Length { get; }

    /// <summary>Its descriptor.</summary>
    public uint Number => (uint)_number;

    /// <summary>A memfd.</summary>
    public static SharedFile InMemory(long length)
    {
        int number = Libc.CreateMemoryFile("soakhost", Libc.MemoryFileCloseOnExec);
        return number >= 0 ? Resized(number, length) : throw KvmException.Last("create a memfd");
    }

    /// <summary>A guest_memfd of a VM, which lives as long as this does. It has this length for ever.</summary>
    public static SharedFile OfGuest(KvmDescriptor vm, long length)
    {
        var request = new KvmCreateGuestFile { Size = (ulong)length, Flags = GuestFileFlags };
        int number = vm.Request("create a guest_memfd", KvmAbi.CreateGuestFile, (nint)(&request));

        // The kernel has no flag for it here.
        _ = Libc.FileControl(number, Libc.SetDescriptorFlags, Libc.CloseOnExec);
        return new SharedFile(number, length);
    }

    /// <summary>A file without a name in the folder for temporary files.</summary>
    public static SharedFile OnDisk(long length)
    {
        // Where /tmp is in memory, this is on a disk all the same.
        string folder = Directory.Exists("/var/tmp") ? "/var/tmp" : Path.GetTempPath();
        string path = Path.Combine(folder, $"soakhost-{Environment.ProcessId}-{Guid.NewGuid():N}");
        int number = Libc.Open(path, Libc.OpenReadWrite | Libc.OpenCloseOnExec | OpenCreateExclusively, OwnerOnly);
        if (number < 0)
            throw KvmException.Last($"create a file in {folder}");
        File.Delete(path);
        return Resized(number, length);
    }

    /// <summary>Maps it from its beginning on, shared.</summary>
    /// <param name="length">How much; null for all.</param>
    public MappedMemory Map(long? length = null) => MappedMemory.Shared(_number, length ?? Length);

    /// <summary>Maps a part of it over other memory.</summary>
    public void MapOver(byte* address, long length, long offset)
    {
        nint mapped = Libc.Map(
            (nint)address, (nuint)length, Libc.ProtectRead | Libc.ProtectWrite, Libc.MapShared | Libc.MapFixed, _number,
            (nint)offset);
        if (mapped == -1)
            throw KvmException.Last("map a file over memory");
    }

    /// <summary>Gives pages of it back; they read as zeros.</summary>
    public void PunchHole(long offset, long length)
    {
        if (Libc.Allocate(_number, Libc.FilePunchHole | Libc.FileKeepSize, (nint)offset, (nint)length) != 0)
            throw KvmException.Last("punch a hole in a file");
    }

    /// <summary>Cuts it, or makes it longer with zeros.</summary>
    public void Resize(long length)
    {
        if (Libc.Truncate(_number, (nint)length) != 0)
            throw KvmException.Last("set a file's length");
    }

    /// <summary>
    /// Takes the room for all of it. A page without room that the guest writes would end its vCPU, or this process.
    /// </summary>
    public void Reserve()
    {
        if (Libc.Allocate(_number, 0, 0, (nint)Length) != 0)
            throw KvmException.Last("reserve room for a file");
    }

    /// <summary>Writes a word.</summary>
    public void Write(long offset, ulong value)
    {
        if (Libc.WriteAt(_number, (byte*)&value, sizeof(ulong), (nint)offset) != sizeof(ulong))
            throw KvmException.Last("write a file");
    }

    public void Dispose() => _ = Libc.Close(_number);

    private static SharedFile Resized(int number, long length)
    {
        var file = new SharedFile(number, length);
        file.Resize(length);
        return file;
    }
}
