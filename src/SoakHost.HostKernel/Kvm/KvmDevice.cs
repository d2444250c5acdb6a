namespace SoakHost.HostKernel.Kvm;

/// <summary>An open <c>/dev/kvm</c>, checked to be of the API version spoken here, and the limits it states.</summary>
internal sealed unsafe class KvmDevice : IDisposable
{
    private readonly KvmDescriptor _descriptor;
    private readonly KvmCpuid _cpuid;

    private KvmDevice(KvmDescriptor descriptor)
    {
        _descriptor = descriptor;
        int version = descriptor.Request("ask for the KVM API version (is this a KVM device?)", KvmAbi.GetApiVersion);
        if (version != KvmAbi.ApiVersion)
            throw new KvmException($"the kernel speaks KVM API version {version}, and only {KvmAbi.ApiVersion} is known");

        // Without mmu_notifiers there is no counter to drive; without immediate_exit a stuck vCPU could not be stopped for
        // sure.
        Require(KvmAbi.CapabilityUserMemory, "KVM_CAP_USER_MEMORY");
        Require(KvmAbi.CapabilitySyncMmu, "KVM_CAP_SYNC_MMU");
        Require(KvmAbi.CapabilityImmediateExit, "KVM_CAP_IMMEDIATE_EXIT");
        RunPageBytes = descriptor.Request("ask for the size of the run page", KvmAbi.GetVcpuMapSize);

        _cpuid = new KvmCpuid { Count = KvmCpuid.EntriesMax };
        fixed (KvmCpuid* pointer = &_cpuid)
            descriptor.Request("ask for the guest CPU's features", KvmAbi.GetSupportedCpuid, (nint)pointer);
        Limits = new KvmLimits(
            Math.Max(1, Capability(KvmAbi.CapabilityRecommendedVcpus)),
            // Kernels that do not tell their maximum allow what they recommend (Documentation/virt/kvm/api.rst,
            // KVM_CREATE_VCPU).
            Math.Max(Capability(KvmAbi.CapabilityMaxVcpus), Math.Max(1, Capability(KvmAbi.CapabilityRecommendedVcpus))),
            // 0 stands for 32 (the same document, KVM_CAP_NR_MEMSLOTS).
            Capability(KvmAbi.CapabilityMemslots) is > 0 and int slots ? slots : 32,
            PhysicalAddressBits(),
            Capability(KvmAbi.CapabilityBinaryStats) > 0);
    }

    internal KvmLimits Limits { get; }

    internal int RunPageBytes { get; }

    /// <summary>Opens the device.</summary>
    /// <exception cref="KvmException">It is absent, not permitted, not KVM, of another version, or lacks a capability
    /// needed.</exception>
    internal static KvmDevice Open(string path)
    {
        int number = Libc.Open(path, Libc.OpenReadWrite | Libc.OpenCloseOnExec);
        if (number < 0)
            throw KvmException.Last($"open {path}");
        var _descriptor = new KvmDescriptor(number);
        try
        {
            return new KvmDevice(_descriptor);
        }
        catch
        {
            _descriptor.Dispose();
            throw;
        }
    }

    internal KvmDescriptor CreateVm() => new(_descriptor.Request("create a VM", KvmAbi.CreateVm));

    /// <summary>Gives a vCPU every feature that KVM supports here: without them KVM assumes 36-bit physical
    /// addresses.</summary>
    internal void SetFeatures(KvmDescriptor vcpu)
    {
        fixed (KvmCpuid* pointer = &_cpuid)
            vcpu.Request("set the guest CPU's features", KvmAbi.SetCpuid, (nint)pointer);
    }

    public void Dispose() => _descriptor.Dispose();

    /// <summary>Whether the kernel's KVM has a capability.</summary>
    internal bool Has(int capability) => Capability(capability) > 0;

    private int Capability(int capability) => _descriptor.TryRequest(KvmAbi.CheckExtension, capability);

    private void Require(int capability, string name)
    {
        if (Capability(capability) <= 0)
            throw new KvmException($"the kernel's KVM lacks {name}");
    }

    private int PhysicalAddressBits()
    {
        ReadOnlySpan<KvmCpuidEntry> entries = _cpuid.Entries;
        foreach (ref readonly KvmCpuidEntry entry in entries[..(int)Math.Min(_cpuid.Count, KvmCpuid.EntriesMax)])
        {
            if (entry.Function == 0x8000_0008)
                return (int)Math.Clamp(entry.Eax & 0xff, 36, 52);
        }

        return 36;
    }
}

/// <summary>What this kernel's KVM allows, as it says itself.</summary>
/// <param name="VcpusRecommended">KVM_CAP_NR_VCPUS: the vCPUs of a VM that run well on this machine.</param>
/// <param name="VcpusMax">KVM_CAP_MAX_VCPUS: the vCPUs that a VM may have.</param>
/// <param name="MemslotsMax">KVM_CAP_NR_MEMSLOTS: the memslots that a VM may have.</param>
/// <param name="PhysicalAddressBits">The width of a guest-physical address, 36 to 52, from CPUID leaf 0x80000008.</param>
/// <param name="HasStatistics">KVM_CAP_BINARY_STATS_FD: Linux 5.14 and later.</param>
public sealed record KvmLimits(int VcpusRecommended, int VcpusMax, int MemslotsMax, int PhysicalAddressBits, bool HasStatistics);
