namespace SoakHost.HostKernel.Statistics;

/// <summary>
/// The page-fault statistics of one vCPU, as the kernel counts them since the vCPU was created (<c>struct kvm_vcpu_stat</c>,
/// arch/x86/include/asm/kvm_host.h). Those that a kernel lacks are 0, except the two that a verdict needs.
/// </summary>
/// <param name="Taken"><c>pf_taken</c>: faults taken. A retried fault is taken again. Linux 5.19 and later.</param>
/// <param name="Fixed"><c>pf_fixed</c>: faults that installed a mapping.</param>
/// <param name="Emulate"><c>pf_emulate</c>: faults that led to emulation.</param>
/// <param name="Spurious"><c>pf_spurious</c>: faults on what had become mapped meanwhile.</param>
/// <param name="Fast"><c>pf_fast</c>: faults settled without mmu_lock and without the counter check; these may also count
/// as fixed.</param>
/// <param name="Exits"><c>exits</c>: times that the guest stopped for the host, whatever for.</param>
/// <param name="SignalExits"><c>signal_exits</c>: times that KVM_RUN returned because of a signal.</param>
public readonly record struct FaultCounters(
    ulong Taken, ulong Fixed, ulong Emulate, ulong Spurious, ulong Fast, ulong Exits, ulong SignalExits)
{
    /// <summary><c>pf_mmio_spte_created</c>: mappings of MMIO pages made; null where the kernel does not count them.</summary>
    public ulong? MmioSptesCreated { get; init; }
}
