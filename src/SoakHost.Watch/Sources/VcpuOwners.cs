using SoakHost.Watch.Discovery;

namespace SoakHost.Watch.Sources;

/// <summary>
/// Which vCPU belongs to which VM, where one process holds several. File descriptors and threads do not say: discovery goes by
/// the order in which they were opened. A traced fault does: it has the kernel's <c>struct kvm</c>, the same for all vCPUs of a
/// VM.
/// </summary>
internal static class VcpuOwners
{
    /// <summary>Puts each vCPU of a process to its VM.</summary>
    /// <param name="vms">The VMs of one process, two or more, as they were found.</param>
    /// <param name="read">What is known of a thread's faults; null where faults are not traced.</param>
    /// <returns>The VMs, and a sentence where it is not known of every vCPU; null where it is.</returns>
    public static (IReadOnlyList<WatchedVm> Vms, string? Unknown) Settle(IReadOnlyList<WatchedVm> vms, ReadFaults? read)
    {
        Unit[] units =
        [
            .. vms.Index().SelectMany(vm => vm.Item.Vcpus.Select(vcpu => new Unit(vm.Index, vcpu, KvmOf(vcpu, read)))),
        ];
        Dictionary<ulong, int> places = Places(units, vms.Count);

        // A record may be that of a VM that has ended: there are more of them than places.
        units = [.. units.Select(unit => unit.Kvm is { } kvm && !places.ContainsKey(kvm) ? unit with { Kvm = null } : unit)];
        var members = vms.Select(_ => new SortedDictionary<int, WatchedVcpu>()).ToList();

        // What is known takes its place first; the others stay where they are, or go where their number is free.
        foreach (Unit unit in units.OrderBy(unit => unit.Kvm is null))
        {
            int place = unit.Kvm is { } kvm ? places[kvm] : unit.Found;
            if (!members[place].TryAdd(unit.Vcpu.Number, unit.Vcpu))
                members.Find(vm => vm.TryAdd(unit.Vcpu.Number, unit.Vcpu));
        }

        int unknown = units.Count(unit => unit.Kvm is null);
        return (
            [.. vms.Zip(members, (vm, its) => With(vm, [.. its.Values]))],
            unknown == 0 ? null
                : $"Process {vms[0].Pid} holds {vms.Count} VMs. Of {unknown} of its {units.Length} vCPUs it is not known to "
                    + "which they belong: they are shown by the order in which they were opened. "
                    + (read is null ? "A trace of faults (eBPF) tells." : "Their next fault tells."));
    }

    /// <summary>Each VM keeps the place of its first vCPU, as far as that is free.</summary>
    private static Dictionary<ulong, int> Places(IEnumerable<Unit> units, int count)
    {
        Dictionary<ulong, int> places = [];
        foreach (Unit unit in units)
        {
            if (unit.Kvm is not { } kvm || places.ContainsKey(kvm))
                continue;
            int place = places.ContainsValue(unit.Found)
                ? Enumerable.Range(0, count).Except(places.Values).FirstOrDefault(-1) : unit.Found;
            if (place >= 0)
                places.Add(kvm, place);
        }

        return places;
    }

    /// <summary>
    /// A VM with other vCPUs than before is another one to whoever follows its figures: they would be those of other vCPUs.
    /// </summary>
    private static WatchedVm With(WatchedVm vm, IReadOnlyList<WatchedVcpu> vcpus) => vm.Vcpus.SequenceEqual(vcpus) ? vm
        : vm with { Vcpus = vcpus, KvmId = $"{vm.KvmId}+{string.Join('.', vcpus.Select(vcpu => vcpu.ThreadId))}" };

    private static ulong? KvmOf(WatchedVcpu vcpu, ReadFaults? read) =>
        vcpu.ThreadId is { } thread && read?.Invoke(thread) is { Kvm: not 0 and var kvm } ? kvm : null;

    /// <summary>A vCPU: its statistics and its thread, which were opened in one order.</summary>
    private sealed record Unit(int Found, WatchedVcpu Vcpu, ulong? Kvm);
}
