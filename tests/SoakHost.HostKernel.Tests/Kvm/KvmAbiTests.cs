using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel.Tests.Kvm;

/// <summary>The numbers on the right are what a C compiler prints for &lt;linux/kvm.h&gt; and &lt;signal.h&gt; on
/// x86-64.</summary>
public sealed class KvmAbiTests
{
    [Fact]
    public void Request_numbers_are_those_of_the_kernels_header()
    {
        Assert.Equal(0xae00u, KvmAbi.GetApiVersion);
        Assert.Equal(0xae01u, KvmAbi.CreateVm);
        Assert.Equal(0xae03u, KvmAbi.CheckExtension);
        Assert.Equal(0xae04u, KvmAbi.GetVcpuMapSize);
        Assert.Equal(0xc008ae05u, KvmAbi.GetSupportedCpuid);
        Assert.Equal(0xae41u, KvmAbi.CreateVcpu);
        Assert.Equal(0x4010ae42u, KvmAbi.GetDirtyLog);
        Assert.Equal(0x4020ae46u, KvmAbi.SetUserMemoryRegion);
        Assert.Equal(0xae80u, KvmAbi.Run);
        Assert.Equal(0x8090ae81u, KvmAbi.GetRegisters);
        Assert.Equal(0x4090ae82u, KvmAbi.SetRegisters);
        Assert.Equal(0x8138ae83u, KvmAbi.GetSpecialRegisters);
        Assert.Equal(0x4138ae84u, KvmAbi.SetSpecialRegisters);
        Assert.Equal(0x4008ae89u, KvmAbi.SetModelSpecific);
        Assert.Equal(0x8400ae8eu, KvmAbi.GetLocalApic);
        Assert.Equal(0x4400ae8fu, KvmAbi.SetLocalApic);
        Assert.Equal(0x4008ae90u, KvmAbi.SetCpuid);
        Assert.Equal(0x4068aea3u, KvmAbi.EnableCapability);
        Assert.Equal(0xaeceu, KvmAbi.GetStatsDescriptor);
        Assert.Equal(0x40a0ae49u, KvmAbi.SetUserMemoryRegion2);
        Assert.Equal(0xc040aed4u, KvmAbi.CreateGuestFile);
    }

    [Fact]
    public void Structures_have_the_kernels_sizes()
    {
        Assert.Equal(32, Unsafe.SizeOf<KvmUserMemoryRegion>());
        Assert.Equal(160, Unsafe.SizeOf<KvmUserMemoryRegion2>());
        Assert.Equal(64, Unsafe.SizeOf<KvmCreateGuestFile>());
        Assert.Equal(16, Unsafe.SizeOf<KvmDirtyLog>());
        Assert.Equal(16, Unsafe.SizeOf<KvmDirtyPage>());
        Assert.Equal(104, Unsafe.SizeOf<KvmEnableCapability>());
        Assert.Equal(144, Unsafe.SizeOf<KvmRegisters>());
        Assert.Equal(24, Unsafe.SizeOf<KvmSegment>());
        Assert.Equal(16, Unsafe.SizeOf<KvmDescriptorTable>());
        Assert.Equal(312, Unsafe.SizeOf<KvmSpecialRegisters>());
        Assert.Equal(1024, Unsafe.SizeOf<KvmLocalApic>());
        Assert.Equal(16, Unsafe.SizeOf<KvmModelSpecific>());
        Assert.Equal(40, Unsafe.SizeOf<KvmModelSpecificPair>());
        Assert.Equal(40, Unsafe.SizeOf<KvmCpuidEntry>());
        Assert.Equal(8 + (256 * 40), Unsafe.SizeOf<KvmCpuid>());
        Assert.Equal(152, Unsafe.SizeOf<Libc.SignalActionRecord>());
    }

    [Fact]
    public void Fields_lie_where_the_kernel_reads_them()
    {
        Assert.Equal(128, Offset<KvmRegisters>(nameof(KvmRegisters.Rip)));
        Assert.Equal(136, Offset<KvmRegisters>(nameof(KvmRegisters.Rflags)));
        Assert.Equal(40, Offset<KvmRegisters>(nameof(KvmRegisters.Rdi)));
        Assert.Equal(192, Offset<KvmSpecialRegisters>(nameof(KvmSpecialRegisters.Gdt)));
        Assert.Equal(224, Offset<KvmSpecialRegisters>(nameof(KvmSpecialRegisters.Cr0)));
        Assert.Equal(264, Offset<KvmSpecialRegisters>(nameof(KvmSpecialRegisters.Efer)));
        Assert.Equal(280, Offset<KvmSpecialRegisters>(nameof(KvmSpecialRegisters.InterruptBitmap)));
        Assert.Equal(12, Offset<KvmSegment>(nameof(KvmSegment.Selector)));
        Assert.Equal(19, Offset<KvmSegment>(nameof(KvmSegment.Long)));
        Assert.Equal(1, Offset<KvmRunHead>(nameof(KvmRunHead.ImmediateExit)));
        Assert.Equal(8, Offset<KvmRunHead>(nameof(KvmRunHead.ExitReason)));
        Assert.Equal(40, Offset<KvmRunHead>(nameof(KvmRunHead.MemoryFaultAddress)));
        Assert.Equal(40, Offset<KvmRunHead>(nameof(KvmRunHead.MmioData)));
        Assert.Equal(52, Offset<KvmRunHead>(nameof(KvmRunHead.IsMmioWrite)));
        Assert.Equal(32, Offset<KvmUserMemoryRegion2>(nameof(KvmUserMemoryRegion2.GuestFileOffset)));
        Assert.Equal(40, Offset<KvmUserMemoryRegion2>(nameof(KvmUserMemoryRegion2.GuestFile)));
        Assert.Equal(8, Offset<KvmCreateGuestFile>(nameof(KvmCreateGuestFile.Flags)));
        Assert.Equal(0, Offset<Libc.SignalActionRecord>(nameof(Libc.SignalActionRecord.Handler)));
        Assert.Equal(8, Offset<Libc.SignalActionRecord>(nameof(Libc.SignalActionRecord.Mask)));
        Assert.Equal(136, Offset<Libc.SignalActionRecord>(nameof(Libc.SignalActionRecord.Flags)));
        Assert.Equal(144, Offset<Libc.SignalActionRecord>(nameof(Libc.SignalActionRecord.Restorer)));
    }

    private static int Offset<T>(string field) => (int)Marshal.OffsetOf<T>(field);
}
