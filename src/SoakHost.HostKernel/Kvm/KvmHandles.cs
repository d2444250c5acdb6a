using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace SoakHost.HostKernel.Kvm;

/// <summary>A file descriptor of KVM: the device, a VM, a vCPU or its statistics. Closed once, however its owner
/// ends.</summary>
internal sealed class KvmDescriptor : SafeHandleMinusOneIsInvalid
{
    internal KvmDescriptor(int descriptor)
        : base(ownsHandle: true) => SetHandle(descriptor);

    /// <summary>The number, for calls made while this object is kept alive by whoever makes them.</summary>
    internal int Number => (int)handle;

    /// <summary>Makes a request and gives its answer.</summary>
    /// <exception cref="KvmException">The kernel refused it.</exception>
    internal int Request(string what, nuint request, nint argument = 0)
    {
        int answer = TryRequest(request, argument);
        return answer >= 0 ? answer : throw KvmException.Last(what);
    }

    /// <summary>Makes a request and gives its answer, which is negative where the kernel refused it.</summary>
    internal int TryRequest(nuint request, nint argument = 0)
    {
        bool held = false;
        try
        {
            DangerousAddRef(ref held);
            return Libc.Control(Number, request, argument);
        }
        finally
        {
            if (held)
                DangerousRelease();
        }
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => Libc.Close((int)handle) == 0;
}

/// <summary>A range of this process's own memory, from mmap to munmap.</summary>
internal sealed unsafe class MappedMemory : SafeHandleZeroOrMinusOneIsInvalid
{
    private MappedMemory(nint address, long length)
        : base(ownsHandle: true)
    {
        Length = length;
        SetHandle(address);
    }

    internal long Length { get; }

    internal byte* Start => (byte*)handle;

    /// <summary>Private anonymous memory without huge pages: one guest page is one host page, and untouched pages cost
    /// nothing.</summary>
    /// <exception cref="KvmException">There is no address space, or no memory, for it.</exception>
    internal static MappedMemory Anonymous(long length)
    {
        const int flags = Libc.MapPrivate | Libc.MapAnonymous | Libc.MapNoReserve;
        MappedMemory memory = Map(length, flags, -1, $"map {length} bytes of memory");
        // Refused only by kernels without huge pages, where there is nothing to forbid.
        _ = Libc.Advise(memory.handle, (nuint)length, Libc.AdviseNoHugePage);
        return memory;
    }

    /// <summary>The page that a vCPU shares with its thread.</summary>
    internal static MappedMemory Shared(KvmDescriptor descriptor, long length) =>
        Map(length, Libc.MapShared, descriptor.Number, "map the vCPU's run page");

    /// <summary>Pages of a file, shared with all who map it.</summary>
    internal static MappedMemory Shared(int file, long length, long offset = 0) =>
        Map(length, Libc.MapShared, file, "map a file", offset);

    /// <summary>Private anonymous memory with huge pages, where the kernel has any, at a multiple of their size.</summary>
    /// <param name="length">Bytes, whole huge pages.</param>
    /// <param name="hugePage">Bytes of one.</param>
    internal static MappedMemory Huge(long length, long hugePage)
    {
        const int flags = Libc.MapPrivate | Libc.MapAnonymous | Libc.MapNoReserve;
        using MappedMemory found = Map(length + hugePage, flags, -1, $"map {length} bytes of memory");
        nint start = (nint)((found.handle + hugePage - 1) / hugePage * hugePage);

        // Only this part is kept.
        nint whole = found.handle;
        found.SetHandleAsInvalid();
        if (start > whole)
            _ = Libc.Unmap(whole, (nuint)(start - whole));
        _ = Libc.Unmap(start + (nint)length, (nuint)(whole + hugePage - start));
        return new MappedMemory(start, length);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => Libc.Unmap(handle, (nuint)Length) == 0;

    private static MappedMemory Map(long length, int flags, int descriptor, string what, long offset = 0)
    {
        nint address = Libc.Map(0, (nuint)length, Libc.ProtectRead | Libc.ProtectWrite, flags, descriptor, (nint)offset);
        return address != -1 ? new MappedMemory(address, length) : throw KvmException.Last(what);
    }
}

/// <summary>The kernel refused something. The message says what, and the kernel's own reason.</summary>
public sealed class KvmException : IOException
{
    /// <summary>A refusal of unknown kind.</summary>
    public KvmException()
    {
    }

    /// <summary>A refusal described by <paramref name="message"/>.</summary>
    public KvmException(string message)
        : base(message)
    {
    }

    /// <summary>A refusal described by <paramref name="message"/>, because of another error.</summary>
    public KvmException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    private KvmException(string message, int error)
        : base(message) => Error = error;

    /// <summary>The kernel's errno, or 0 where it gave none.</summary>
    public int Error { get; }

    internal static KvmException Last(string what)
    {
        int error = Marshal.GetLastPInvokeError();
        return new KvmException($"could not {what}: {Libc.Explain(error)}", error);
    }
}
