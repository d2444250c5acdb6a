using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
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
/// A state is known by the numbers of its parts (<see cref="Parts{TKernel, TMemslots}"/>), so that no two are taken for one.
/// Levels are expanded in blocks, by all workers: they take steps and drop what was seen in earlier blocks, then add what is
/// left, each to its own parts of the set. The first of equal states in a block's order wins, so that results do not depend
/// on the number of workers. Safety is checked at each step. Liveness is checked in each state in which no invalidation is in
/// progress: a memslot update that waits for readers must go on, and if none is under way every vCPU, left alone from there,
/// must be fixed (<see cref="Liveness{TKernel, TMemslots, TPages, TLanes}"/>).
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
    private const int BlockStates = 1 << 15;
    private const int ChunkStates = 1 << 10;
    private const int StepsShownMax = 20;

    private static readonly Kernel Self = Kernel.Of<TKernel>();

    private readonly ExploreOptions _options;
    private readonly IProgress<ExploreProgress>? _progress;
    private readonly CancellationToken _cancellation;
    private readonly ParallelOptions _workers;
    private readonly Parts<TKernel, TMemslots> _parts;
    private readonly StateSet _seen;
    private readonly List<Chunk> _chunks = [];
    private readonly int _successorsMax;
    private readonly BigList<(int Parent, Action Action)> _paths = new();
    private readonly SortedDictionary<ExploreVerdict, ExploreDefect> _found = [];
    private BigList<StateKey> _level = new();
    private BigList<StateKey> _nextLevel = new();
    private int _depth;

    public Explorer(ExploreOptions options, IProgress<ExploreProgress>? progress, CancellationToken cancellation)
    {
        (_options, _progress, _cancellation) = (options, progress, cancellation);
        _workers = new() { MaxDegreeOfParallelism = options.Workers };
        _parts = new(options);
        _seen = new(options.Vcpus);
        _successorsMax = _parts.SuccessorsMax + options.Pages;
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
        StateKey start = _parts.KeyOf(Steps<TKernel, TMemslots>.Start(_options));
        _level.Add(start);
        start = start.Sorted();
        _seen.Add(start, _seen.Ranks.Of(start));
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
                if (_paths.Count >= _options.StatesMax || _parts.IsFull)
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
        while (_chunks.Count < chunks)
            _chunks.Add(new Chunk(_options));
        InParallel(chunks, c =>
        {
            _chunks[c].Clear();
            for (int s = c * ChunkStates; s < Math.Min(count, (c + 1) * ChunkStates); s++)
                LookAt(firstId + first + s, _level[first + s], _chunks[c]);
            _chunks[c].DropSeen(_seen);
        });
        InParallel(StateSet.Parts, part =>
        {
            for (int c = 0; c < chunks; c++)
                _chunks[c].AddTo(_seen, part);
        });

        int next = _nextLevel.Count;
        for (int c = 0; c < chunks; c++)
        {
            _chunks[c].CountNew();
            _chunks[c].NextIndex = next;
            next += _chunks[c].NewCount;
        }

        int nextFirstId = _paths.Count - _nextLevel.Count;
        _paths.AddRoom(next - _nextLevel.Count);
        _nextLevel.AddRoom(next - _nextLevel.Count);
        InParallel(chunks, c => _chunks[c].CopyTo(_nextLevel, _paths, nextFirstId));
        for (int c = 0; c < chunks; c++)
        {
            foreach ((ExploreVerdict kind, int id, Action? action, int? hung) in _chunks[c].Defects)
            {
                if (IsWanted(kind))
                    _found[kind] = Describe(kind, id, action, hung);
            }
        }

        _parts.ForgetSome();
    }

    private void InParallel(int count, System.Action<int> work)
    {
        if (_level.Count > ChunkStates && _options.Workers > 1)
        {
            Parallel.For(0, count, _workers, work);
            return;
        }

        for (int i = 0; i < count; i++)
            work(i);
    }

    private void LookAt(int id, StateKey key, Chunk chunk)
    {
        SharedPart shared = _parts[key.Shared];
        if (shared.IsIdle
            && (IsWanted(ExploreVerdict.Hang) || IsWanted(ExploreVerdict.Deadlock))
            && FindStuck(key, shared, chunk) is ({ } kind, { } stuck)
            && IsWanted(kind))
        {
            chunk.Defects.Add((kind, id, null, stuck));
        }

        Expand(id, key, shared, chunk);
    }

    private bool IsTargetFound => _options.Target is { } target
        ? _found.ContainsKey(target)
        : _options.StopsAtFirstDefect && _found.Count > 0;

    private bool IsWanted(ExploreVerdict kind) => (_options.Target ?? kind) == kind && !_found.ContainsKey(kind);

    /// <summary>Takes every step that is possible.</summary>
    private void Expand(int id, StateKey key, SharedPart shared, Chunk chunk)
    {
        for (int v = 0; v < _options.Vcpus; v++)
        {
            // With merging, what a vCPU does that is like another is known as what the other does.
            int vcpu = key.Vcpu(v);
            if (_options.MergesSymmetric && IsLikeAnEarlierOne(key, v))
                continue;
            VcpuMove[] moves = _parts.MovesOf(shared, vcpu).Moves;
            for (int page = 0; page < moves.Length; page++)
            {
                ref readonly VcpuMove move = ref moves[page];
                StateKey next = key.WithVcpu(v, move.Vcpu).WithShared(move.Shared);
                Add(id, key, next, new Action(v, page, 0), move.Shown, chunk);
            }
        }

        foreach (SharedMove move in _parts.MovesOf(shared))
        {
            StateKey next = key.WithShared(move.Shared);
            for (int v = 0; move.Effect is not null && v < _options.Vcpus; v++)
                next = next.WithVcpu(v, _parts.After(move.Effect, key.Vcpu(v)));
            Add(id, key, next, move.Action, move.Shown, chunk);
        }

        if (TMemslots.AreUpdated)
            UpdateMemslots(id, key, shared, chunk);
    }

    private static bool IsLikeAnEarlierOne(StateKey key, int v)
    {
        bool isAlike = false;
        for (int other = 0; other < v; other++)
            isAlike |= key.Vcpu(other) == key.Vcpu(v);
        return isAlike;
    }

    /// <summary>The memslot updater's steps depend on all vCPUs: whether it waits for one of them.</summary>
    private void UpdateMemslots(int id, StateKey key, SharedPart shared, Chunk chunk)
    {
        int choices = shared.State.IsUpdatingMemslots ? 1 : shared.State.Updated < _options.MemslotUpdates ? _options.Pages : 0;
        for (int end = 1; end <= choices; end++)
        {
            var action = new Action(MemslotUpdater, 0, end);
            _parts.Write(key, chunk.Scratch);
            Steps<TKernel, TMemslots>.Take(chunk.Scratch, action);
            StateKey next = _parts.KeyOf(chunk.Scratch);
            Shown shown = chunk.Scratch.Vm.Totals.StaleMappings[0] != 0 ? Shown.StaleMapping : Shown.Nothing;
            if (chunk.Scratch.Vm.Totals.AccountingErrors[0] != 0)
                shown |= Shown.AccountingError;
            Add(id, key, next, action, shown, chunk);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Add(int id, StateKey from, StateKey next, Action action, Shown shown, Chunk chunk)
    {
        if (shown != Shown.Nothing)
            Note(id, action, shown, chunk);
        if (next != from)
            chunk.Add(_seen, next, id, action);
    }

    /// <summary>Notes what a step showed that was not shown before.</summary>
    private void Note(int id, Action action, Shown shown, Chunk chunk)
    {
        Note(Shown.UnsafeInstall, ExploreVerdict.UnsafeInstall);
        Note(Shown.StaleMapping, ExploreVerdict.StaleMapping);
        Note(Shown.AccountingError, ExploreVerdict.AccountingError);
        Note(Shown.UnjustifiedRetry, ExploreVerdict.UnjustifiedRetry);

        void Note(Shown what, ExploreVerdict kind)
        {
            if ((shown & what) != 0 && IsWanted(kind))
                chunk.Defects.Add((kind, id, action, null));
        }
    }

    /// <summary>
    /// The vCPU, if any, that is stuck for ever, and how, where no invalidation is in progress; null while a memslot update
    /// is under way that still goes on.
    /// </summary>
    private (ExploreVerdict Kind, int Vcpu)? FindStuck(StateKey key, SharedPart shared, Chunk chunk)
    {
        if (!TMemslots.AreUpdated || !shared.State.IsUpdatingMemslots)
        {
            for (int v = 0; v < _options.Vcpus; v++)
            {
                if (_parts.MovesOf(shared, key.Vcpu(v)).IsHung)
                    return (ExploreVerdict.Hang, v);
            }

            return null;
        }

        MemslotUpdateLanes<Pages, Lanes32> before = shared.State.Vm.MemslotUpdate;
        if ((before.AtZap | before.AtEnd)[0] == 0)
            return null;
        State ended = chunk.Scratch;
        _parts.Write(key, ended);
        Liveness<TKernel, TMemslots, Pages, Lanes32>.EndInProgress(ref ended.Vm, ended.Vcpus, ended.Invalidators);
        if (Liveness<TKernel, TMemslots, Pages, Lanes32>.SaysWhatWaits(before, ended.Vm.MemslotUpdate)[0] == 0)
            return null;
        bool isDeadlocked = Liveness<TKernel, TMemslots, Pages, Lanes32>.IsDeadlocked(in ended.Vm, ended.Vcpus)[0] != 0;
        return (isDeadlocked ? ExploreVerdict.Deadlock : ExploreVerdict.Hang, FirstAwaited(ended));
    }

    private static int FirstAwaited(State state)
    {
        uint flags = state.Vm.FaultFlags[0];
        return Enumerable.Range(0, state.Vcpus.Length).First(v => (flags & FaultFlags.Awaited(v)) != 0);
    }

    private ExploreDefect Describe(ExploreVerdict kind, int id, Action? defect, int? hung)
    {
        List<Action> actions = [];
        for (int at = id; _paths[at].Parent >= 0; at = _paths[at].Parent)
            actions.Add(_paths[at].Action);
        actions.Reverse();
        if (defect is { } last)
            actions.Add(last);
        State state = Steps<TKernel, TMemslots>.Start(_options);
        foreach (ref Action action in CollectionsMarshal.AsSpan(actions))
        {
            action = _parts.InPlace(state, action);
            Steps<TKernel, TMemslots>.Take(state, action);
        }

        var path = new ExplorePath([.. actions.Select(action => new ExploreStep(action.Actor, action.First, action.End))], hung);
        return new(kind, _depth + (defect is null ? 0 : 1), path, Tell(actions, hung));
    }

    /// <summary>
    /// Tells the steps to a defect. For a hung vCPU it goes on: invalidations in progress end, and the vCPU then retries twice.
    /// </summary>
    private Timeline Tell(List<Action> actions, int? stuck)
    {
        State state = Steps<TKernel, TMemslots>.Start(_options);
        List<TimelineStep> steps = [];
        foreach (Action action in actions)
            AddStep(state, action, steps);
        string conclusion = steps.Count > 0 ? steps[^1].Explanation : "";
        if (stuck is { } v)
        {
            for (int i = 0; i < _options.Invalidators; i++)
            {
                while (!State.IsIdleAt(state.Invalidators[i]))
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

    private static void AddStep(State state, Action action, List<TimelineStep> steps)
    {
        VmState before = Read(state);
        Steps<TKernel, TMemslots>.Take(state, action);
        StepCounts counts = StepCounts.Read(state.Vm.Totals, default, 0);
        if (Narrator.Tell(Self, steps.Count + 1, action.Actor, before, Read(state), counts) is { } step)
            steps.Add(step);
    }

    private static VmState Read(State state) =>
        VmState.Read<TKernel, Pages, Lanes32>(in state.Vm, state.Vcpus, state.Invalidators, 0);
}
