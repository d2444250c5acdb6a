using System.Collections.Concurrent;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;
using Pages = SoakHost.Model.Lanes.Pages32<SoakHost.Model.Lanes.Lanes32>;

namespace SoakHost.Engine.Explore;

/// <summary>
/// The parts that states are made of, and what each can do. A state is its shared part (the VM and its invalidators) and a
/// part for each vCPU. There are few parts and many ways to combine them: the 33,971,506 states of 3 vCPUs, 3 pages and 8
/// invalidations are made of 2,239 shared parts and 153 vCPUs'. So each part has a number, a state is those numbers, and the
/// model takes each step once and not once a state: a vCPU's depends on the shared part and on that vCPU, an invalidator's on
/// the shared part alone.
/// </summary>
/// <remarks>
/// A part is everything that decides what may happen to it from here on. What a phase gives no meaning to is left out, and so are
/// counts of retries but for whether there was one. Any number of threads may ask at once.
/// </remarks>
internal sealed class Parts<TKernel, TMemslots>
    where TKernel : struct, IKernel
    where TMemslots : struct, IMemslots
{
    private const long RememberedMax = 256 << 20;

    private readonly ExploreOptions _options;
    private readonly Action[] _begins;
    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<SharedId, int> _sharedIds = [];
    private readonly ConcurrentDictionary<VcpuId, int> _vcpuIds = [];
    private readonly ConcurrentDictionary<(ulong Changed, bool Ends), Effect> _effects = [];
    private SharedPart[] _shared = new SharedPart[64];
    private VcpuPart[] _vcpus = new VcpuPart[64];
    private int _sharedCount;
    private int _vcpuCount;
    private long _remembered;

    public Parts(ExploreOptions options)
    {
        _options = options;
        _begins = [.. from start in Enumerable.Range(0, options.Pages)
            from end in Enumerable.Range(start + 1, options.Pages - start)
            select new Action(0, start, end)];
    }

    /// <summary>Whether there are more parts of vCPUs than numbers.</summary>
    public bool IsFull => _vcpuCount >= StateKey.VcpuMax;

    /// <summary>The most states that one can lead to by one step, the memslot updater's aside.</summary>
    public int SuccessorsMax => (_options.Vcpus * _options.Pages) + (_options.Invalidators * _begins.Length);

    /// <summary>A shared part by its number.</summary>
    public SharedPart this[int shared] => Volatile.Read(ref _shared)[shared];

    /// <summary>The numbers of a state's parts.</summary>
    public StateKey KeyOf(State state)
    {
        StateKey key = default(StateKey).WithShared(NumberOf(state));
        for (int v = 0; v < _options.Vcpus; v++)
            key = key.WithVcpu(v, NumberOf(state.Vcpus[v], state.Vm.FaultFlags[0], v));
        return key;
    }

    /// <summary>
    /// The step as an actor of this VM takes it: with merging, the invalidators of shared parts stand in order.
    /// </summary>
    public Action InPlace(State state, Action action)
    {
        int position = action.Actor - _options.Vcpus;
        if (!_options.MergesSymmetric || position < 0 || position >= _options.Invalidators)
            return action;
        int[] order = [.. Enumerable.Range(0, _options.Invalidators).OrderBy(i => IdOf(state.Invalidators[i]))];
        return action with { Actor = (byte)(_options.Vcpus + order[position]) };
    }

    /// <summary>Writes a state out.</summary>
    public void Write(StateKey key, State state)
    {
        state.CopySharedFrom(this[key.Shared].State);
        uint flags = 0;
        for (int v = 0; v < _options.Vcpus; v++)
        {
            VcpuPart part = Volatile.Read(ref _vcpus)[key.Vcpu(v)];
            state.Vcpus[v] = part.Lanes;
            flags |= part.Flags << v;
        }

        state.Vm.FaultFlags = Lanes32.Broadcast(flags);
    }

    /// <summary>Everything that a vCPU can do next to a shared part.</summary>
    public VcpuMoves MovesOf(SharedPart shared, int vcpu)
    {
        if (shared.MovesOf(vcpu) is { } known)
            return known;
        VcpuPart part = Volatile.Read(ref _vcpus)[vcpu];
        var state = new State(_options.Vcpus, _options.Invalidators);
        Place(shared.State, part, state);
        bool isMapped = (state.Vm.Mapped & part.Lanes.Page).Any[0] != 0;
        bool mayProgress = isMapped && part.Lanes.HasFault[0] == 0;

        // A vCPU that progresses without reading its root is not hung, and needs no steps to show it.
        bool isHung = shared.IsIdle && !state.IsUpdatingMemslots && !(mayProgress && !TMemslots.AreUpdated)
            && IsNeverFixed(state, part.Index);

        // Only a vCPU that progresses chooses a page; for all others one choice stands for all.
        var moves = new VcpuMove[mayProgress ? _options.Pages : 1];
        for (int page = 0; page < moves.Length; page++)
        {
            Place(shared.State, part, state);
            Steps<TKernel, TMemslots>.Take(state, new Action(part.Index, page, 0));
            int next = NumberOf(state);
            int nextVcpu = NumberOf(state.Vcpus[part.Index], state.Vm.FaultFlags[0], part.Index);
            moves[page] = new VcpuMove(next, nextVcpu, WhatWasShown(state, part.Index));
        }

        var all = new VcpuMoves(vcpu, moves, isHung);
        shared.Add(all);
        Interlocked.Add(ref _remembered, 120 + (16 * moves.Length));
        return all;
    }

    /// <summary>Everything that invalidators can do to a shared part.</summary>
    public SharedMove[] MovesOf(SharedPart shared)
    {
        if (shared.Moves is { } known)
            return known;
        List<SharedMove> moves = [];
        var state = new State(_options.Vcpus, _options.Invalidators);
        for (int i = 0; i < _options.Invalidators; i++)
        {
            bool begins = State.IsIdleAt(shared.State.Invalidators[i]);
            if (begins && shared.State.Begun >= _options.Invalidations)
                continue;
            if (_options.MergesSymmetric && i > 0 && IdOf(shared.State.Invalidators[i]) == IdOf(shared.State.Invalidators[i - 1]))
                continue;
            foreach (Action choice in begins ? _begins : _begins.AsSpan(0, 1))
                moves.Add(MoveOf(shared.State, state, choice with { Actor = (byte)(_options.Vcpus + i) }));
        }

        SharedMove[] all = [.. moves];
        shared.Moves = all;
        Interlocked.Add(ref _remembered, 24 + (24 * all.Length));
        return all;
    }

    /// <summary>A vCPU's part after an invalidator's step.</summary>
    public int After(Effect effect, int vcpu)
    {
        int after = effect.After(vcpu);
        if (after != 0)
            return after;
        VcpuPart part = Volatile.Read(ref _vcpus)[vcpu];
        var state = new State(_options.Vcpus, _options.Invalidators);
        Place(effect.Example, part, state);
        Steps<TKernel, TMemslots>.Take(state, effect.Action);
        after = NumberOf(state.Vcpus[part.Index], state.Vm.FaultFlags[0], part.Index);
        effect.Set(vcpu, after);
        return after;
    }

    /// <summary>Bounds the memory that remembered steps take. Nobody else may ask meanwhile.</summary>
    public void ForgetSome()
    {
        if (_remembered <= RememberedMax)
            return;
        foreach (SharedPart part in _shared.AsSpan(0, _sharedCount))
            part.Forget();
        _remembered = 0;
    }

    private SharedMove MoveOf(State before, State state, Action action)
    {
        state.CopySharedFrom(before);
        InvalidatorLanes<Pages, Lanes32> invalidator = before.Invalidators[action.Actor - _options.Vcpus];
        ulong changed = invalidator.Own.Where(invalidator.AtChange)[0];
        bool ends = invalidator.AtEnd[0] != 0;
        Steps<TKernel, TMemslots>.Take(state, action);
        int next = NumberOf(state);
        Effect? effect = changed == 0 && !ends ? null : _effects.GetOrAdd((changed, ends), _ => new Effect(before, action));
        return new SharedMove(action, next, effect, WhatWasShown(state, null));
    }

    private static void Place(State shared, VcpuPart part, State state)
    {
        state.CopySharedFrom(shared);
        state.Vcpus[part.Index] = part.Lanes;
        state.Vm.FaultFlags = Lanes32.Broadcast(part.Flags << part.Index);
    }

    private static bool IsNeverFixed(State state, int vcpu) =>
        Liveness<TKernel, TMemslots, Pages, Lanes32>.IsNeverFixed(in state.Vm, in state.Vcpus[vcpu], vcpu)[0] != 0;

    private static Shown WhatWasShown(State state, int? vcpu)
    {
        TotalsLanes<Lanes32> totals = state.Vm.Totals;
        return (totals.UnsafeInstalls[0] != 0 ? Shown.UnsafeInstall : 0)
            | (totals.StaleMappings[0] != 0 ? Shown.StaleMapping : 0)
            | (totals.AccountingErrors[0] != 0 ? Shown.AccountingError : 0)
            | (totals.UnjustifiedRetries[0] != 0 && vcpu is { } v && !IsNeverFixed(state, v) ? Shown.UnjustifiedRetry : 0);
    }

    private int NumberOf(State state)
    {
        if (_options.MergesSymmetric)
            Sort(state.Invalidators);
        SharedId id = IdOf(state);
        if (_sharedIds.TryGetValue(id, out int known))
            return known;
        lock (_gate)
        {
            if (_sharedIds.TryGetValue(id, out known))
                return known;
            var kept = new State(0, _options.Invalidators);
            kept.CopySharedFrom(state);

            // Once its number can be asked for, the part must be there.
            int number = _sharedCount++;
            Put(ref _shared, number, new SharedPart(kept));
            _sharedIds[id] = number;
            return number;
        }
    }

    private static void Sort(Span<InvalidatorLanes<Pages, Lanes32>> invalidators)
    {
        for (int i = 1; i < invalidators.Length; i++)
        {
            for (int j = i; j > 0 && IdOf(invalidators[j - 1]) > IdOf(invalidators[j]); j--)
                (invalidators[j - 1], invalidators[j]) = (invalidators[j], invalidators[j - 1]);
        }
    }

    private int NumberOf(in VcpuLanes<Pages, Lanes32> vcpu, uint flags, int v)
    {
        VcpuId id = IdOf(vcpu, flags, v);
        if (_vcpuIds.TryGetValue(id, out int known))
            return known;
        lock (_gate)
        {
            if (_vcpuIds.TryGetValue(id, out known))
                return known;
            const uint one = 0x0101_0101;
            int number = Math.Min(++_vcpuCount, StateKey.VcpuMax);
            Put(ref _vcpus, number, new VcpuPart(vcpu, (flags >> v) & one, v));
            return _vcpuIds[id] = number;
        }
    }

    private static void Put<T>(ref T[] items, int index, T item)
    {
        if (index >= items.Length)
        {
            T[] grown = new T[2 * items.Length];
            items.CopyTo(grown, 0);
            grown[index] = item;
            Volatile.Write(ref items, grown);
        }
        else
        {
            items[index] = item;
        }
    }

    /// <summary>Pages are at most 8 here, and so a set of them, or one end of a range, is 8 bits.</summary>
    private static SharedId IdOf(State state)
    {
        ref VmLanes<Pages, Lanes32> vm = ref state.Vm;
        ulong pages = (vm.Range.From[0] & 0xff) | ((vm.Range.Below[0] & 0xff) << 8) | (vm.Mapped[0] << 16)
            | (vm.MemslotUpdate.Slot[0] << 24) | ((ulong)vm.InProgress[0] << 32);
        ulong counts = (uint)state.Begun | ((ulong)(uint)state.Updated << 16) | ((ulong)vm.RootGeneration[0] << 32)
            | ((ulong)PhaseOf(vm.MemslotUpdate) << 60);
        UInt128 invalidators = 0;
        foreach (InvalidatorLanes<Pages, Lanes32> invalidator in state.Invalidators)
            invalidators = (invalidators << 32) | IdOf(invalidator);
        return new SharedId(vm.InvalidateSeq[0], vm.MappedTotal[0], pages, counts, invalidators);
    }

    private static uint PhaseOf(in MemslotUpdateLanes<Pages, Lanes32> update) =>
        (update.AtInvalidate[0] & 1) | (update.AtZap[0] & 2) | (update.AtSwap[0] & 4) | (update.AtEnd[0] & 8);

    private static uint IdOf(InvalidatorLanes<Pages, Lanes32> invalidator)
    {
        uint phase = (invalidator.AtChange[0] & 1) | (invalidator.AtEnd[0] & 2) | (invalidator.AtZap[0] & 4);
        return phase | (uint)(invalidator.Own[0] << 8) | (uint)(invalidator.Unflushed[0] << 16);
    }

    /// <summary>One vCPU, with what the VM's flags say of it. Only vCPUs of one kind can change places.</summary>
    private VcpuId IdOf(in VcpuLanes<Pages, Lanes32> vcpu, uint flags, int v)
    {
        bool hasFault = (vcpu.AtSnapshot | vcpu.AtResolve | vcpu.AtLocklessCheck | vcpu.AtCheck | vcpu.AtInstall)[0] != 0;
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
            | (vcpu.AtRetry[0] & 1024) | (((flags & FaultFlags.Awaited(v)) != 0 ? 1u : 0) << 11)
            | (vcpu.RootGeneration[0] << 12) | ((uint)vcpu.Page[0] << 24);
        int kind = _options.MergesSymmetric ? TKernel.RetriesInKernel(v) ? 1 : 0 : v;
        return new VcpuId(word, holdsSnapshot ? vcpu.Snapshot[0] : 0, kind);
    }

    private readonly record struct SharedId(ulong Seq, ulong Total, ulong Pages, ulong Counts, UInt128 Invalidators);

    private readonly record struct VcpuId(uint Word, ulong Snapshot, int Kind);
}
