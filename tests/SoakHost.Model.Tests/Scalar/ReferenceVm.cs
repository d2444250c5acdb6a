namespace SoakHost.Model.Tests.Scalar;

/// <summary>
/// One VM, one variable a word of MODEL.md, one branch a sentence: slow, and too plain to be wrong in the ways in which the lanes
/// could be. It shares nothing with them but the shape in which a state is compared.
/// </summary>
public sealed class ReferenceVm
{
    private readonly bool[] _mapped;
    private readonly Vcpu[] _vcpus;
    private readonly Invalidator[] _invalidators;
    private ReferenceKernel _kernel;
    private ulong _seq;
    private uint _inProgress;
    private (int Start, int End) _range;
    private ulong _mappedTotal;
    private uint _rootGeneration;
    private MemslotUpdaterPhase _memslotUpdater;
    private int _slotPages;

    public ReferenceVm(ReferenceKernel kernel, VmParameters parameters)
    {
        _kernel = kernel;
        _mapped = new bool[parameters.Pages];
        _seq = parameters.InvalidateSeqStart;
        _vcpus = [.. Enumerable.Range(0, parameters.Vcpus).Select(v => new Vcpu { Number = v })];
        _invalidators = [.. Enumerable.Range(0, parameters.Invalidators).Select(_ => new Invalidator())];
    }

    private ReferenceVm(ReferenceVm other)
    {
        _kernel = other._kernel;
        _mapped = [.. other._mapped];
        _vcpus = [.. other._vcpus.Select(vcpu => vcpu.Copy())];
        _invalidators = [.. other._invalidators.Select(invalidator => invalidator.Copy())];
        (_seq, _inProgress, _range) = (other._seq, other._inProgress, other._range);
        (_mappedTotal, _rootGeneration) = (other._mappedTotal, other._rootGeneration);
        (_memslotUpdater, _slotPages) = (other._memslotUpdater, other._slotPages);
        Totals = other.Totals;
    }

    public ulong InvalidateSeq => _seq;

    public ReferenceTotals Totals { get; private set; } = new();

    public bool HasFaultInFlight => _vcpus.Any(vcpu => vcpu.Phase != VcpuPhase.Access);

    /// <summary>The page that a vCPU accesses or faulted on, and the snapshot of the fault.</summary>
    public (int Page, ulong Snapshot) FaultOf(int vcpu) => (_vcpus[vcpu].Page, _vcpus[vcpu].Snapshot);

    public VcpuPhase PhaseOfVcpu(int vcpu) => _vcpus[vcpu].Phase;

    public InvalidatorPhase PhaseOfInvalidator(int invalidator) => _invalidators[invalidator].Phase;

    public MemslotUpdaterPhase MemslotUpdater => _memslotUpdater;

    public bool IsUpdatingMemslots => _memslotUpdater != MemslotUpdaterPhase.Idle;

    /// <summary>Whether a memslot update has come to one of its two waits for readers.</summary>
    public bool WaitsForReaders => _memslotUpdater is MemslotUpdaterPhase.Zap or MemslotUpdaterPhase.End;

    public bool IsBetweenBeginAndEnd(int invalidator) => _invalidators[invalidator].Phase != InvalidatorPhase.Begin;

    /// <summary>One step of a vCPU; where the guest progresses it goes on with <paramref name="nextPage"/>.</summary>
    public void StepVcpu(int index, int nextPage)
    {
        Vcpu vcpu = _vcpus[index];
        switch (vcpu.Phase)
        {
            case VcpuPhase.Access:
                if (_kernel.ReloadsRoot(index))
                {
                    vcpu.RootGeneration = _rootGeneration;
                    vcpu.Orphaned = false;
                }

                Access(vcpu, nextPage);
                break;
            case VcpuPhase.Retry:
                Access(vcpu, nextPage);
                break;
            case VcpuPhase.Snapshot:
                TakeSnapshot(vcpu);
                if (_kernel.ChecksWithoutLockToo && CounterOrRangeSaysStale(vcpu))
                    Retry(vcpu);
                else
                    vcpu.Phase = vcpu.IsResolved ? VcpuPhase.Check : VcpuPhase.Resolve;
                break;
            case VcpuPhase.Resolve when _kernel.TestsForInvalidSlot && IsInInvalidSlot(vcpu.Page):
                Retry(vcpu, meetsInvalidSlot: true);
                break;
            case VcpuPhase.Resolve:
                vcpu.IsResolved = true;
                vcpu.Phase = _kernel.SnapshotTaken == SnapshotTaken.AfterResolving ? VcpuPhase.Snapshot
                    : _kernel.ChecksWithoutLockToo ? VcpuPhase.LocklessCheck : VcpuPhase.Check;
                break;
            case VcpuPhase.LocklessCheck:
                if (CounterOrRangeSaysStale(vcpu))
                    Retry(vcpu);
                else
                    vcpu.Phase = VcpuPhase.Check;
                break;
            case VcpuPhase.Check:
                if (CounterOrRangeSaysStale(vcpu) || (_kernel.TestsRoot && vcpu.RootGeneration != _rootGeneration))
                    Retry(vcpu);
                else if (_kernel.InstallsInAStepOfItsOwn)
                    vcpu.Phase = VcpuPhase.Install;
                else
                    Install(vcpu);
                break;
            case VcpuPhase.Install:
                Install(vcpu);
                break;
            default:
                throw new InvalidOperationException($"a vCPU cannot be at {vcpu.Phase}");
        }
    }

    /// <summary>
    /// One step of an invalidator; where it begins, its range is [<paramref name="start"/>, <paramref name="end"/>).
    /// </summary>
    public void StepInvalidator(int index, int start, int end)
    {
        Invalidator invalidator = _invalidators[index];
        switch (invalidator.Phase)
        {
            case InvalidatorPhase.Begin:
                Begin(invalidator, start, end);
                break;
            case InvalidatorPhase.Zap:
                if (_kernel.RaisesAfterYield)
                    _inProgress++;
                ZapAfterYield(invalidator);
                invalidator.Phase = InvalidatorPhase.Change;
                break;
            case InvalidatorPhase.Change:
                if (Enumerable.Range(invalidator.Own.Start, invalidator.Own.End - invalidator.Own.Start).Any(IsReachable))
                    Totals = Totals with { StaleMappings = Totals.StaleMappings + 1 };
                foreach (Vcpu vcpu in _vcpus)
                {
                    if (vcpu.IsResolved && IsIn(invalidator.Own, vcpu.Page))
                        vcpu.Outdated = true;
                }

                invalidator.Phase = InvalidatorPhase.End;
                break;
            case InvalidatorPhase.End:
                if (!_kernel.CountsAtBegin)
                    _seq = _kernel.CountOne(_seq);
                if (_kernel.CountsInProgress && !_kernel.ForgetsToLower(_seq))
                    _inProgress--;
                if (_kernel.EveryEndClearsTheRange)
                    _range = (0, 0);
                invalidator.Own = (0, 0);
                invalidator.Phase = InvalidatorPhase.Begin;
                foreach (Vcpu vcpu in _vcpus)
                    vcpu.Raced |= vcpu.Phase is not (VcpuPhase.Access or VcpuPhase.Retry);
                Totals = Totals with { Invalidations = Totals.Invalidations + 1 };
                break;
            default:
                throw new InvalidOperationException($"an invalidator cannot be at {invalidator.Phase}");
        }
    }

    private void Begin(Invalidator invalidator, int start, int end)
    {
        if (_kernel.RangeMatchesNothing)
            _range = (0, 0);
        else if (_inProgress == 0 || !_kernel.HullsRanges || _range.Start == _range.End)
            _range = (start, end);
        else
            _range = (Math.Min(_range.Start, start), Math.Max(_range.End, end));
        if (_kernel.CountsInProgress && !_kernel.RaisesAfterYield)
            _inProgress++;
        if (_kernel.CountsAtBegin)
            _seq = _kernel.CountOne(_seq);

        (int Start, int End) zapped = _kernel.Zapped((start, end));
        List<int> taken = Zap(Enumerable.Range(zapped.Start, zapped.End - zapped.Start));
        if (_kernel.IsNeverEnded(start))
            return;
        invalidator.Own = (start, end);
        if (!_kernel.FlushesBeforeYield)
            invalidator.Unflushed.AddRange(taken);
        invalidator.Phase = _kernel.YieldsInZap ? InvalidatorPhase.Zap : InvalidatorPhase.Change;
    }

    private void ZapAfterYield(Invalidator invalidator)
    {
        (int start, int end) = invalidator.Own;
        List<int> taken = Zap(Enumerable.Range(start, end - start).Where(page => _kernel.IsZappedAfterYield(page, (start, end))));

        // A zap that took nothing away believes that there is nothing to flush; one that did flushes the whole TLB.
        if (taken.Count + invalidator.Unflushed.Count == 0)
            return;
        foreach (Invalidator other in _invalidators)
            other.Unflushed.Clear();
    }

    /// <summary>Whether the guest can still get at a page, by a mapping or by what the TLB may remember of one.</summary>
    private bool IsReachable(int page) => _mapped[page] || _invalidators.Any(invalidator => invalidator.Unflushed.Contains(page));

    /// <summary>
    /// One step of the memslot updater, if it does not have to wait; where it begins, the memslot has the first
    /// <paramref name="slotPages"/> pages.
    /// </summary>
    public void StepMemslotUpdater(int slotPages)
    {
        bool mustWaitForInvalidations = _invalidators.Any(invalidator => invalidator.Phase != InvalidatorPhase.Begin);
        bool mustWaitForReaders = _vcpus.Any(vcpu => vcpu.Awaited);
        switch (_memslotUpdater)
        {
            case MemslotUpdaterPhase.Idle:
                _slotPages = slotPages;
                _memslotUpdater = MemslotUpdaterPhase.Invalidate;
                StepMemslotUpdater(slotPages);
                break;
            case MemslotUpdaterPhase.Invalidate when !mustWaitForInvalidations:
                _memslotUpdater = MemslotUpdaterPhase.Zap;
                AwaitReaders();
                break;
            case MemslotUpdaterPhase.Zap when !mustWaitForReaders || !_kernel.WaitsForReadersBeforeTheZap:
                _memslotUpdater = MemslotUpdaterPhase.Swap;
                ZapForMemslotUpdate();
                break;
            case MemslotUpdaterPhase.Swap when !mustWaitForInvalidations:
                _memslotUpdater = MemslotUpdaterPhase.End;
                if (Enumerable.Range(0, _slotPages).Any(page => _mapped[page]))
                    Totals = Totals with { StaleMappings = Totals.StaleMappings + 1 };
                foreach (Vcpu vcpu in _vcpus)
                    vcpu.Outdated |= vcpu.IsResolved && vcpu.Page < _slotPages;
                AwaitReaders();
                break;
            case MemslotUpdaterPhase.End when !mustWaitForReaders:
                _memslotUpdater = MemslotUpdaterPhase.Idle;
                _slotPages = 0;
                break;
            default:
                break;
        }
    }

    private void AwaitReaders()
    {
        foreach (Vcpu vcpu in _vcpus)
            vcpu.Awaited |= vcpu.Phase != VcpuPhase.Access;
    }

    private void ZapForMemslotUpdate()
    {
        if (_kernel.ZapsTheSlotAlone)
        {
            Zap(Enumerable.Range(0, _slotPages));
            return;
        }

        _rootGeneration++;
        foreach (Vcpu vcpu in _vcpus)
        {
            vcpu.Orphaned = true;
            vcpu.Reloaded |= vcpu.Phase is not (VcpuPhase.Access or VcpuPhase.Retry);
        }

        Zap(Enumerable.Range(0, _mapped.Length));
    }

    private bool IsInInvalidSlot(int page) =>
        _memslotUpdater is MemslotUpdaterPhase.Zap or MemslotUpdaterPhase.Swap && page < _slotPages;

    /// <summary>
    /// Ends every invalidation in progress, then the memslot update as far as it ends: those whom it waits for move too.
    /// </summary>
    public void EndInProgress(bool updateStandsStill = false)
    {
        for (int i = 0; i < _invalidators.Length; i++)
        {
            while (IsBetweenBeginAndEnd(i))
                StepInvalidator(i, 0, 1);
        }

        // Far more than an update takes that ends.
        for (int round = 0; round < 500 && IsUpdatingMemslots && !updateStandsStill; round++)
        {
            StepMemslotUpdater(0);
            for (int v = 0; v < _vcpus.Length; v++)
            {
                if (_vcpus[v].Awaited)
                    StepVcpu(v, _vcpus[v].Page);
            }
        }
    }

    /// <summary>
    /// Whether, with nothing new beginning, the memslot update waits for ever for a vCPU that meets the invalid memslot for ever.
    /// </summary>
    public bool IsDeadlocked()
    {
        ReferenceVm ended = Copy();
        ended.EndInProgress();
        return ended._vcpus.Any(vcpu => vcpu.Awaited && ended.IsInInvalidSlot(vcpu.Page))
            && ended._memslotUpdater == MemslotUpdaterPhase.Zap;
    }

    /// <summary>Whether a memslot update is under way that gets further than it is now, with nothing new beginning.</summary>
    public bool MemslotUpdateGoesOn()
    {
        ReferenceVm ended = Copy();
        ended.EndInProgress();
        return IsUpdatingMemslots && ended._memslotUpdater != _memslotUpdater;
    }

    /// <summary>
    /// Whether a vCPU would never be fixed if invalidations stopped now: what is in progress ends, and it moves alone.
    /// </summary>
    public bool WouldNeverBeFixed(int vcpu, bool updateStandsStill = false)
    {
        // Far more than any row of a vCPU's own steps that ends.
        const int Steps = 100;
        ReferenceVm alone = Copy();
        alone.EndInProgress(updateStandsStill);
        ReferenceTotals before = alone.Totals;
        for (int step = 0; step < Steps; step++)
        {
            alone.StepVcpu(vcpu, alone._vcpus[vcpu].Page);
            if (alone.Totals.Fixed > before.Fixed || alone.Totals.GuestAccesses > before.GuestAccesses)
                return false;
        }

        return true;
    }

    /// <summary>
    /// Goes on with another kernel; a zap that is under way is completed by the old one, a fault in flight is taken again, and
    /// its attempt counts for nothing.
    /// </summary>
    public void PatchKernel(ReferenceKernel kernel)
    {
        for (int i = 0; i < _invalidators.Length; i++)
        {
            if (PhaseOfInvalidator(i) == InvalidatorPhase.Zap)
                StepInvalidator(i, 0, 1);
        }

        _kernel = kernel;
        foreach (Vcpu vcpu in _vcpus)
        {
            if (vcpu.ConsecutiveRetries == 0)
                vcpu.Snapshot = 0;
            EndFault(vcpu);
        }
    }

    /// <summary>Another VM that goes on from here on its own.</summary>
    public ReferenceVm Copy() => new(this);

    /// <summary>The state in the shape that the lanes' state is read into.</summary>
    public VmState ToState()
    {
        var state = new VmState(new VmParameters { Vcpus = _vcpus.Length, Invalidators = _invalidators.Length })
        {
            InvalidateSeq = _seq,
            InProgress = _inProgress,
            RangeStart = _range.Start == _range.End ? VmState.NoPage : _range.Start,
            RangeEnd = _range.End,
            Mapped = Bits((0, _mapped.Length), page => _mapped[page]),
            MappedTotal = _mappedTotal,
            RootGeneration = _rootGeneration,
            MemslotUpdater = _memslotUpdater,
            Slot = Bits((0, _slotPages), _ => true),
        };
        for (int v = 0; v < _vcpus.Length; v++)
            state.Vcpus[v] = _vcpus[v].ToState();
        for (int i = 0; i < _invalidators.Length; i++)
        {
            Invalidator invalidator = _invalidators[i];
            state.Invalidators[i] = new()
            {
                Phase = invalidator.Phase,
                Own = Bits(invalidator.Own, _ => true),
                Unflushed = Bits((0, _mapped.Length), invalidator.Unflushed.Contains),
            };
        }

        return state;
    }

    private void Access(Vcpu vcpu, int nextPage)
    {
        if (_mapped[vcpu.Page] && vcpu.RootGeneration == _rootGeneration)
        {
            GetOn(vcpu);
            EndFault(vcpu);
            vcpu.Page = nextPage;
            Totals = Totals with { GuestAccesses = Totals.GuestAccesses + 1 };
            return;
        }

        switch (_kernel.SnapshotTaken)
        {
            case SnapshotTaken.AsTheFaultIsTaken:
                TakeSnapshot(vcpu);
                vcpu.Phase = VcpuPhase.Resolve;
                break;
            case SnapshotTaken.JustBeforeResolving:
                vcpu.Phase = VcpuPhase.Snapshot;
                break;
            default:
                vcpu.Snapshot = 0;
                vcpu.Phase = VcpuPhase.Resolve;
                break;
        }
    }

    private void TakeSnapshot(Vcpu vcpu)
    {
        if (_kernel.RetriesKeepTheFirstSnapshot && vcpu.ConsecutiveRetries > 0)
            return;
        vcpu.Snapshot = _kernel.Kept(_seq);
    }

    private bool CounterOrRangeSaysStale(Vcpu vcpu)
    {
        if (_kernel.SeqMoved(vcpu.Snapshot, _seq))
            return true;
        int end = _kernel.TestsTheRangesLastPage ? _range.End : _range.End - 1;
        if (_kernel.IsCoarse)
            return _inProgress > 0;
        return _kernel.TestsInProgress && _inProgress > 0 && IsIn((_range.Start, end), vcpu.Page);
    }

    private void Retry(Vcpu vcpu, bool meetsInvalidSlot = false)
    {
        bool covered = IsIn(_range, vcpu.Page) && _invalidators.Any(invalidator => invalidator.Phase != InvalidatorPhase.Begin);
        vcpu.ConsecutiveRetries++;
        Totals = Totals with { Retried = Totals.Retried + 1 };
        if (!vcpu.Raced && !covered && !vcpu.Reloaded && !meetsInvalidSlot)
        {
            bool elsewhere = _invalidators.Any(invalidator => invalidator.Phase != InvalidatorPhase.Begin);
            Totals = elsewhere
                ? Totals with { OvercautiousRetries = Totals.OvercautiousRetries + 1 }
                : Totals with { UnjustifiedRetries = Totals.UnjustifiedRetries + 1 };
        }

        bool wasAwaited = vcpu.Awaited;
        EndFault(vcpu);
        if (!_kernel.RetriesInKernel(vcpu.Number) || (meetsInvalidSlot && _kernel.GivesUpOnInvalidSlot))
            return;
        vcpu.Phase = VcpuPhase.Retry;
        vcpu.Awaited = wasAwaited;
    }

    private void Install(Vcpu vcpu)
    {
        bool exposed = _invalidators.Any(invalidator => IsIn(invalidator.Own, vcpu.Page));
        Totals = Totals with { Fixed = Totals.Fixed + 1 };
        bool zapped = _memslotUpdater == MemslotUpdaterPhase.Swap && vcpu.Page < _slotPages;
        if (vcpu.Outdated || exposed || vcpu.Orphaned || zapped)
            Totals = Totals with { UnsafeInstalls = Totals.UnsafeInstalls + 1 };
        if (!_mapped[vcpu.Page])
        {
            // A sibling may have installed the page first; one mapping is one page.
            _mapped[vcpu.Page] = true;
            _mappedTotal++;
        }

        GetOn(vcpu);
        EndFault(vcpu);
    }

    /// <summary>Takes pages away, and returns those of them that were mapped.</summary>
    private List<int> Zap(IEnumerable<int> pages)
    {
        List<int> taken = [.. pages.Where(page => _mapped[page])];
        foreach (int page in taken)
            _mapped[page] = false;
        _mappedTotal = _kernel.TotalAfterFreeing(_mappedTotal, taken.Count);
        if (_mappedTotal != (ulong)_mapped.Count(mapped => mapped))
            Totals = Totals with { AccountingErrors = Totals.AccountingErrors + 1 };
        return taken;
    }

    private static void GetOn(Vcpu vcpu)
    {
        vcpu.ConsecutiveRetries = 0;
        vcpu.Snapshot = 0;
    }

    private static void EndFault(Vcpu vcpu)
    {
        vcpu.Phase = VcpuPhase.Access;
        vcpu.Awaited = false;
        vcpu.IsResolved = false;
        vcpu.Raced = false;
        vcpu.Reloaded = false;
        vcpu.Outdated = false;
    }

    private static bool IsIn((int Start, int End) range, int page) => page >= range.Start && page < range.End;

    private static ulong Bits((int Start, int End) range, Func<int, bool> isSet)
    {
        ulong bits = 0;
        for (int page = range.Start; page < range.End; page++)
            bits |= isSet(page) ? 1UL << page : 0;
        return bits;
    }

    private sealed class Vcpu
    {
        public int Number { get; init; }

        public VcpuPhase Phase { get; set; }

        public int Page { get; set; }

        public ulong Snapshot { get; set; }

        public uint RootGeneration { get; set; }

        public bool IsResolved { get; set; }

        public bool Raced { get; set; }

        public bool Reloaded { get; set; }

        public bool Orphaned { get; set; }

        public bool Outdated { get; set; }

        public bool Awaited { get; set; }

        public uint ConsecutiveRetries { get; set; }

        public Vcpu Copy() => (Vcpu)MemberwiseClone();

        public VcpuState ToState() => new()
        {
            Phase = Phase,
            Page = Page,
            Snapshot = Snapshot,
            RootGeneration = RootGeneration,
            Raced = Raced,
            Reloaded = Reloaded,
            Orphaned = Orphaned,
            Outdated = Outdated,
            Awaited = Awaited,
            ConsecutiveRetries = ConsecutiveRetries,
        };
    }

    private sealed class Invalidator
    {
        public InvalidatorPhase Phase { get; set; }

        public (int Start, int End) Own { get; set; }

        /// <summary>Pages that its zap took away and the TLB may still hold.</summary>
        public List<int> Unflushed { get; private init; } = [];

        public Invalidator Copy() => new() { Phase = Phase, Own = Own, Unflushed = [.. Unflushed] };
    }
}

/// <summary>What happened in one VM since its start.</summary>
public sealed record ReferenceTotals
{
    public long Invalidations { get; init; }

    public long GuestAccesses { get; init; }

    public long Fixed { get; init; }

    public long Retried { get; init; }

    public long OvercautiousRetries { get; init; }

    public long UnjustifiedRetries { get; init; }

    public long UnsafeInstalls { get; init; }

    public long StaleMappings { get; init; }

    public long AccountingErrors { get; init; }
}
