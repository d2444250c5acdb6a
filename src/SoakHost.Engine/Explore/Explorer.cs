using System.IO.Hashing;
using System.Runtime.InteropServices;
using SoakHost.Engine.Timelines;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;
using Pages = SoakHost.Model.Lanes.Pages32<SoakHost.Model.Lanes.Lanes32>;

namespace SoakHost.Engine.Explore;

/// <summary>
/// Explores every interleaving of one small VM, breadth first, with the model's own steps: every choice of who moves, which page the
/// guest goes on to, and which range is invalidated.
/// </summary>
/// <remarks>
/// A state is known by a 128-bit hash of it; with 10^8 states two of them share one with a probability below 10^-22. Safety is checked at
/// each step. Liveness is checked in each state in which no invalidation is in progress: every vCPU, left alone from there, must get on.
/// As it moves alone its steps are determined, so that coming back to the same state proves it never does.
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
    // A fault needs at most six steps (access, snapshot, resolve, two checks, install); thrice that finds any cycle of retries.
    private const int StepsAloneMax = 20;
    private const int ProgressStates = 1 << 16;

    private readonly ExploreOptions _options;
    private readonly IProgress<ExploreProgress>? _progress;
    private readonly CancellationToken _cancellation;
    private readonly Action[] _begins;
    private readonly Action[] _pages;
    private readonly HashSet<UInt128> _seen = [];
    private readonly List<(int Parent, Action Action)> _paths = [];
    private readonly UInt128[] _vcpuKeys;
    private readonly UInt128[] _invalidatorKeys;
    private StateBuffer _level;
    private StateBuffer _nextLevel;
    private int _depth;
    private ExplorePath? _path;

    public Explorer(ExploreOptions options, IProgress<ExploreProgress>? progress, CancellationToken cancellation)
    {
        (_options, _progress, _cancellation) = (options, progress, cancellation);
        _begins = [.. from start in Enumerable.Range(0, options.Pages)
            from end in Enumerable.Range(start + 1, options.Pages - start)
            select new Action(0, start, end)];
        _pages = [.. Enumerable.Range(0, options.Pages).Select(page => new Action(0, page, 0))];
        _vcpuKeys = new UInt128[options.Vcpus];
        _invalidatorKeys = new UInt128[options.Invalidators];
        _level = new(options);
        _nextLevel = new(options);
    }

    private int MemslotUpdater => _options.Vcpus + _options.Invalidators;

    public ExploreResult Run(TimeProvider time)
    {
        long started = time.GetTimestamp();
        ExploreVerdict verdict = Search(out Timeline? counterexample);
        return new ExploreResult
        {
            Kernel = TKernel.Info,
            Options = _options,
            Verdict = verdict,
            States = _seen.Count,
            Depth = _depth,
            Elapsed = time.GetElapsedTime(started),
            Counterexample = counterexample,
            Path = _path,
        };
    }

    private ExploreVerdict Search(out Timeline? counterexample)
    {
        counterexample = null;
        var scratch = new StateBuffer(_options);
        State start = scratch.Add();
        WriteStart(start);
        _seen.Add(Key(start));
        _paths.Add((-1, default));
        _level.Add().CopyFrom(start);
        int firstId = 0;
        while (_level.Count > 0)
        {
            for (int s = 0; s < _level.Count; s++)
            {
                int id = firstId + s;
                State state = _level[s];
                if ((id & (ProgressStates - 1)) == 0)
                {
                    _progress?.Report(new(_seen.Count, _depth, _paths.Count - id));
                    if (_cancellation.IsCancellationRequested)
                        return ExploreVerdict.Stopped;
                }

                if (_options.Target is null or Defect.Hang && FindHung(state, scratch) is { } hung)
                {
                    counterexample = Tell(id, null, hung);
                    return ExploreVerdict.Hang;
                }

                if (Expand(id, state, scratch) is { } defect)
                {
                    (ExploreVerdict verdict, int? stuck) = Classify(scratch[0], scratch);
                    counterexample = Tell(id, defect, stuck);
                    return verdict;
                }

                if (_seen.Count >= _options.StatesMax)
                    return ExploreVerdict.LimitReached;
            }

            firstId += _level.Count;
            (_level, _nextLevel) = (_nextLevel, _level);
            _nextLevel.Clear();
            if (_level.Count > 0)
                _depth++;
        }

        return ExploreVerdict.Proven;
    }

    /// <summary>Takes every step that is possible; returns the first that is a defect, its outcome left in the scratch state.</summary>
    private Action? Expand(int id, State state, StateBuffer scratch)
    {
        for (int v = 0; v < _options.Vcpus; v++)
        {
            // Only a vCPU that gets on chooses a page; for all others one choice stands for all.
            ref VcpuLanes<Pages, Lanes32> vcpu = ref state.Vcpus[v];
            bool mayProgress = !HasFault(vcpu) && (state.Vm.Mapped & vcpu.Page).Any[0] != 0;
            if (TryAll(id, state, scratch, v, mayProgress ? _pages : _pages.AsSpan(0, 1)) is { } defect)
                return defect;
        }

        for (int i = 0; i < _options.Invalidators; i++)
        {
            bool begins = IsIdle(state.Invalidators[i]);
            if (begins && state.Begun == _options.Invalidations)
                continue;
            if (TryAll(id, state, scratch, _options.Vcpus + i, begins ? _begins : _begins.AsSpan(0, 1)) is { } defect)
                return defect;
        }

        return TMemslots.AreUpdated && state.Updated < _options.MemslotUpdates
            ? TryAll(id, state, scratch, MemslotUpdater, _pages.AsSpan(0, 1))
            : null;
    }

    private Action? TryAll(int id, State state, StateBuffer scratch, int actor, ReadOnlySpan<Action> choices)
    {
        State next = scratch[0];
        foreach (Action choice in choices)
        {
            Action action = choice with { Actor = (byte)actor };
            next.CopyFrom(state);
            Take(next, action);
            if (IsTarget(next.Vm.Totals))
                return action;
            if (!_seen.Add(Key(next)))
                continue;
            _paths.Add((id, action));
            _nextLevel.Add().CopyFrom(next);
        }

        return null;
    }

    /// <summary>What a defective step comes to: an unjustified retry is a hang if that vCPU never gets on once invalidations have ended.</summary>
    private (ExploreVerdict Verdict, int? Stuck) Classify(State state, StateBuffer scratch)
    {
        TotalsLanes<Lanes32> totals = state.Vm.Totals;
        if (totals.UnsafeInstalls[0] != 0)
            return (ExploreVerdict.UnsafeInstall, null);
        if (totals.AccountingErrors[0] != 0)
            return (ExploreVerdict.AccountingError, null);
        State settled = scratch.Add();
        settled.CopyFrom(state);
        for (int i = 0; i < _options.Invalidators; i++)
        {
            while (!IsIdle(settled.Invalidators[i]))
                Take(settled, new Action(_options.Vcpus + i, 0, 1));
        }

        return FindHung(settled, scratch) is { } stuck ? (ExploreVerdict.Hang, stuck) : (ExploreVerdict.UnjustifiedRetry, null);
    }

    /// <summary>The vCPU, if any, that never gets on when it is left alone with no invalidation in progress; null while one is.</summary>
    private int? FindHung(State state, StateBuffer scratch)
    {
        foreach (ref InvalidatorLanes<Pages, Lanes32> invalidator in state.Invalidators)
        {
            if (!IsIdle(invalidator))
                return null;
        }

        State alone = scratch[0];
        for (int v = 0; v < _options.Vcpus; v++)
        {
            if (!HasFault(state.Vcpus[v]) && (state.Vm.Mapped & state.Vcpus[v].Page).Any[0] != 0 && !TMemslots.AreUpdated)
                continue;
            alone.CopyFrom(state);
            int steps = 0;
            do
            {
                Take(alone, new Action(v, 0, 0));
                steps++;
            }
            while (alone.Vm.Totals.Fixed[0] == 0 && alone.Vm.Totals.GuestAccesses[0] == 0 && steps < StepsAloneMax);
            if (steps == StepsAloneMax)
                return v;
        }

        return null;
    }

    private void Take(State state, Action action)
    {
        state.Vm.Totals = default;
        Lanes32 moves = Lanes32.Broadcast(uint.MaxValue);
        if (action.Actor < _options.Vcpus)
        {
            Protocol<TKernel, TMemslots, Pages, Lanes32>.StepVcpu(
                ref state.Vm, ref state.Vcpus[action.Actor], action.Actor, moves, Pages.Page(Lanes32.Broadcast((uint)action.First)));
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
            state.Updated++;
            Protocol<TKernel, TMemslots, Pages, Lanes32>.StepMemslotUpdater(ref state.Vm, moves);
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

    /// <summary>
    /// The hash of everything that decides what may happen from here on. What a phase gives no meaning to is left out, and so are counts of
    /// retries but for whether there was one.
    /// </summary>
    private UInt128 Key(State state)
    {
        ref VmLanes<Pages, Lanes32> vm = ref state.Vm;
        uint flags = vm.FaultFlags[0];
        for (int v = 0; v < _vcpuKeys.Length; v++)
            _vcpuKeys[v] = Key(state.Vcpus[v], flags, v);
        for (int i = 0; i < _invalidatorKeys.Length; i++)
        {
            ref InvalidatorLanes<Pages, Lanes32> invalidator = ref state.Invalidators[i];
            _invalidatorKeys[i] = (invalidator.AtChange[0] & 1) | (invalidator.AtEnd[0] & 2) | (invalidator.Own[0] << 8);
        }

        if (_options.MergesSymmetric)
        {
            Array.Sort(_vcpuKeys);
            Array.Sort(_invalidatorKeys);
        }

        Span<ulong> words = stackalloc ulong[6 + (2 * _vcpuKeys.Length) + (2 * _invalidatorKeys.Length)];
        words[0] = vm.InvalidateSeq[0];
        words[1] = vm.MappedTotal[0];
        words[2] = vm.InProgress[0] | ((ulong)vm.RootGeneration[0] << 32);
        words[3] = vm.Range.From[0] | (vm.Range.Below[0] << 32);
        words[4] = vm.Mapped[0];
        words[5] = (uint)state.Begun | ((ulong)(uint)state.Updated << 32);
        MemoryMarshal.Cast<UInt128, ulong>(_vcpuKeys.AsSpan()).CopyTo(words[6..]);
        MemoryMarshal.Cast<UInt128, ulong>(_invalidatorKeys.AsSpan()).CopyTo(words[(6 + (2 * _vcpuKeys.Length))..]);
        return XxHash128.HashToUInt128(MemoryMarshal.AsBytes(words));
    }

    private static UInt128 Key(in VcpuLanes<Pages, Lanes32> vcpu, uint flags, int v)
    {
        bool hasFault = HasFault(vcpu);
        bool atSnapshot = vcpu.AtSnapshot[0] != 0;
        bool isResolved = hasFault && vcpu.AtResolve[0] == 0
            && (!atSnapshot || TKernel.SnapshotPoint == SnapshotPoint.AfterResolve);
        bool isRetry = TKernel.RemembersSnapshot && vcpu.ConsecutiveRetries[0] != 0;
        bool holdsSnapshot = isRetry
            || (hasFault && !atSnapshot
                && !(TKernel.SnapshotPoint == SnapshotPoint.AfterResolve && vcpu.AtResolve[0] != 0));
        uint truth = hasFault ? flags & (FaultFlags.Raced(v) | FaultFlags.Reloaded(v)) : 0;
        truth = (truth | (flags & FaultFlags.Orphaned(v))) >> v;
        uint word = (vcpu.AtSnapshot[0] & 1) | (vcpu.AtResolve[0] & 2) | (vcpu.AtLocklessCheck[0] & 4)
            | (vcpu.AtCheck[0] & 8) | (vcpu.AtInstall[0] & 16)
            | (isRetry ? 32u : 0)
            | (isResolved && (vcpu.ChangedSinceResolve & vcpu.Page).Any[0] != 0 ? 64u : 0)
            | ((truth & 1) << 7) | ((truth >> 8 & 1) << 8) | ((truth >> 16 & 1) << 9)
            | (vcpu.RootGeneration[0] << 10) | ((uint)vcpu.Page[0] << 24);
        return new UInt128(word, holdsSnapshot ? vcpu.Snapshot[0] : 0);
    }

    /// <summary>The story of the shortest way to a state, one more step where that was the defect, and a stuck vCPU's rounds after it.</summary>
    private Timeline Tell(int id, Action? defect, int? stuck)
    {
        List<Action> actions = [];
        for (int at = id; _paths[at].Parent >= 0; at = _paths[at].Parent)
            actions.Add(_paths[at].Action);
        actions.Reverse();
        if (defect is { } last)
            actions.Add(last);
        _path = new([.. actions.Select(action => new ExploreStep(action.Actor, action.First, action.End))], stuck, defect is not null);

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

            // Two rounds show that the second is like the first. A vCPU that goes round without a retry is told as long as one could be.
            for (int retries = 0, told = 0; retries < 2 && told < StepsAloneMax; told++)
            {
                AddStep(state, new Action(v, 0, 0), steps);
                retries += steps[^1].Verdict is StepVerdict.UnjustifiedRetry or StepVerdict.JustifiedRetry ? 1 : 0;
            }

            conclusion = $"vCPU {v} hangs: no invalidation is in progress, and it goes round like this for ever: {steps[^1].Explanation}";
        }

        return new Timeline(TKernel.Info.Name, [.. steps], conclusion);
    }

    private void AddStep(State state, Action action, List<TimelineStep> steps)
    {
        VmState before = Read(state);
        Take(state, action);
        StepCounts counts = StepCounts.Read(state.Vm.Totals, default, 0);
        if (Narrator.Tell(TKernel.SnapshotPoint, steps.Count + 1, action.Actor, before, Read(state), counts) is { } step)
            steps.Add(step);
    }

    private static VmState Read(State state) =>
        VmState.Read<TKernel, Pages, Lanes32>(in state.Vm, state.Vcpus, state.Invalidators, 0);

    private bool IsTarget(in TotalsLanes<Lanes32> totals) => _options.Target switch
    {
        Defect.UnsafeInstall => totals.UnsafeInstalls[0] != 0,
        Defect.AccountingError => totals.AccountingErrors[0] != 0,

        // A hang shows once invalidations have ended, whatever was retried before.
        Defect.Hang => false,
        _ => (totals.UnjustifiedRetries | totals.UnsafeInstalls | totals.AccountingErrors)[0] != 0,
    };

    private static bool IsIdle(in InvalidatorLanes<Pages, Lanes32> invalidator) =>
        (invalidator.AtChange | invalidator.AtEnd)[0] == 0;

    private static bool HasFault(in VcpuLanes<Pages, Lanes32> vcpu) =>
        (vcpu.AtSnapshot | vcpu.AtResolve | vcpu.AtLocklessCheck | vcpu.AtCheck | vcpu.AtInstall)[0] != 0;

    /// <summary>One actor's step: the next page of a vCPU, or the range [First, End) of an invalidator.</summary>
    private readonly record struct Action(byte Actor, byte First, byte End)
    {
        public Action(int actor, int first, int end)
            : this((byte)actor, (byte)first, (byte)end)
        {
        }
    }

    /// <summary>A view of one state in a buffer.</summary>
    private readonly ref struct State(Span<byte> bytes, ExploreOptions options)
    {
        private readonly Span<byte> _bytes = bytes;

        public readonly Span<VcpuLanes<Pages, Lanes32>> Vcpus = MemoryMarshal.Cast<byte, VcpuLanes<Pages, Lanes32>>(
            bytes[StateBuffer.VcpusAt..StateBuffer.InvalidatorsAt(options)]);

        public readonly Span<InvalidatorLanes<Pages, Lanes32>> Invalidators =
            MemoryMarshal.Cast<byte, InvalidatorLanes<Pages, Lanes32>>(bytes[StateBuffer.InvalidatorsAt(options)..]);

        public ref VmLanes<Pages, Lanes32> Vm => ref MemoryMarshal.AsRef<VmLanes<Pages, Lanes32>>(_bytes[StateBuffer.VmAt..]);

        /// <summary>Invalidations that have begun.</summary>
        public ref int Begun => ref MemoryMarshal.AsRef<int>(_bytes);

        /// <summary>Memslot updates so far.</summary>
        public ref int Updated => ref MemoryMarshal.AsRef<int>(_bytes[sizeof(int)..]);

        public void CopyFrom(State other) => other._bytes.CopyTo(_bytes);
    }

    /// <summary>States one after another.</summary>
    private sealed class StateBuffer(ExploreOptions options)
    {
        public const int VmAt = 2 * sizeof(int);

        private readonly int _size = InvalidatorsAt(options)
            + (options.Invalidators * SizeOf<InvalidatorLanes<Pages, Lanes32>>());

        private readonly List<byte[]> _chunks = [];
        private readonly int _chunkStates = 4096;

        public static int VcpusAt => VmAt + SizeOf<VmLanes<Pages, Lanes32>>();

        public int Count { get; private set; }

        public State this[int index] =>
            new(_chunks[index / _chunkStates].AsSpan(index % _chunkStates * _size, _size), options);

        public static int InvalidatorsAt(ExploreOptions options) =>
            VcpusAt + (options.Vcpus * SizeOf<VcpuLanes<Pages, Lanes32>>());

        public State Add()
        {
            if (Count == _chunks.Count * _chunkStates)
                _chunks.Add(new byte[_chunkStates * _size]);
            return this[Count++];
        }

        public void Clear() => Count = 0;

        private static int SizeOf<T>() => System.Runtime.CompilerServices.Unsafe.SizeOf<T>();
    }
}
