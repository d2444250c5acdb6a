using System.Collections.Immutable;
using System.Globalization;
using SoakHost.Engine;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel;

/// <summary>
/// From what is seen of real VMs to what every cohort shows, with what is new since the look before. One reader, one thread.
/// </summary>
internal sealed class HostCohortReader(Cohort cohort, HostCohortOptions options)
{
    /// <summary>How old a snapshot may be before the cohort's own thread is taken to stand still; it looks many times a second.</summary>
    internal static readonly TimeSpan SilenceMax = TimeSpan.FromSeconds(10);

    private const string Unproven =
        "No kernel with the defect ran here: that a real hang would be seen was shown on simulated VMs and with recorded statistics.";

    private readonly Dictionary<(int Vm, int Vcpu), (HostVcpuSnapshot Seen, StalledVcpu? Stall)> before = [];
    private readonly HashSet<(int Vm, long Boundary)> crossed = [];
    private readonly long[] boundaries = [.. options.Boundaries.Distinct().Order()];
    private long retried;

    /// <summary>The figures of one look.</summary>
    /// <param name="now">The cohort's latest snapshot.</param>
    /// <param name="at">The time.</param>
    /// <param name="stopAsked">Whether it was asked to stop: then an end before the end is nothing that failed.</param>
    internal CohortSnapshot Read(HostCohortSnapshot now, DateTimeOffset at, bool stopAsked)
    {
        long tick = (long)now.Elapsed.TotalMilliseconds;
        ImmutableArray<Finding> findings = [.. Crossed(now), .. now.Vms.SelectMany(vm => vm.Vcpus.SelectMany(vcpu => Changed(vm, vcpu, tick)))];
        long[] ended = [.. now.Vms.Select(vm => vm.InvalidationsEnded).Order()];
        return new CohortSnapshot
        {
            Kernel = cohort.Kernel,
            Vms = cohort.Vms,
            Tick = tick,
            Totals = Sum(now),
            InvalidateSeqMin = (ulong)ended[0],
            InvalidateSeqMedian = (ulong)ended[ended.Length / 2],
            InvalidateSeqMax = (ulong)ended[^1],
            Conditions = [[.. now.Vcpus.Select(vcpu => ConditionOf(vcpu.State)).OfType<VcpuCondition>()]],
            Stalled = [.. before.Values.Select(vcpu => vcpu.Stall).OfType<StalledVcpu>()
                .OrderBy(vcpu => (vcpu.Vm, vcpu.Vcpu)).Take(ShardSnapshot.StalledMax)],
            Findings = findings,
            Failures = [.. Failures(now, at, stopAsked)],
            Host = Describe(now),
        };
    }

    /// <summary>The figures of a cohort whose VMs the kernel did not give.</summary>
    internal CohortSnapshot Refused(string reason, DateTimeOffset at)
    {
        HostMachine machine = HostMachine.Read();
        return new CohortSnapshot
        {
            Kernel = cohort.Kernel,
            Vms = cohort.Vms,
            Tick = 0,
            Totals = default,
            InvalidateSeqMin = 0,
            InvalidateSeqMedian = 0,
            InvalidateSeqMax = 0,
            Conditions = [],
            Stalled = [],
            Findings = [],
            Failures = [reason],
            IsOutOfService = true,
            Host = new HostFigures
            {
                KernelRelease = machine.KernelRelease,
                Mmu = machine.MmuMode,
                Cpu = machine.CpuModel,
                At = at,
                Elapsed = TimeSpan.Zero,
                InvalidationsPerSecond = 0,
                Until = options.Until,
                Share = 0,
                ExpectedEnd = null,
                IsOver = true,
                Boundaries = [.. boundaries.Select(boundary => new HostBoundary(HostJudgement.Name(boundary), boundary, 0, null))],
                Verdict = Verdict.Unsupported,
                Reasons = [reason],
                NotCovered = [],
            },
        };
    }

    /// <summary>A state as a condition, or null where it is none: then <see cref="Failures"/> has its name.</summary>
    /// <remarks>A suspect is not yet known to be anything but running.</remarks>
    private static VcpuCondition? ConditionOf(VcpuState state) => state switch
    {
        VcpuState.Resting or VcpuState.Running or VcpuState.Suspect or VcpuState.Quiescing => VcpuCondition.Running,
        VcpuState.Starved => VcpuCondition.Starved,
        VcpuState.Hung => VcpuCondition.Hung,
        _ => null,
    };

    private static string NameOf(VcpuState state) => state switch
    {
        VcpuState.FixedInVain => "has its faults fixed in vain: nothing is being invalidated, and yet it makes no progress",
        VcpuState.LoopingInGuest => "is looping in the guest: it runs, takes no faults and has no heartbeat",
        VcpuState.NotScheduled => "is not scheduled: its thread gets no processor time",
        VcpuState.Halted => "is halted: the guest executed HLT",
        VcpuState.RunFailed => "failed: KVM_RUN gave up on the guest",
        _ => "makes no progress, unexplained: what can be read here does not say why",
    };

    private Totals Sum(HostCohortSnapshot now)
    {
        // What is neither fixed, emulated nor spurious was retried, or is in flight; what was in flight before can be fixed now, but a
        // counter must not fall.
        long other = now.Vcpus.Sum(vcpu => vcpu.Faults is { } faults
            ? (long)faults.Taken - (long)(faults.Fixed + faults.Emulate + faults.Spurious) : 0);
        retried = Math.Max(retried, other);
        int[] powers = [31, 32];
        return new Totals
        {
            Invalidations = now.Invalidations,
            GuestAccesses = (long)now.GuestAccesses,
            Fixed = (long)now.FaultsFixed,
            Retried = retried,
            Recoveries = now.Vcpus.Sum(vcpu => vcpu.Recoveries),
            Crossings31 = CrossingsOf(now, 1L << 31),
            Crossings32 = CrossingsOf(now, 1L << 32),
            CrossingsElsewhere = boundaries.Except(powers.Select(power => 1L << power)).Sum(boundary => CrossingsOf(now, boundary)),
        };
    }

    private static int CrossingsOf(HostCohortSnapshot now, long boundary) =>
        now.Vms.Count(vm => vm.Crossings.Any(crossing => crossing.Boundary == boundary && crossing.ProbesInFlight > 0));

    private IEnumerable<Finding> Crossed(HostCohortSnapshot now)
    {
        foreach (HostVmSnapshot vm in now.Vms)
        {
            foreach (BoundaryCrossing crossing in vm.Crossings)
            {
                if (!crossed.Add((vm.Index, crossing.Boundary)))
                    continue;
                FindingKind kind = crossing.ProbesInFlight > 0 ? FindingKind.BoundaryCrossed : FindingKind.BoundaryCrossedIdle;
                long tick = (long)(now.Elapsed - (now.At - crossing.At)).TotalMilliseconds;
                int power = long.IsPow2(crossing.Boundary) ? (int)long.Log2(crossing.Boundary) : 0;
                yield return new Finding(kind, vm.Index, -1, tick, -1, (ulong)crossing.Boundary, 0, power);
            }
        }
    }

    /// <summary>What became of a vCPU since the look before. A look misses no hang: its evidence stays.</summary>
    private IEnumerable<Finding> Changed(HostVmSnapshot vm, HostVcpuSnapshot vcpu, long tick)
    {
        (HostVcpuSnapshot? seen, StalledVcpu? stall) = before.GetValueOrDefault((vm.Index, vcpu.Index));
        bool isHung = vcpu.State == VcpuState.Hung;
        bool becameHung = isHung ? seen?.State != VcpuState.Hung : vcpu.Evidence is not null && seen?.Evidence is null;
        ulong seq = (ulong)(isHung && vcpu.Evidence is { } evidence ? evidence.InvalidationsEnded : vm.InvalidationsEnded);
        int page = PageOf(vcpu);
        before[(vm.Index, vcpu.Index)] = (vcpu, Stall(vm, vcpu, stall, tick, page, seq));
        if (becameHung)
            yield return Of(FindingKind.VcpuHung);
        for (int recovery = seen?.Recoveries ?? 0; recovery < vcpu.Recoveries; recovery++)
            yield return Of(FindingKind.VcpuRecovered);
        for (int starvation = seen?.Starvations ?? 0; starvation < vcpu.Starvations; starvation++)
            yield return Of(FindingKind.VcpuStarved);

        Finding Of(FindingKind kind) => new(kind, vm.Index, vcpu.Index, tick, page, seq, 0, 0);
    }

    private static StalledVcpu? Stall(HostVmSnapshot vm, HostVcpuSnapshot vcpu, StalledVcpu? stall, long tick, int page, ulong seq)
    {
        if (ConditionOf(vcpu.State) is not { } condition || condition == VcpuCondition.Running)
            return null;
        return stall?.Condition == condition
            ? stall
            : new StalledVcpu(vm.Index, vcpu.Index, condition, tick, page, seq, 0) { LastProgress = vcpu.LastProgressAt };
    }

    /// <summary>The page of the soaked memory that a hung vCPU reads in vain; -1 where that is not known, or it is another.</summary>
    private int PageOf(HostVcpuSnapshot vcpu)
    {
        if (vcpu.Evidence?.FaultingAddress is not { } address)
            return -1;
        long offset = (long)address - options.GuestPhysicalBase;
        return offset >= 0 && offset < options.MemoryBytes && offset / GuestMemory.PageBytes <= int.MaxValue
            ? (int)(offset / GuestMemory.PageBytes) : -1;
    }

    private static IEnumerable<string> Failures(HostCohortSnapshot now, DateTimeOffset at, bool stopAsked)
    {
        if (!now.IsOver && at - now.At > SilenceMax)
            yield return string.Create(CultureInfo.InvariantCulture, $"Nobody has looked at the VMs since {now.At:O}.");
        if (now.IsOver && now.Verdict == HostVerdict.Inconclusive && !stopAsked)
        {
            foreach (string reason in now.Reasons)
                yield return reason;
        }

        foreach (HostVmSnapshot vm in now.Vms)
        {
            foreach (HostVcpuSnapshot vcpu in vm.Vcpus.Where(vcpu => ConditionOf(vcpu.State) is null))
            {
                string why = vcpu.StopReason is { } reason ? $" ({reason})" : "";
                yield return $"vCPU {vcpu.Index} of VM {vm.Index} {NameOf(vcpu.State)}{why}. That is not the defect.";
            }
        }
    }

    private HostFigures Describe(HostCohortSnapshot now)
    {
        (Verdict verdict, ImmutableArray<string> reasons) = Judge(now);
        HostVmSnapshot last = now.Vms.MinBy(vm => vm.InvalidationsEnded)!;
        return new HostFigures
        {
            KernelRelease = now.Machine.KernelRelease,
            Mmu = now.Machine.MmuMode,
            Cpu = now.Machine.CpuModel,
            At = now.At,
            Elapsed = now.Elapsed,
            InvalidationsPerSecond = now.InvalidationsPerSecond,
            Until = options.Until,
            Share = Math.Min(1, (double)last.InvalidationsEnded / options.Until),
            ExpectedEnd = last.ExpectedEnd,
            IsOver = now.IsOver || (now.Verdict == HostVerdict.Violation && now.Vms.Any(vm => vm.Phase == HostVmPhase.Lost)),
            Boundaries = [.. boundaries.Select(boundary => Expect(now, boundary))],
            Verdict = verdict,
            Reasons = reasons,
            NotCovered = [.. now.NotCovered, Unproven],
        };
    }

    private HostBoundary Expect(HostCohortSnapshot now, long boundary)
    {
        var expected = now.Vms.Where(vm => vm.InvalidationsEnded < boundary && boundary <= options.Until)
            .Select(vm => vm.NextBoundary == boundary ? vm.ExpectedCrossing : Extrapolate(now.At, vm, boundary)).ToList();
        return new HostBoundary(
            HostJudgement.Name(boundary), boundary, CrossingsOf(now, boundary), expected.Contains(null) ? null : expected.Max());
    }

    private static DateTimeOffset? Extrapolate(DateTimeOffset at, HostVmSnapshot vm, long boundary)
    {
        // A rate close to nothing gives a date past the end of the calendar, that is, none.
        double seconds = (boundary - vm.InvalidationsEnded) / vm.InvalidationsPerSecond;
        return vm.InvalidationsPerSecond > 0 && seconds < 1e9 ? at.AddSeconds(seconds) : null;
    }

    private (Verdict Verdict, ImmutableArray<string> Reasons) Judge(HostCohortSnapshot now) => now.Verdict switch
    {
        HostVerdict.Violation => (Verdict.Violation, now.Reasons),
        HostVerdict.Pass when boundaries.Any(boundary => boundary <= options.Until) => (Verdict.Pass, now.Reasons),
        HostVerdict.Pass => (Verdict.Inconclusive, ["No boundary lies within the run, so none was crossed."]),
        HostVerdict.Undecided => (Verdict.Inconclusive, [HowFar(now)]),
        _ => (Verdict.Inconclusive, now.Reasons),
    };

    private string HowFar(HostCohortSnapshot now)
    {
        HostVmSnapshot last = now.Vms.MinBy(vm => vm.InvalidationsEnded)!;
        string expected = last is { NextBoundary: { } next, ExpectedCrossing: { } crossing }
            ? string.Create(CultureInfo.InvariantCulture, $"; {HostJudgement.Name(next)} is expected at {crossing:u}") : "";
        return $"It is not over: VM {last.Index} came to {last.InvalidationsEnded} invalidations of {options.Until} so far{expected}.";
    }
}
