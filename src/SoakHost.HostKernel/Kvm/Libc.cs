using System.Runtime.InteropServices;

namespace SoakHost.HostKernel.Kvm;

/// <summary>The few calls of the C library that driving KVM takes, and no more. All are of the x86-64 Linux ABI.</summary>
internal static unsafe partial class Libc
{
    internal const int ErrorNotPermitted = 1;
    internal const int ErrorInterrupted = 4;
    internal const int ErrorAgain = 11;
    internal const int ErrorNoMemory = 12;
    internal const int ErrorAccess = 13;
    internal const int ErrorFault = 14;
    internal const int ErrorInvalid = 22;

    internal const int OpenReadWrite = 2;
    internal const int OpenCloseOnExec = 0x80000;

    internal const int ProtectRead = 1;
    internal const int ProtectWrite = 2;
    internal const int ProtectExecute = 4;
    internal const int MapShared = 1;
    internal const int MapPrivate = 2;
    internal const int MapAnonymous = 0x20;
    internal const int MapNoReserve = 0x4000;

    internal const int MapFixed = 0x10;
    internal const int RemapMayMove = 1;
    internal const int RemapFixed = 2;
    internal const int FileKeepSize = 1;
    internal const int FilePunchHole = 2;
    internal const int MemoryFileCloseOnExec = 1;
    internal const int SignalKill = 9;
    internal const int WaitAll = 0x40000000;
    internal const int SetMask = 2;
    internal const int SetDescriptorFlags = 2;
    internal const int CloseOnExec = 1;

    internal const int AdviseDontNeed = 4;
    internal const int AdviseFree = 8;
    internal const int AdviseMergeable = 12;
    internal const int AdviseHugePage = 14;
    internal const int AdviseNoHugePage = 15;
    internal const int AdviseCollapse = 25;

    private const string Library = "libc";

    [LibraryImport(Library, EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Open(string path, int flags);

    // open is variadic as ioctl is.
    [LibraryImport(Library, EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Open(string path, int flags, int mode);

    [LibraryImport(Library, EntryPoint = "close", SetLastError = true)]
    internal static partial int Close(int descriptor);

    // ioctl is variadic; on x86-64 an integer argument of a variadic call travels as that of any other.
    [LibraryImport(Library, EntryPoint = "ioctl", SetLastError = true)]
    internal static partial int Control(int descriptor, nuint request, nint argument);

    // fcntl is variadic too.
    [LibraryImport(Library, EntryPoint = "fcntl", SetLastError = true)]
    internal static partial int FileControl(int descriptor, int command, int argument);

    [LibraryImport(Library, EntryPoint = "mmap", SetLastError = true)]
    internal static partial nint Map(nint address, nuint length, int protection, int flags, int descriptor, nint offset);

    [LibraryImport(Library, EntryPoint = "munmap", SetLastError = true)]
    internal static partial int Unmap(nint address, nuint length);

    // mremap is variadic as well.
    [LibraryImport(Library, EntryPoint = "mremap", SetLastError = true)]
    internal static partial nint Remap(nint address, nuint length, nuint newLength, int flags, nint newAddress);

    [LibraryImport(Library, EntryPoint = "memfd_create", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int CreateMemoryFile(string name, uint flags);

    [LibraryImport(Library, EntryPoint = "ftruncate", SetLastError = true)]
    internal static partial int Truncate(int descriptor, nint length);

    [LibraryImport(Library, EntryPoint = "fallocate", SetLastError = true)]
    internal static partial int Allocate(int descriptor, int mode, nint offset, nint length);

    [LibraryImport(Library, EntryPoint = "pwrite", SetLastError = true)]
    internal static partial nint WriteAt(int descriptor, byte* buffer, nuint length, nint offset);

    [LibraryImport(Library, EntryPoint = "read", SetLastError = true)]
    internal static partial nint Read(int descriptor, byte* buffer, nuint length);

    [LibraryImport(Library, EntryPoint = "kill", SetLastError = true)]
    internal static partial int Signal(int process, int signal);

    [LibraryImport(Library, EntryPoint = "waitpid", SetLastError = true)]
    internal static partial int WaitFor(int process, int* status, int options);

    [LibraryImport(Library, EntryPoint = "mprotect", SetLastError = true)]
    internal static partial int Protect(nint address, nuint length, int protection);

    [LibraryImport(Library, EntryPoint = "madvise", SetLastError = true)]
    internal static partial int Advise(nint address, nuint length, int advice);

    [LibraryImport(Library, EntryPoint = "pread", SetLastError = true)]
    internal static partial nint ReadAt(int descriptor, byte* buffer, nuint length, nint offset);

    [LibraryImport(Library, EntryPoint = "pthread_self")]
    internal static partial nint ThreadSelf();

    [LibraryImport(Library, EntryPoint = "pthread_kill")]
    internal static partial int ThreadSignal(nint thread, int signal);

    [LibraryImport(Library, EntryPoint = "pthread_sigmask")]
    internal static partial int SetSignalMask(int how, SignalSet* set, SignalSet* previous);

    [LibraryImport(Library, EntryPoint = "gettid")]
    internal static partial int ThreadId();

    [LibraryImport(Library, EntryPoint = "sched_setaffinity", SetLastError = true)]
    internal static partial int SetAffinity(int thread, nuint length, ulong* mask);

    [LibraryImport(Library, EntryPoint = "sigaction", SetLastError = true)]
    internal static partial int SignalAction(int signal, SignalActionRecord* action, SignalActionRecord* previous);

    [LibraryImport(Library, EntryPoint = "syscall", SetLastError = true)]
    internal static partial nint SystemCall(nint number, nint first, nint second, nint third);

    [LibraryImport(Library, EntryPoint = "syscall", SetLastError = true)]
    internal static partial nint SystemCall(nint number, nint first, nint second, nint third, nint fourth);

    [LibraryImport(Library, EntryPoint = "syscall", SetLastError = true)]
    internal static partial nint SystemCall(
        nint number, nint first, nint second, nint third, nint fourth, nint fifth, nint sixth);

    /// <summary>The C library's own words for the last error of this thread, with its number.</summary>
    internal static string Explain(int error) => $"{Marshal.GetPInvokeErrorMessage(error)} (errno {error})";

    /// <summary><c>sigset_t</c> as glibc and musl lay it out.</summary>
    internal struct SignalSet
    {
        internal const int Count = 16;

        internal fixed ulong Words[Count];
    }

    /// <summary><c>struct sigaction</c> as glibc and musl lay it out on x86-64.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 152)]
    internal struct SignalActionRecord
    {
        [FieldOffset(0)]
        internal nint Handler;

        [FieldOffset(8)]
        internal fixed ulong Mask[16];

        [FieldOffset(136)]
        internal int Flags;

        [FieldOffset(144)]
        internal nint Restorer;
    }
}
