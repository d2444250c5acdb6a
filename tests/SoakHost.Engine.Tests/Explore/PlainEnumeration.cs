using System.Globalization;
using SoakHost.Engine.Explore;
using SoakHost.Model;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Engine.Tests.Explore;

/// <summary>What a plain enumeration came to.</summary>
/// <param name="States">Each distinct state, in the order in which they were found.</param>
/// <param name="Depth">Steps from the start to the last of them.</param>
/// <param name="First">
/// Of each kind of defect the steps of the shortest way to it: to the step that is one, that step counted, or to a state with a
/// hung vCPU.
/// </param>
public sealed record PlainOutcome(
    IReadOnlyCollection<PlainState> States,
    int Depth,
    IReadOnlyDictionary<ExploreVerdict, int> First);

/// <summary>
/// All that a VM's future depends on, written down as text: first what the VM has one of, then its vCPUs, then its invalidators.
/// </summary>
public sealed record PlainState(string Vm, IReadOnlyList<string> Vcpus, IReadOnlyList<string> Invalidators)
{
    /// <summary>Equal for equal states.</summary>
    public string Key => $"{Vm}|{string.Join('|', Vcpus)}|{string.Join('|', Invalidators)}";

    /// <summary>Equal for states that are equal once vCPUs, and invalidators, have changed places.</summary>
    public string KeyOfOrbit =>
        Permutations(Vcpus)
            .SelectMany(
                _ => Permutations(Invalidators),
                (vcpus, invalidators) => (this with { Vcpus = vcpus, Invalidators = invalidators }).Key)
            .Min(StringComparer.Ordinal)!;

    /// <summary>The state whose vCPUs, and whose invalidators, stand in order.</summary>
    public PlainState Sorted() => this with
    {
        Vcpus = [.. Vcpus.Order(StringComparer.Ordinal)],
        Invalidators = [.. Invalidators.Order(StringComparer.Ordinal)],
    };

    private static IEnumerable<IReadOnlyList<string>> Permutations(IReadOnlyList<string> items) =>
        items.Count < 2
            ? [items]
            : items
                .Index()
                .SelectMany(
                    first => Permutations([.. items.Where((_, i) => i != first.Index)]),
                    (first, rest) => (IReadOnlyList<string>)[first.Item, .. rest]);
}

/// <summary>
/// Every state that a small VM can reach, by the scalar VM and a queue: no hash, no lane, no choice left out because it makes no
/// difference. What the explorer is held against.
/// </summary>
public sealed class PlainEnumeration
{
    private readonly ReferenceKernel _kernel;
    private readonly ExploreOptions _options;
    private readonly bool _looksForDefects;

    private PlainEnumeration(string kernel, ExploreOptions options, bool looksForDefects) =>
        (_kernel, _options, _looksForDefects) = (ReferenceKernel.Of(kernel), options, looksForDefects);

    /// <summary>Every reachable state, whatever happens on the way.</summary>
    public static PlainOutcome Of(string kernel, ExploreOptions options) =>
        new PlainEnumeration(kernel, options, looksForDefects: false).Enumerate();

    /// <summary>Every reachable state, and the first defect of each kind on the way.</summary>
    public static PlainOutcome WithDefects(string kernel, ExploreOptions options) =>
        new PlainEnumeration(kernel, options, looksForDefects: true).Enumerate();

    private PlainOutcome Enumerate()
    {
        var start = new Node(
            new ReferenceVm(_kernel, new VmParameters
            {
                Vcpus = _options.Vcpus,
                Invalidators = _options.Invalidators,
                Pages = _options.Pages,
                InvalidateSeqStart = _options.Start,
            }),
            0,
            0,
            0);
        var seen = new Dictionary<string, PlainState>();
        var queue = new Queue<Node>();
        Add(start);
        int depth = 0;
        var first = new Dictionary<ExploreVerdict, int>();
        while (queue.TryDequeue(out Node? node))
        {
            depth = node.Depth;
            if (_looksForDefects && Stuck(node.Vm) is { } stuck)
                first.TryAdd(stuck, node.Depth);
            foreach (Node next in Steps(node))
            {
                foreach (ExploreVerdict kind in Defects(node.Vm.Totals, next))
                    first.TryAdd(kind, next.Depth);
                Add(next);
            }
        }

        return new PlainOutcome(seen.Values, depth, first);

        void Add(Node node)
        {
            PlainState state = Describe(node);
            if (_options.MergesSymmetric)
                state = state.Sorted();
            if (seen.TryAdd(state.Key, state))
                queue.Enqueue(node);
        }
    }

    private IEnumerable<Node> Steps(Node node)
    {
        for (int v = 0; v < _options.Vcpus; v++)
        {
            for (int page = 0; page < _options.Pages; page++)
            {
                Node next = node.Next() with { Mover = v };
                next.Vm.StepVcpu(v, page);
                yield return next;
            }
        }

        for (int i = 0; i < _options.Invalidators; i++)
        {
            bool begins = !node.Vm.IsBetweenBeginAndEnd(i);
            if (begins && node.Begun == _options.Invalidations)
                continue;
            for (int start = 0; start < _options.Pages; start++)
            {
                for (int end = start + 1; end <= _options.Pages; end++)
                {
                    Node next = node.Next() with { Begun = node.Begun + (begins ? 1 : 0) };
                    next.Vm.StepInvalidator(i, start, end);
                    yield return next;
                }
            }
        }

        bool updates = !node.Vm.IsUpdatingMemslots;
        for (int slotPages = 1; slotPages <= _options.Pages && (!updates || node.Updated < _options.MemslotUpdates); slotPages++)
        {
            Node next = node.Next() with { Updated = node.Updated + (updates ? 1 : 0) };
            next.Vm.StepMemslotUpdater(slotPages);
            yield return next;
        }
    }

    private static IEnumerable<ExploreVerdict> Defects(ReferenceTotals before, Node next)
    {
        ReferenceTotals after = next.Vm.Totals;
        if (after.UnsafeInstalls > before.UnsafeInstalls)
            yield return ExploreVerdict.UnsafeInstall;
        if (after.StaleMappings > before.StaleMappings)
            yield return ExploreVerdict.StaleMapping;
        if (after.AccountingErrors > before.AccountingErrors)
            yield return ExploreVerdict.AccountingError;
        if (after.UnjustifiedRetries > before.UnjustifiedRetries && !next.Vm.WouldNeverBeFixed(next.Mover))
            yield return ExploreVerdict.UnjustifiedRetry;
    }

    /// <summary>
    /// Whether, with no invalidation in progress, a memslot update waits for readers for ever, or none is under way and a vCPU
    /// would never be fixed.
    /// </summary>
    private ExploreVerdict? Stuck(ReferenceVm vm)
    {
        if (Enumerable.Range(0, _options.Invalidators).Any(vm.IsBetweenBeginAndEnd))
            return null;
        if (!vm.IsUpdatingMemslots)
            return Enumerable.Range(0, _options.Vcpus).Any(vcpu => vm.WouldNeverBeFixed(vcpu)) ? ExploreVerdict.Hang : null;
        if (!vm.WaitsForReaders)
            return null;
        ReferenceVm ended = vm.Copy();
        ended.EndInProgress();
        return ended.MemslotUpdater != vm.MemslotUpdater ? null
            : vm.IsDeadlocked() ? ExploreVerdict.Deadlock
            : ExploreVerdict.Hang;
    }

    /// <summary>
    /// The state without what has no future: counts of retries, and a snapshot that no check will see. Whether a fault is a retry
    /// matters to a kernel alone that keeps the snapshot of the first attempt.
    /// </summary>
    private PlainState Describe(Node node)
    {
        VmState state = node.Vm.ToState();
        return new PlainState(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{state.InvalidateSeq} {state.InProgress} {state.RangeStart}-{state.RangeEnd} {state.Mapped} "
                    + $"{state.MappedTotal} {state.RootGeneration} {state.MemslotUpdater} {state.Slot} {node.Begun} "
                        + $"{node.Updated}"
            ),
            [
                .. state
                    .Vcpus.Index()
                    .Select(vcpu => (_kernel.RetriesInKernel(vcpu.Index) ? "in kernel " : "") + Describe(vcpu.Item)),
            ],
            [
                .. state.Invalidators.Select(invalidator =>
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"{(int)invalidator.Phase} {invalidator.Own} {invalidator.Unflushed}")),
            ]);
    }

    private string Describe(VcpuState vcpu)
    {
        bool keepsSnapshot = _kernel.RetriesKeepTheFirstSnapshot && vcpu.ConsecutiveRetries > 0;
        bool hasSnapshot = _kernel.SnapshotTaken switch
        {
            SnapshotTaken.AsTheFaultIsTaken => vcpu.Phase is not (VcpuPhase.Access or VcpuPhase.Retry),
            SnapshotTaken.JustBeforeResolving => vcpu.Phase is not (VcpuPhase.Access or VcpuPhase.Retry or VcpuPhase.Snapshot),
            _ => vcpu.Phase is VcpuPhase.Check or VcpuPhase.Install,
        };
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{(int)vcpu.Phase} {vcpu.Page} {(hasSnapshot || keepsSnapshot ? vcpu.Snapshot : 0)} {vcpu.RootGeneration} "
                + $"{vcpu.Raced} {vcpu.Reloaded} {vcpu.Orphaned} {vcpu.Outdated} {vcpu.Awaited} {keepsSnapshot}"
        );
    }

    private sealed record Node(ReferenceVm Vm, int Depth, int Begun, int Updated, int Mover = 0)
    {
        public Node Next() => new(Vm.Copy(), Depth + 1, Begun, Updated);
    }
}
