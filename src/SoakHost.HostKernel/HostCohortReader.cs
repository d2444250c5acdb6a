using System.Collections.Immutable;
using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel;

/// <summary>
/// Turns what is seen of real VMs into a cohort's figures, with what is new since the look before. Used by one thread.
/// </summary>
internal sealed class HostCohortReader(HostCohort cohort)
{
    private const long Boundary31 = 1L << 31;

    // A vCPU may work on unseen for a few looks: at the fastest rate that was measured so many invalidations.
    private const long HeartbeatCounts = 1 << 18;

    /// <summary>The age from which on a snapshot means that the VMs' own thread is stuck; it looks many times a second.</summary>
    internal static readonly TimeSpan SilenceMax = TimeSpan.FromSeconds(10);

    private const string Unproven =
        "No kernel with the defect ran here: that a real hang would be detected was shown on simulated VMs and with recorded "
            + "statistics.";

    private readonly HostCohortOptions _options = cohort.Options;
    private readonly Dictionary<(int Vm, int Vcpu), (HostVcpuSnapshot Seen, StalledVcpu? Stall)> _before = [];
    private readonly HashSet<(int Vm, long Boundary)> _crossed = [];
    private readonly HashSet<int> _stale = [];
    private readonly ImmutableArray<Boundary> _boundaries = [.. cohort.CountedBoundaries];
    private long _retried;

    /// <summary>The figures of one look.</summary>
    /// <param name="now">The VMs' latest snapshot.</param>
    /// <param name="at">The time.</param>
    /// <param name="isStopping">Whether it was asked to stop: then to end early is no failure.</param>
    internal HostSnapshot Read(HostSoakSnapshot now, DateTimeOffset at, bool isStopping)
    {
        ImmutableArray<Finding> findings =
        [
            .. Crossed(now),
            .. Stale(now),
            .. now.Vms.SelectMany(vm => vm.Vcpus.SelectMany(vcpu => Changed(vm, vcpu, FindingTime.After(now.Elapsed)))),
        ];
        HostVmSnapshot last = now.Vms.MinBy(vm => vm.InvalidationsEnded)!;
        CounterForecast forecast = Forecast(now);
        CohortTotals totals = Sum(now);
        return new HostSnapshot
        {
            Vms = cohort.Vms,
            Totals = totals,
            InvalidateSeq = Spread(now),
            Conditions = [[.. now.Vcpus.Select(vcpu => ConditionOf(vcpu.State))]],
            Stalled = [.. _before.Values.Select(vcpu => vcpu.Stall).OfType<StalledVcpu>()
                .OrderBy(vcpu => (vcpu.Vm, vcpu.Vcpu)).Take(CohortSnapshot.StalledMax)],
            Findings = findings,
            Failures = [.. Failures(now, at, isStopping)],
            Violations = now.Violations,
            Missing = now.IsOver ? now.Missing : [HowFar(now)],
            Seen = now.Seen,
            Forecast = forecast,
            Remarks = Remarks(now, totals),
            IsOver = now.IsOver || (now.Violations.Length > 0 && now.Vms.Any(vm => vm.Phase == HostVmPhase.Lost)),
            Share = Math.Min(1, (double)last.InvalidationsEnded / _options.Until),
            Progress = now.OtherProgress?.ToString() ?? Progress(now, last.ExpectedEnd, forecast),
            OtherBoundaries = now.Others,
            KernelRelease = now.Machine.KernelRelease,
            Mmu = now.Machine.MmuMode,
            Cpu = now.Machine.CpuModel,
            Elapsed = now.Elapsed,
            Until = _options.Until,
            ExpectedEnd = last.ExpectedEnd,
            NotCovered = [.. Gaps(now)],
            KernelCounter = KernelCounter.Sum(now.Vms.Select(vm => vm.Counter)),
            At = now.At,
            Crossed = [.. _boundaries.Where(boundary => now.Vms.All(vm => CrossingOf(vm, boundary) is { IsSeen: true }))],
            HungAt = HungAt(now),
            Hangs = [.. now.Vms.SelectMany(vm => vm.Vcpus.Where(vcpu => vcpu.Evidence is not null)
                .Select(vcpu => new VcpuHang(vm.Index, vcpu.Index, vcpu.State == VcpuState.Hung, vcpu.Evidence!)))],
            Coverage = CoverageOf(now),
            StaleMappings = [.. now.Vms.Where(vm => vm.Stale is not null).Select(vm => new VmStaleMapping(vm.Index, vm.Stale!))],
            IsQuick = _options.IsQuick,
            IsQuickPass = now is { IsOver: true, Violations.IsEmpty: true, Missing: [HostEvidence.Quick] },
        };
    }

    /// <summary>The figures of a cohort whose VMs the kernel refused to create.</summary>
    internal HostSnapshot Refused(string reason)
    {
        HostMachine machine = HostMachine.Read();
        return new HostSnapshot
        {
            Vms = cohort.Vms,
            Totals = cohort.NoTotals,
            InvalidateSeq = null,
            Conditions = [],
            Stalled = [],
            Findings = [],
            Failures = [reason],
            IsOutOfService = true,
            Unsupported = reason,
            IsOver = true,
            Share = 0,
            Progress = reason,
            KernelRelease = machine.KernelRelease,
            Mmu = machine.MmuMode,
            Cpu = machine.CpuModel,
            Elapsed = TimeSpan.Zero,
            Until = _options.Until,
            ExpectedEnd = null,
            NotCovered = [],
        };
    }

    /// <summary>A state as a condition. A suspect is not yet known to be anything but running.</summary>
    private static VcpuCondition ConditionOf(VcpuState state) => state switch
    {
        VcpuState.Resting or VcpuState.Running or VcpuState.Suspect or VcpuState.Quiescing => VcpuCondition.Running,
        VcpuState.Starved => VcpuCondition.Starved,
        VcpuState.Hung => VcpuCondition.Hung,
        _ => VcpuCondition.Stopped,
    };

    private static string NameOf(VcpuState state) => state switch
    {
        VcpuState.FixedInVain => "makes no progress although its faults are fixed and nothing is being invalidated",
        VcpuState.LoopingInGuest => "is looping in the guest: it runs, takes no faults and has no heartbeat",
        VcpuState.NotScheduled => "is not scheduled: its thread gets no processor time",
        VcpuState.Halted => "is halted: the guest executed HLT",
        VcpuState.RunFailed => "failed: KVM_RUN gave up on the guest",
        _ => "makes no progress, and nothing that can be read here says why",
    };

    private static CounterSpread Spread(HostSoakSnapshot now)
    {
        CounterRange[] counters = [.. now.Vms.Select(CounterOf).OrderBy(counter => counter.Low)];
        return new CounterSpread(counters[0], counters[counters.Length / 2], counters.MaxBy(counter => counter.High));
    }

    private static CounterRange CounterOf(HostVmSnapshot vm) => new(
        (ulong)(vm.Start + vm.InvalidationsEnded),
        (ulong)(vm.Start + Math.Max(vm.InvalidationsEnded, vm.InvalidationsBegun)));

    /// <summary>What the run cannot say. One that saw a hang ran on a kernel with a defect.</summary>
    private static IEnumerable<string> Gaps(HostSoakSnapshot now) =>
        HostEvidence.Violations(now.Vms).IsEmpty ? now.NotCovered.Append(Unproven) : now.NotCovered;

    private CohortTotals Sum(HostSoakSnapshot now)
    {
        // A fault that was not fixed, emulated or spurious was retried, or is in flight and may still be fixed; but a counter
        // must not fall.
        bool areFaultsCounted = now.Vcpus.Any(vcpu => vcpu.Faults is not null);
        long other = now.Vcpus.Sum(vcpu => vcpu.Faults is { } faults
            ? (long)faults.Taken - (long)(faults.Fixed + faults.Emulate + faults.Spurious) : 0);
        _retried = Math.Max(_retried, other);
        return new CohortTotals
        {
            Invalidations = now.Invalidations,
            GuestAccesses = (long)now.GuestAccesses,
            Fixed = areFaultsCounted ? (long)now.FaultsFixed : null,
            Retried = areFaultsCounted ? _retried : null,
            StaleMappings = now.Vms.Any(vm => vm.Workloads.Any(each => each.Events > 0) || vm.Stale is not null)
                ? now.Vms.Count(vm => vm.Stale is not null) : null,
            Recoveries = now.Vcpus.Sum(vcpu => vcpu.Recoveries),
            Crossings = [.. _boundaries.Select(boundary => new BoundaryCrossings(boundary, CrossingsOf(now, boundary)))],
        };
    }

    private static int CrossingsOf(HostSoakSnapshot now, Boundary boundary) =>
        now.Vms.Count(vm => CrossingOf(vm, boundary) is { ProbesInFlight: > 0 });

    private static BoundaryCrossing? CrossingOf(HostVmSnapshot vm, Boundary boundary) =>
        vm.Crossings.FirstOrDefault(crossing => (ulong)crossing.Boundary == boundary.Count);

    /// <summary>
    /// Where the counter was at hangs that lasted, the first of them. A hang that recovered is none of the defect's, and one
    /// whose vCPU had stopped well below 2^31 did not begin past it, wherever it was confirmed.
    /// </summary>
    private static ulong? HungAt(HostSoakSnapshot now) => now.Vcpus
        .Where(vcpu => vcpu is { State: VcpuState.Hung, Recoveries: 0, Evidence: not null })
        .Select(vcpu => vcpu.Evidence!)
        .Select(evidence => evidence.AtLastHeartbeat is { } alive && alive.Begun + HeartbeatCounts < Boundary31
            ? (ulong?)alive.Begun : (ulong)evidence.InvalidationsEnded)
        .Min();

    /// <summary>What each workload did, the plain one first.</summary>
    internal static ImmutableArray<WorkloadCoverage> CoverageOf(HostSoakSnapshot now) => [Coverage(now), .. WorkloadsOf(now)];

    /// <summary>The workloads, over all VMs, in the order in which they take turns.</summary>
    private static IEnumerable<WorkloadCoverage> WorkloadsOf(HostSoakSnapshot now) =>
        now.Vms.SelectMany(vm => vm.Workloads).GroupBy(each => each.Name).Select(each => new WorkloadCoverage(
            each.Key,
            each.Sum(state => state.Events),
            Sum(each.Select(state => state.FixedBefore)),
            Sum(each.Select(state => state.FixedAfter)),
            each.Any(state => state.WhyNot is null)));

    private static ulong? Sum(IEnumerable<ulong?> numbers) =>
        numbers.Aggregate((ulong?)0ul, (sum, each) => sum + each);

    /// <summary>The plain one: pages that guests read are taken away.</summary>
    private static WorkloadCoverage Coverage(HostSoakSnapshot now)
    {
        bool areFaultsCounted = now.Vcpus.Any(vcpu => vcpu.Faults is not null);
        ulong after = now.Vms.Aggregate(
            0ul, (sum, vm) => sum + (vm.Crossings.MaxBy(crossing => crossing.Boundary)?.FaultsFixedAfter ?? 0));
        ulong all = now.Vcpus.Where(vcpu => vcpu.Role != VcpuRole.Workload)
            .Aggregate(0ul, (sum, vcpu) => sum + (vcpu.Faults?.Fixed ?? 0));
        return new WorkloadCoverage(
            "madvise(MADV_DONTNEED)",
            now.Invalidations,
            areFaultsCounted ? all - Math.Min(all, after) : null,
            areFaultsCounted ? after : null,
            Offered: true);
    }

    private IEnumerable<Finding> Crossed(HostSoakSnapshot now)
    {
        foreach (HostVmSnapshot vm in now.Vms)
        {
            foreach (BoundaryCrossing crossing in vm.Crossings)
            {
                if (!_crossed.Add((vm.Index, crossing.Boundary)))
                    continue;
                FindingKind kind = crossing.ProbesInFlight > 0 ? FindingKind.BoundaryCrossed : FindingKind.BoundaryCrossedIdle;

                // The time of day may have been set meanwhile.
                TimeSpan ago = now.At - crossing.At;
                TimeSpan elapsed = now.Elapsed - (ago > TimeSpan.Zero && ago < now.Elapsed ? ago : TimeSpan.Zero);
                var counter = new CounterRange((ulong)crossing.Boundary, (ulong)Math.Max(crossing.Boundary, crossing.CountAfter));
                var seen = new Sighting(FindingTime.After(elapsed), page: null, counter, snapshot: null);
                yield return new Finding(kind, vm.Index, vcpu: null, seen, new Boundary((ulong)crossing.Boundary));
            }
        }
    }

    private IEnumerable<Finding> Stale(HostSoakSnapshot now)
    {
        foreach (HostVmSnapshot vm in now.Vms)
        {
            if (vm.Stale is not { } stale || !_stale.Add(vm.Index))
                continue;
            var counter = new CounterRange(
                (ulong)stale.Counter.Ended, (ulong)Math.Max(stale.Counter.Ended, stale.Counter.Begun));
            var seen = new Sighting(FindingTime.After(now.Elapsed), page: null, counter, snapshot: null);
            yield return new Finding(FindingKind.StaleMapping, vm.Index, vcpu: null, seen);
        }
    }

    /// <summary>What changed of a vCPU since the look before. A look misses no hang: its evidence stays.</summary>
    private IEnumerable<Finding> Changed(HostVmSnapshot vm, HostVcpuSnapshot vcpu, FindingTime time)
    {
        (HostVcpuSnapshot? before, StalledVcpu? stall) = _before.GetValueOrDefault((vm.Index, vcpu.Index));
        bool isHung = vcpu.State == VcpuState.Hung;
        bool becameHung = isHung ? before?.State != VcpuState.Hung : vcpu.Evidence is not null && before?.Evidence is null;
        CounterRange counter = isHung && vcpu.Evidence is { } evidence
            ? new((ulong)evidence.InvalidationsEnded, (ulong)Math.Max(evidence.InvalidationsEnded, evidence.InvalidationsBegun))
            : CounterOf(vm);
        var seen = new Sighting(time, PageOf(vcpu), counter, snapshot: null);
        _before[(vm.Index, vcpu.Index)] = (vcpu, Stall(vm, vcpu, stall, seen));
        if (becameHung)
            yield return Of(FindingKind.VcpuHung);
        for (int recovery = before?.Recoveries ?? 0; recovery < vcpu.Recoveries; recovery++)
            yield return Of(FindingKind.VcpuRecovered);
        for (int starvation = before?.Starvations ?? 0; starvation < vcpu.Starvations; starvation++)
            yield return Of(FindingKind.VcpuStarved);

        Finding Of(FindingKind kind) => new(kind, vm.Index, vcpu.Index, seen);
    }

    private static StalledVcpu? Stall(HostVmSnapshot vm, HostVcpuSnapshot vcpu, StalledVcpu? stall, Sighting seen)
    {
        VcpuCondition condition = ConditionOf(vcpu.State);
        if (condition is not (VcpuCondition.Starved or VcpuCondition.Hung))
            return null;
        return stall?.Condition == condition
            ? stall
            : new StalledVcpu(vm.Index, vcpu.Index, condition, seen) { LastProgress = vcpu.LastProgressAt };
    }

    /// <summary>
    /// The page of the soaked memory that a hung vCPU reads in vain; null where that is not known, or it is another.
    /// </summary>
    private int? PageOf(HostVcpuSnapshot vcpu)
    {
        if (vcpu.Evidence?.FaultingAddress is not { } address)
            return null;
        long offset = (long)address - _options.GuestPhysicalBase;
        return offset >= 0 && offset < _options.MemoryBytes && offset / GuestMemory.PageBytes <= int.MaxValue
            ? (int)(offset / GuestMemory.PageBytes) : null;
    }

    private static IEnumerable<string> Failures(HostSoakSnapshot now, DateTimeOffset at, bool isStopping)
    {
        if (!now.IsOver && at - now.At > SilenceMax)
            yield return string.Create(
                CultureInfo.InvariantCulture,
                $"The thread that drives the VMs has published nothing since {now.At:O}.");
        if (HostEvidence.Violations(now.Vms).IsEmpty && !isStopping)
        {
            foreach (string reason in now.Missing.Where(reason => reason is not
                (HostEvidence.Quick or HostEvidence.EndsBelow or HostEvidence.NoCounter)))
                yield return reason;
        }

        foreach (HostVmSnapshot vm in now.Vms)
        {
            foreach (HostVcpuSnapshot vcpu in vm.Vcpus.Where(vcpu => ConditionOf(vcpu.State) == VcpuCondition.Stopped))
            {
                string why = vcpu.StopReason is { } reason ? $" ({reason})" : "";
                yield return $"vCPU {vcpu.Index} of VM {vm.Index} {NameOf(vcpu.State)}{why}. That is not the defect.";
            }
        }
    }

    private CounterForecast Forecast(HostSoakSnapshot now)
    {
        ImmutableArray<BoundaryForecast>.Builder crossings = ImmutableArray.CreateBuilder<BoundaryForecast>();
        foreach (Boundary boundary in _boundaries)
        {
            long count = (long)boundary.Count;
            List<DateTimeOffset?> expected = [.. now.Vms
                .Where(vm => vm.Start + vm.InvalidationsEnded < count && count - vm.Start <= _options.Until)
                .Select(vm => vm.NextBoundary == count ? vm.ExpectedCrossing : Extrapolate(now.At, vm, count))];
            if (!expected.Contains(null) && expected.Max() is { } last)
                crossings.Add(new BoundaryForecast(boundary, last));
        }

        return new CounterForecast(now.InvalidationsPerSecond, now.Elapsed, crossings.ToImmutable());
    }

    private static DateTimeOffset? Extrapolate(DateTimeOffset at, HostVmSnapshot vm, long boundary)
    {
        // A rate close to nothing gives a date past the end of the calendar, that is, none.
        double seconds = (boundary - vm.Start - vm.InvalidationsEnded) / vm.InvalidationsPerSecond;
        return vm.InvalidationsPerSecond > 0 && seconds < 1e9 ? at.AddSeconds(seconds) : null;
    }

    private static ImmutableArray<string> Remarks(HostSoakSnapshot now, CohortTotals totals)
    {
        double average = now.Elapsed > TimeSpan.Zero ? now.Invalidations / now.Elapsed.TotalSeconds : 0;
        string subject = string.Create(
            CultureInfo.InvariantCulture,
            $"kernel {now.Machine.KernelRelease}, MMU {now.Machine.MmuMode}, CPU {now.Machine.CpuModel}; "
            + $"{totals.Invalidations:N0} invalidations in {now.Elapsed:hh\\:mm\\:ss}, {average:N0} a second");
        return [subject, .. Gaps(now).Select(gap => $"not covered: {gap}")];
    }

    private string Progress(HostSoakSnapshot now, DateTimeOffset? end, CounterForecast forecast)
    {
        // The VMs give their own time left: it depends on the present rate alone, and the last seconds before a boundary are slow
        // ones.
        string left = end > now.At ? string.Create(CultureInfo.InvariantCulture, $", {end - now.At:hh\\:mm\\:ss} left") : "";
        string next = forecast.Crossings is [var first, ..]
            ? string.Create(CultureInfo.InvariantCulture, $", {first.Boundary} expected at {first.Expected:u}") : "";
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{Millions(now.Invalidations)} of {Millions((double)_options.Until * cohort.Vms)} invalidations, "
            + $"{Millions(now.InvalidationsPerSecond)} a second{left}{next}");
    }

    private static string Millions(double number) => number < 1e5
        ? number.ToString("N0", CultureInfo.InvariantCulture)
        : (number / 1e6).ToString(number < 1e7 ? "N2" : "N1", CultureInfo.InvariantCulture) + " million";

    private string HowFar(HostSoakSnapshot now)
    {
        HostVmSnapshot last = now.Vms.MinBy(vm => vm.InvalidationsEnded)!;
        string expected = last is { NextBoundary: { } next, ExpectedCrossing: { } crossing }
            ? string.Create(CultureInfo.InvariantCulture, $"; {HostEvidence.Name(next)} is expected at {crossing:u}") : "";
        return $"The run is not over: VM {last.Index} has made {last.InvalidationsEnded} of {_options.Until} "
            + $"invalidations{expected}.";
    }
}
