using System.Runtime.InteropServices;

namespace SoakHost.HostKernel.Kvm;

/// <summary>
/// KVM's userspace ABI as <c>include/uapi/linux/kvm.h</c> and <c>arch/x86/include/uapi/asm/kvm.h</c> give it: request numbers,
/// capabilities and exit reasons. Requests are computed as <c>asm-generic/ioctl.h</c> does; the tests hold them against the
/// numbers that a C compiler prints.
/// </summary>
internal static class KvmAbi
{
    internal const int ApiVersion = 12;

    internal const int CapabilityUserMemory = 3;
    internal const int CapabilityRecommendedVcpus = 9;
    internal const int CapabilityMemslots = 10;
    internal const int CapabilitySyncMmu = 16;
    internal const int CapabilityMaxVcpus = 66;
    internal const int CapabilityReadOnlyMemory = 81;
    internal const int CapabilitySplitIrqChip = 121;
    internal const int CapabilityImmediateExit = 136;
    internal const int CapabilityAsyncFaultInterrupt = 183;
    internal const int CapabilityBinaryStats = 203;
    internal const int CapabilityGuestFile = 234;
    internal const int CapabilityGuestFileFlags = 244;

    internal const uint ExitUnknown = 0;
    internal const uint ExitIo = 2;
    internal const uint ExitHalt = 5;
    internal const uint ExitMmio = 6;
    internal const uint ExitShutdown = 8;
    internal const uint ExitFailEntry = 9;
    internal const uint ExitInternalError = 17;
    internal const uint ExitDirtyRingFull = 31;
    internal const uint ExitMemoryFault = 39;

    internal const uint MemoryLogDirtyPages = 1;
    internal const uint MemoryReadOnly = 2;
    internal const uint MemoryGuestFile = 4;

    internal const int GuestFileMap = 1;
    internal const int GuestFileInitShared = 2;

    internal static readonly nuint GetApiVersion = Io(0x00);
    internal static readonly nuint CreateVm = Io(0x01);
    internal static readonly nuint CheckExtension = Io(0x03);
    internal static readonly nuint GetVcpuMapSize = Io(0x04);
    internal static readonly nuint GetSupportedCpuid = IoReadWrite(0x05, 8);
    internal static readonly nuint CreateVcpu = Io(0x41);
    internal static readonly nuint GetDirtyLog = IoWrite(0x42, Marshal.SizeOf<KvmDirtyLog>());
    internal static readonly nuint SetUserMemoryRegion = IoWrite(0x46, Marshal.SizeOf<KvmUserMemoryRegion>());
    internal static readonly nuint SetUserMemoryRegion2 = IoWrite(0x49, Marshal.SizeOf<KvmUserMemoryRegion2>());
    internal static readonly nuint Run = Io(0x80);
    internal static readonly nuint GetRegisters = IoRead(0x81, Marshal.SizeOf<KvmRegisters>());
    internal static readonly nuint SetRegisters = IoWrite(0x82, Marshal.SizeOf<KvmRegisters>());
    internal static readonly nuint GetSpecialRegisters = IoRead(0x83, Marshal.SizeOf<KvmSpecialRegisters>());
    internal static readonly nuint SetSpecialRegisters = IoWrite(0x84, Marshal.SizeOf<KvmSpecialRegisters>());
    internal static readonly nuint SetModelSpecific = IoWrite(0x89, 8);
    internal static readonly nuint GetLocalApic = IoRead(0x8e, Marshal.SizeOf<KvmLocalApic>());
    internal static readonly nuint SetLocalApic = IoWrite(0x8f, Marshal.SizeOf<KvmLocalApic>());
    internal static readonly nuint SetCpuid = IoWrite(0x90, 8);
    internal static readonly nuint EnableCapability = IoWrite(0xa3, Marshal.SizeOf<KvmEnableCapability>());
    internal static readonly nuint GetStatsDescriptor = Io(0xce);
    internal static readonly nuint CreateGuestFile = IoReadWrite(0xd4, Marshal.SizeOf<KvmCreateGuestFile>());

    private const uint KvmIo = 0xAE;

    internal static nuint Io(uint number) => Request(0, number, 0);

    internal static nuint IoWrite(uint number, int size) => Request(1, number, size);

    internal static nuint IoRead(uint number, int size) => Request(2, number, size);

    internal static nuint IoReadWrite(uint number, int size) => Request(3, number, size);

    /// <summary>The name the kernel's header gives an exit reason, for messages.</summary>
    internal static string ExitName(uint reason) => reason switch
    {
        ExitUnknown => "KVM_EXIT_UNKNOWN",
        ExitIo => "KVM_EXIT_IO",
        ExitHalt => "KVM_EXIT_HLT",
        ExitMmio => "KVM_EXIT_MMIO",
        ExitShutdown => "KVM_EXIT_SHUTDOWN",
        ExitFailEntry => "KVM_EXIT_FAIL_ENTRY",
        ExitInternalError => "KVM_EXIT_INTERNAL_ERROR",
        ExitDirtyRingFull => "KVM_EXIT_DIRTY_RING_FULL",
        ExitMemoryFault => "KVM_EXIT_MEMORY_FAULT",
        _ => $"exit reason {reason}",
    };

    private static nuint Request(uint direction, uint number, int size) =>
        (direction << 30) | ((uint)size << 16) | (KvmIo << 8) | number;
}

/// <summary><c>struct kvm_userspace_memory_region</c>, 32 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct KvmUserMemoryRegion
{
    internal uint Slot;
    internal uint Flags;
    internal ulong GuestPhysicalAddress;
    internal ulong MemorySize;
    internal ulong UserspaceAddress;
}

/// <summary><c>struct kvm_userspace_memory_region2</c>, 160 bytes: the same, of a guest_memfd (Linux 6.8 and later).</summary>
[StructLayout(LayoutKind.Sequential, Size = 160)]
internal struct KvmUserMemoryRegion2
{
    internal KvmUserMemoryRegion Region;
    internal ulong GuestFileOffset;
    internal uint GuestFile;
}

/// <summary><c>struct kvm_create_guest_memfd</c>, 64 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 64)]
internal struct KvmCreateGuestFile
{
    internal ulong Size;
    internal ulong Flags;
}

/// <summary><c>struct kvm_dirty_log</c>, 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct KvmDirtyLog
{
    internal uint Slot;
    internal uint Padding;
    internal ulong Bitmap;
}

/// <summary><c>struct kvm_dirty_gfn</c>, 16 bytes: an entry of a dirty ring.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct KvmDirtyPage
{
    internal uint Flags;
    internal uint Slot;
    internal ulong Offset;
}

/// <summary><c>struct kvm_enable_cap</c>, 104 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 104)]
internal struct KvmEnableCapability
{
    internal uint Capability;
    internal uint Flags;
    internal ulong Argument;
}

/// <summary><c>struct kvm_regs</c>, 144 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct KvmRegisters
{
    internal ulong Rax;
    internal ulong Rbx;
    internal ulong Rcx;
    internal ulong Rdx;
    internal ulong Rsi;
    internal ulong Rdi;
    internal ulong Rsp;
    internal ulong Rbp;
    internal ulong R8;
    internal ulong R9;
    internal ulong R10;
    internal ulong R11;
    internal ulong R12;
    internal ulong R13;
    internal ulong R14;
    internal ulong R15;
    internal ulong Rip;
    internal ulong Rflags;
}

/// <summary><c>struct kvm_segment</c>, 24 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct KvmSegment
{
    internal ulong Base;
    internal uint Limit;
    internal ushort Selector;
    internal byte Type;
    internal byte Present;
    internal byte PrivilegeLevel;
    internal byte DefaultSize;
    internal byte NotSystem;
    internal byte Long;
    internal byte Granularity;
    internal byte Available;
    internal byte Unusable;
    internal byte Padding;
}

/// <summary><c>struct kvm_dtable</c>, 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct KvmDescriptorTable
{
    internal ulong Base;
    internal ushort Limit;
    internal ushort Padding0;
    internal ushort Padding1;
    internal ushort Padding2;
}

/// <summary><c>struct kvm_sregs</c>, 312 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct KvmSpecialRegisters
{
    internal KvmSegment Cs;
    internal KvmSegment Ds;
    internal KvmSegment Es;
    internal KvmSegment Fs;
    internal KvmSegment Gs;
    internal KvmSegment Ss;
    internal KvmSegment Tr;
    internal KvmSegment Ldt;
    internal KvmDescriptorTable Gdt;
    internal KvmDescriptorTable Idt;
    internal ulong Cr0;
    internal ulong Cr2;
    internal ulong Cr3;
    internal ulong Cr4;
    internal ulong Cr8;
    internal ulong Efer;
    internal ulong ApicBase;
    internal fixed ulong InterruptBitmap[4];
}

/// <summary>
/// The head of <c>struct kvm_run</c>, the page that a vCPU shares with its thread: the fixed fields, and the members of the exit
/// union that are used here. The whole structure is 2352 bytes; the kernel says how much to map.
/// </summary>
[StructLayout(LayoutKind.Explicit)]
internal struct KvmRunHead
{
    [FieldOffset(1)]
    internal byte ImmediateExit;

    [FieldOffset(8)]
    internal uint ExitReason;

    /// <summary><c>memory_fault.gpa</c>, valid with KVM_EXIT_MEMORY_FAULT (Linux 6.8 and later).</summary>
    [FieldOffset(40)]
    internal ulong MemoryFaultAddress;

    /// <summary><c>mmio.data</c>, valid with KVM_EXIT_MMIO: what is written, or what a read is given.</summary>
    [FieldOffset(40)]
    internal ulong MmioData;

    /// <summary><c>mmio.is_write</c>.</summary>
    [FieldOffset(52)]
    internal byte IsMmioWrite;
}

/// <summary><c>struct kvm_lapic_state</c>, 1024 bytes: the registers of a local APIC.</summary>
[StructLayout(LayoutKind.Sequential, Size = 1024)]
internal unsafe struct KvmLocalApic
{
    /// <summary>Word of the spurious-interrupt vector register, whose bit 8 switches the APIC on.</summary>
    internal const int Spurious = 0xf0 / sizeof(uint);

    internal fixed uint Words[256];
}

/// <summary><c>struct kvm_msrs</c> with two entries, 40 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct KvmModelSpecificPair
{
    internal uint Count;
    internal uint Padding;
    internal KvmModelSpecific First;
    internal KvmModelSpecific Second;
}

/// <summary><c>struct kvm_msr_entry</c>, 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct KvmModelSpecific
{
    internal uint Index;
    internal uint Reserved;
    internal ulong Data;
}

/// <summary><c>struct kvm_cpuid_entry2</c>, 40 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct KvmCpuidEntry
{
    internal uint Function;
    internal uint Index;
    internal uint Flags;
    internal uint Eax;
    internal uint Ebx;
    internal uint Ecx;
    internal uint Edx;
    internal uint Padding0;
    internal uint Padding1;
    internal uint Padding2;
}

/// <summary><c>struct kvm_cpuid2</c> with room for as many entries as any kernel reports (KVM_MAX_CPUID_ENTRIES,
/// 256).</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct KvmCpuid
{
    internal const int EntriesMax = 256;

    internal uint Count;
    internal uint Padding;
    internal KvmCpuidEntries Entries;
}

/// <summary>The flexible array at the end of <see cref="KvmCpuid"/>.</summary>
[System.Runtime.CompilerServices.InlineArray(KvmCpuid.EntriesMax)]
internal struct KvmCpuidEntries
{
    private KvmCpuidEntry _first;
}
