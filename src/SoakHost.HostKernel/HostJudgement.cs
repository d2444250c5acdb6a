using System.Collections.Immutable;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel;

/// <summary>The verdict on a run, from its snapshots alone, with the sentences that justify it.</summary>
internal static class HostJudgement
{
    internal static (HostVerdict Verdict, ImmutableArray<string> Reasons) Of(
        HostCohortOptions options, ImmutableArray<HostVmSnapshot> vms, bool isOver, IEnumerable<string> failures)
    {
        ImmutableArray<string> hangs = [.. vms.SelectMany(vm => vm.Vcpus.Where(vcpu => vcpu.Evidence is not null)
            .Select(vcpu => $"vCPU {vcpu.Index} of VM {vm.Index} {vcpu.Evidence}."))];
        if (hangs.Length > 0)
            return (HostVerdict.Violation, hangs);
        if (!isOver)
            return (HostVerdict.Undecided, []);

        ImmutableArray<string> missing = [.. failures, .. vms.SelectMany(vm => Missing(options, vm))];
        return missing.Length > 0
            ? (HostVerdict.Inconclusive, missing)
            : (HostVerdict.Pass, [.. vms.SelectMany(Seen)]);
    }

    internal static ImmutableArray<string> NotCovered(HostCohortOptions options, HostMachine machine, IEnumerable<string> shortcomings)
    {
        string mode = $"This is about kernel {machine.KernelRelease}, MMU mode {machine.MmuMode} and CPU {machine.CpuModel}, and no other.";
        string paths = "The guests read private anonymous memory through 4 KiB mappings; "
            + "writes, huge pages, file-backed memory, dirty logging, nesting and migration were not at work.";
        string counter = "The kernel's counter was not read: "
            + "it lies between the invalidations ended and begun, plus what other sources may have added.";
        IEnumerable<string> beyond = options.Boundaries.Where(each => each > options.Until).Order()
            .Select(each => $"{Name(each)} lies past the end of the run and was not reached.");
        return [mode, paths, counter, .. beyond, .. shortcomings];
    }

    /// <summary>A count as people write it: 2^31 rather than 2147483648.</summary>
    internal static string Name(long count) =>
        long.IsPow2(count) ? $"2^{long.Log2(count)}" : count.ToString(System.Globalization.CultureInfo.InvariantCulture);

    private static IEnumerable<string> Missing(HostCohortOptions options, HostVmSnapshot vm)
    {
        if (vm.InvalidationsEnded < options.Until)
            yield return $"VM {vm.Index} came to {vm.InvalidationsEnded} invalidations of {options.Until}.";
        foreach (long boundary in options.Boundaries.Where(each => each <= options.Until).Order())
        {
            BoundaryCrossing? crossing = vm.Crossings.FirstOrDefault(each => each.Boundary == boundary);
            if (crossing is null)
                yield return $"VM {vm.Index} did not cross {Name(boundary)}.";
            else if (!crossing.IsSeen)
                yield return $"VM {vm.Index} crossed {Name(boundary)} with no vCPU faulting across it, which shows nothing.";
        }

        foreach (HostVcpuSnapshot vcpu in vm.Vcpus)
        {
            if (vcpu.State is not (VcpuState.Resting or VcpuState.Running or VcpuState.Starved))
            {
                string why = vcpu.StopReason is { } reason ? $": {reason}" : "";
                yield return $"vCPU {vcpu.Index} of VM {vm.Index} ended as {vcpu.State}, which is not the defect but no pass either{why}.";
            }

            if (vcpu.Role == VcpuRole.Soaked && vcpu.Faults is { Fixed: 0 })
                yield return $"vCPU {vcpu.Index} of VM {vm.Index} had no fault fixed, so its fault path was not exercised.";
            if (vcpu.Role == VcpuRole.Soaked && vcpu.Rounds == 0)
                yield return $"vCPU {vcpu.Index} of VM {vm.Index} answered no probe.";
        }
    }

    private static IEnumerable<string> Seen(HostVmSnapshot vm)
    {
        foreach (BoundaryCrossing crossing in vm.Crossings)
        {
            yield return $"VM {vm.Index} crossed {Name(crossing.Boundary)} with {crossing.ProbesInFlight} vCPUs at work; "
                + $"since then {crossing.FaultsTakenAfter} faults were taken and {crossing.FaultsFixedAfter} fixed for them.";
        }

        yield return $"VM {vm.Index}: after {vm.InvalidationsEnded} invalidations every vCPU goes on; "
            + $"{vm.FaultsTaken} faults taken, {vm.FaultsFixed} fixed.";
    }
}
