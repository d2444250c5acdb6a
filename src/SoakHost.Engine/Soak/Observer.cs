using System.Collections.Immutable;
using System.Numerics;
using System.Runtime.InteropServices;
using SoakHost.Engine.Cohorts;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Soak;

/// <summary>
/// Looks at a shard's VMs every <see cref="Shard.ObservationTicks"/> ticks: folds their narrow totals into sums, judges each
/// vCPU's condition, and where something happened inside the interval runs it again, step by step, to say when and where.
/// </summary>
internal sealed class Observer<TPages, TLanes>
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    private readonly int _firstVm;
    private readonly int _vmStride;
    private readonly int _vcpus;
    private readonly uint _stallRetries;
    private readonly VmLives _lives;
    private int _vms;
    private VcpuCondition[] _conditions;
    private bool[] _unsafeInstallSeen;
    private bool[] _accountingErrorSeen;
    private bool[] _staleMappingSeen;
    private readonly SortedDictionary<int, StalledVcpu> _stalled = [];
    private readonly List<Finding> _findings = [];
    private CoverageLog _coverage;
    private Totals _totals;
    private IncidentCounts _reported;
    private long _lastHangTick;
    private long _lastRecoveryTick;

    public Observer(SimulatedCohort cohort, int firstVm, int vms, ShardOptions options, VmLives lives)
    {
        _lives = lives;
        _firstVm = firstVm;
        _vmStride = options.Part.Count;
        _vms = vms;
        _vcpus = cohort.Vm.Vcpus;
        _coverage = new(Interleavings.Of(cohort.Kernel, cohort.Vm));
        _stallRetries = options.StallRetries;
        _conditions = new VcpuCondition[vms * _vcpus];
        _unsafeInstallSeen = new bool[vms];
        _accountingErrorSeen = new bool[vms];
        _staleMappingSeen = new bool[vms];
    }

    /// <summary>Looks at one group.</summary>
    /// <param name="program">The kernel's program.</param>
    /// <param name="bounds">What choices are drawn from.</param>
    /// <param name="before">A copy of the group from the interval's start; used up.</param>
    /// <param name="group">The group at the interval's end.</param>
    /// <param name="firstIndex">The index, in the shard, of the group's first VM.</param>
    /// <param name="tick">The tick at the interval's start.</param>
    public void Observe(
        SoakProgram<TPages, TLanes> program,
        in ChoiceBounds<TPages, TLanes> bounds,
        in VmGroup<TPages, TLanes> before,
        in VmGroup<TPages, TLanes> group,
        int firstIndex,
        long tick)
    {
        int lanes = Math.Min(TLanes.Count, _vms - firstIndex);
        (uint defective, uint crossing) = (Fold(ref group.Vm.Totals, firstIndex, lanes), Crossing(before, group, lanes));
        if ((defective | crossing) != 0)
            RunAgain(program, bounds, before, firstIndex, tick, defective, crossing);
        JudgeVcpus(program, before, group, firstIndex, lanes, tick + Shard.ObservationTicks);
    }

    public ShardSnapshot TakeSnapshot(long tick, Kernel kernel, ImmutableArray<ulong> invalidateSeqs)
    {
        var snapshot = new ShardSnapshot
        {
            Tick = tick,
            Kernel = kernel,
            Totals = _totals,
            InvalidateSeqs = invalidateSeqs,
            VmsCrossed = _lives.CountCrossed(),
            Conditions = [.. _conditions],
            Stalled = [.. _stalled.Values.Take(CohortSnapshot.StalledMax)
                .Select(vcpu => vcpu with { Origin = _lives.OriginOf(IndexOf(vcpu.Vm)) })],
            Findings = [.. _findings],
            LastHangTick = _lastHangTick,
            LastRecoveryTick = _lastRecoveryTick,
            Coverage = _coverage.Read(),
        };
        _reported = _reported.With(_findings);
        _findings.Clear();
        return snapshot;
    }

    /// <summary>Sums over the VMs, those that are gone too.</summary>
    public Totals Totals => _totals;

    /// <summary>The interleavings that are told apart, under the kernel that the VMs run.</summary>
    public Interleavings Interleavings => _coverage.Interleavings;

    /// <summary>Begins to count interleavings anew: those of another kernel are no evidence about this one.</summary>
    public void PatchKernel(Interleavings interleavings) => _coverage = new(interleavings);

    /// <summary>Incidents among the findings that were given out.</summary>
    public IncidentCounts Reported => _reported;

    public ObserverState ReadState() => new()
    {
        Totals = _totals,
        Reported = _reported,
        Conditions = [.. _conditions],
        UnsafeInstallSeen = [.. _unsafeInstallSeen],
        AccountingErrorSeen = [.. _accountingErrorSeen],
        StaleMappingSeen = [.. _staleMappingSeen],
        Stalled = [.. _stalled.Values],
        Findings = [.. _findings],
        LastHangTick = _lastHangTick,
        LastRecoveryTick = _lastRecoveryTick,
        Coverage = _coverage.Read(),
    };

    public void WriteState(ObserverState state)
    {
        _coverage.Write(state.Coverage);
        (_lastHangTick, _lastRecoveryTick) = (state.LastHangTick, state.LastRecoveryTick);
        _totals = state.Totals;
        _reported = state.Reported;
        state.Conditions.CopyTo(_conditions, 0);
        state.UnsafeInstallSeen.CopyTo(_unsafeInstallSeen, 0);
        state.AccountingErrorSeen.CopyTo(_accountingErrorSeen, 0);
        state.StaleMappingSeen.CopyTo(_staleMappingSeen, 0);
        _stalled.Clear();
        foreach (StalledVcpu vcpu in state.Stalled)
            _stalled[(IndexOf(vcpu.Vm) * _vcpus) + vcpu.Vcpu] = vcpu;
        _findings.Clear();
        _findings.AddRange(state.Findings);
    }

    /// <summary>
    /// Forgets the VMs with the highest numbers, so that so many are left. The hang of a vCPU that goes is over, and a finding.
    /// </summary>
    /// <param name="vms">How many are left.</param>
    /// <param name="tick">The tick at which the others go.</param>
    /// <param name="read">Reads a VM that goes, by its number in the cohort.</param>
    public void Shrink(int vms, long tick, Func<int, VmState> read)
    {
        foreach ((int index, StalledVcpu vcpu) in _stalled.Where(entry => entry.Key >= vms * _vcpus).ToList())
        {
            _stalled.Remove(index);
            if (!vcpu.Condition.IsForEver())
                continue;
            VmState state = read(vcpu.Vm);
            VcpuState last = state.Vcpus[vcpu.Vcpu];
            _findings.Add(
                new(
                    FindingKind.VcpuRemoved,
                    vcpu.Vm,
                    vcpu.Vcpu,
                    Sighting.AtTick(tick, state.InvalidateSeq, last.Page, last.Snapshot)));
        }

        _vms = vms;
        _lives.Shrink(vms);
        Array.Resize(ref _conditions, vms * _vcpus);
        Array.Resize(ref _unsafeInstallSeen, vms);
        Array.Resize(ref _accountingErrorSeen, vms);
        Array.Resize(ref _staleMappingSeen, vms);
    }

    /// <summary>
    /// Forgets what was seen of a VM, whose life ends. The hang of a vCPU that goes with it is over, and a finding.
    /// </summary>
    /// <param name="vm">The VM's index in the shard.</param>
    /// <param name="tick">The tick at which the life ends.</param>
    /// <param name="program">Reads the VM at its end.</param>
    /// <param name="group">The VM's group.</param>
    /// <param name="lane">The VM's lane in it.</param>
    public void EndLife(
        int vm, long tick, SoakProgram<TPages, TLanes> program, in VmGroup<TPages, TLanes> group, int lane)
    {
        // Thousands of lives end in a second, nearly all of them without a hang.
        VmState? last = null;
        for (int v = 0; v < _vcpus; v++)
        {
            int index = (vm * _vcpus) + v;
            if (_conditions[index].IsForEver())
            {
                last ??= program.Read(group, lane);
                VcpuState vcpu = last.Vcpus[v];
                var seen = Sighting.AtTick(tick, last.InvalidateSeq, vcpu.Page, vcpu.Snapshot);
                _findings.Add(new(FindingKind.VcpuReplaced, NumberOf(vm), v, seen));
            }

            _conditions[index] = VcpuCondition.Running;
            _stalled.Remove(index);
        }

        (_unsafeInstallSeen[vm], _accountingErrorSeen[vm], _staleMappingSeen[vm]) = (false, false, false);
        _totals = _totals with
        {
            LivesStarted = _totals.LivesStarted + 1,
            HangsMissed = _totals.HangsMissed + (_lives[vm].IsHangDue ? 1 : 0),
        };
    }

    /// <summary>
    /// Adds a group's totals to the sums and zeroes them; returns the lanes whose first defect of a kind is among them.
    /// </summary>
    private uint Fold(ref TotalsLanes<TLanes> totals, int firstIndex, int lanes)
    {
        uint interesting = 0;
        ReadOnlySpan<uint> unsafeInstalls = Words(ref totals.UnsafeInstalls)[..lanes];
        ReadOnlySpan<uint> accountingErrors = Words(ref totals.AccountingErrors)[..lanes];
        ReadOnlySpan<uint> staleMappings = Words(ref totals.StaleMappings)[..lanes];
        for (int lane = 0; lane < lanes; lane++)
        {
            int vm = firstIndex + lane;
            if ((unsafeInstalls[lane] != 0 && !_unsafeInstallSeen[vm])
                || (accountingErrors[lane] != 0 && !_accountingErrorSeen[vm])
                || (staleMappings[lane] != 0 && !_staleMappingSeen[vm]))
            {
                interesting |= 1u << lane;
            }
        }

        TLanes overcautious = totals.OvercautiousRetries, unjustified = totals.UnjustifiedRetries;
        _totals = _totals with
        {
            Invalidations = _totals.Invalidations + Sum(Words(ref totals.Invalidations)[..lanes]),
            GuestAccesses = _totals.GuestAccesses + Sum(Words(ref totals.GuestAccesses)[..lanes]),
            Fixed = _totals.Fixed + Sum(Words(ref totals.Fixed)[..lanes]),
            Retried = _totals.Retried + Sum(Words(ref totals.Retried)[..lanes]),
            OvercautiousRetries = _totals.OvercautiousRetries + Sum(Words(ref overcautious)[..lanes]),
            UnjustifiedRetries = _totals.UnjustifiedRetries + Sum(Words(ref unjustified)[..lanes]),
            UnsafeInstalls = _totals.UnsafeInstalls + Sum(unsafeInstalls),
            StaleMappings = _totals.StaleMappings + Sum(staleMappings),
            AccountingErrors = _totals.AccountingErrors + Sum(accountingErrors),
        };
        totals = default;
        return interesting;

        static long Sum(ReadOnlySpan<uint> words)
        {
            long sum = 0;
            foreach (uint word in words)
                sum += word;
            return sum;
        }
    }

    /// <summary>The lanes whose counter crossed a boundary. Every boundary is a multiple of 2^15.</summary>
    private static uint Crossing(in VmGroup<TPages, TLanes> before, in VmGroup<TPages, TLanes> group, int lanes)
    {
        uint crossing = 0;
        ReadOnlySpan<uint> fromLow = Words(ref before.Vm.InvalidateSeq.Low), fromHigh = Words(ref before.Vm.InvalidateSeq.High);
        ReadOnlySpan<uint> toLow = Words(ref group.Vm.InvalidateSeq.Low), toHigh = Words(ref group.Vm.InvalidateSeq.High);
        for (int lane = 0; lane < lanes; lane++)
        {
            if ((fromLow[lane] ^ toLow[lane]) >> 15 == 0 && fromHigh[lane] == toHigh[lane])
                continue;
            if (CrossedBoundary(Join(fromHigh[lane], fromLow[lane]), Join(toHigh[lane], toLow[lane])) != 0)
                crossing |= 1u << lane;
        }

        return crossing;
    }

    /// <summary>
    /// The power of two (one of <see cref="VmLives.Powers"/>) that a counter passed or reached as it went from one value to
    /// another, modulo 2^64; else 0.
    /// </summary>
    private static int CrossedBoundary(ulong from, ulong to)
    {
        foreach (int power in VmLives.Powers)
        {
            ulong boundary = power == 64 ? 0 : 1UL << power;
            if (unchecked(boundary - from - 1 < to - from))
                return power;
        }

        return 0;
    }

    /// <summary>
    /// Judges the condition of each vCPU. One that is stalled is asked, on a copy of its VM, whether it would ever be fixed.
    /// While a memslot update goes on, who moves first may decide that: the vCPU is asked with the update at its end, and as it
    /// stands now.
    /// </summary>
    private void JudgeVcpus(
        SoakProgram<TPages, TLanes> program,
        in VmGroup<TPages, TLanes> copy,
        in VmGroup<TPages, TLanes> group,
        int firstIndex,
        int lanes,
        long tick)
    {
        int vcpus = group.Vcpus.Length;
        Span<TLanes> neverFixed = stackalloc TLanes[vcpus], neverFixedNow = stackalloc TLanes[vcpus];
        TLanes deadlocked = default, goesOn = default;
        if (IsAnyStalled(group, lanes))
        {
            copy.CopyFrom(group);
            program.EndInProgress(copy);
            AskEach(program, group, copy, lanes, neverFixed);
            goesOn = ~program.SaysWhatWaits(group, copy);
            deadlocked = TLanes.Except(program.IsDeadlocked(copy), goesOn);
            if (Words(ref goesOn)[..lanes].ContainsAnyExcept(0u))
            {
                copy.CopyFrom(group);
                program.EndInvalidations(copy);
                AskEach(program, group, copy, lanes, neverFixedNow);
            }
        }

        ReadOnlySpan<uint> isDeadlocked = Words(ref deadlocked)[..lanes], updateGoesOn = Words(ref goesOn)[..lanes];
        for (int v = 0; v < vcpus; v++)
        {
            Span<uint> retries = Words(ref group.Vcpus[v].ConsecutiveRetries)[..lanes];
            ReadOnlySpan<uint> isNeverFixed = Words(ref neverFixed[v])[..lanes];
            ReadOnlySpan<uint> isNeverFixedNow = Words(ref neverFixedNow[v])[..lanes];
            for (int lane = 0; lane < lanes; lane++)
            {
                retries[lane] = Math.Min(retries[lane], Shard.RetriesMax);
                int index = ((firstIndex + lane) * vcpus) + v;
                VcpuCondition condition =
                    retries[lane] < _stallRetries ? VcpuCondition.Running
                    : isNeverFixed[lane] == 0 ? VcpuCondition.Starved
                    : updateGoesOn[lane] != 0 && isNeverFixedNow[lane] == 0 ? NotYetKnown(_conditions[index])
                    : isDeadlocked[lane] == 0 ? VcpuCondition.Hung : VcpuCondition.Deadlocked;
                if (condition != _conditions[index])
                    Change(index, condition, program.Read(group, lane), tick);
            }
        }
    }

    /// <summary>Asks each vCPU that is stalled in some lane whether it would ever be fixed.</summary>
    private void AskEach(
        SoakProgram<TPages, TLanes> program,
        in VmGroup<TPages, TLanes> group,
        in VmGroup<TPages, TLanes> quiet,
        int lanes,
        Span<TLanes> neverFixed)
    {
        for (int v = 0; v < neverFixed.Length; v++)
        {
            if (IsStalledSomewhere(group, v, lanes))
                neverFixed[v] = program.IsNeverFixed(quiet, v);
        }
    }

    private bool IsStalledSomewhere(in VmGroup<TPages, TLanes> group, int vcpu, int lanes) =>
        Words(ref group.Vcpus[vcpu].ConsecutiveRetries)[..lanes].ContainsAnyInRange(_stallRetries, uint.MaxValue);

    private bool IsAnyStalled(in VmGroup<TPages, TLanes> group, int lanes)
    {
        for (int v = 0; v < group.Vcpus.Length; v++)
        {
            if (IsStalledSomewhere(group, v, lanes))
                return true;
        }

        return false;
    }

    // The next look will tell: the update goes on.
    private static VcpuCondition NotYetKnown(VcpuCondition was) => was.IsForEver() ? was : VcpuCondition.Starved;

    private void Change(int index, VcpuCondition condition, VmState state, long tick)
    {
        VcpuCondition was = _conditions[index];
        _conditions[index] = condition;
        int vcpus = state.Vcpus.Length;
        (int vm, int v) = (NumberOf(index / vcpus), index % vcpus);
        VcpuState vcpu = state.Vcpus[v];
        var seen = Sighting.AtTick(tick, state.InvalidateSeq, vcpu.Page, vcpu.Snapshot);
        if (condition == VcpuCondition.Running)
            _stalled.Remove(index);
        else
            _stalled[index] = new(vm, v, condition, seen);
        NoteHang(index / vcpus, was, condition, tick);

        // Out of a hang into an invalidation storm is a recovery too.
        if (was.IsForEver() && !condition.IsForEver())
        {
            _totals = _totals with { Recoveries = _totals.Recoveries + 1 };
            Find(FindingKind.VcpuRecovered);
        }

        if (condition == VcpuCondition.Hung)
            Find(FindingKind.VcpuHung);
        if (condition == VcpuCondition.Deadlocked)
            Find(FindingKind.Deadlock);
        if (condition == VcpuCondition.Starved)
            Find(FindingKind.VcpuStarved);

        void Find(FindingKind kind) => Report(new(kind, vm, v, seen));
    }

    private void NoteHang(int vm, VcpuCondition was, VcpuCondition condition, long tick)
    {
        if (was.IsForEver() == condition.IsForEver())
            return;
        if (!condition.IsForEver())
        {
            // Groups run through a slice one after another: this may be earlier than what another group has seen.
            _lastRecoveryTick = Math.Max(_lastRecoveryTick, tick);
            _lives.NoteRecovery(vm);
            return;
        }

        _lastHangTick = Math.Max(_lastHangTick, tick);
        if (_lives.NoteHang(vm, tick) is { } ticks)
        {
            _totals = _totals with
            {
                HangsCaught = _totals.HangsCaught + 1,
                DetectionTicks = _totals.DetectionTicks + ticks,
            };
        }
    }

    /// <summary>Keeps a finding; an incident with what is needed to tell it.</summary>
    private void Report(Finding finding) => _findings.Add(
        IncidentId.IsIncident(finding.Kind) ? finding with { Origin = _lives.OriginOf(IndexOf(finding.Vm)) } : finding);

    private void RunAgain(
        SoakProgram<TPages, TLanes> program,
        in ChoiceBounds<TPages, TLanes> bounds,
        in VmGroup<TPages, TLanes> before,
        int firstIndex,
        long tick,
        uint defective,
        uint crossing)
    {
        before.Vm.Totals = default;
        var watch = new Watch(this, program, before, firstIndex, tick, (defective, crossing));
        program.AdvanceObserved(before, bounds, Shard.ObservationTicks, ref watch);
    }

    /// <summary>The number, in its cohort, of a VM by its index in the shard.</summary>
    private int NumberOf(int index) => _firstVm + (index * _vmStride);

    private int IndexOf(int vm) => (vm - _firstVm) / _vmStride;

    private static ulong Join(uint high, uint low) => ((ulong)high << 32) | low;

    private static Span<uint> Words(ref TLanes lanes) => MemoryMarshal.Cast<TLanes, uint>(MemoryMarshal.CreateSpan(ref lanes, 1));

    /// <summary>Watches the interesting lanes of one group, step by step.</summary>
    private struct Watch : IStepObserver<TPages, TLanes>
    {
        private readonly Observer<TPages, TLanes> _owner;
        private readonly ulong[] _seqs;
        private readonly VmCrossing[] _crossings;
        private readonly int _firstIndex;
        private readonly long _firstTick;
        private readonly uint _defective;
        private readonly uint _crossing;
        private readonly SoakProgram<TPages, TLanes> _program;

        // The lanes that crossed a boundary and whose first attempt since is not over.
        private uint _undecided;

        public Watch(
            Observer<TPages, TLanes> owner,
            SoakProgram<TPages, TLanes> program,
            in VmGroup<TPages, TLanes> group,
            int firstIndex,
            long firstTick,
            (uint Defective, uint Crossing) interesting)
        {
            (_owner, _program, _firstIndex, _firstTick) = (owner, program, firstIndex, firstTick);
            (_defective, _crossing) = interesting;
            _seqs = new ulong[TLanes.Count];
            _crossings = new VmCrossing[TLanes.Count];
            for (int lane = 0; lane < TLanes.Count; lane++)
                _seqs[lane] = group.Vm.InvalidateSeq[lane];
        }

        public void Stepped(in VmGroup<TPages, TLanes> group, int tick, int actor)
        {
            for (uint rest = _undecided; rest != 0; rest &= rest - 1)
                LookForFirst(group, BitOperations.TrailingZeroCount(rest), actor);

            // Only an invalidator moves the counter.
            uint interesting = actor < group.Vcpus.Length ? _defective : _defective | _crossing;
            for (uint rest = interesting; rest != 0; rest &= rest - 1)
                Look(group, BitOperations.TrailingZeroCount(rest), _firstTick + tick, actor);
        }

        private void Look(in VmGroup<TPages, TLanes> group, int lane, long tick, int actor)
        {
            int index = _firstIndex + lane;
            int vm = _owner.NumberOf(index);
            ref VmLanes<TPages, TLanes> state = ref group.Vm;
            ulong seq = Join(Words(ref state.InvalidateSeq.High)[lane], Words(ref state.InvalidateSeq.Low)[lane]);
            if (seq != _seqs[lane])
            {
                int power = CrossedBoundary(_seqs[lane], seq);
                _seqs[lane] = seq;
                if (power != 0)
                {
                    bool inFlight = HasFaultInFlight(group.Vcpus, lane);
                    NoteCrossing(group, lane, power, actor - group.Vcpus.Length);
                    if (inFlight)
                        _owner._totals = _owner._totals.WithCrossing(power);

                    // A VM crosses the same boundaries in life after life: its first crossing of each is reported, all are
                    // counted.
                    FindingKind kind = inFlight ? FindingKind.BoundaryCrossed : FindingKind.BoundaryCrossedIdle;
                    if (_owner._lives.NoteCrossing(index, power, inFlight, tick, _program.Kernel.Info))
                        _owner.Report(new(kind, vm, vcpu: null, Sighting.AtTick(tick, seq), Boundary.AtPower(power)));
                }
            }

            if (Words(ref state.Totals.UnsafeInstalls)[lane] != 0 && !_owner._unsafeInstallSeen[index])
            {
                // The install leaves the page and the snapshot as they were.
                ref VcpuLanes<TPages, TLanes> vcpu = ref group.Vcpus[actor];
                _owner._unsafeInstallSeen[index] = true;
                int page = BitOperations.TrailingZeroCount(vcpu.Page[lane]);
                _owner.Report(new(
                    FindingKind.UnsafeInstall, vm, actor, Sighting.AtTick(tick, seq, page, vcpu.Snapshot[lane])));
            }

            if (Words(ref state.Totals.AccountingErrors)[lane] != 0 && !_owner._accountingErrorSeen[index])
            {
                _owner._accountingErrorSeen[index] = true;
                _owner.Report(new(FindingKind.AccountingError, vm, vcpu: null, Sighting.AtTick(tick, seq)));
            }

            if (Words(ref state.Totals.StaleMappings)[lane] != 0 && !_owner._staleMappingSeen[index])
            {
                _owner._staleMappingSeen[index] = true;
                int page = BitOperations.TrailingZeroCount(StalePages(group, lane, actor));
                _owner.Report(new(FindingKind.StaleMapping, vm, vcpu: null, Sighting.AtTick(tick, seq, page)));
            }
        }

        /// <summary>Takes note of what a VM is like as an invalidator's step takes its counter across a boundary.</summary>
        private void NoteCrossing(in VmGroup<TPages, TLanes> group, int lane, int power, int invalidator)
        {
            VmState state = _program.Read(group, lane);
            var crossing = new VmCrossing(power, state, invalidator, Attempts(group, lane));
            _owner._coverage.Note(power, crossing.States);
            _crossings[lane] = crossing;
            _undecided |= 1u << lane;
        }

        /// <summary>Whether the vCPU that has just stepped is the first whose attempt is over since the crossing.</summary>
        private void LookForFirst(in VmGroup<TPages, TLanes> group, int lane, int actor)
        {
            VmCrossing crossing = _crossings[lane];
            if (Attempts(group, lane) == crossing.Attempts)
                return;
            _undecided &= ~(1u << lane);
            _owner._coverage.Note(crossing.Power, crossing.NumberIn(_owner.Interleavings, actor));
        }

        /// <summary>Attempts that are over, fixed or retried, since the interval's start.</summary>
        private static uint Attempts(in VmGroup<TPages, TLanes> group, int lane) =>
            group.Vm.Totals.Fixed[lane] + group.Vm.Totals.Retried[lane];

        /// <summary>
        /// The pages that an invalidator or the memslot updater has just changed and the guest still has. The change leaves both
        /// as they were.
        /// </summary>
        private static ulong StalePages(in VmGroup<TPages, TLanes> group, int lane, int actor)
        {
            int invalidator = actor - group.Vcpus.Length;
            if (invalidator == group.Invalidators.Length)
                return group.Vm.Mapped[lane] & group.Vm.MemslotUpdate.Slot[lane];
            ulong reachable = group.Vm.Mapped[lane];
            foreach (ref InvalidatorLanes<TPages, TLanes> other in group.Invalidators)
                reachable |= other.Unflushed[lane];
            return reachable & group.Invalidators[invalidator].Own[lane];
        }

        private static bool HasFaultInFlight(Span<VcpuLanes<TPages, TLanes>> vcpus, int lane)
        {
            foreach (ref VcpuLanes<TPages, TLanes> vcpu in vcpus)
            {
                if (vcpu.HasFault[lane] != 0)
                    return true;
            }

            return false;
        }
    }
}
