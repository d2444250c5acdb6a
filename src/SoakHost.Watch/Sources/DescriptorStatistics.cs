using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using SoakHost.HostKernel.Statistics;

namespace SoakHost.Watch.Sources;

/// <summary>
/// A statistics file that another process holds open, duplicated into this one: no monitor is asked, and no vCPU is interrupted.
/// Opening one anew does not work from outside: KVM answers EIO to whoever does not have the VM's memory map.
/// </summary>
internal sealed unsafe partial class DescriptorStatistics : IDisposable
{
    private const nint PidfdOpen = 434;
    private const nint PidfdGetfd = 438;
    private const nint CompareFiles = 0;
    private const int ErrorNotPermitted = 1;
    private const int ErrorAccess = 13;

    // kcmp(2). The other two have one number on every architecture.
    private static readonly nint CompareResources = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 272 : 312;

    private readonly SafeFileHandle _file;
    private readonly long _dataOffset;
    private readonly byte[] _data;
    private readonly int?[] _offsets;
    private readonly ulong?[] _values = new ulong?[FigureNames.All.Count];

    private DescriptorStatistics(SafeFileHandle file, StatisticsLayout layout)
    {
        _file = file;
        _dataOffset = layout.DataOffset;
        _data = new byte[layout.DataBytes];
        _offsets = [.. FigureNames.All.Select(layout.OffsetOf)];
    }

    /// <summary>Duplicates a process's file descriptor, and reads what it describes.</summary>
    /// <exception cref="SourceException">It cannot be duplicated, or is no statistics file.</exception>
    public static DescriptorStatistics Open(int pid, int descriptor)
    {
        SafeFileHandle file = Duplicate(pid, descriptor);
        try
        {
            byte[] header = new byte[StatisticsLayout.HeaderBytes];
            ReadExactly(file, header, 0);
            (int offset, int bytes) = StatisticsLayout.DescriptorBlock(header);
            byte[] descriptors = new byte[bytes];
            ReadExactly(file, descriptors, offset);
            return new DescriptorStatistics(file, StatisticsLayout.Parse(header, descriptors));
        }
        catch (InvalidDataException error)
        {
            file.Dispose();
            throw new SourceException($"Statistics of process {pid}: {error.Message}", error);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Whether a process's file descriptor is still this file. A VMM that closes a VM and opens another one uses the same number.
    /// </summary>
    public bool IsStill(int pid, int descriptor) =>
        Call(CompareResources, Environment.ProcessId, pid, CompareFiles, _file.DangerousGetHandle(), descriptor) == 0;

    /// <summary>Reads the statistics that are figures of a sample, now.</summary>
    /// <returns>Their values in the order of <see cref="FigureNames.All"/>, until the next reading.</returns>
    /// <exception cref="SourceException">It cannot be read.</exception>
    public ReadOnlySpan<ulong?> Read()
    {
        ReadExactly(_file, _data, _dataOffset);
        for (int i = 0; i < _values.Length; i++)
            _values[i] = _offsets[i] is { } offset ? BinaryPrimitives.ReadUInt64LittleEndian(_data.AsSpan(offset)) : null;
        return _values;
    }

    public void Dispose() => _file.Dispose();

    private static SafeFileHandle Duplicate(int pid, int descriptor)
    {
        using var process = new SafeFileHandle(Call(PidfdOpen, pid, 0, 0), ownsHandle: true);
        if (process.IsInvalid)
            throw Refused($"open process {pid}");
        nint number = Call(PidfdGetfd, process.DangerousGetHandle(), descriptor, 0);
        return number >= 0 ? new SafeFileHandle(number, ownsHandle: true)
            : throw Refused($"duplicate file descriptor {descriptor} of process {pid}");
    }

    private static void ReadExactly(SafeFileHandle file, Span<byte> target, long offset)
    {
        fixed (byte* buffer = target)
        {
            nint read = ReadAt(file, buffer, target.Length, (nint)offset);
            if (read < 0)
                throw Refused("read statistics");
            if (read != target.Length)
                throw new SourceException($"A statistics file ends {target.Length - read} bytes early.");
        }
    }

    private static SourceException Refused(string what)
    {
        int error = Marshal.GetLastPInvokeError();
        string remedy = error is ErrorNotPermitted or ErrorAccess
            ? " The process's own user, root, or the capability CAP_SYS_PTRACE, may." : "";
        return new SourceException($"Could not {what}: {Marshal.GetPInvokeErrorMessage(error)} (errno {error}).{remedy}");
    }

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial nint Call(nint number, nint first, nint second, nint third);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial nint Call(nint number, nint first, nint second, nint third, nint fourth, nint fifth);

    [LibraryImport("libc", EntryPoint = "pread", SetLastError = true)]
    private static partial nint ReadAt(SafeFileHandle file, byte* buffer, nint length, nint offset);
}
