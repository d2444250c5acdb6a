using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Engine.Tests.Scalar;

/// <summary>
/// One VM of a soak, told plainly: its random stream, how a draw becomes choices, the order of the actors in a tick, and what is
/// worth reporting, found by looking at the VM after each and every step.
/// </summary>
public sealed class ReferenceSoak
{
    private static readonly int[] Boundaries = [15, 16, 31, 32, 63, 64];

    private readonly SimulatedCohort _cohort;
    private readonly VmParameters _parameters;
    private readonly ulong _seed;
    private readonly HashSet<(int Power, bool InFlight)> _reported = [];
    private readonly int _number;
    private readonly uint _stallRetries;
    private readonly VcpuCondition[] _conditions;
    private readonly StalledVcpu?[] _stalled;
    private ReferenceKernel _kernel;
    private KernelInfo _kernelInfo;
    private ReferenceVm _vm;
    private ReferenceRandom _random;
    private Totals _earlierLives;
    private long _tick;
    private int _life;
    private int _pages;
    private int _rangePages;
    private int? _crossed;
    private long _crossedTick;
    private bool _isHangDue;
    private long? _hungSince;

    // The last crossing in this interval after which no attempt has been over yet.
    private (int Power, VcpuPhase[] Vcpus, InvalidatorPhase[] Others)? _undecided;

    public ReferenceSoak(SimulatedCohort cohort, ulong seed, uint stallRetries, int number)
    {
        VmParameters parameters = cohort.Vm;
        (_kernel, _kernelInfo) = (ReferenceKernel.Of(cohort.Kernel.Info.Name), cohort.Kernel.Info);
        _cohort = cohort;
        _parameters = parameters;
        _number = number;
        _seed = seed;
        _stallRetries = stallRetries;
        _vm = new ReferenceVm(_kernel, parameters with { InvalidateSeqStart = CounterStart() });
        _random = new ReferenceRandom(seed, number, life: 0);
        Shape();
        _conditions = new VcpuCondition[parameters.Vcpus];
        _stalled = new StalledVcpu?[parameters.Vcpus];
    }

    public bool MayInvalidate { get; set; } = true;

    /// <summary>
    /// Called after each step with the actor's number: vCPUs first, then invalidators, then the memslot updater.
    /// </summary>
    public Action<int>? Stepped { get; set; }

    public ReferenceVm Vm => _vm;

    public VmState State => _vm.ToState();

    public RandomState Random => _random.State;

    public IReadOnlyList<VcpuCondition> Conditions => _conditions;

    public IEnumerable<StalledVcpu> Stalled => _stalled.OfType<StalledVcpu>();

    public List<Finding> Findings { get; } = [];

    public Totals Totals { get; private set; }

    public int Life => _life;

    /// <summary>The interleavings in which it crossed boundaries, under the kernel that it runs now.</summary>
    public HashSet<(int Power, int Number)> Interleavings { get; } = [];

    /// <summary>The named states in which it crossed them.</summary>
    public HashSet<(int Power, CrossingStates State)> States { get; } = [];

    public void PatchKernel(KernelInfo kernel)
    {
        (_kernel, _kernelInfo, _crossed, _isHangDue) = (ReferenceKernel.Of(kernel.Name), kernel, null, false);
        _vm.PatchKernel(_kernel);
        Interleavings.Clear();
        States.Clear();
    }

    public void Advance(int ticks)
    {
        for (int tick = 0; tick < ticks; tick++)
        {
            Tick();
            _tick++;
            if (_tick % Shard.ObservationTicks == 0)
            {
                _undecided = null;
                JudgeVcpus();
            }

            if (_tick % 8192 == 0 && MayInvalidate && IsLifeOver())
                StartNextLife();
        }

        CountSteps();
    }

    private void CountSteps()
    {
        ReferenceTotals seen = _vm.Totals;
        Totals = Totals with
        {
            Invalidations = _earlierLives.Invalidations + seen.Invalidations,
            GuestAccesses = _earlierLives.GuestAccesses + seen.GuestAccesses,
            Fixed = _earlierLives.Fixed + seen.Fixed,
            Retried = _earlierLives.Retried + seen.Retried,
            OvercautiousRetries = _earlierLives.OvercautiousRetries + seen.OvercautiousRetries,
            UnjustifiedRetries = _earlierLives.UnjustifiedRetries + seen.UnjustifiedRetries,
            UnsafeInstalls = _earlierLives.UnsafeInstalls + seen.UnsafeInstalls,
            StaleMappings = _earlierLives.StaleMappings + seen.StaleMappings,
            AccountingErrors = _earlierLives.AccountingErrors + seen.AccountingErrors,
        };
    }

    private ulong CounterStart() => _cohort.InvalidateSeqStarts.IsEmpty ? _parameters.InvalidateSeqStart
        : _cohort.InvalidateSeqStarts[(_number + _life) % _cohort.InvalidateSeqStarts.Length];

    /// <summary>
    /// A life ends when its hang has lasted long enough, or it is far enough past its boundary; but not while a vCPU has begun a
    /// row of retries that nobody has judged yet.
    /// </summary>
    private bool IsLifeOver()
    {
        if (State.Vcpus.Any(vcpu => vcpu.ConsecutiveRetries >= 16 && vcpu.ConsecutiveRetries < _stallRetries))
            return false;
        if (_hungSince is { } since)
            return _cohort.LifeAfterHang != 0 && _tick >= since + _cohort.LifeAfterHang;
        if (_crossed is not { } power || _cohort.LifeAfterBoundary == 0)
            return false;
        ulong past = power == 64 ? _vm.InvalidateSeq : _vm.InvalidateSeq - (1UL << power);
        return past >= (ulong)_cohort.LifeAfterBoundary;
    }

    private void StartNextLife()
    {
        VmState last = State;
        for (int v = 0; v < _conditions.Length; v++)
        {
            if (IsForEver(_conditions[v]))
            {
                var seen = Sighting.AtTick(_tick, last.InvalidateSeq, last.Vcpus[v].Page, last.Vcpus[v].Snapshot);
                Findings.Add(new(FindingKind.VcpuReplaced, _number, v, seen));
            }

            (_conditions[v], _stalled[v]) = (VcpuCondition.Running, null);
        }

        CountSteps();
        _earlierLives = Totals;
        Totals = Totals with
        {
            LivesStarted = Totals.LivesStarted + 1,
            HangsMissed = Totals.HangsMissed + (_isHangDue ? 1 : 0),
        };
        (_crossed, _isHangDue, _hungSince) = (null, false, null);
        _life++;
        _vm = new ReferenceVm(_kernel, _parameters with { InvalidateSeqStart = CounterStart() });
        _random = new ReferenceRandom(_seed, _number, _life);
        Shape();
    }

    /// <summary>How many pages this life has, and its longest range: by two words from which its random stream starts.</summary>
    private void Shape()
    {
        (_pages, _rangePages) = (_parameters.Pages, _parameters.RangePages);
        if (_cohort.PagesMin > 0)
            _pages = _cohort.PagesMin + (int)(_random.State.S1 % (_parameters.Pages - _cohort.PagesMin + 1));
        if (_cohort.RangePagesMin > 0)
            _rangePages = _cohort.RangePagesMin + (int)(_random.State.S2 % (_parameters.RangePages - _cohort.RangePagesMin + 1));
        _rangePages = Math.Min(_rangePages, _pages);
    }

    private void Tick()
    {
        int pageBits = _parameters.Pages <= 32 ? 5 : 6;
        int vcpusPerDraw = _parameters.Pages <= 32 ? 4 : 3;
        const int InvalidatorsPerDraw = 2;

        uint bits = 0;
        for (int v = 0; v < _parameters.Vcpus; v++)
        {
            if (v % vcpusPerDraw == 0)
                bits = _random.Next();
            bool moves = Take(ref bits, 3) != 0;
            int nextPage = Scale(Take(ref bits, pageBits), _pages, pageBits);
            if (moves)
                Step(v, () => _vm.StepVcpu(v, nextPage));
        }

        for (int i = 0; i < _parameters.Invalidators; i++)
        {
            if (i % InvalidatorsPerDraw == 0)
                bits = _random.Next();
            bool moves = Take(ref bits, 3) != 0;
            int start = Scale(Take(ref bits, pageBits), _pages, pageBits);
            int end = Math.Min(start + 1 + Scale(Take(ref bits, pageBits), _rangePages, pageBits), _pages);
            if (moves && (MayInvalidate || _vm.IsBetweenBeginAndEnd(i)))
                Step(_parameters.Vcpus + i, () => _vm.StepInvalidator(i, start, end));
        }

        bool updates = _vm.IsUpdatingMemslots;
        int slotPages = 0;
        if (_parameters.MemslotUpdates)
        {
            bits = _random.Next();
            bool begins = Take(ref bits, 10) == 0 && MayInvalidate;
            updates = (Take(ref bits, 3) != 0 && updates) || begins;
            slotPages = 1 + Scale(Take(ref bits, pageBits), _pages, pageBits);
        }

        if (updates)
            Step(_parameters.Vcpus + _parameters.Invalidators, () => _vm.StepMemslotUpdater(slotPages));
    }

    private void Step(int actor, Action step)
    {
        ulong seqBefore = _vm.InvalidateSeq;
        MemslotUpdaterPhase updaterBefore = _vm.MemslotUpdater;
        ReferenceTotals before = _vm.Totals;
        (int page, ulong snapshot) = actor < _parameters.Vcpus ? _vm.FaultOf(actor) : default;
        step();
        if (_undecided is { } crossed && (_vm.Totals.Fixed, _vm.Totals.Retried) != (before.Fixed, before.Retried))
        {
            Interleavings.Add((crossed.Power, Numbers().NumberOf(crossed.Vcpus, crossed.Others, crossed.Vcpus[actor])));
            _undecided = null;
        }

        if (_vm.InvalidateSeq != seqBefore)
            NoteCrossing(_vm.InvalidateSeq, actor - _parameters.Vcpus);
        if (_vm.Totals.UnsafeInstalls == 1 && before.UnsafeInstalls == 0)
            Findings.Add(
                new(FindingKind.UnsafeInstall, _number, actor, Sighting.AtTick(_tick, _vm.InvalidateSeq, page, snapshot)));
        if (_vm.Totals.AccountingErrors == 1 && before.AccountingErrors == 0)
            Findings.Add(new(FindingKind.AccountingError, _number, vcpu: null, Sighting.AtTick(_tick, _vm.InvalidateSeq)));
        if (_vm.Totals.StaleMappings == 1 && before.StaleMappings == 0)
        {
            VmState state = State;
            int invalidator = actor - _parameters.Vcpus;
            ulong own = invalidator < state.Invalidators.Length ? state.Invalidators[invalidator].Own : state.Slot;
            ulong reachable = state.Invalidators.Aggregate(state.Mapped, (pages, other) => pages | other.Unflushed);
            int stale = Enumerable.Range(0, _parameters.Pages).First(candidate => (own & reachable & (1UL << candidate)) != 0);
            Findings.Add(new(FindingKind.StaleMapping, _number, vcpu: null, Sighting.AtTick(_tick, _vm.InvalidateSeq, stale)));
        }

        // A memslot updater that waits takes no step.
        bool waits = actor == _parameters.Vcpus + _parameters.Invalidators && _vm.MemslotUpdater == updaterBefore;
        if (!waits)
            Stepped?.Invoke(actor);
    }

    /// <summary>The counter moves by one, so that it crosses a boundary exactly as it reaches it.</summary>
    private void NoteCrossing(ulong seq, int invalidator)
    {
        foreach (int power in Boundaries)
        {
            ulong boundary = power == 64 ? 0 : 1UL << power;
            if (seq != boundary)
                continue;
            (_crossed, _crossedTick) = (power, _tick);
            NoteInterleaving(power, boundary, invalidator);
            ulong hangsFrom = _kernelInfo.ExpectedFrom == 0 ? 1UL << 31 : _kernelInfo.ExpectedFrom;
            if (_cohort.Expected == Defect.Hang && _kernelInfo.Expected == Defect.Hang && boundary == hangsFrom)
                _isHangDue = true;
            bool inFlight = _vm.HasFaultInFlight;
            FindingKind kind = inFlight ? FindingKind.BoundaryCrossed : FindingKind.BoundaryCrossedIdle;
            if (_reported.Add((power, inFlight)))
                Findings.Add(new(kind, _number, vcpu: null, Sighting.AtTick(_tick, seq), Boundary.AtPower(power)));
            if (!inFlight)
                continue;
            Totals = power switch
            {
                15 => Totals with { Crossings15 = Totals.Crossings15 + 1 },
                16 => Totals with { Crossings16 = Totals.Crossings16 + 1 },
                31 => Totals with { Crossings31 = Totals.Crossings31 + 1 },
                32 => Totals with { Crossings32 = Totals.Crossings32 + 1 },
                63 => Totals with { Crossings63 = Totals.Crossings63 + 1 },
                _ => Totals with { Crossings64 = Totals.Crossings64 + 1 },
            };
        }
    }

    private void NoteInterleaving(int power, ulong boundary, int invalidator)
    {
        VmState state = State;
        List<InvalidatorPhase> others = [.. state.Invalidators.Select(other => other.Phase)];
        others.RemoveAt(invalidator);
        _undecided = (power, [.. state.Vcpus.Select(vcpu => vcpu.Phase)], [.. others]);
        if (others.Exists(phase => phase != InvalidatorPhase.Begin))
            States.Add((power, CrossingStates.SecondInvalidation));
        if (state.Vcpus.Any(vcpu => vcpu.Phase != VcpuPhase.Access))
            States.Add((power, CrossingStates.FaultInFlight));
        foreach (VcpuState vcpu in state.Vcpus.Where(vcpu => vcpu.Phase is not (VcpuPhase.Access or VcpuPhase.Retry)))
        {
            if (vcpu.Reloaded)
                States.Add((power, CrossingStates.RootReplaced));

            // A kernel may store less of it, but never fewer than 16 bits.
            if (vcpu.Phase != VcpuPhase.Snapshot && (ushort)(vcpu.Snapshot % 32768) == (ushort)((boundary - 1) % 32768))
                States.Add((power, CrossingStates.SnapshotJustBefore));
        }
    }

    private Interleavings Numbers() => SoakHost.Engine.Soak.Interleavings.Of(Kernel.Find(_kernelInfo.Name)!, _parameters);

    private void JudgeVcpus()
    {
        VmState state = State;
        for (int v = 0; v < state.Vcpus.Length; v++)
        {
            VcpuState vcpu = state.Vcpus[v];
            VcpuCondition condition = VcpuCondition.Running;
            if (vcpu.ConsecutiveRetries >= _stallRetries)
            {
                bool goesOn = _vm.MemslotUpdateGoesOn();
                if (!_vm.WouldNeverBeFixed(v))
                    condition = VcpuCondition.Starved;
                else if (goesOn && !_vm.WouldNeverBeFixed(v, updateStandsStill: true))
                    condition = IsForEver(_conditions[v]) ? _conditions[v] : VcpuCondition.Starved;
                else
                    condition = !goesOn && _vm.IsDeadlocked() ? VcpuCondition.Deadlocked : VcpuCondition.Hung;
            }

            if (condition == _conditions[v])
                continue;

            if (IsForEver(_conditions[v]) && !IsForEver(condition))
            {
                Totals = Totals with { Recoveries = Totals.Recoveries + 1 };
                Note(FindingKind.VcpuRecovered);
            }

            if (condition == VcpuCondition.Hung)
                Note(FindingKind.VcpuHung);
            if (condition == VcpuCondition.Deadlocked)
                Note(FindingKind.Deadlock);
            if (IsForEver(condition) && !IsForEver(_conditions[v]))
                NoteHang();
            if (condition == VcpuCondition.Starved)
                Note(FindingKind.VcpuStarved);
            _conditions[v] = condition;
            _stalled[v] = condition == VcpuCondition.Running
                ? null
                : new StalledVcpu(_number, v, condition, Sighting.AtTick(_tick, state.InvalidateSeq, vcpu.Page, vcpu.Snapshot));

            void Note(FindingKind kind) =>
                Findings.Add(new(kind, _number, v, Sighting.AtTick(_tick, state.InvalidateSeq, vcpu.Page, vcpu.Snapshot)));
        }

        if (!_conditions.Any(IsForEver))
            _hungSince = null;
    }

    private void NoteHang()
    {
        _hungSince ??= _tick;
        if (!_isHangDue)
            return;
        _isHangDue = false;
        Totals = Totals with
        {
            HangsCaught = Totals.HangsCaught + 1,
            DetectionTicks = Totals.DetectionTicks + (_tick - _crossedTick),
        };
    }

    private static bool IsForEver(VcpuCondition condition) => condition is VcpuCondition.Hung or VcpuCondition.Deadlocked;

    private static uint Take(ref uint bits, int count)
    {
        uint taken = bits % (1u << count);
        bits >>= count;
        return taken;
    }

    /// <summary>A number of so many bits, scaled down to below a bound.</summary>
    private static int Scale(uint number, int bound, int bits) => (int)(number * (uint)bound / (1u << bits));
}

/// <summary>xoshiro128++ as its authors describe it, seeded by SplitMix64 from the run's seed, the VM and its life.</summary>
public sealed class ReferenceRandom
{
    private const ulong Golden = 0x9e3779b97f4a7c15;

    private readonly uint[] _s = new uint[4];

    public ReferenceRandom(ulong seed, int vm, int life)
    {
        ulong state = seed ^ Mix(unchecked((ulong)vm + Golden)) ^ Mix((ulong)life);
        for (int word = 0; word < 4; word++)
        {
            state = unchecked(state + Golden);
            _s[word] = (uint)(Mix(state) >> 32);
        }

        // A state of all zeros would stay so.
        _s[3] |= 1;
    }

    public RandomState State => new(_s[0], _s[1], _s[2], _s[3]);

    public uint Next()
    {
        uint result = unchecked(uint.RotateLeft(_s[0] + _s[3], 7) + _s[0]);
        uint shifted = _s[1] << 9;
        _s[2] ^= _s[0];
        _s[3] ^= _s[1];
        _s[1] ^= _s[2];
        _s[0] ^= _s[3];
        _s[2] ^= shifted;
        _s[3] = uint.RotateLeft(_s[3], 11);
        return result;
    }

    private static ulong Mix(ulong value)
    {
        value = unchecked((value ^ (value >> 30)) * 0xbf58476d1ce4e5b9);
        value = unchecked((value ^ (value >> 27)) * 0x94d049bb133111eb);
        return value ^ (value >> 31);
    }
}
