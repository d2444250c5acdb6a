namespace SoakHost.HostKernel.Watch;

/// <summary>
/// Judges one vCPU of a real VM, where no oracle sees the truth. A pure state machine: its state is a function of the
/// observations and of the times at which they were made.
/// </summary>
/// <remarks>
/// Faults taken far above faults fixed prove nothing: a healthy kernel under an invalidation storm looks like that. So a
/// vCPU whose heartbeat and fixes stand still while it takes faults is a suspect, no more; <see cref="WantsQuiesce"/> then
/// asks for every invalidation of its VM to stop. With nothing invalidated a correct kernel fixes the fault at once; one
/// that still does not has failed. A fix through pf_fast does not count as one: that path never checks the counter
/// (fast_page_fault, arch/x86/kvm/mmu/mmu.c), so it moves on a hung VM too.
/// </remarks>
public sealed class VcpuWatch
{
    /// <summary>Looks at the registers in quiet, all at one instruction, that show that a guest stands still.</summary>
    private const int StandstillSamplesMin = 3;

    private readonly VcpuWatchOptions _options;
    private readonly TimeProvider _time;
    private Mark _lastHeartbeat;
    private Mark _lastFix;
    private Mark _quiesced;
    private ulong? _quietInstruction;
    private long _quietSamples;
    private bool _hasMovedInQuiet;
    private bool _started;
    private bool _fixSeen;

    /// <summary>A watch that has seen nothing yet.</summary>
    /// <param name="options">Validated limits.</param>
    /// <param name="time">The clock that all times are taken from.</param>
    public VcpuWatch(VcpuWatchOptions options, TimeProvider time)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(time);
        _options = options;
        _time = time;
    }

    /// <summary>The vCPU's state by the last observation.</summary>
    public VcpuState State { get; private set; }

    /// <summary>Whether invalidations must be stopped, or stay stopped, for this vCPU to be judged.</summary>
    public bool WantsQuiesce => State is VcpuState.Suspect or VcpuState.Quiescing;

    /// <summary>Times that it became a suspect.</summary>
    public int Suspicions { get; private set; }

    /// <summary>Times that a storm was found to have starved it.</summary>
    public int Starvations { get; private set; }

    /// <summary>Times that its heartbeat moved again after it had been called hung.</summary>
    public int Recoveries { get; private set; }

    /// <summary>When its heartbeat was last seen to move, or it was last given work; null before the first
    /// observation.</summary>
    public DateTimeOffset? LastProgressAt => _started ? _lastHeartbeat.At : null;

    /// <summary>Why it was called hung, the first time; null if it never was.</summary>
    public HangEvidence? Evidence { get; private set; }

    /// <summary>Takes one observation, made now, and judges.</summary>
    public VcpuState Observe(in VcpuObservation seen)
    {
        Mark now = new(_time.GetUtcNow(), _time.GetTimestamp(), seen);
        bool moved = _started && seen.Heartbeat != _lastHeartbeat.Seen.Heartbeat;
        if (seen.Stop != VcpuStop.None)
            State = seen.Stop == VcpuStop.Halted ? VcpuState.Halted : VcpuState.RunFailed;
        else if (!_started || moved || !seen.ProgressDue)
            Progress(now, moved);
        else
            StandsStill(now);
        return State;
    }

    private void Progress(Mark now, bool moved)
    {
        if (State == VcpuState.Hung && !moved)
            return;
        if (State == VcpuState.Hung)
            Recoveries++;
        // What recovers only once the storm has stopped was starved by it. It stays so called until it has moved within a
        // storm.
        bool recoveredInQuiet = moved && State is VcpuState.Suspect or VcpuState.Quiescing && now.Seen.InvalidationsStopped;
        if (recoveredInQuiet)
            BecomeStarved();
        else if (!(State == VcpuState.Starved && now.Seen.InvalidationsStopped))
            State = now.Seen.ProgressDue ? VcpuState.Running : VcpuState.Resting;
        _lastHeartbeat = now;
        _lastFix = now;
        _fixSeen = false;
        _started = true;
    }

    private void StandsStill(Mark now)
    {
        // Work that has just been given is not late yet: its time runs from here.
        if (State == VcpuState.Resting)
        {
            State = VcpuState.Running;
            _lastHeartbeat = _lastHeartbeat with { At = now.At, Ticks = now.Ticks };
            _lastFix = now;
        }

        if (IsAnyCheckedFix(_lastFix, now))
        {
            _lastFix = now;
            _fixSeen = true;
        }

        switch (State)
        {
            case VcpuState.Hung:
                break;
            case VcpuState.Suspect:
                if (now.Seen.InvalidationsStopped)
                    Quiesce(now);
                break;
            case VcpuState.Quiescing:
                Confirm(now);
                break;
            default:
                if (Elapsed(_lastHeartbeat, now) >= _options.SuspectAfter)
                    Judge(now);
                break;
        }
    }

    private void Judge(Mark now)
    {
        // Without statistics this was settled by quiescing, and only a heartbeat can unsettle it: asking again would stop
        // the soak for ever.
        if (now.Seen.Faults is null && State == VcpuState.LoopingInGuest)
            return;
        TimeSpan sinceFix = Elapsed(_lastFix, now);
        if (now.Seen.Faults is not null && sinceFix < _options.SuspectAfter)
        {
            // One late fix is no storm: a vCPU that hangs may have had another page fixed just before.
            if (_fixSeen && Elapsed(_lastHeartbeat, now) >= 2 * _options.SuspectAfter)
                CallFixed(now);
            return;
        }

        bool faulting = now.Seen.Faults is null
            ? !IsNotScheduled(_lastFix, now)
            : Taken(_lastFix, now) >= (ulong)_options.FaultsTakenMin;
        if (faulting)
        {
            State = VcpuState.Suspect;
            Suspicions++;
            // If nothing was being invalidated anyway, the quiet time starts here.
            if (now.Seen.InvalidationsStopped)
                Quiesce(now);
        }
        else
        {
            State = WithoutFaults(_lastFix, now);
            // Judge by recent time alone from here on: what changes must show within one interval.
            _lastFix = now;
            _fixSeen = false;
        }
    }

    private void CallFixed(Mark now)
    {
        if (now.Seen.InvalidationsStopped)
            State = VcpuState.FixedInVain;
        else if (State != VcpuState.Starved)
            BecomeStarved();
    }

    private void Quiesce(Mark now)
    {
        State = VcpuState.Quiescing;
        _quiesced = now;
        (_quietInstruction, _quietSamples, _hasMovedInQuiet) = (now.Seen.InstructionPointer, now.Seen.Samples, false);
    }

    private void Confirm(Mark now)
    {
        _quietInstruction ??= now.Seen.InstructionPointer;
        _hasMovedInQuiet |= now.Seen.InstructionPointer is { } at && at != _quietInstruction;
        if (!now.Seen.InvalidationsStopped)
        {
            State = VcpuState.Suspect;
            return;
        }

        if (Elapsed(_quiesced, now) < _options.QuiesceFor)
            return;
        if (IsAnyCheckedFix(_quiesced, now))
            State = VcpuState.FixedInVain;
        else if (now.Seen.Faults is null)
            State = IsStandingStill(now) ? VcpuState.Hung : WithoutFaults(_quiesced, now);
        else
            State = Taken(_quiesced, now) >= (ulong)_options.FaultsTakenMin ? VcpuState.Hung : WithoutFaults(_quiesced, now);
        if (State == VcpuState.Hung)
            Evidence ??= Describe(now);
        else
            _lastFix = now;
    }

    /// <summary>
    /// Without statistics: it uses processor time and is at the instruction that reads a page, or at one that no guest can stand
    /// still at. Whatever the page is, its own code or its tables, that is a fault which is not fixed.
    /// </summary>
    private bool IsStandingStill(Mark now) => !IsNotScheduled(_quiesced, now) && (now.Seen.AtAccess != false
        || (now.Seen.CannotStandStill && !_hasMovedInQuiet && now.Seen.Samples - _quietSamples >= StandstillSamplesMin));

    private HangEvidence Describe(Mark now) => new(
        now.Seen.Faults is null ? HangProof.HeartbeatAlone : HangProof.Statistics,
        _lastHeartbeat.At,
        _quiesced.At,
        now.At,
        now.Seen.InvalidationsEnded,
        now.Seen.InvalidationsBegun,
        _lastFix.Seen.Faults,
        _quiesced.Seen.Faults,
        now.Seen.Faults,
        now.Seen.AccessAddress)
    {
        AtLastHeartbeat = BoundsOf(_lastHeartbeat),
        AtLastFix = now.Seen.Faults is null ? null : BoundsOf(_lastFix),
    };

    private static CounterBounds BoundsOf(Mark mark) => new(mark.Seen.InvalidationsEnded, mark.Seen.InvalidationsBegun);

    private VcpuState WithoutFaults(Mark since, Mark now) =>
        now.Seen.ProcessorTime is null || since.Seen.ProcessorTime is null ? VcpuState.Unexplained
        : IsNotScheduled(since, now) ? VcpuState.NotScheduled
        // A guest at the instruction that reads a page, or one whose program never stays anywhere, is in no loop of its own.
        : now.Seen.AtAccess == true || now.Seen.CannotStandStill ? VcpuState.Unexplained
        : VcpuState.LoopingInGuest;

    private void BecomeStarved()
    {
        State = VcpuState.Starved;
        Starvations++;
    }

    private bool IsNotScheduled(Mark since, Mark now) =>
        now.Seen.ProcessorTime is { } later && since.Seen.ProcessorTime is { } earlier
        && later - earlier < Elapsed(since, now) * _options.ProcessorShareMin;

    private TimeSpan Elapsed(Mark since, Mark now) => _time.GetElapsedTime(since.Ticks, now.Ticks);

    private static ulong Taken(Mark since, Mark now) =>
        now.Seen.Faults is { } later && since.Seen.Faults is { } earlier && later.Taken > earlier.Taken
            ? later.Taken - earlier.Taken
            : 0;

    /// <summary>Whether a fault was fixed after a look at the counter. Fast fixes take none, and are counted among all.</summary>
    private static bool IsAnyCheckedFix(Mark since, Mark now) =>
        now.Seen.Faults is { } later && since.Seen.Faults is { } earlier
        && later.Fixed - earlier.Fixed > later.Fast - earlier.Fast;

    private readonly record struct Mark(DateTimeOffset At, long Ticks, VcpuObservation Seen);
}
