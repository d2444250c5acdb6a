using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Tracing;

/// <summary>
/// What was seen of the faults of one vCPU's thread: numbers of the last fault, and totals since the tracer began.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public readonly struct FaultRecord
{
    /// <summary>Faults taken.</summary>
    public readonly ulong Faults;

    /// <summary>The address; with two-dimensional paging the guest-physical one.</summary>
    public readonly ulong Address;

    /// <summary>The error code.</summary>
    public readonly ulong ErrorCode;

    /// <summary>Faults in a row at this address.</summary>
    public readonly ulong Repeats;

    /// <summary>The kernel's <c>struct kvm</c>: the same for all vCPUs of a VM.</summary>
    public readonly ulong Kvm;

    /// <summary><c>mmu_invalidate_seq</c>.</summary>
    public readonly ulong InvalidateSeq;

    /// <summary><c>mmu_invalidate_in_progress</c>.</summary>
    public readonly ulong InProgress;

    /// <summary>When, by the kernel's monotonic clock.</summary>
    public readonly ulong Nanoseconds;

    /// <summary>Mappings that faults were about to make. 0 where the kernel does not show them (before Linux 6.3).</summary>
    public readonly ulong Mappings;

    /// <summary>The snapshot with which the last of them was checked.</summary>
    public readonly ulong Snapshot;

    /// <summary>Those of them whose snapshot was 2^31 or above.</summary>
    public readonly ulong MappingsFrom2To31;
}

/// <summary>
/// Follows every fault of every guest on this host by eBPF: two small programs at KVM's tracepoints, loaded with bpf(2). They
/// read, and change nothing. Ended with <see cref="Dispose"/>, or with the process.
/// </summary>
public sealed unsafe class FaultTracer : IDisposable
{
    /// <summary>Threads followed at once; the one that has not faulted for longest gives its place to a new one.</summary>
    public const int ThreadsMax = 16_384;

    // include/uapi/linux/bpf.h, enum bpf_cmd, bpf_map_type and bpf_prog_type.
    private const int CreateMap = 0;
    private const int LookUp = 1;
    private const int LoadProgram = 5;
    private const int OpenRawTracepoint = 17;
    private const int LeastRecentlyUsedHash = 9;
    private const int RawTracepoint = 17;

    // x86-64: KVM has its tracepoint of faults there alone.
    private const nint SystemCallNumber = 321;
    private const int LogBytes = 1 << 16;

    // include/linux/proc_ns.h, PROC_PID_INIT_INO.
    private const string PidNamespace = "/proc/self/ns/pid";
    private const string HostPidNamespace = "pid:[4026531836]";

    private readonly SafeFileHandle _map;
    private readonly List<SafeFileHandle> _open = [];

    private FaultTracer() => _map = Create();

    /// <summary>Begins to trace.</summary>
    /// <param name="layout">Of the kernel that runs.</param>
    /// <exception cref="TracingException">The kernel does not let this process, or lacks something.</exception>
    public static FaultTracer Begin(KernelLayout layout)
    {
        ArgumentNullException.ThrowIfNull(layout);
        return Begin(layout, KernelLayout.FaultTaken);
    }

    /// <summary>Begins to trace at another tracepoint whose first argument is a pointer; for tests.</summary>
    internal static FaultTracer Begin(KernelLayout layout, string tracepoint)
    {
        if (!OperatingSystem.IsLinux() || RuntimeInformation.ProcessArchitecture != Architecture.X64)
            throw new TracingException("faults can be traced on x86-64 Linux alone");

        // The programs see a thread's number in the host's namespace. Here the same number may be another thread's.
        if (File.ResolveLinkTarget(PidNamespace, returnFinalTarget: false)?.Name != HostPidNamespace)
            throw new TracingException("this process does not see the host's thread numbers: run it in the host's PID namespace");
        var tracer = new FaultTracer();
        try
        {
            int map = (int)tracer._map.DangerousGetHandle();
            tracer.Attach(tracepoint, BpfProgram.OfFaultTaken(layout, map));
            if (layout.SnapshotOfFault is { } snapshot)
                tracer.Attach(KernelLayout.MappingRequested, BpfProgram.OfMappingRequested(snapshot, map));
            return tracer;
        }
        catch
        {
            tracer.Dispose();
            throw;
        }
    }

    /// <summary>What was seen of a thread's faults; null where it has taken none.</summary>
    /// <param name="thread">Its number, as in <c>/proc/PID/task</c>.</param>
    public FaultRecord? Read(int thread)
    {
        uint key = (uint)thread;
        FaultRecord record = default;
        var arguments = new MapElement { Map = (uint)_map.DangerousGetHandle(), Key = (ulong)&key, Value = (ulong)&record };
        return Call(LookUp, &arguments, sizeof(MapElement)) == 0 ? record : null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (SafeFileHandle each in _open)
            each.Dispose();
        _map.Dispose();
    }

    private static SafeFileHandle Create()
    {
        var arguments = new MapAttributes
        {
            Type = LeastRecentlyUsedHash,
            KeyBytes = sizeof(uint),
            ValueBytes = (uint)Unsafe.SizeOf<FaultRecord>(),
            EntriesMax = ThreadsMax,
        };
        return Handle(Call(CreateMap, &arguments, sizeof(MapAttributes)), "its map cannot be created");
    }

    private void Attach(string tracepoint, ulong[] code)
    {
        byte[] log = new byte[LogBytes];
        fixed (ulong* instructions = code)
        fixed (byte* license = "GPL\0"u8, text = log)
        {
            var program = new ProgramAttributes
            {
                Type = RawTracepoint,
                Instructions = (uint)code.Length,
                Code = (ulong)instructions,
                License = (ulong)license,
                LogLevel = 1,
                LogBytes = LogBytes,
                Log = (ulong)text,
            };
            nint loaded = Call(LoadProgram, &program, sizeof(ProgramAttributes));
            int end = Array.IndexOf(log, (byte)0);
            string[] lines = Encoding.UTF8.GetString(log, 0, end < 0 ? LogBytes : end)
                .Split('\n', StringSplitOptions.RemoveEmptyEntries);
            SafeFileHandle handle = Handle(
                loaded, $"the kernel refuses the program{(lines.Length > 1 ? $" ({lines[^2]})" : "")}");
            _open.Add(handle);
            fixed (byte* name = Encoding.UTF8.GetBytes(tracepoint + "\0"))
            {
                var place = new TracepointAttributes { Name = (ulong)name, Program = (uint)handle.DangerousGetHandle() };
                _open.Add(Handle(
                    Call(OpenRawTracepoint, &place, sizeof(TracepointAttributes)),
                    $"tracepoint {tracepoint} cannot be attached to"));
            }
        }
    }

    private static SafeFileHandle Handle(nint descriptor, string failure)
    {
        int error = Marshal.GetLastPInvokeError();
        return descriptor >= 0 ? new SafeFileHandle(descriptor, ownsHandle: true)
            : throw new TracingException(error is Libc.ErrorNotPermitted or Libc.ErrorAccess
                ? "bpf(2) is not permitted: it takes CAP_BPF and CAP_PERFMON, or root"
                : $"{failure}: {Libc.Explain(error)}");
    }

    private static nint Call(int command, void* arguments, int bytes) =>
        Libc.SystemCall(SystemCallNumber, command, (nint)arguments, bytes);

    [StructLayout(LayoutKind.Sequential)]
    private struct MapAttributes
    {
        public uint Type;
        public uint KeyBytes;
        public uint ValueBytes;
        public uint EntriesMax;
        public uint Flags;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct MapElement
    {
        public uint Map;
        public ulong Key;
        public ulong Value;
        public ulong Flags;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct ProgramAttributes
    {
        public uint Type;
        public uint Instructions;
        public ulong Code;
        public ulong License;
        public uint LogLevel;
        public uint LogBytes;
        public ulong Log;
        public uint KernelVersion;
        public uint Flags;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct TracepointAttributes
    {
        public ulong Name;
        public uint Program;
        public uint Reserved;
    }
}
