using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Prove;

/// <summary>
/// Everything that must be shown of one kernel: an induction over its steps, that no vCPU hangs, and what the method relies on.
/// </summary>
/// <param name="options">What to prove.</param>
/// <param name="variation">What a test changes in each step; null for the model as it is.</param>
internal sealed class Obligations<TKernel, TMemslots, TPages>(
    ProveOptions options, Action<SymbolicVm<TPages>, SymbolicVm<TPages>>? variation = null)
    where TKernel : struct, IKernel
    where TMemslots : struct, IMemslots
    where TPages : unmanaged, IPages<TPages, SymbolicLanes>
{
    private readonly SymbolicSteps<TKernel, TMemslots, TPages> _steps = new(variation);

    private static TermTable Table => TermTable.Current;

    private static IReadOnlyList<VcpuPhase> Phases => SymbolicSteps<TKernel, TMemslots, TPages>.Phases;

    /// <summary>
    /// Steps within which a vCPU that is left alone must be fixed: the round that is under way may end in a retry, for what
    /// happened before it was left alone; the next one must not.
    /// </summary>
    public static int StepsAloneMax => 2 * Phases.Count;

    /// <summary>The part of the invariant that a test leaves out, or null.</summary>
    public string? Dropped { get; init; }

    /// <summary>What makes the proof.</summary>
    public IEnumerable<Obligation> Induction()
    {
        yield return Start();
        foreach (VcpuPhase phase in Phases)
        {
            foreach (Obligation obligation in VcpuStep(phase))
                yield return obligation;
        }

        for (int i = 0; i < options.Invalidators; i++)
        {
            foreach (InvalidatorPhase phase in SymbolicSteps<TKernel, TMemslots, TPages>.InvalidatorPhases)
            {
                foreach (Obligation obligation in InvalidatorStep(i, phase))
                    yield return obligation;
            }
        }

        if (TMemslots.AreUpdated)
        {
            foreach (MemslotUpdaterPhase phase in SymbolicSteps<TKernel, TMemslots, TPages>.UpdaterPhases)
            {
                foreach (Obligation obligation in MemslotStep(phase))
                    yield return obligation;
            }

            foreach (VcpuPhase phase in Phases)
                yield return Awaited(phase);
        }

        foreach (VcpuPhase phase in Phases)
            yield return Alone(phase);
    }

    /// <summary>
    /// That the model reports what it does: from any state whatsoever, whatever the kernel, the totals on which everything else
    /// on say what the step did, and the oracle says what MODEL.md says.
    /// </summary>
    public IEnumerable<Obligation> Reporting()
    {
        foreach (VcpuPhase phase in Phases)
            yield return VcpuReports(phase);
        for (int i = 0; i < options.Invalidators; i++)
            yield return InvalidatorReports(i);
        if (!TMemslots.AreUpdated)
            yield break;
        foreach (MemslotUpdaterPhase phase in SymbolicSteps<TKernel, TMemslots, TPages>.UpdaterPhases)
            yield return MemslotReports(phase);
    }

    /// <summary>What makes one vCPU stand for all, and memslots that are updated for those that are not.</summary>
    public IEnumerable<Obligation> Method()
    {
        foreach (VcpuPhase phase in Phases)
            yield return Sibling(phase);
        for (int word = 0; word < TPages.Capacity / 32; word++)
            yield return Counting(word);
        yield return VcpusAlike();
        yield return VcpusApart();
        if (TMemslots.AreUpdated)
            yield return FixedMemslots();
    }

    /// <summary>What must be possible in a state of the invariant, or the induction would be about nothing.</summary>
    public IEnumerable<Obligation> Possibilities()
    {
        foreach (VcpuPhase phase in Phases)
        {
            for (int busy = 0; busy <= options.Invalidators; busy += Math.Max(1, options.Invalidators))
            {
                (SymbolicVm<TPages> state, Term shape) = SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(
                    1,
                    options.Invalidators,
                    phase);
                Term count = Table.Equal(state.Vm.InProgress.Term, Table.Constant(32, (ulong)busy));
                yield return new(
                    $"possible-{Name(phase)}-{busy}-in-progress", ObligationKind.Possible,
                    $"Can a vCPU be at {Name(phase)} while {busy} invalidations are in progress?",
                    Given(state, shape, withAccount: true),
                    [new("possible", "that many invalidations are in progress", count)]);
            }
        }

        if (TMemslots.AreUpdated)
        {
            foreach (MemslotUpdaterPhase phase in SymbolicSteps<TKernel, TMemslots, TPages>.UpdaterPhases)
                yield return PossibleUpdate(phase);
        }

        (SymbolicVm<TPages> before, Term form) = SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(
            1,
            options.Invalidators,
            VcpuPhase.Check);
        SymbolicVm<TPages> after = _steps.Vcpu(before, 0, AnyPage("next"));
        Term retries = after.Vm.Totals.Retried.IsTrue, fixes = after.Vm.Totals.Fixed.IsTrue;
        Term raced = Flag(before, FaultFlags.Raced(0)), reloaded = Flag(before, FaultFlags.Reloaded(0));
        Term covered = Table.And(
            (before.Vcpus[0].Page & before.Vm.Range.Pages).Any.IsTrue, Table.Not(before.Vm.IsQuiet.IsTrue));
        List<(string Name, string Meaning, Term Holds)> outcomes =
        [
            ("retry-raced", "retries because an invalidation ended, and for nothing else",
                Table.All([retries, raced, Table.Not(covered), Table.Not(reloaded)])),
            ("retry-covered", "retries because an invalidation is in progress, and for nothing else",
                Table.All([retries, covered, Table.Not(raced), Table.Not(reloaded)])),
            ("fix-alone", "is fixed while nothing is in progress", Table.And(fixes, Table.Not(before.Vm.InProgress.IsTrue))),
            // A fix; of a coarse kernel an overcautious retry.
            ("check-elsewhere", "decides while invalidations of other pages alone are in progress",
                Table.All([Table.Or(fixes, retries), before.Vm.InProgress.IsTrue, Table.Not(covered), Table.Not(raced)])),
        ];
        if (TMemslots.AreUpdated && TKernel.ChecksRoot)
        {
            outcomes.Add(("retry-reloaded", "retries because memslots were updated, and for nothing else",
                Table.All([retries, reloaded, Table.Not(raced), Table.Not(covered)])));
        }

        foreach ((string name, string meaning, Term holds) in outcomes)
        {
            yield return new(
                $"possible-{name}", ObligationKind.Possible, $"Can there be a check that {meaning}?",
                [
                    .. Given(before, form, withAccount: true),
                    .. Invariant<TKernel, TMemslots, TPages>.Assumptions(after, options.FaultSpan),
                ],
                [new("possible", meaning, holds)]);
        }
    }

    private Obligation Start()
    {
        SymbolicVm<TPages> start = SymbolicVm<TPages>.Start<TKernel>(1, options.Invalidators, Table.Variable("start", 64));
        return new(
            "start-kept", ObligationKind.Kept, "Is a new VM, with any counter, in the invariant?", [],
            [.. Kept(Invariant<TKernel, TMemslots, TPages>.Of(start))]);
    }

    private IEnumerable<Obligation> VcpuStep(VcpuPhase phase)
    {
        (SymbolicVm<TPages> before, Term shape) = SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(1, options.Invalidators, phase);
        SymbolicVm<TPages> after = _steps.Vcpu(before, 0, AnyPage("next"));
        return Step($"vcpu-{Name(phase)}", $"a vCPU at {Name(phase)}", before, shape, after, [AnyPageIsOne("next")],
            [Joined(before.Vm.Mapped, before.Vcpus[0].Page)]);
    }

    private IEnumerable<Obligation> InvalidatorStep(int index, InvalidatorPhase phase)
    {
        (SymbolicVm<TPages> before, Term shape) =
            SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(1, options.Invalidators, invalidatorPhase: (index, phase));
        (PageRange<TPages, SymbolicLanes> own, Claim isRange) = AnyRange();
        SymbolicVm<TPages> after = _steps.Invalidator(before, index, own);

        TPages zapped = phase == InvalidatorPhase.Zap
            ? TKernel.ZappedAfterYield<TPages, SymbolicLanes>(before.Invalidators[index].Own)
            : TKernel.Zapped<TPages, SymbolicLanes>(own.Pages);
        return Step(
            $"invalidator{index}-{Name(phase)}", $"invalidator {index} at {Name(phase)}", before, shape, after, [isRange],
            [Parted(before.Vm.Mapped, zapped)]);
    }

    private Obligation VcpuReports(VcpuPhase phase)
    {
        (SymbolicVm<TPages> before, Term shape) = SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(1, options.Invalidators, phase);
        TPages next = AnyPage("next");
        SymbolicVm<TPages> after = _steps.Vcpu(before, 0, next);
        VcpuLanes<TPages, SymbolicLanes> was = before.Vcpus[0], now = after.Vcpus[0];
        TotalsLanes<SymbolicLanes> totals = after.Vm.Totals;
        Term accesses = totals.GuestAccesses.IsTrue, @fixed = totals.Fixed.IsTrue, retried = totals.Retried.IsTrue;
        Term wasInFault = SymbolicSteps<TKernel, TMemslots, TPages>.InFault(was);
        Term isInFault = SymbolicSteps<TKernel, TMemslots, TPages>.InFault(now);
        TPages mapped = before.Vm.Mapped | was.Page.Where(SymbolicLanes.Mask(@fixed));
        Term meetsInvalidSlot = TMemslots.AreUpdated && TKernel.RetriesOnInvalidSlot
            ? Table.And(was.AtResolve.IsTrue, (was.Page & before.Vm.MemslotUpdate.InvalidPages).Any.IsTrue)
            : Table.False;
        Term warranted = Table.Any([
            Flag(after, FaultFlags.Raced(0)), Flag(after, FaultFlags.Reloaded(0)),
            (was.Page & before.Vm.CoveredPages).Any.IsTrue, meetsInvalidSlot]);
        Term isMask = IsMask(before.Vm.IsQuiet);
        Term dangerous = (was.Page & (before.Vm.ExposedPages | was.ChangedSinceResolve)).Any.IsTrue;
        if (TMemslots.AreUpdated)
        {
            Term isZapped = (was.Page & before.Vm.MemslotUpdate.ZappedPages).Any.IsTrue;
            dangerous = Table.Any([dangerous, Flag(after, FaultFlags.Orphaned(0)), isZapped]);
        }

        return new(
            $"vcpu-{Name(phase)}-reported", ObligationKind.Method, $"Is what a vCPU at {Name(phase)} does reported as it is?",
            [
                new("shape", "every actor is in one of its phases", shape),
                new("quiet-is-a-mask", "that no invalidation is in progress is all ones or all zeros", isMask),
            ],
            [
                new("access-reported", "the guest progresses if and only if it accesses a mapped page",
                    Table.Implies(
                        accesses,
                        Table.All([Table.Not(wasInFault), Table.Not(isInFault), (was.Page & before.Vm.Mapped).Any.IsTrue]))),
                new("page-kept", "the guest takes its next page if it progresses, and else keeps the one that it has",
                    Terms.Same(now.Page, TPages.Select(SymbolicLanes.Mask(accesses), next, was.Page))),
                new("fault-reported", "a fault ends in a fix or in a retry, which are counted, and never in both",
                    Table.And(
                        Table.Same(Table.And(wasInFault, Table.Not(isInFault)), Table.Or(@fixed, retried)),
                        Table.Not(Table.And(@fixed, retried)))),
                new("fix-maps", "a fix maps the page, and nothing else maps or unmaps any", Terms.Same(after.Vm.Mapped, mapped)),
                new(
                    "overcautious-reported",
                    "a retry is called overcautious if and only if nothing warrants it and some invalidation is in progress",
                    Table.Same(
                        totals.OvercautiousRetries.IsTrue,
                        Table.All([retried, Table.Not(warranted), Table.Not(before.Vm.IsQuiet.IsTrue)]))),
                new(
                    "unjustified-reported",
                    "a retry is called unjustified if and only if nothing warrants it and no invalidation is in progress",
                    Table.Same(
                        totals.UnjustifiedRetries.IsTrue,
                        Table.All([retried, Table.Not(warranted), before.Vm.IsQuiet.IsTrue]))),
                new("unsafe-reported", "an install is called unsafe if and only if the page is outdated, exposed or orphaned",
                    Table.Same(totals.UnsafeInstalls.IsTrue, Table.And(@fixed, dangerous))),
            ]);
    }

    private Obligation InvalidatorReports(int index)
    {
        (SymbolicVm<TPages> before, Term shape) = SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(1, options.Invalidators);
        PageRange<TPages, SymbolicLanes> own = AnyRange().Own;
        SymbolicVm<TPages> after = _steps.Invalidator(before, index, own);
        InvalidatorLanes<TPages, SymbolicLanes> was = before.Invalidators[index], now = after.Invalidators[index];
        Term begins = Table.Not(SymbolicSteps<TKernel, TMemslots, TPages>.IsInProgress(was));
        Term lost = TKernel.LosesEnds ? TKernel.NeverEnds(own, SymbolicLanes.Mask(begins)).IsTrue : Table.False;
        Term isZapped = TKernel.YieldsInZap ? was.AtZap.IsTrue : Table.And(begins, Table.Not(lost));
        TPages reachable = before.Vm.Mapped;
        if (TKernel.YieldsInZap && !TKernel.FlushesBeforeYield)
            reachable = before.Invalidators.Aggregate(reachable, (pages, other) => pages | other.Unflushed);
        return new(
            $"invalidator{index}-reported", ObligationKind.Method, $"Is what invalidator {index} does reported as it is?",
            [new("shape", "every actor is in one of its phases", shape)],
            [
                new("end-reported", "an end is counted, and nothing else is counted as one",
                    Table.Same(after.Vm.Totals.Invalidations.IsTrue, was.AtEnd.IsTrue)),
                new("in-turn", "begin, the rest of a zap in two steps, change and end follow each other",
                    Table.All([
                        Table.Same(now.AtZap.IsTrue, TKernel.YieldsInZap ? begins : Table.False),
                        Table.Same(now.AtChange.IsTrue, isZapped), Table.Same(now.AtEnd.IsTrue, was.AtChange.IsTrue)])),
                new("covered-reported", "the covered pages are the kernel's range while an invalidator is between begin and end",
                    Terms.Same(
                        after.Vm.CoveredPages,
                        TPages.ExceptWhere(after.Vm.Range.Pages, SymbolicLanes.IsZero(after.Invalidators.Aggregate(
                            default(TPages), (pages, other) => pages | other.Own).Any)))),
                new("stale-reported", "a mapping is called stale if and only if the guest has a page that changes",
                    Table.Same(
                        after.Vm.Totals.StaleMappings.IsTrue,
                        Table.And(was.AtChange.IsTrue, (was.Own & reachable).Any.IsTrue))),
            ]);
    }

    private IEnumerable<Obligation> MemslotStep(MemslotUpdaterPhase phase)
    {
        (SymbolicVm<TPages> before, Term shape) =
            SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(1, options.Invalidators, updaterPhase: phase);
        SymbolicVm<TPages> after = _steps.MemslotUpdater(before, AnyPages("slot"));

        // In the step's own terms, which a solver then need not find to be the same.
        SymbolicLanes zaps = before.Vm.MemslotUpdate.AtZap;
        if (TKernel.WaitsForReaders)
            zaps &= SymbolicLanes.IsZero(before.Vm.FaultFlags & SymbolicLanes.Broadcast(FaultFlags.AwaitedAll));
        TPages zapped = (TKernel.ZapsAllRoots ? before.Vm.Mapped : before.Vm.MemslotUpdate.Slot).Where(zaps);
        return Step(
            $"memslot-{Name(phase)}", $"the memslot updater at {Name(phase)}", before, shape, after, [],
            [Parted(before.Vm.Mapped, zapped)]);
    }

    private static Term IsMask(SymbolicLanes lanes) => Table.Equal(lanes.Term, SymbolicLanes.Mask(lanes.IsTrue).Term);

    private Obligation MemslotReports(MemslotUpdaterPhase phase)
    {
        (SymbolicVm<TPages> before, Term shape) =
            SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(1, options.Invalidators, updaterPhase: phase);
        SymbolicVm<TPages> after = _steps.MemslotUpdater(before, AnyPages("slot"));
        MemslotUpdateLanes<TPages, SymbolicLanes> was = before.Vm.MemslotUpdate, now = after.Vm.MemslotUpdate;
        Term quiet = before.Vm.IsQuiet.IsTrue, isMask = IsMask(before.Vm.IsQuiet);
        Term goes = Table.And(quiet, Table.Not(Flag(before, FaultFlags.AwaitedAll)));
        Term inTurn = phase switch
        {
            MemslotUpdaterPhase.Idle or MemslotUpdaterPhase.Invalidate => now.AtZap.IsTrue,
            MemslotUpdaterPhase.Zap => now.AtSwap.IsTrue,
            MemslotUpdaterPhase.Swap => now.AtEnd.IsTrue,
            _ => Table.Not(now.IsUnderWay.IsTrue),
        };
        Term changes = Table.And(was.AtSwap.IsTrue, now.AtEnd.IsTrue);
        return new(
            $"memslot-{Name(phase)}-reported", ObligationKind.Method,
            $"Is what the memslot updater at {Name(phase)} does reported as it is, and does it go on?",
            [
                new("shape", "every actor is in one of its phases", shape),
                new("quiet-is-a-mask", "that no invalidation is in progress is all ones or all zeros", isMask),
            ],
            [
                new(
                    "in-turn",
                    "with no invalidation in progress and no reader awaited the next phase comes",
                    Table.Implies(goes, inTurn)),
                new(
                    "stale-reported",
                    "a mapping is called stale if and only if the guest has a page of the memslot that is swapped",
                    Table.Same(after.Vm.Totals.StaleMappings.IsTrue, Table.And(changes, (was.Slot & before.Vm.Mapped).Any.IsTrue))
                ),
            ]);
    }

    private Obligation PossibleUpdate(MemslotUpdaterPhase phase)
    {
        (SymbolicVm<TPages> state, Term shape) =
            SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(1, options.Invalidators, updaterPhase: phase);
        return new(
            $"possible-memslot-{Name(phase)}", ObligationKind.Possible,
            $"Can the memslot updater be at {Name(phase)} while a fault is in flight?",
            Given(state, shape, withAccount: true),
            [new("possible", "a fault is in flight", SymbolicSteps<TKernel, TMemslots, TPages>.InFault(state.Vcpus[0]))]);
    }

    /// <summary>
    /// What a memslot update waits for comes: with no invalidation in progress, a vCPU that it waits for leaves its read section
    /// of <c>kvm->srcu</c> within a bounded number of its own steps. Else the two may be deadlocked.
    /// </summary>
    private Obligation Awaited(VcpuPhase phase)
    {
        (SymbolicVm<TPages> state, Term shape) = SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(1, options.Invalidators, phase);
        Term leaves = Table.False;
        SymbolicVm<TPages> alone = state;
        for (int step = 0; step < StepsAloneMax; step++)
        {
            alone = _steps.Vcpu(alone, 0, TPages.Page(default));
            leaves = Table.Or(leaves, Table.Not(Flag(alone, FaultFlags.Awaited(0))));
        }

        return new(
            $"awaited-{Name(phase)}", ObligationKind.Live,
            $"Does a vCPU at {Name(phase)} for which a memslot update waits leave kvm->srcu within {StepsAloneMax} steps?",
            [.. Given(state, shape, withAccount: false), NothingInProgress(state)],
            [new("deadlock", "it leaves kvm->srcu", leaves)])
        { Seq = state.Seq, Spans = [.. Spans(state)] };
    }

    private static Claim NothingInProgress(SymbolicVm<TPages> state) => new(
        "nothing-in-progress", "no invalidation is in progress, and none will begin",
        Table.Not(Table.Any(state.Invalidators.Select(invalidator =>
            SymbolicSteps<TKernel, TMemslots, TPages>.IsInProgress(invalidator)))));

    private IEnumerable<Obligation> Step(
        string name,
        string step,
        SymbolicVm<TPages> before,
        Term shape,
        SymbolicVm<TPages> after,
        IReadOnlyList<Claim> choices,
        IReadOnlyList<Claim> counting)
    {
        IReadOnlyList<Claim> assumptions =
            [.. choices, .. Invariant<TKernel, TMemslots, TPages>.Assumptions(after, options.FaultSpan)];
        IReadOnlyList<Claim> given = [.. Given(before, shape, withAccount: false), .. assumptions];
        IReadOnlyList<(Term InFault, Term Span)> spans = [.. Spans(before), .. Spans(after)];
        TotalsLanes<SymbolicLanes> totals = after.Vm.Totals;
        IReadOnlyList<Claim> known = Invariant<TKernel, TMemslots, TPages>.Of(before);
        yield return new(
            $"{name}-safe", ObligationKind.Safe, $"Does {step} do nothing wrong?", given,
            [
                new("unjustified-retry", "no retry that nothing warrants", Table.Not(totals.UnjustifiedRetries.IsTrue)),
                new("unsafe-install", "no install of a page that the host took away", Table.Not(totals.UnsafeInstalls.IsTrue)),
                new("stale-mapping", "no change of a page that the guest still has", Table.Not(totals.StaleMappings.IsTrue)),
            ])
        { Seq = after.Seq, Spans = spans };
        yield return new(
            $"{name}-kept", ObligationKind.Kept, $"Does {step} lead to a state in the invariant?", given,
            [
                .. Kept([
                    .. Invariant<TKernel, TMemslots, TPages>.OfVm(after),
                    .. Invariant<TKernel, TMemslots, TPages>.OfVcpu(after, 0)],
                    known),
            ])
        { Seq = after.Seq, Spans = spans };
        yield return new(
            $"{name}-accounted", ObligationKind.Safe, $"Does {step} keep account of the mapped pages?",
            [.. Given(before, shape, withAccount: true), .. assumptions, .. counting],
            [
                new("accounting-error", "the total is right whenever pages are zapped",
                    Table.Not(totals.AccountingErrors.IsTrue)),
                .. Kept([Invariant<TKernel, TMemslots, TPages>.Account(after)], known),
            ])
        { Seq = after.Seq, Spans = spans };
    }

    private Obligation Alone(VcpuPhase phase)
    {
        (SymbolicVm<TPages> state, Term shape) = SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(1, options.Invalidators, phase);
        Claim noUpdate = new(
            "no-update",
            "no memslot update is under way, and none will begin",
            Table.Not(state.Vm.MemslotUpdate.IsUnderWay.IsTrue));
        IReadOnlyList<Claim> given = [.. Given(state, shape, withAccount: false), NothingInProgress(state), noUpdate];
        Term isDone = Table.False;
        SymbolicVm<TPages> alone = state;
        for (int step = 0; step < StepsAloneMax; step++)
        {
            alone = _steps.Vcpu(alone, 0, TPages.Page(default));
            isDone = Table.Or(isDone, (alone.Vm.Totals.Fixed | alone.Vm.Totals.GuestAccesses).IsTrue);
        }

        return new(
            $"alone-{Name(phase)}", ObligationKind.Live,
            $"Is a vCPU at {Name(phase)}, left alone with no invalidation in progress, fixed within {StepsAloneMax} steps?",
            given,
            [new("hang", "it is fixed, or the guest progresses", isDone)])
        { Seq = state.Seq, Spans = [.. Spans(state)] };
    }

    /// <summary>
    /// A sibling's step keeps what the invariant says of a vCPU. Most of it is not even touched, and so needs no solver.
    /// </summary>
    private Obligation Sibling(VcpuPhase phase)
    {
        // The known phase is that of vCPU 0, which moves; vCPU 1 may be anywhere.
        (SymbolicVm<TPages> before, Term shape) = SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(2, options.Invalidators, phase);
        SymbolicVm<TPages> after = _steps.Vcpu(before, 0, AnyPage("next"));
        return new(
            $"sibling-{Name(phase)}", ObligationKind.Method,
            $"Does a vCPU at {Name(phase)} leave what is known of its siblings as it is?",
            [
                .. Given(before, shape, withAccount: false), AnyPageIsOne("next"),
                .. Invariant<TKernel, TMemslots, TPages>.Assumptions(after, options.FaultSpan),
            ],
            [.. Kept(Invariant<TKernel, TMemslots, TPages>.OfVcpu(after, 1), Invariant<TKernel, TMemslots, TPages>.Of(before))]);
    }

    /// <summary>
    /// The model's count of pages is their number: the sum of one for each. So <see cref="Parted"/> and <see cref="Joined"/>,
    /// which are true of numbers of things, may be assumed; solvers find them hard to see in the bits.
    /// </summary>
    private static Obligation Counting(int word)
    {
        TPages pages = AnyPages("pages"), here = default, elsewhere = pages;
        Span<SymbolicLanes> words = Layout<TPages>.Words(ref pages);
        Layout<TPages>.Words(ref here)[word] = words[word];
        Layout<TPages>.Words(ref elsewhere)[word] = default;
        Term sum = Sum(words[word].Term, 0, 32);
        return new(
            $"pages-counted-{word}", ObligationKind.Method, "Is the model's count of pages the sum of one for each?", [],
            [
                new("word-counted", $"the count of the pages in word {word} is the sum of its bits",
                    Table.Equal(here.Number.Term, sum)),
                new("words-added", "the count of all is that of this word and of the others",
                    Table.Equal(pages.Number.Term, Table.Add(here.Number.Term, elsewhere.Number.Term))),
            ]);
    }

    /// <summary>The sum of some bits of a word, added up in pairs, as the model does it.</summary>
    private static Term Sum(Term word, int first, int count) => count == 1
        ? Table.Concat(Table.Constant(31, 0), Table.Extract(word, first, 1))
        : Table.Add(Sum(word, first, count / 2), Sum(word, first + (count / 2), count / 2));

    /// <summary>What a number of pages is made of; see <see cref="Counting"/>.</summary>
    private static Claim Parted(TPages pages, TPages part)
    {
        Term inside = (pages & part).Number.Term, outside = TPages.Except(pages, part).Number.Term;
        Term max = Table.Constant(32, (ulong)TPages.Capacity);
        Term holds = Table.All([
            Table.Equal(pages.Number.Term, Table.Add(inside, outside)), Table.AtMost(inside, max), Table.AtMost(outside, max)]);
        return new("pages-parted", "pages are as many as those of them inside a set and those outside (by pages-counted)", holds);
    }

    /// <summary>What one more page does to a number of pages; see <see cref="Counting"/>.</summary>
    private static Claim Joined(TPages pages, TPages page)
    {
        Term added = Table.Choose((pages & page).Any.IsTrue, Table.Zero, Table.Constant(32, 1));
        Term holds = Table.Implies(
            Terms.IsOne(page), Table.Equal((pages | page).Number.Term, Table.Add(pages.Number.Term, added)));
        return new("page-joined", "one page more is one more, unless it was there (by pages-counted)", holds);
    }

    /// <summary>Each vCPU does what vCPU 0 would do in its place.</summary>
    private Obligation VcpusAlike()
    {
        (SymbolicVm<TPages> state, Term shape) = SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(1, options.Invalidators);
        SymbolicLanes flags = state.Vm.FaultFlags;
        TPages next = AnyPage("next");
        SymbolicVm<TPages> zero = _steps.Vcpu(state, 0, next);
        Term alike = Table.True;
        for (int v = 1; v < VmParameters.VcpusMax; v++)
        {
            SymbolicVm<TPages> swapped = state.Copy();
            swapped.Vm.FaultFlags = Swap(flags, v);
            SymbolicVm<TPages> after = StepAs(swapped, v, next);
            after.Vm.FaultFlags = Swap(after.Vm.FaultFlags, v);
            alike = Table.And(alike, Same(zero, after));
        }

        return new(
            "vcpus-alike", ObligationKind.Method, "Does each of eight vCPUs do what vCPU 0 would do in its place?",
            [new("shape", "every actor is in one of its phases", shape)],
            [new("vcpus-alike", "the same step with the flags of another vCPU leads to the same state", alike)]);
    }

    /// <summary>A vCPU's step neither reads nor writes what is known of its siblings.</summary>
    private Obligation VcpusApart()
    {
        const uint Own = 0x0101_0101;
        (SymbolicVm<TPages> state, Term shape) = SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(1, options.Invalidators);
        SymbolicLanes flags = state.Vm.FaultFlags, own = SymbolicLanes.Broadcast(Own);
        SymbolicVm<TPages> other = state.Copy();
        other.Vm.FaultFlags = (flags & own) | SymbolicLanes.Except(SymbolicLanes.Of(Table.Variable("other.FaultFlags", 32)), own);
        TPages next = AnyPage("next");
        SymbolicVm<TPages> after = _steps.Vcpu(state, 0, next), otherAfter = _steps.Vcpu(other, 0, next);
        Term writesNone = Table.Equal(
            SymbolicLanes.Except(after.Vm.FaultFlags, own).Term, SymbolicLanes.Except(flags, own).Term);
        otherAfter.Vm.FaultFlags = (otherAfter.Vm.FaultFlags & own) | SymbolicLanes.Except(after.Vm.FaultFlags, own);
        return new(
            "vcpus-apart", ObligationKind.Method, "Does a vCPU leave the flags of its siblings alone?",
            [new("shape", "every actor is in one of its phases", shape)],
            [
                new("writes-none", "the flags of the other vCPUs stay as they are", writesNone),
                new("reads-none", "with other flags of the other vCPUs the step leads to the same state",
                    Same(after, otherAfter)),
            ]);
    }

    /// <summary>
    /// Where no memslot has been updated, the steps are those of a VM that never updates one: what is proven covers both.
    /// </summary>
    private Obligation FixedMemslots()
    {
        (SymbolicVm<TPages> state, Term shape) = SymbolicSteps<TKernel, TMemslots, TPages>.AnyVm(1, options.Invalidators);
        TPages next = AnyPage("next");
        SymbolicVm<TPages> updated = _steps.Vcpu(state, 0, next);
        SymbolicVm<TPages> @fixed = new SymbolicSteps<TKernel, FixedMemslots, TPages>(variation).Vcpu(state, 0, next);
        Term current = Table.Equal(state.Vm.RootGeneration.Term, state.Vcpus[0].RootGeneration.Term);
        Term unflagged = Table.Not(Flag(state, FaultFlags.ReloadedAll | FaultFlags.OrphanedAll | FaultFlags.AwaitedAll));
        return new(
            "fixed-memslots-covered", ObligationKind.Method,
            "Does a VM whose memslots were not updated yet go the way of one whose memslots are fixed?",
            [
                new("shape", "every actor is in one of its phases", shape),
                new("root-current", "the root is current, and no flag says otherwise", Table.And(current, unflagged)),
                new("no-update", "no memslot update is under way", Table.Not(state.Vm.MemslotUpdate.IsUnderWay.IsTrue)),
            ],
            [new("fixed-memslots-covered", "both kinds of VM come to the same state", Same(updated, @fixed))]);
    }

    private SymbolicVm<TPages> StepAs(SymbolicVm<TPages> state, int v, TPages next)
    {
        SymbolicVm<TPages> before = state.Copy(), after = new(v + 1, state.Invalidators.Length) { Vm = before.Vm };
        before.Invalidators.CopyTo(after.Invalidators, 0);
        (after.Vcpus[v], after.Ghosts[v]) = (before.Vcpus[0], before.Ghosts[0]);
        after = _steps.Vcpu(after, v, next);
        SymbolicVm<TPages> result = new(1, state.Invalidators.Length) { Vm = after.Vm };
        after.Invalidators.CopyTo(result.Invalidators, 0);
        (result.Vcpus[0], result.Ghosts[0]) = (after.Vcpus[v], after.Ghosts[v]);
        return result;
    }

    private static Term Same(SymbolicVm<TPages> left, SymbolicVm<TPages> right)
    {
        Term same = Table.And(Terms.Same(left.Vm, right.Vm), Terms.Same(left.Vcpus[0], right.Vcpus[0]));
        for (int i = 0; i < left.Invalidators.Length; i++)
            same = Table.And(same, Terms.Same(left.Invalidators[i], right.Invalidators[i]));
        return same;
    }

    /// <summary>The flags with those of vCPU 0 and of another exchanged.</summary>
    private static SymbolicLanes Swap(SymbolicLanes flags, int v)
    {
        const uint Zero = 0x0101_0101;
        SymbolicLanes zero = flags & SymbolicLanes.Broadcast(Zero), other = flags & SymbolicLanes.Broadcast(Zero << v);
        return SymbolicLanes.Except(flags, SymbolicLanes.Broadcast(Zero | (Zero << v))) | (zero << v) | (other >>> v);
    }

    private List<Claim> Given(SymbolicVm<TPages> state, Term shape, bool withAccount)
    {
        List<Claim> given = [new("shape", "every actor is in one of its phases", shape)];
        foreach (Claim part in Invariant<TKernel, TMemslots, TPages>.Of(state))
        {
            if (part.Name != Dropped && (withAccount || part.Name != "total-is-mapped"))
                given.Add(part);
        }

        given.AddRange(Invariant<TKernel, TMemslots, TPages>.Assumptions(state, options.FaultSpan));
        return given;
    }

    /// <summary>The parts of the invariant to prove after a step; those that the step leaves untouched need no proof.</summary>
    private IEnumerable<Claim> Kept(IEnumerable<Claim> parts, IReadOnlyList<Claim>? known = null) => parts.Where(part =>
        part.Name != Dropped && part.Holds != Table.True && known?.Any(assumed => assumed.Holds == part.Holds) != true);

    private static IEnumerable<(Term InFault, Term Span)> Spans(SymbolicVm<TPages> state) => state.Vcpus.Select((vcpu, v) =>
        (SymbolicSteps<TKernel, TMemslots, TPages>.InFault(vcpu), state.Ghosts[v].Span));

    private static Term Flag(SymbolicVm<TPages> state, uint flag) => (state.Vm.FaultFlags & SymbolicLanes.Broadcast(flag)).IsTrue;

    private static TPages AnyPages(string name)
    {
        TPages pages = default;
        Span<SymbolicLanes> words = Layout<TPages>.Words(ref pages);
        for (int i = 0; i < words.Length; i++)
            words[i] = SymbolicLanes.Of(Table.Variable($"{name}.{i}", 32));
        return pages;
    }

    private static TPages AnyPage(string name) => TPages.Page(SymbolicLanes.Of(Table.Variable(name, 32)));

    private static Claim AnyPageIsOne(string name) => new(
        $"{name}-is-a-page", "the guest's next page is one of its pages",
        Table.LessThan(Table.Variable(name, 32), Table.Constant(32, (ulong)TPages.Capacity)));

    private static (PageRange<TPages, SymbolicLanes> Own, Claim IsRange) AnyRange()
    {
        Term start = Table.Variable("begin.start", 32), end = Table.Variable("begin.end", 32);
        var own = new PageRange<TPages, SymbolicLanes>(
            ~TPages.Below(SymbolicLanes.Of(start)), TPages.Below(SymbolicLanes.Of(end)));
        Term isRange = Table.And(Table.LessThan(start, end), Table.AtMost(end, Table.Constant(32, (ulong)TPages.Capacity)));
        return (own, new("begin-is-a-range", "the range to invalidate is not empty and has no page beyond the last", isRange));
    }

    private static string Name(VcpuPhase phase) =>
        phase == VcpuPhase.LocklessCheck ? "lockless-check" : phase.ToString().ToLowerInvariant();

    private static string Name(MemslotUpdaterPhase phase) => phase.ToString().ToLowerInvariant();

    private static string Name(InvalidatorPhase phase) => phase.ToString().ToLowerInvariant();
}
