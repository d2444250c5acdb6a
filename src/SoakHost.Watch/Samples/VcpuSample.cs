namespace SoakHost.Watch.Samples;

/// <summary>
/// What was read of one vCPU at one moment. Figures are running totals as the sources give them; one that is not known is null,
/// never 0.
/// </summary>
public sealed record VcpuSample
{
    /// <summary>When it was read, in seconds. Recordings made here use Unix time.</summary>
    public required double TimeSeconds { get; init; }

    /// <summary>The VM's name, 1 to <see cref="SampleLine.NameCharactersMax"/> characters.</summary>
    public required string Vm { get; init; }

    /// <summary>The vCPU's number; null where only the sum over the VM's vCPUs is known.</summary>
    public int? Vcpu { get; init; }

    /// <summary>The process that holds the VM.</summary>
    public int? Pid { get; init; }

    /// <summary>Which KVM instance it is. A migrated or restarted VM is another one, and its counter starts at 0 again.</summary>
    public string? KvmId { get; init; }

    /// <summary>
    /// When the process that holds it started, in seconds as <see cref="TimeSeconds"/>: this KVM instance is no older, and its
    /// counter started at 0.
    /// </summary>
    public double? StartedSeconds { get; init; }

    /// <summary>The MMU mode of this VM, as far as it is known.</summary>
    public string? Mmu { get; init; }

    /// <summary>Where the figures come from; empty where that is not known.</summary>
    public IReadOnlyList<string> Sources { get; init; } = [];

    /// <summary>The host's kernel.</summary>
    public KernelFacts Kernel { get; init; } = new();

    /// <summary>The vCPU's statistics, or their sums.</summary>
    public VcpuFigures Stats { get; init; } = new();

    /// <summary>The VM's statistics.</summary>
    public VmFigures VmStats { get; init; } = new();

    /// <summary>The fault that was last traced.</summary>
    public FaultTrace Trace { get; init; } = new();

    /// <summary>The VM's counter of invalidations.</summary>
    public CounterReading Counter { get; init; } = new();

    /// <summary>The vCPU's thread.</summary>
    public ThreadFigures Thread { get; init; } = new();

    /// <summary>How the vCPU stops for user space.</summary>
    public ExitFigures Exits { get; init; } = new();

    /// <summary>What the host does to memory.</summary>
    public HostFacts Host { get; init; } = new();
}

/// <summary>The host's kernel.</summary>
/// <param name="Release">As <c>uname -r</c> gives it.</param>
/// <param name="Affected">Whether it has the defect; null where that is not known.</param>
public sealed record KernelFacts(string? Release = null, bool? Affected = null);

/// <summary>Statistics of a vCPU (<c>struct kvm_vcpu_stat</c>, arch/x86/include/asm/kvm_host.h).</summary>
/// <param name="Taken"><c>pf_taken</c>: faults taken. A retried fault is taken again.</param>
/// <param name="Fixed"><c>pf_fixed</c>: faults that installed a mapping, those of <c>pf_fast</c> among them.</param>
/// <param name="Emulate"><c>pf_emulate</c>: faults that led to emulation.</param>
/// <param name="Spurious"><c>pf_spurious</c>: faults on what had become mapped meanwhile.</param>
/// <param name="Fast"><c>pf_fast</c>: faults fixed without the counter check.</param>
/// <param name="Exits"><c>exits</c>: times that the guest stopped for the host.</param>
/// <param name="HaltExits"><c>halt_exits</c>: times that it stopped by HLT.</param>
/// <param name="MmioExits"><c>mmio_exits</c>: times that it stopped for emulated devices.</param>
/// <param name="SignalExits"><c>signal_exits</c>: times that KVM_RUN returned because of a signal.</param>
public sealed record VcpuFigures(
    ulong? Taken = null, ulong? Fixed = null, ulong? Emulate = null, ulong? Spurious = null, ulong? Fast = null,
    ulong? Exits = null, ulong? HaltExits = null, ulong? MmioExits = null, ulong? SignalExits = null);

/// <summary>Statistics of a VM (<c>struct kvm_vm_stat</c>).</summary>
/// <param name="RemoteTlbFlush"><c>remote_tlb_flush</c>: flushes of the vCPUs' TLBs.</param>
/// <param name="RemoteTlbFlushRequests"><c>remote_tlb_flush_requests</c>: flushes asked for.</param>
public sealed record VmFigures(ulong? RemoteTlbFlush = null, ulong? RemoteTlbFlushRequests = null);

/// <summary>A traced fault (tracepoint <c>kvm_page_fault</c>).</summary>
/// <param name="Rip">The guest's instruction.</param>
/// <param name="Gpa">The guest-physical address.</param>
/// <param name="ErrorCode">The fault's error code.</param>
/// <param name="Repeats">Faults in a row with this instruction and address.</param>
public sealed record FaultTrace(ulong? Rip = null, ulong? Gpa = null, ulong? ErrorCode = null, ulong? Repeats = null);

/// <summary>The counter of a VM (<c>struct kvm</c>).</summary>
/// <param name="InvalidateSeq"><c>mmu_invalidate_seq</c>: invalidations ended.</param>
/// <param name="InProgress"><c>mmu_invalidate_in_progress</c>: invalidations between begin and end.</param>
public sealed record CounterReading(ulong? InvalidateSeq = null, ulong? InProgress = null);

/// <summary>The thread of a vCPU (proc(5)).</summary>
/// <param name="State">One letter: R, S, D, T, t, Z, X or I.</param>
/// <param name="CpuSeconds">Processor time, user and system.</param>
/// <param name="Wchan">The kernel function in which it waits; empty or "0" where that is not shown.</param>
public sealed record ThreadFigures(string? State = null, double? CpuSeconds = null, string? Wchan = null);

/// <summary>How a vCPU stops for user space.</summary>
/// <param name="UserspaceExits">Times that KVM_RUN returned.</param>
/// <param name="EmulationFailures">Instructions that the kernel failed to emulate.</param>
/// <param name="RunError">The errno with which KVM_RUN last returned, 0 for none.</param>
public sealed record ExitFigures(ulong? UserspaceExits = null, ulong? EmulationFailures = null, int? RunError = null);

/// <summary>What the host does to the memory of guests.</summary>
/// <param name="NumaBalancing">Whether automatic NUMA balancing is on.</param>
/// <param name="KsmRunning">Whether KSM merges pages.</param>
/// <param name="Compacting">Whether memory is being compacted.</param>
/// <param name="Invalidations">Invalidations since the sample before.</param>
public sealed record HostFacts(
    bool? NumaBalancing = null, bool? KsmRunning = null, bool? Compacting = null, ulong? Invalidations = null);
