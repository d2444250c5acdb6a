using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel;

/// <summary>
/// What the snapshots of a run show, in sentences: defects, what is missing for a pass, and what justifies one.
/// </summary>
internal static class HostEvidence
{
    /// <summary>A sentence for each vCPU that is, or was, hung.</summary>
    internal static ImmutableArray<string> Violations(IEnumerable<HostVmSnapshot> vms) =>
    [
        .. vms.SelectMany(vm => vm.Vcpus.Where(vcpu => vcpu.Evidence is not null)
            .Select(vcpu => $"vCPU {vcpu.Index} of VM {vm.Index} {vcpu.Evidence}.")),
    ];

    /// <summary>What a run that is over did not see.</summary>
    internal static ImmutableArray<string> Missing(HostCohortOptions options, IEnumerable<HostVmSnapshot> vms)
    {
        ImmutableArray<string> missing = [.. vms.SelectMany(vm => Missing(options, vm))];
        return options.Boundaries.Any(boundary => boundary <= options.Until)
            ? missing : [.. missing, "No boundary lies within the run, so none was crossed."];
    }

    /// <summary>What a run saw.</summary>
    internal static ImmutableArray<string> Seen(IEnumerable<HostVmSnapshot> vms) => [.. vms.SelectMany(Seen)];

    /// <summary>What the run cannot say.</summary>
    internal static ImmutableArray<string> NotCovered(
        HostCohortOptions options,
        HostMachine machine,
        IEnumerable<string> shortcomings)
    {
        string mode =
            $"This is about kernel {machine.KernelRelease}, MMU mode {machine.MmuMode} and CPU {machine.CpuModel}, and nothing "
                + "else.";
        string paths =
            "The guests read private anonymous memory through 4 KiB mappings; "
            + "writes, huge pages, file-backed memory, dirty logging, nesting and migration were not tested.";
        string counter = "The kernel's counter was not read: "
            + "it lies between the invalidations ended and begun, plus those of other sources.";
        IEnumerable<string> beyond = options.Boundaries.Where(each => each > options.Until).Order()
            .Select(each => $"{Name(each)} lies past the end of the run.");
        return [mode, paths, counter, .. beyond, .. shortcomings];
    }

    /// <summary>A count as people write it: 2^31 rather than 2147483648.</summary>
    internal static string Name(long count) => new Boundary((ulong)count).Name;

    private static IEnumerable<string> Missing(HostCohortOptions options, HostVmSnapshot vm)
    {
        if (vm.InvalidationsEnded < options.Until)
            yield return $"VM {vm.Index} made {vm.InvalidationsEnded} of {options.Until} invalidations.";
        foreach (long boundary in options.Boundaries.Where(each => each <= options.Until).Order())
        {
            BoundaryCrossing? crossing = vm.Crossings.FirstOrDefault(each => each.Boundary == boundary);
            if (crossing is null)
                yield return $"VM {vm.Index} did not cross {Name(boundary)}.";
            else if (!crossing.IsSeen)
                yield return $"VM {vm.Index} crossed {Name(boundary)} with no vCPU taking faults on both sides, which shows "
                    + "nothing.";
        }

        foreach (HostVcpuSnapshot vcpu in vm.Vcpus)
        {
            if (vcpu.State is not (VcpuState.Resting or VcpuState.Running or VcpuState.Starved))
            {
                string why = vcpu.StopReason is { } reason ? $" ({reason})" : "";
                yield return $"vCPU {vcpu.Index} of VM {vm.Index} ended as {vcpu.State}{why}. That is not the defect, and no "
                    + "pass either.";
            }

            if (vcpu.Role == VcpuRole.Soaked && vcpu.Faults is { Fixed: 0 })
                yield return $"vCPU {vcpu.Index} of VM {vm.Index} had no fault fixed, so its fault path was not tested.";
            if (vcpu.Role == VcpuRole.Soaked && vcpu.Rounds == 0)
                yield return $"vCPU {vcpu.Index} of VM {vm.Index} finished no probe.";
        }
    }

    private static IEnumerable<string> Seen(HostVmSnapshot vm)
    {
        foreach (BoundaryCrossing crossing in vm.Crossings)
        {
            yield return $"VM {vm.Index} crossed {Name(crossing.Boundary)} with {crossing.ProbesInFlight} vCPUs at work; "
                + $"since then {crossing.FaultsTakenAfter} faults were taken and {crossing.FaultsFixedAfter} fixed for them.";
        }

        yield return $"VM {vm.Index}: after {vm.InvalidationsEnded} invalidations every vCPU makes progress; "
            + $"{vm.FaultsTaken} faults taken, {vm.FaultsFixed} fixed.";
    }
}
