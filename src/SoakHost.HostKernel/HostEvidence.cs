using System.Collections.Immutable;
using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Watch;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.HostKernel;

/// <summary>
/// What the snapshots of a run show, in sentences: defects, what is missing for a pass, and what justifies one.
/// </summary>
internal static class HostEvidence
{
    /// <summary>Why a run without the long count is no pass.</summary>
    internal const string Quick =
        "This was a quick run: the long count to 2^31 was left out, so it says nothing about that boundary.";

    /// <summary>Why a run that crosses only lower boundaries is no pass.</summary>
    internal const string NotWatched = "2^31 is not among the boundaries of the run, so nobody watched that crossing.";

    internal const string EndsBelow = "The run ends below 2^31: a kernel with the defect passes there too.";

    /// <summary>Why a run of other boundaries alone is no pass.</summary>
    internal const string NoCounter =
        "mmu_invalidate_seq was not driven (--boundaries): this says nothing about 2^31.";

    /// <summary>How far a counter may be past its declared start when it is first read: other sources move it too.</summary>
    private const long StartSlack = 4096;

    /// <summary>The lowest boundary whose crossing is worth a pass.</summary>
    private static readonly Boundary Least = Boundary.AtPower(31);

    /// <summary>A sentence for each stale mapping, and for each vCPU that is, or was, hung.</summary>
    internal static ImmutableArray<string> Violations(IReadOnlyCollection<HostVmSnapshot> vms) =>
    [
        .. vms.Where(vm => vm.Stale is not null).Select(vm => $"VM {vm.Index}: {vm.Stale}."),
        .. vms.SelectMany(vm => vm.Vcpus.Where(vcpu => vcpu.Evidence is not null)
            .Select(vcpu => $"vCPU {vcpu.Index} of VM {vm.Index} {vcpu.Evidence}.")),
    ];

    /// <summary>What a run that is over did not see.</summary>
    internal static ImmutableArray<string> Missing(HostCohortOptions options, IReadOnlyCollection<HostVmSnapshot> vms)
    {
        if (!options.HasCounter)
            return [NoCounter];
        ImmutableArray<string> missing = [.. vms.SelectMany(vm => Missing(options, vm))];
        if (vms.Any(vm => !options.BoundariesFrom(vm.Start).Any()))
            return [.. missing, "No boundary lies within the run, so none was crossed."];
        return options.IsQuick ? [.. missing, Quick]
            : vms.All(vm => options.BoundariesFrom(vm.Start).Any(boundary => (ulong)boundary >= Least.Count)) ? missing
            : [.. missing, vms.All(vm => vm.Start + options.Until > (long)Least.Count) ? NotWatched : EndsBelow];
    }

    /// <summary>What a run saw.</summary>
    internal static ImmutableArray<string> Seen(IEnumerable<HostVmSnapshot> vms) => [.. vms.SelectMany(Seen)];

    /// <summary>What the run cannot say.</summary>
    /// <param name="options">What was run.</param>
    /// <param name="machine">Where.</param>
    /// <param name="shortcomings">What the VMs lack.</param>
    /// <param name="whyNoCounter">Why the kernel's counter was not read; null where it was.</param>
    /// <param name="start">Where the VMs' counters started; the lowest.</param>
    /// <param name="vms">What the VMs did; null before they did anything.</param>
    /// <param name="isOver">Whether they are done.</param>
    internal static ImmutableArray<string> NotCovered(
        HostCohortOptions options,
        HostMachine machine,
        IEnumerable<string> shortcomings,
        string? whyNoCounter,
        long start = 0,
        IReadOnlyCollection<HostVmSnapshot>? vms = null,
        bool isOver = false)
    {
        string mode =
            $"This is about kernel {machine.KernelRelease}, MMU mode {machine.MmuMode} and CPU {machine.CpuModel}, and nothing "
                + "else.";
        IEnumerable<string> counter = whyNoCounter is null ? []
            : [$"The kernel's counter was not read ({whyNoCounter}): it lies between the invalidations ended and begun, plus "
                + "those of other sources."];
        IEnumerable<string> beyond = options.Boundaries.Where(each => each > start && each - start > options.Until).Order()
            .Select(each => $"{Name(each)} lies past the end of the run.");
        return [mode, .. Untested(options, vms ?? [], isOver), .. counter, .. beyond, .. shortcomings];
    }

    /// <summary>What is not done to the guests' memory: never, here, or because it was switched off.</summary>
    private static IEnumerable<string> Untested(
        HostCohortOptions options, IReadOnlyCollection<HostVmSnapshot> vms, bool isOver)
    {
        yield return "Nesting, migration to another host and private memory (of confidential VMs) were not tested.";
        string[] left = [.. BoundaryNames.WithoutCounter(BoundaryNames.All).Except(options.Counters)];
        if (left.Length > 0)
            yield return $"Boundaries that were not asked for: {string.Join(", ", left)} (--boundaries).";
        if (!options.HasCounter)
            yield break;
        if (options.Workloads.Count == 0)
        {
            yield return "All workloads were switched off: the guests read private anonymous memory through 4 KiB mappings.";
            yield break;
        }

        if (!options.HasRings)
            yield return "The dirty ring was not tested: a VM has it or the bitmap (--workloads all,-dirty-log,dirty-ring).";
        string[] off = [.. WorkloadNames.Usual.Except(options.Workloads)];
        if (off.Length > 0)
            yield return $"Workloads that were switched off: {string.Join(", ", off)}.";
        foreach (string why in vms.Select(vm => vm.WhyNoWorkloads).OfType<string>().Distinct())
            yield return $"No workload could run: {why}.";
        foreach (IGrouping<string, WorkloadState> each in vms.SelectMany(vm => vm.Workloads).GroupBy(each => each.Name))
        {
            if (each.FirstOrDefault(state => state.WhyNot is not null) is { WhyNot: { } whyNot })
                yield return $"The workload {each.Key} did not run: {whyNot}.";
            else if (each.FirstOrDefault(state => state.Failure is not null) is { Failure: { } failure })
                yield return $"The workload {each.Key} ended early: {failure}.";

            // Null where the kernel counts none.
            if (isOver && each.Any(state => state is { Events: > 0, FixedAfter: 0, Failure: null })
                && vms.Any(vm => !vm.Crossings.IsDefaultOrEmpty))
                yield return $"The workload {each.Key} had no fault fixed past the last boundary that was crossed.";
        }

        // While the run goes on, their turn may come.
        IEnumerable<WorkloadState> idle = vms.SelectMany(vm => vm.Workloads)
            .Where(state => isOver && state is { Events: 0, WhyNot: null, Failure: null });
        string[] late = [.. idle.Select(state => state.Name).Distinct()];
        if (late.Length > 0)
            yield return $"Workloads that had no time to run: {string.Join(", ", late)}.";
    }

    /// <summary>
    /// The longest that nobody may have looked around a boundary: a hang is suspected and confirmed within half of it.
    /// </summary>
    internal static TimeSpan LookGapMax(HostCohortOptions options) =>
        2 * (options.Watch.SuspectAfter + options.Watch.QuiesceFor);

    private static string NumberOf(long counter) => string.Create(CultureInfo.InvariantCulture, $"0x{counter:x}");

    /// <summary>A count as people write it: 2^31 rather than 2147483648.</summary>
    internal static string Name(long count) => new Boundary((ulong)count).Name;

    private static IEnumerable<string> Missing(HostCohortOptions options, HostVmSnapshot vm)
    {
        if (vm.InvalidationsEnded < options.Until)
            yield return $"VM {vm.Index} made {vm.InvalidationsEnded} of {options.Until} invalidations.";
        foreach (long boundary in options.BoundariesFrom(vm.Start))
        {
            BoundaryCrossing? crossing = vm.Crossings.FirstOrDefault(each => each.Boundary == boundary);
            if (crossing is null)
                yield return $"VM {vm.Index} did not cross {Name(boundary)}.";
            else if (crossing.ProbesInFlight == 0)
                yield return $"VM {vm.Index} crossed {Name(boundary)} with no vCPU at work, which shows nothing.";
            else if (!crossing.IsSeen)
                yield return $"VM {vm.Index} crossed {Name(boundary)}, and no fault was seen to be fixed after it: that shows "
                    + "nothing yet, and may be the defect.";
        }

        if (options.CounterStart is { } declared && vm.IsStartRead && (vm.Start < declared || vm.Start - declared > StartSlack))
        {
            yield return $"VM {vm.Index}: its counter started at {NumberOf(vm.Start)}, as the kernel shows it, and not at "
                + $"{NumberOf(declared)}, as was declared.";
        }

        if (vm.LookGap > LookGapMax(options))
        {
            yield return string.Create(
                CultureInfo.InvariantCulture,
                $"VM {vm.Index} was not looked at for {vm.LookGap.TotalSeconds:0.0} s around a boundary: what its vCPUs did "
                + $"meanwhile is not known.");
        }

        if (vm.Counter is { IsBelow: true })
        {
            yield return $"VM {vm.Index}: the kernel's counter was below the invalidations that had ended, so the count is "
                + "wrong.";
        }

        foreach (HostVcpuSnapshot vcpu in vm.Vcpus)
        {
            if (EndOf(vm, vcpu) is { } end)
                yield return end;

            if (vcpu.Role == VcpuRole.Soaked && vcpu.Faults is { Fixed: 0 })
                yield return $"vCPU {vcpu.Index} of VM {vm.Index} had no fault fixed, so its fault path was not tested.";
            if (vcpu.Role == VcpuRole.Soaked && vcpu.Rounds == 0)
                yield return $"vCPU {vcpu.Index} of VM {vm.Index} finished no probe.";
        }
    }

    /// <summary>What is wrong with how a vCPU ended; null where it runs, or is the violation itself.</summary>
    private static string? EndOf(HostVmSnapshot vm, HostVcpuSnapshot vcpu)
    {
        string name = $"vCPU {vcpu.Index} of VM {vm.Index}";
        string why = vcpu.StopReason is { } reason ? $" ({reason})" : "";
        return vcpu.State switch
        {
            VcpuState.Resting or VcpuState.Running or VcpuState.Starved => null,
            VcpuState.Suspect or VcpuState.Quiescing =>
                $"{name} ended as a suspect: it made no progress, and there was no time to confirm why. It may be the defect.",
            VcpuState.Unexplained =>
                $"{name} ended without progress, and nothing that can be read says why. It may be the defect.",
            VcpuState.Hung => $"{name} ended hung.",
            _ => $"{name} ended as {vcpu.State}{why}. That is not the defect, and no pass either.",
        };
    }

    private static IEnumerable<string> Seen(HostVmSnapshot vm)
    {
        bool areFaultsCounted = vm.Vcpus.Any(vcpu => vcpu.Faults is not null);
        if (vm.Start > StartSlack)
        {
            string how = vm.IsStartRead ? "read" : "declared";
            yield return $"VM {vm.Index}: its counter started at {NumberOf(vm.Start)}, as {how}.";
        }

        foreach (BoundaryCrossing crossing in vm.Crossings)
        {
            string since = areFaultsCounted
                ? $"{crossing.FaultsTakenAfter} faults were taken and {crossing.FaultsFixedAfter} fixed for them"
                : $"they have read {crossing.AccessesAfter} pages (this kernel counts no faults)";
            yield return $"VM {vm.Index} crossed {Name(crossing.Boundary)} with {crossing.ProbesInFlight} vCPUs at work; "
                + $"since then {since}.";
        }

        if (vm.Counter is { } counter)
            yield return $"VM {vm.Index}: {counter.Describe()}";

        yield return $"VM {vm.Index}: after {vm.InvalidationsEnded} invalidations every vCPU makes progress"
            + (areFaultsCounted ? $"; {vm.FaultsTaken} faults taken, {vm.FaultsFixed} fixed." : ".");
    }
}
