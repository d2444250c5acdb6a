using System.Runtime.InteropServices;
using SoakHost.HostKernel.Tracing;
using SoakHost.Watch.Discovery;

namespace SoakHost.Watch.Sources.Tests;

/// <summary>Two VMs of one process. Threads 1 and 2 run vCPU 0, threads 3 and 4 vCPU 1.</summary>
public sealed class VcpuOwnersTests
{
    private const ulong A = 0xffff888000001000;
    private const ulong B = 0xffff888000002000;

    private static readonly WatchedVm[] Found =
    [
        new(100, "pid 100 #0", "100.1.5", 5, null, [new(0, 10, 1), new(1, 11, 3)], null, null),
        new(100, "pid 100 #1", "100.1.8", 8, null, [new(0, 20, 2), new(1, 21, 4)], null, null),
    ];

    [Fact]
    public void Where_the_order_was_right_nothing_changes_and_nothing_is_said()
    {
        (IReadOnlyList<WatchedVm> vms, string? unknown) = Settle((1, A), (2, B), (3, A), (4, B));

        Assert.Equal(Found, vms);
        Assert.Null(unknown);
    }

    [Fact]
    public void A_vCPU_goes_to_the_VM_whose_struct_kvm_its_fault_had_with_its_thread_and_its_statistics()
    {
        (IReadOnlyList<WatchedVm> vms, string? unknown) = Settle((1, A), (2, B), (3, B), (4, A));

        Assert.Equal([new WatchedVcpu(0, 10, 1), new WatchedVcpu(1, 21, 4)], vms[0].Vcpus);
        Assert.Equal([new WatchedVcpu(0, 20, 2), new WatchedVcpu(1, 11, 3)], vms[1].Vcpus);
        Assert.Null(unknown);

        // Their figures are those of other vCPUs from now on.
        Assert.Equal(["100.1.5+1.4", "100.1.8+2.3"], vms.Select(vm => vm.KvmId));
        Assert.Equal(["pid 100 #0", "pid 100 #1"], vms.Select(vm => vm.Name));
    }

    [Fact]
    public void One_that_took_no_fault_fills_the_place_that_is_left_and_that_is_said()
    {
        (IReadOnlyList<WatchedVm> vms, string? unknown) = Settle((1, A), (2, B), (4, A));

        Assert.Equal([1, 4], vms[0].Vcpus.Select(vcpu => vcpu.ThreadId!.Value));
        Assert.Equal([2, 3], vms[1].Vcpus.Select(vcpu => vcpu.ThreadId!.Value));
        Assert.Equal(
            "Process 100 holds 2 VMs. Of 1 of its 4 vCPUs it is not known to which they belong: they are shown by the order in "
            + "which they were opened. Their next fault tells.", unknown);
    }

    [Fact]
    public void Without_a_trace_the_order_stays_and_is_said()
    {
        (IReadOnlyList<WatchedVm> vms, string? unknown) = VcpuOwners.Settle(Found, null);

        Assert.Equal(Found, vms);
        Assert.EndsWith("A trace of faults (eBPF) tells.", unknown, StringComparison.Ordinal);
        Assert.StartsWith("Process 100 holds 2 VMs. Of 4 of its 4 vCPUs", unknown, StringComparison.Ordinal);
    }

    [Fact]
    public void A_struct_kvm_that_cannot_be_read_says_nothing() => Assert.Contains(
        "Of 4 of its 4", Settle((1, 0), (2, 0), (3, 0), (4, 0)).Unknown);

    [Fact]
    public void The_record_of_a_VM_that_has_ended_moves_nothing()
    {
        (IReadOnlyList<WatchedVm> vms, string? unknown) = Settle((1, A), (2, B), (3, A), (4, 0xffff888000003000));

        Assert.Equal(Found, vms);
        Assert.Contains("Of 1 of its 4", unknown);
    }

    [Fact]
    public void Two_VMs_of_one_thread_s_order_that_share_a_struct_kvm_take_the_places_that_are_free()
    {
        WatchedVm[] found =
        [
            Found[0] with { Vcpus = [new(0, 10, 1), new(1, 11, 2)] }, Found[1] with { Vcpus = [new(0, 20, 3), new(1, 21, 4)] },
        ];

        (IReadOnlyList<WatchedVm> vms, _) = VcpuOwners.Settle(found, Reader((1, A), (2, B), (3, B), (4, A)));

        Assert.Equal([1, 4], vms[0].Vcpus.Select(vcpu => vcpu.ThreadId!.Value));
        Assert.Equal([3, 2], vms[1].Vcpus.Select(vcpu => vcpu.ThreadId!.Value));
    }

    private static (IReadOnlyList<WatchedVm> Vms, string? Unknown) Settle(params (int Thread, ulong Kvm)[] faults) =>
        VcpuOwners.Settle(Found, Reader(faults));

    private static ReadFaults Reader(params (int Thread, ulong Kvm)[] faults) => thread =>
        faults.Where(fault => fault.Thread == thread).Select(fault => (FaultRecord?)Record(fault.Kvm)).FirstOrDefault();

    private static FaultRecord Record(ulong kvm) =>
        MemoryMarshal.Cast<ulong, FaultRecord>([1, 0, 0, 1, kvm, 1, 0, 1, 0, 0, 0])[0];
}
