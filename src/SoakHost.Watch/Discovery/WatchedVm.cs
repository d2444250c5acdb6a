namespace SoakHost.Watch.Discovery;

/// <summary>A VM that some process holds.</summary>
/// <param name="Pid">The process.</param>
/// <param name="Name">The VM's name, unique on the host.</param>
/// <param name="KvmId">The KVM instance: the process, its start and the VM's file descriptor.</param>
/// <param name="Descriptor">The process's file descriptor of the VM; null where it may not be looked into.</param>
/// <param name="StatsDescriptor">The process's file descriptor of the VM's statistics; null where it keeps none open.</param>
/// <param name="Vcpus">Its vCPUs, by number.</param>
/// <param name="QmpPath">The socket of QEMU's monitor protocol; null where the command line names none.</param>
/// <param name="Unread">Why the process may not be looked into; null where it may.</param>
public sealed record WatchedVm(
    int Pid, string Name, string KvmId, int? Descriptor, int? StatsDescriptor, IReadOnlyList<WatchedVcpu> Vcpus, string? QmpPath,
    string? Unread)
{
    /// <summary>How long the process has run, in seconds, when the VM was found; null where that is not known.</summary>
    public double? AgeSeconds { get; init; }
}

/// <summary>A vCPU of such a VM.</summary>
/// <param name="Number">Its number.</param>
/// <param name="StatsDescriptor">The process's file descriptor of its statistics; null where it keeps none open.</param>
/// <param name="ThreadId">Its thread; null where no thread has its name.</param>
public sealed record WatchedVcpu(int Number, int? StatsDescriptor, int? ThreadId);

/// <summary>The VMs of a host.</summary>
/// <param name="Vms">The VMs.</param>
/// <param name="Unread">Processes that cannot be inspected, and what is missing without them: a sentence each.</param>
public sealed record HostInventory(IReadOnlyList<WatchedVm> Vms, IReadOnlyList<string> Unread);
