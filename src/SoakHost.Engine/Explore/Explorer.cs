using System.Collections.Immutable;
using SoakHost.Engine.Timelines;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;
using Pages = SoakHost.Model.Lanes.Pages32<SoakHost.Model.Lanes.Lanes32>;

namespace SoakHost.Engine.Explore;

/// <summary>
/// Explores every interleaving of one small VM, breadth first, with the model's own steps: every choice of who moves, which
/// page the guest goes on to, and which range is invalidated.
/// </summary>
/// <remarks>
/// A state is known by a 128-bit hash of it; with 10^8 states two of them share one with a probability below 10^-22. Levels are
/// expanded in blocks, by all processors: they take steps and drop what was seen in earlier blocks, then add what is left, each
/// to its own parts of the set. The first of equal states in a block's order wins, so that results do not depend on the number
/// of processors. Safety is checked at each step. Liveness is checked in each state in which no invalidation is in progress:
/// a memslot update that waits for readers must go on, and if none is under way every vCPU, left alone from there, must be fixed
/// (<see cref="Liveness{TKernel, TMemslots, TPages, TLanes}"/>).
/// </remarks>
public static class Explorer
{
    /// <summary>Explores.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="options">Valid options.</param>
    /// <param name="time">Tells how long it took.</param>
    /// <param name="progress">Told now and then how far it is.</param>
    /// <param name="cancellation">Stops it, with a verdict that says so.</param>
    public static ExploreResult Explore(
        Kernel kernel,
        ExploreOptions options,
        TimeProvider time,
        IProgress<ExploreProgress>? progress = null,
        CancellationToken cancellation = default) =>
        kernel.Accept(new Visitor(options, time, progress, cancellation));

    private sealed class Visitor(
        ExploreOptions options, TimeProvider time, IProgress<ExploreProgress>? progress, CancellationToken cancellation)
        : IKernelVisitor<ExploreResult>
    {
        public ExploreResult Visit<TKernel>()
            where TKernel : struct, IKernel => options.MemslotUpdates == 0
                ? new Explorer<TKernel, FixedMemslots>(options, progress, cancellation).Run(time)
                : new Explorer<TKernel, UpdatedMemslots>(options, progress, cancellation).Run(time);
    }
}

/// <summary>One exploration.</summary>
internal sealed class Explorer<TKernel, TMemslots>
    where TKernel : struct, IKernel
    where TMemslots : struct, IMemslots
{
    private const int ProgressStates = 1 << 16;
    private const int BlockStates = 1 << 13;
    private const int ChunkStates = 1 << 6;
    private const int StepsShownMax = 20;

    private static readonly Kernel Self = Kernel.Of<TKernel>();

    private readonly ExploreOptions _options;
    private readonly IProgress<ExploreProgress>? _progress;
    private readonly CancellationToken _cancellation;
    private readonly Action[] _begins;
    private readonly Action[] _pages;
    private readonly Action[] _slots;
    private readonly StateSet _seen = new();
    private readonly Chunk[] _chunks;
    private readonly int _successorsMax;
    private readonly List<(int Parent, Action Action)> _paths = [];
    private readonly SortedDictionary<ExploreVerdict, ExploreDefect> _found = [];
    private StateBuffer _level;
    private StateBuffer _nextLevel;
    private int _depth;

    public Explorer(ExploreOptions options, IProgress<ExploreProgress>? progress, CancellationToken cancellation)
    {
        (_options, _progress, _cancellation) = (options, progress, cancellation);
        _begins = [.. from start in Enumerable.Range(0, options.Pages)
            from end in Enumerable.Range(start + 1, options.Pages - start)
            select new Action(0, start, end)];
        _pages = [.. Enumerable.Range(0, options.Pages).Select(page => new Action(0, page, 0))];
        _slots = [.. Enumerable.Range(1, options.Pages).Select(end => new Action(0, 0, end))];
        _chunks = [.. Enumerable.Range(0, BlockStates / ChunkStates).Select(_ => new Chunk(options))];
        _successorsMax = (options.Vcpus * _pages.Length) + (options.Invalidators * _begins.Length) + _slots.Length;
        _level = new(options);
        _nextLevel = new(options);
    }

    private int MemslotUpdater => _options.Vcpus + _options.Invalidators;

    public ExploreResult Run(TimeProvider time)
    {
        long started = time.GetTimestamp();
        ExploreVerdict ended = Search();
        ImmutableArray<ExploreDefect> defects = [.. _found.Values];
        return new ExploreResult
        {
            Kernel = TKernel.Info,
            Options = _options,
            Verdict = defects.IsEmpty ? ended : defects[0].Kind,
            Defects = defects,
            States = _paths.Count,
            Depth = _depth,
            Elapsed = time.GetElapsedTime(started),
        };
    }

    /// <summary>Looks at every state, or until what is looked for was found.</summary>
    private ExploreVerdict Search()
    {
        State start = _level.Add();
        WriteStart(start);
        _seen.Add(StateHash<TKernel>.Of(start, _options.MergesSymmetric));
        _paths.Add((-1, default));
        int reported = -1;
        for (int firstId = 0; _level.Count > 0; firstId += _level.Count, NextLevel())
        {
            for (int first = 0; first < _level.Count;)
            {
                int id = firstId + first;
                if (id / ProgressStates != reported)
                {
                    reported = id / ProgressStates;
                    _progress?.Report(new(_paths.Count, _depth, _paths.Count - id));
                }

                if (_cancellation.IsCancellationRequested)
                    return ExploreVerdict.Stopped;
                int room = Math.Max(1, (_options.StatesMax - _paths.Count) / _successorsMax);
                int count = Math.Min(Math.Min(BlockStates, room), _level.Count - first);
                LookAt(firstId, first, count);
                if (IsTargetFound)
                    return ExploreVerdict.Proven;
                if (_paths.Count >= _options.StatesMax)
                    return ExploreVerdict.LimitReached;
                first += count;
            }
        }

        return ExploreVerdict.Proven;
    }

    private void NextLevel()
    {
        (_level, _nextLevel) = (_nextLevel, _level);
        _nextLevel.Clear();
        if (_level.Count > 0)
            _depth++;
    }

    /// <summary>Takes every step from a block of states of this level.</summary>
    private void LookAt(int firstId, int first, int count)
    {
        int chunks = (count + ChunkStates - 1) / ChunkStates;
        InParallel(chunks, c =>
        {
            _chunks[c].Clear();
            for (int s = c * ChunkStates; s < Math.Min(count, (c + 1) * ChunkStates); s++)
                LookAt(firstId + first + s, _level[first + s], _chunks[c]);
        });
        InParallel(chunks == 1 ? 1 : StateSet.Parts, part =>
        {
            for (int c = 0; c < chunks; c++)
                _chunks[c].AddTo(_seen, chunks == 1 ? null : part);
        });

        int next = _nextLevel.Count;
        for (int c = 0; c < chunks; c++)
        {
            _chunks[c].NextIndex = next;
            foreach ((int i, (int parent, Action action)) in _chunks[c].Ways.Index())
            {
                if (!_chunks[c].IsNew[i])
                    continue;
                _paths.Add((parent, action));
                next++;
            }
        }

        _nextLevel.Add(next - _nextLevel.Count);
        InParallel(chunks, c => _chunks[c].CopyTo(_nextLevel));
        for (int c = 0; c < chunks; c++)
        {
            foreach ((ExploreVerdict kind, int id, Action? action, int? hung) in _chunks[c].Defects)
            {
                if (IsWanted(kind))
                    _found[kind] = Describe(kind, id, action, hung);
            }
        }
    }

    private static void InParallel(int count, System.Action<int> work)
    {
        if (count == 1)
            work(0);
        else
            Parallel.For(0, count, work);
    }

    private void LookAt(int id, State state, Chunk chunk)
    {
        if ((IsWanted(ExploreVerdict.Hang) || IsWanted(ExploreVerdict.Deadlock))
            && FindStuck(state, chunk) is ({ } kind, { } stuck)
            && IsWanted(kind))
        {
            chunk.Defects.Add((kind, id, null, stuck));
        }

        Expand(id, state, chunk);
    }

    private bool IsTargetFound => _options.Target is { } target
        ? _found.ContainsKey(target)
        : _options.StopsAtFirstDefect && _found.Count > 0;

    private bool IsWanted(ExploreVerdict kind) => (_options.Target ?? kind) == kind && !_found.ContainsKey(kind);

    /// <summary>Takes every step that is possible.</summary>
    private void Expand(int id, State state, Chunk chunk)
    {
        bool merges = _options.MergesSymmetric;
        UInt128 hash = StateHash<TKernel>.Of(state, merges), ofVm = StateHash<TKernel>.OfVm(state);
        for (int v = 0; v < _options.Vcpus; v++)
        {
            // Only a vCPU that progresses chooses a page; for all others one choice stands for all.
            ref VcpuLanes<Pages, Lanes32> vcpu = ref state.Vcpus[v];
            bool mayProgress = !HasFault(vcpu) && (state.Vm.Mapped & vcpu.Page).Any[0] != 0;
            UInt128 ofOthers = hash - ofVm - StateHash<TKernel>.OfVcpu(vcpu, state.Vm.FaultFlags[0], v, merges);
            TryAll(id, state, chunk, v, mayProgress ? _pages : _pages.AsSpan(0, 1), ofOthers);
        }

        for (int i = 0; i < _options.Invalidators; i++)
        {
            bool begins = IsIdle(state.Invalidators[i]);
            if (!begins || state.Begun < _options.Invalidations)
                TryAll(id, state, chunk, _options.Vcpus + i, begins ? _begins : _begins.AsSpan(0, 1), null);
        }

        if (TMemslots.AreUpdated && IsUpdatingMemslots(state))
            TryAll(id, state, chunk, MemslotUpdater, _slots.AsSpan(0, 1), null);
        else if (TMemslots.AreUpdated && state.Updated < _options.MemslotUpdates)
            TryAll(id, state, chunk, MemslotUpdater, _slots, null);
    }

    /// <param name="id">The state's number.</param>
    /// <param name="state">The state.</param>
    /// <param name="chunk">Where what comes of it goes.</param>
    /// <param name="actor">Who steps.</param>
    /// <param name="choices">What it can choose from.</param>
    /// <param name="ofOthers">
    /// The hash of all but the VM and the vCPU that steps: a vCPU's step changes nothing else. Null for others' steps.
    /// </param>
    private void TryAll(int id, State state, Chunk chunk, int actor, ReadOnlySpan<Action> choices, UInt128? ofOthers)
    {
        bool merges = _options.MergesSymmetric;
        foreach (Action choice in choices)
        {
            Action action = choice with { Actor = (byte)actor };
            State next = chunk.States.Add();
            next.CopyFrom(state);
            Take(next, action);
            Judge(id, action, next, chunk);
            UInt128 hash = ofOthers is { } others
                ? others + StateHash<TKernel>.OfVm(next)
                    + StateHash<TKernel>.OfVcpu(next.Vcpus[actor], next.Vm.FaultFlags[0], actor, merges)
                : StateHash<TKernel>.Of(next, merges);
            if (_seen.Contains(hash))
                chunk.States.RemoveLast();
            else
                chunk.Keep(hash, id, action);
        }
    }

    /// <summary>
    /// Notes what a step showed that was not shown before. An unjustified retry of a hung vCPU is part of the hang.
    /// </summary>
    private void Judge(int id, Action action, State next, Chunk chunk)
    {
        TotalsLanes<Lanes32> totals = next.Vm.Totals;
        if ((totals.UnsafeInstalls | totals.StaleMappings | totals.AccountingErrors | totals.UnjustifiedRetries)[0] == 0)
            return;
        Note(totals.UnsafeInstalls, ExploreVerdict.UnsafeInstall);
        Note(totals.StaleMappings, ExploreVerdict.StaleMapping);
        Note(totals.AccountingErrors, ExploreVerdict.AccountingError);
        if (totals.UnjustifiedRetries[0] != 0 && IsWanted(ExploreVerdict.UnjustifiedRetry) && !IsNeverFixed(next, action.Actor))
            Note(totals.UnjustifiedRetries, ExploreVerdict.UnjustifiedRetry);

        void Note(Lanes32 count, ExploreVerdict kind)
        {
            if (count[0] != 0 && IsWanted(kind))
                chunk.Defects.Add((kind, id, action, null));
        }
    }

    /// <summary>
    /// The vCPU, if any, that is stuck for ever with no invalidation in progress, and how; null while one is, and while a memslot
    /// update is under way that still goes on.
    /// </summary>
    private (ExploreVerdict Kind, int Vcpu)? FindStuck(State state, Chunk chunk)
    {
        foreach (ref InvalidatorLanes<Pages, Lanes32> invalidator in state.Invalidators)
        {
            if (!IsIdle(invalidator))
                return null;
        }

        if (!TMemslots.AreUpdated || !IsUpdatingMemslots(state))
            return FindHung(state) is { } hung ? (ExploreVerdict.Hang, hung) : null;
        if ((state.Vm.MemslotUpdate.AtZap | state.Vm.MemslotUpdate.AtEnd)[0] == 0)
            return null;
        State ended = chunk.States.Add();
        ended.CopyFrom(state);
        Liveness<TKernel, TMemslots, Pages, Lanes32>.EndInProgress(ref ended.Vm, ended.Vcpus, ended.Invalidators);
        chunk.States.RemoveLast();
        if (Liveness<TKernel, TMemslots, Pages, Lanes32>.SaysWhatWaits(state.Vm.MemslotUpdate, ended.Vm.MemslotUpdate)[0] == 0)
            return null;
        bool isDeadlocked = Liveness<TKernel, TMemslots, Pages, Lanes32>.IsDeadlocked(in ended.Vm, ended.Vcpus)[0] != 0;
        return (isDeadlocked ? ExploreVerdict.Deadlock : ExploreVerdict.Hang, FirstAwaited(ended));
    }

    private int? FindHung(State state)
    {
        for (int v = 0; v < _options.Vcpus; v++)
        {
            bool isMapped = (state.Vm.Mapped & state.Vcpus[v].Page).Any[0] != 0;
            bool progresses = isMapped && !HasFault(state.Vcpus[v]) && !TMemslots.AreUpdated;
            if (!progresses && IsNeverFixed(state, v))
                return v;
        }

        return null;
    }

    private static int FirstAwaited(State state)
    {
        uint flags = state.Vm.FaultFlags[0];
        return Enumerable.Range(0, state.Vcpus.Length).First(v => (flags & FaultFlags.Awaited(v)) != 0);
    }

    private static bool IsUpdatingMemslots(State state) => state.Vm.MemslotUpdate.IsUnderWay[0] != 0;

    private static bool IsNeverFixed(State state, int vcpu) =>
        Liveness<TKernel, TMemslots, Pages, Lanes32>.IsNeverFixed(in state.Vm, in state.Vcpus[vcpu], vcpu)[0] != 0;

    private void Take(State state, Action action)
    {
        state.Vm.Totals = default;
        Lanes32 moves = Lanes32.Broadcast(uint.MaxValue);
        if (action.Actor < _options.Vcpus)
        {
            Protocol<TKernel, TMemslots, Pages, Lanes32>.StepVcpu(
                ref state.Vm,
                ref state.Vcpus[action.Actor],
                action.Actor,
                moves,
                Pages.Page(Lanes32.Broadcast((uint)action.First)));
        }
        else if (action.Actor < MemslotUpdater)
        {
            int i = action.Actor - _options.Vcpus;
            if (IsIdle(state.Invalidators[i]))
                state.Begun++;
            var own = new PageRange<Pages, Lanes32>(
                ~Pages.Below(Lanes32.Broadcast((uint)action.First)), Pages.Below(Lanes32.Broadcast((uint)action.End)));
            Protocol<TKernel, TMemslots, Pages, Lanes32>.StepInvalidator(
                ref state.Vm, state.Vcpus, state.Invalidators, i, moves, own);
        }
        else
        {
            if (!IsUpdatingMemslots(state))
                state.Updated++;
            Protocol<TKernel, TMemslots, Pages, Lanes32>.StepMemslotUpdater(
                ref state.Vm, state.Vcpus, moves, Pages.Below(Lanes32.Broadcast((uint)action.End)));
        }
    }

    private void WriteStart(State state)
    {
        var start = new VmState(new VmParameters
        {
            Vcpus = _options.Vcpus,
            Invalidators = _options.Invalidators,
            Pages = _options.Pages,
            InvalidateSeqStart = _options.Start,
        });
        start.Write<TKernel, Pages, Lanes32>(ref state.Vm, state.Vcpus, state.Invalidators, 0);
    }

    private ExploreDefect Describe(ExploreVerdict kind, int id, Action? defect, int? hung)
    {
        List<Action> actions = [];
        for (int at = id; _paths[at].Parent >= 0; at = _paths[at].Parent)
            actions.Add(_paths[at].Action);
        actions.Reverse();
        if (defect is { } last)
            actions.Add(last);
        var path = new ExplorePath([.. actions.Select(action => new ExploreStep(action.Actor, action.First, action.End))], hung);
        return new(kind, _depth + (defect is null ? 0 : 1), path, Tell(actions, hung));
    }

    /// <summary>
    /// Tells the steps to a defect. For a hung vCPU it goes on: invalidations in progress end, and the vCPU then retries twice.
    /// </summary>
    private Timeline Tell(List<Action> actions, int? stuck)
    {
        State state = new StateBuffer(_options).Add();
        WriteStart(state);
        List<TimelineStep> steps = [];
        foreach (Action action in actions)
            AddStep(state, action, steps);
        string conclusion = steps.Count > 0 ? steps[^1].Explanation : "";
        if (stuck is { } v)
        {
            for (int i = 0; i < _options.Invalidators; i++)
            {
                while (!IsIdle(state.Invalidators[i]))
                    AddStep(state, new Action(_options.Vcpus + i, 0, 1), steps);
            }

            // An invalidation may have ended during the current attempt, so only the next two retries show that nothing changes.
            // The bound is for a vCPU that makes no progress without retrying.
            for (int retries = 0, shown = 0; retries < 2 && shown < StepsShownMax; shown++)
            {
                AddStep(state, new Action(v, 0, 0), steps);
                retries += steps[^1].Verdict is StepVerdict.UnjustifiedRetry or StepVerdict.Deadlock ? 1 : 0;
            }

            conclusion =
                steps[^1].Verdict == StepVerdict.Deadlock
                    ? $"vCPU {v} and the memslot update are deadlocked: {steps[^1].Explanation}"
                    : $"vCPU {v} hangs: no invalidation is in progress, and every later retry is like the last: "
                        + $"{steps[^1].Explanation}{WhatElseWaits(state, v)}";
        }

        return new Timeline(TKernel.Info.Name, [.. steps], Narrator.Conclude(Self, conclusion));
    }

    private static string WhatElseWaits(State state, int hung) => (state.Vm.FaultFlags[0] & FaultFlags.Awaited(hung)) == 0 ? ""
        : $"; the memslot update waits in synchronize_srcu_expedited() for vCPU {hung}, and never returns";

    private void AddStep(State state, Action action, List<TimelineStep> steps)
    {
        VmState before = Read(state);
        Take(state, action);
        StepCounts counts = StepCounts.Read(state.Vm.Totals, default, 0);
        if (Narrator.Tell(Self, steps.Count + 1, action.Actor, before, Read(state), counts) is { } step)
            steps.Add(step);
    }

    private static VmState Read(State state) =>
        VmState.Read<TKernel, Pages, Lanes32>(in state.Vm, state.Vcpus, state.Invalidators, 0);

    private static bool IsIdle(in InvalidatorLanes<Pages, Lanes32> invalidator) =>
        (invalidator.AtZap | invalidator.AtChange | invalidator.AtEnd)[0] == 0;

    private static bool HasFault(in VcpuLanes<Pages, Lanes32> vcpu) =>
        vcpu.HasFault[0] != 0;

    /// <summary>
    /// One actor's step: the next page of a vCPU, or the range [First, End) of an invalidator or of the memslot that is updated.
    /// </summary>
    private readonly record struct Action(byte Actor, byte First, byte End)
    {
        public Action(int actor, int first, int end)
            : this((byte)actor, (byte)first, (byte)end)
        {
        }
    }

    /// <summary>What came of a part of a block, by one thread.</summary>
    private sealed class Chunk(ExploreOptions options)
    {
        private readonly List<UInt128> _hashes = [];

        /// <summary>States that no earlier block has seen.</summary>
        public StateBuffer States { get; } = new(options);

        /// <summary>How each was reached.</summary>
        public List<(int Parent, Action Action)> Ways { get; } = [];

        /// <summary>Whether it is the first of its kind in the block.</summary>
        public List<bool> IsNew { get; } = [];

        /// <summary>Where the first of the new ones stands in the next level.</summary>
        public int NextIndex { get; set; }

        /// <summary>Defects, in the order in which they were found.</summary>
        public List<(ExploreVerdict Kind, int Id, Action? Action, int? Hung)> Defects { get; } = [];

        public void Clear()
        {
            States.Clear();
            _hashes.Clear();
            Ways.Clear();
            IsNew.Clear();
            Defects.Clear();
        }

        /// <summary>Keeps the state that was added last.</summary>
        public void Keep(UInt128 hash, int parent, Action action)
        {
            _hashes.Add(hash);
            Ways.Add((parent, action));
            IsNew.Add(false);
        }

        /// <summary>Adds those of one part of the set, or all.</summary>
        public void AddTo(StateSet seen, int? part)
        {
            for (int i = 0; i < _hashes.Count; i++)
            {
                if ((part is null || StateSet.PartOf(_hashes[i]) == part) && seen.Add(_hashes[i]))
                    IsNew[i] = true;
            }
        }

        /// <summary>Copies the new ones to their places.</summary>
        public void CopyTo(StateBuffer nextLevel)
        {
            int at = NextIndex;
            for (int i = 0; i < IsNew.Count; i++)
            {
                if (IsNew[i])
                    nextLevel[at++].CopyFrom(States[i]);
            }
        }
    }
}
