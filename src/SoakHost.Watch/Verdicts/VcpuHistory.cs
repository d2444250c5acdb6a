using SoakHost.Watch.Samples;

namespace SoakHost.Watch.Verdicts;

/// <summary>
/// Judges one vCPU from its samples, oldest first. A pure state machine: the verdict is a function of the samples alone, with no
/// clock. It keeps a few of them, however many there are.
/// </summary>
public sealed class VcpuHistory
{
    private VcpuSample? _last;
    private ulong? _invalidateSeq;
    private double? _stalledSince;
    private (double Since, Quiet How)? _quiet;

    // Whether a hang rests on an invalidation that has not ended.
    private bool _isHeld;

    /// <summary>The verdict by the last sample; null before the first.</summary>
    public VcpuVerdict? Verdict { get; private set; }

    /// <summary>Times that a new KVM instance took this one's place: the VM was restarted or migrated.</summary>
    public int Restarts { get; private set; }

    /// <summary>Judges samples of one vCPU.</summary>
    /// <returns>The verdict at their end; null where there is none.</returns>
    public static VcpuVerdict? Judge(IEnumerable<VcpuSample> samples)
    {
        ArgumentNullException.ThrowIfNull(samples);
        var history = new VcpuHistory();
        foreach (VcpuSample sample in samples)
            history.Add(sample);
        return history.Verdict;
    }

    /// <summary>Takes the next sample, and judges.</summary>
    /// <exception cref="ArgumentException">It is not later than the one before.</exception>
    public VcpuVerdict Add(VcpuSample sample)
    {
        ArgumentNullException.ThrowIfNull(sample);
        if (Verdict is { } before && sample.TimeSeconds <= before.At)
        {
            throw new ArgumentException(
                $"time_seconds is {sample.TimeSeconds}; it must be later than this vCPU's sample before, at {before.At}",
                nameof(sample));
        }

        bool isRestart = _last is { } last && Difference.IsNewInstance(last, sample);
        if (isRestart)
            Restart();
        _invalidateSeq = sample.Counter.InvalidateSeq ?? _invalidateSeq;
        Finding finding = Find(sample, isRestart);
        Verdict = new VcpuVerdict(
            finding.State, finding.Proof, SinceOf(finding.State, sample), sample.TimeSeconds, finding.UnresolvedPerSecond,
            CauseOf(finding.State, sample), ReasonsOf(finding, sample));
        // A sample without figures says nothing: the next one is compared with the last that had some.
        if (_last is null || Figures.AreIn(sample))
            _last = sample;
        return Verdict;
    }

    private Finding Find(VcpuSample sample, bool isRestart)
    {
        if (_last is not { } before || !Figures.AreIn(before))
        {
            return OfOne(sample, isRestart ? "A figure went back or the VM's identity changed: this is a new KVM instance, "
                + "and it has only one sample so far." : "There is only one sample, and a state takes two.");
        }

        if (!Figures.AreIn(sample))
            return Finding.Unknown("The sample has no figures: neither statistics nor thread nor trace.");
        var seen = new Difference(before, sample);
        Finding finding = Failed(sample, seen) ?? Faulting(sample, seen) ?? WithoutFaults(sample, seen);
        return finding with { UnresolvedPerSecond = seen.UnresolvedPerSecond };
    }

    /// <summary>What one sample alone can prove.</summary>
    private Finding OfOne(VcpuSample sample, string why)
    {
        if (!Figures.AreIn(sample))
            return Finding.Unknown("The sample has no figures: neither statistics nor thread nor trace.");
        // Statistics tell a retried fault from an emulated one by their differences alone, and one sample has none.
        if (!IsRepeating(sample) || IsAddressAlone(sample) || !CannotMatch(sample))
            return Finding.Unknown(why);
        _stalledSince = sample.TimeSeconds;
        return Hung(HangProof.Counter, ByCounter(), Repeated(sample));
    }

    private static Finding? Failed(VcpuSample sample, Difference seen)
    {
        // EINTR and EAGAIN are ordinary: a signal, a vCPU that waits to be started.
        if (sample.Exits.RunError is { } error and not (0 or Limits.ErrorInterrupted or Limits.ErrorAgain))
            return new Finding(WatchState.RunFailed, $"KVM_RUN returned errno {error}.");
        if (seen.EmulationFailures > 0 && (seen.FixedByCheck is 0 or null || seen.EmulationFailures * 2 >= seen.Taken))
        {
            return new Finding(
                WatchState.EmulationFailed, $"The kernel failed to emulate an instruction {Times(seen.EmulationFailures)}.");
        }

        if (seen.Taken >= Limits.FaultsMin && seen.Resolved == 0 && seen.UserspaceExits * 2 >= seen.Taken)
        {
            return new Finding(
                WatchState.RunFailed,
                $"{seen.Taken} faults were taken and none resolved; KVM_RUN returned to user space {Times(seen.UserspaceExits)}, "
                + "about once for each.");
        }

        return null;
    }

    /// <summary>A verdict from its faults; null where it takes none to speak of.</summary>
    private Finding? Faulting(VcpuSample sample, Difference seen)
    {
        bool isByTrace = seen.Taken is null && IsRepeating(sample);
        if (!isByTrace && !(seen.Taken >= Limits.FaultsMin))
        {
            // Faults that are no longer taken are no longer unresolved.
            EndStall();
            return null;
        }

        if (!isByTrace && seen.Unresolved is null)
            return WithoutAllKinds(seen);
        if (!isByTrace && seen.Unresolved < Limits.FaultsMin)
            return Progress(seen);
        // Emulated and spurious faults check no counter either. Alone they resolve nothing that an affected kernel could not.
        bool noneByCheck = isByTrace || seen.FixedByCheck == 0;
        bool none = noneByCheck && (isByTrace || seen.Emulated + seen.Spurious == 0);
        bool most = isByTrace || seen.Unresolved * 2 >= seen.Taken;
        if (noneByCheck && most && CannotMatch(sample))
        {
            _stalledSince ??= sample.TimeSeconds - seen.Seconds;
            return Hung(HangProof.Counter, ByCounter(), isByTrace ? Repeated(sample) : Taken(seen));
        }

        if (none)
            return Unresolved(sample, seen, isByTrace);
        // A hung vCPU may still serve interrupts, and so emulated devices.
        return noneByCheck && most && StaysHung() is { } hung ? hung : Mixed(sample, seen);
    }

    private Finding WithoutAllKinds(Difference seen)
    {
        if (seen.Fixed > 0 || seen.Emulated > 0 || seen.Spurious > 0)
            return Progress(seen);
        string[] missing =
        [
            .. new (string Name, ulong? Value)[]
                { ("pf_fixed", seen.Fixed), ("pf_emulate", seen.Emulated), ("pf_spurious", seen.Spurious) }
                .Where(figure => figure.Value is null).Select(figure => figure.Name),
        ];
        return Finding.Unknown(
            $"{seen.Taken} faults were taken, and {string.Join(" and ", missing)} "
            + $"{(missing.Length == 1 ? "is" : "are")} not known: emulated devices take faults in health, and fix none.");
    }

    /// <summary>No fault was resolved in this window.</summary>
    private Finding Unresolved(VcpuSample sample, Difference seen, bool isByTrace)
    {
        double start = sample.TimeSeconds - seen.Seconds;
        _stalledSince ??= start;
        _quiet = seen.Quiet == Quiet.No ? null
            : _quiet is { } quiet && (seen.Quiet != Quiet.Held || quiet.How == Quiet.Held)
                ? (quiet.Since, (Quiet)Math.Min((int)quiet.How, (int)seen.Quiet)) : (start, seen.Quiet);
        string what = isByTrace ? Repeated(sample) : Taken(seen);
        if (StaysHung() is { } hung)
            return hung;
        // Other things than invalidations may keep a fault from being resolved, but not a hundred of them a second.
        if (!isByTrace && seen.UnresolvedPerSecond < Limits.HungPerSecondMin)
            _quiet = null;
        _isHeld = false;
        bool isRepeated = sample.Trace.Repeats >= Limits.RepeatsMin && seen.MovedOn != true;
        if (_quiet is { How: Quiet.Held } held && IsLongEnough(held, sample))
        {
            _isHeld = true;
            return Hung(
                isRepeated ? HangProof.Repeats : HangProof.Quiet, what, isRepeated ? Repeated(sample) : "",
                DescribeHeld(held.Since, sample));
        }

        if (_quiet is { How: not Quiet.ByCounter } shown && IsLongEnough(shown, sample))
            return Hung(HangProof.Quiet, what, Describe(shown, sample));
        if (seen.Quiet == Quiet.ByCounter && isRepeated)
        {
            return Hung(
                HangProof.Repeats, what, Repeated(sample),
                $"The counter stood still at 0x{_invalidateSeq:x} with no invalidation in progress.");
        }

        if (_quiet is { How: Quiet.ByCounter } still && IsLongEnough(still, sample))
            return Hung(HangProof.Quiet, what, Describe(still, sample));
        // Beyond 2^31 an affected kernel's vCPU is hung in a storm too; whether this kernel is one is not known.
        bool mayBeHung = Affected(sample) is null && _invalidateSeq is { } seq && !AffectedKernel.Matches(seq);
        if (mayBeHung)
        {
            return new Finding(
                WatchState.Stalled, what,
                $"The counter, 0x{_invalidateSeq:x}, is one that an affected kernel never matches. Whether this kernel is "
                + "affected is not known: soakhost check --kernel host tells.");
        }

        if (_quiet is { How: Quiet.Held } begun)
        {
            return new Finding(
                WatchState.Starved, what, $"{InProgress(begun.Since, sample)}. The vCPU waits for {EndOf(sample)}.");
        }

        return seen.AreInvalidationsSeen
            ? new Finding(WatchState.Starved, what, "Invalidations are going on.")
            : new Finding(WatchState.Stalled, what, "Nothing says yet whether invalidations keep it from being resolved.");
    }

    /// <summary>Some faults were resolved in this window, and many were not.</summary>
    private Finding Mixed(VcpuSample sample, Difference seen)
    {
        double share = sample.Vcpu is null ? Limits.RetriesShareOfSumMin : Limits.RetriesShareMin;
        bool many = seen.Unresolved >= seen.Taken * share && seen.UnresolvedPerSecond >= Limits.RetriesPerSecondMin;
        if (!many || _stalledSince is not null)
            return Progress(seen);
        string what = $"{seen.Unresolved} of {seen.Taken} faults taken in {seen.Seconds:0.###} s were not resolved.";
        if (sample.Vcpu is null)
            return Finding.Unknown(what, "A sum over vCPUs does not say whether one of them is hung.");
        if (Verdict is { State: WatchState.Starved } || seen.AreInvalidationsSeen)
            return new Finding(WatchState.Starved, what, "The others were resolved.");
        return new Finding(WatchState.Stalled, what, "Nothing says yet why.");
    }

    /// <summary>Faults are resolved.</summary>
    private Finding Progress(Difference seen)
    {
        bool wasStalled = _stalledSince is not null;
        bool wasHung = Verdict is { State: WatchState.Hung };
        EndStall();
        if (seen.Taken * Limits.ExitsOfSpinPerFaultMin <= seen.Exits && HaltSpin(seen) is { } spin)
            return spin;
        string what = seen.Resolved is { } resolved ? $"{resolved} of {seen.Taken} faults taken were resolved."
            : $"{seen.Taken} faults were taken, and some of them resolved.";
        return wasHung ? new Finding(WatchState.Running, what, "It was hung and has recovered.")
            : wasStalled ? new Finding(WatchState.Starved, what, "None had been resolved before.")
            : new Finding(WatchState.Running, what);
    }

    private Finding WithoutFaults(VcpuSample sample, Difference seen)
    {
        // What gave up before and does nothing now has not recovered.
        bool isIdle = seen.Exits is 0 or null && !(seen.CpuShare >= Limits.CpuShareMin);
        if (isIdle && Verdict is { State: WatchState.EmulationFailed } failed)
            return new Finding(failed.State, "It has done nothing since an instruction could not be emulated.");
        if (HaltSpin(seen) is { } spin)
            return spin;
        if (isIdle && Blocked(sample, seen) is { } blocked)
            return blocked;
        if (MayFaultUncounted(sample, seen))
        {
            return Finding.Unknown("It leaves the guest all the time, not for HLT or devices, and the kernel does not count "
                + "faults taken (pf_taken, Linux 5.19 and later): a hung vCPU looks the same.");
        }

        if (seen.Exits > 0)
            return new Finding(WatchState.Running, $"It left the guest {Times(seen.Exits)}.");
        if (seen.CpuShare >= Limits.CpuShareMin && seen.Taken is null && seen.Exits is null)
            return Finding.Unknown("Its thread runs, and its faults are not known: a hung vCPU looks the same.");
        if (seen.CpuShare >= Limits.CpuShareMin)
            return new Finding(WatchState.Running, $"Its thread ran for {seen.CpuSeconds:0.###} s.");
        if (sample.Thread.Wchan is { } wait && Limits.IsHaltWait(wait))
            return new Finding(WatchState.Running, "The guest is idle: its vCPU waits in HLT.");
        if (seen.MovedOn == true)
            return new Finding(WatchState.Running, "It faults at one address after another.");
        return Finding.Unknown(
            sample.Thread.State is null ? "It takes no faults, and the state of its thread is not known."
            : "Its thread sleeps, and where it waits is not known: an idle guest looks the same.");
    }

    private static bool MayFaultUncounted(VcpuSample sample, Difference seen)
    {
        if (sample.Stats.Taken is not null || seen.Fixed > 0 || seen.MovedOn == true || seen.Exits is not { } exits)
            return false;
        ulong known = (seen.HaltExits ?? 0) + (seen.MmioExits ?? 0) + (seen.SignalExits ?? 0);
        return exits / seen.Seconds >= Limits.RetriesPerSecondMin && known < exits * (1 - Limits.RetriesShareMin);
    }

    private static Finding? HaltSpin(Difference seen)
    {
        bool isSpin = seen.HaltExits >= seen.Exits * Limits.HaltShareMin
            && seen.HaltExits / seen.Seconds >= Limits.HaltsPerSecondMin
            && !(seen.CpuShare < Limits.SpinCpuShareMin);
        return !isSpin ? null : new Finding(
            WatchState.HaltSpin, $"{seen.HaltExits} of {seen.Exits} exits in {seen.Seconds:0.###} s were HLT.");
    }

    /// <summary>
    /// What was proven stays so until a fault is fixed again, but for what an invalidation proves that is held: it may end.
    /// </summary>
    private Finding? StaysHung() => !_isHeld && Verdict is { State: WatchState.Hung, Proof: { } proof } before
        ? Hung(proof, [.. before.Reasons]) : null;

    private Finding? Blocked(VcpuSample sample, Difference seen)
    {
        string wait = sample.Thread.Wchan is { Length: > 0 } name and not "0" ? name : "";
        bool hasNoTime = seen.CpuShare is not null || seen.Exits == 0;
        string? why = sample.Thread.State switch
        {
            "D" when hasNoTime || _last?.Thread.State == "D" => "Its thread waits in the host and cannot be interrupted",
            "T" or "t" => "Its thread is stopped, by a signal or a debugger",
            "R" when hasNoTime => "Its thread is runnable, and gets no processor time",
            // An idle guest's vCPU sleeps too: in HLT, or nobody knows where.
            "S" or "I" when wait.Length > 0 && !Limits.IsHaltWait(wait) => "Its thread sleeps in the host",
            "S" or "I" when wait.Length == 0 && sample.Stats.HaltExits == 0 && hasNoTime =>
                "Its thread sleeps in the host, and the guest never executed HLT",
            _ => null,
        };
        string at = wait.Length > 0 ? $", in {wait}" : "";
        return why is null ? null : new Finding(WatchState.BlockedInHost, $"{why}{at}.");
    }

    private static Finding Hung(HangProof proof, params ReadOnlySpan<string> reasons) =>
        new(WatchState.Hung, reasons) { Proof = proof };

    private bool CannotMatch(VcpuSample sample) =>
        Affected(sample) == true && _invalidateSeq is { } seq && !AffectedKernel.Matches(seq);

    /// <summary>
    /// Whether one fault is taken over and over, by the trace. Statistics, where there are some, know better; without them an
    /// address alone may be a device's, which is emulated each time.
    /// </summary>
    private bool IsRepeating(VcpuSample sample) =>
        !(sample.Stats.Taken is null && IsAddressAlone(sample)) && sample.Trace.Repeats
        >= (sample.Stats.Taken is null && CannotMatch(sample) ? Limits.RepeatsBeyondBoundaryMin : Limits.RepeatsMin);

    private static bool IsAddressAlone(VcpuSample sample) => sample.Trace is { Rip: null, Gpa: not null };

    private static bool? Affected(VcpuSample sample) =>
        sample.Kernel.Affected ?? AffectedKernel.ByRelease(sample.Kernel.Release);

    private static bool IsLongEnough((double Since, Quiet How) quiet, VcpuSample sample) =>
        sample.TimeSeconds - quiet.Since >= Limits.QuietSecondsMin(quiet.How);

    private string ByCounter() =>
        $"The counter is 0x{_invalidateSeq:x}: this affected kernel's check never matches it, whatever is invalidated.";

    private static string Describe((double Since, Quiet How) quiet, VcpuSample sample)
    {
        string how = quiet.How switch
        {
            Quiet.ByCounter => "the counter stood still with no invalidation in progress",
            Quiet.ByInvalidations => "no invalidation began",
            _ => "no TLB was flushed for this VM",
        };
        return $"Nothing was invalidated for {sample.TimeSeconds - quiet.Since:0.###} s: {how}.";
    }

    private string DescribeHeld(double since, VcpuSample sample)
    {
        string whose = sample.Counter.InProgress == 1 ? "the thread that began it: one" : "the threads that began them: some";
        return $"{InProgress(since, sample)}: the counter stood still at 0x{_invalidateSeq:x}. The longest of any report took "
            + $"4.8 s. The vCPU waits for {EndOf(sample)}, and recovers if it comes. Look for {whose} of the VMM's, or of the "
            + "kernel's that move and free memory.";
    }

    private static string InProgress(double since, VcpuSample sample)
    {
        string seconds = $"{sample.TimeSeconds - since:0.###} s";
        return sample.Counter.InProgress == 1 ? $"An invalidation has been in progress for {seconds} and has not ended"
            : $"{sample.Counter.InProgress} invalidations have been in progress for {seconds} and none has ended";
    }

    private static string EndOf(VcpuSample sample) => sample.Counter.InProgress == 1 ? "its end" : "their end";

    private static string Taken(Difference seen) =>
        seen.Resolved == 0 ? $"{seen.Taken} faults were taken in {seen.Seconds:0.###} s and none was resolved."
            : $"{seen.Taken} faults were taken in {seen.Seconds:0.###} s and none was fixed after the counter check.";

    private static string Repeated(VcpuSample sample)
    {
        string what = sample.Trace switch
        {
            { Rip: { } rip, Gpa: { } gpa } => $"One instruction 0x{rip:x} at guest address 0x{gpa:x}",
            { Gpa: { } gpa } => $"Guest address 0x{gpa:x}",
            _ => "One instruction",
        };
        return $"{what} faulted {sample.Trace.Repeats} times in a row.";
    }

    private static string Times(ulong? count) => count == 1 ? "once" : $"{count} times";

    private double SinceOf(WatchState state, VcpuSample sample)
    {
        bool isSame = Verdict is { } before && before.State == state;
        if (state is WatchState.Hung or WatchState.Stalled or WatchState.Starved && _stalledSince is { } stalled)
            return stalled;
        return isSame ? Verdict!.Since : _last?.TimeSeconds ?? sample.TimeSeconds;
    }

    /// <summary>What the host does that may keep a vCPU's faults from being resolved.</summary>
    private static string? CauseOf(WatchState state, VcpuSample sample)
    {
        if (state is WatchState.BlockedInHost && sample.Thread is { Wchan: { Length: > 1 } wait })
            return wait;
        if (state is not (WatchState.Starved or WatchState.Stalled))
            return null;
        string[] causes =
        [
            .. new (bool? Is, string Name)[]
            {
                (sample.Host.NumaBalancing, "NUMA balancing"), (sample.Host.KsmRunning, "KSM"),
                (sample.Host.Compacting, "compaction"),
            }.Where(fact => fact.Is == true).Select(fact => fact.Name),
        ];
        return causes.Length > 0 ? string.Join(", ", causes) : null;
    }

    /// <summary>A verdict's reasons and reservations. One that comes twice is said once.</summary>
    private List<string> ReasonsOf(Finding finding, VcpuSample sample)
    {
        bool mayHang = finding.State == WatchState.Running && CannotMatch(sample);
        if (!mayHang && sample.Vcpu is not null && finding.Reasons.Count == 1)
            return finding.Reasons;
        List<string> reasons = [.. finding.Reasons];
        if (mayHang)
            reasons.Add($"{ByCounter()} The next fault that must be fixed hangs it.");
        if (sample.Vcpu is null)
            reasons.Add("These are sums over the VM's vCPUs: they do not say which of them.");
        return [.. reasons.Distinct()];
    }

    private void EndStall()
    {
        _stalledSince = null;
        _quiet = null;
    }

    private void Restart()
    {
        EndStall();
        _last = null;
        _invalidateSeq = null;
        Restarts++;
    }
}
