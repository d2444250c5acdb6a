using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Engine.Tests.Scalar;

/// <summary>
/// One VM of a soak, told plainly: its random stream, how a draw becomes choices, the order of the actors in a tick, and what is
/// worth reporting, found by looking at the VM after each and every step.
/// </summary>
public sealed class ReferenceSoak
{
    private static readonly int[] Boundaries = [31, 32, 63, 64];

    private readonly ReferenceVm _vm;
    private readonly VmParameters _parameters;
    private readonly int _number;
    private readonly uint _stallRetries;
    private readonly ReferenceRandom _random;
    private readonly VcpuCondition[] _conditions;
    private readonly StalledVcpu?[] _stalled;
    private long _tick;

    public ReferenceSoak(ReferenceKernel kernel, VmParameters parameters, ulong seed, uint stallRetries, int number)
    {
        _vm = new ReferenceVm(kernel, parameters);
        _parameters = parameters;
        _number = number;
        _stallRetries = stallRetries;
        _random = new ReferenceRandom(seed, number);
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

    public void PatchKernel(ReferenceKernel kernel) => _vm.PatchKernel(kernel);

    public void Advance(int ticks)
    {
        for (int tick = 0; tick < ticks; tick++)
        {
            Tick();
            _tick++;
            if (_tick % Shard.ObservationTicks == 0)
                JudgeVcpus();
        }

        ReferenceTotals seen = _vm.Totals;
        Totals = Totals with
        {
            Invalidations = seen.Invalidations,
            GuestAccesses = seen.GuestAccesses,
            Fixed = seen.Fixed,
            Retried = seen.Retried,
            OvercautiousRetries = seen.OvercautiousRetries,
            UnjustifiedRetries = seen.UnjustifiedRetries,
            UnsafeInstalls = seen.UnsafeInstalls,
            StaleMappings = seen.StaleMappings,
            AccountingErrors = seen.AccountingErrors,
        };
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
            int nextPage = Scale(Take(ref bits, pageBits), _parameters.Pages, pageBits);
            if (moves)
                Step(v, () => _vm.StepVcpu(v, nextPage));
        }

        for (int i = 0; i < _parameters.Invalidators; i++)
        {
            if (i % InvalidatorsPerDraw == 0)
                bits = _random.Next();
            bool moves = Take(ref bits, 3) != 0;
            int start = Scale(Take(ref bits, pageBits), _parameters.Pages, pageBits);
            int end = Math.Min(start + 1 + Scale(Take(ref bits, pageBits), _parameters.RangePages, pageBits), _parameters.Pages);
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
            slotPages = 1 + Scale(Take(ref bits, pageBits), _parameters.Pages, pageBits);
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
        if (_vm.InvalidateSeq != seqBefore)
            NoteCrossing(_vm.InvalidateSeq);
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
    private void NoteCrossing(ulong seq)
    {
        foreach (int power in Boundaries)
        {
            ulong boundary = power == 64 ? 0 : 1UL << power;
            if (seq != boundary)
                continue;
            if (!_vm.HasFaultInFlight)
            {
                Findings.Add(
                    new(
                        FindingKind.BoundaryCrossedIdle,
                        _number,
                        vcpu: null,
                        Sighting.AtTick(_tick, seq),
                        Boundary.AtPower(power)));
                continue;
            }

            Findings.Add(
                new(FindingKind.BoundaryCrossed, _number, vcpu: null, Sighting.AtTick(_tick, seq), Boundary.AtPower(power)));
            Totals = power switch
            {
                31 => Totals with { Crossings31 = Totals.Crossings31 + 1 },
                32 => Totals with { Crossings32 = Totals.Crossings32 + 1 },
                63 => Totals with { Crossings63 = Totals.Crossings63 + 1 },
                _ => Totals with { Crossings64 = Totals.Crossings64 + 1 },
            };
        }
    }

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
            if (condition == VcpuCondition.Starved)
                Note(FindingKind.VcpuStarved);
            _conditions[v] = condition;
            _stalled[v] = condition == VcpuCondition.Running
                ? null
                : new StalledVcpu(_number, v, condition, Sighting.AtTick(_tick, state.InvalidateSeq, vcpu.Page, vcpu.Snapshot));

            void Note(FindingKind kind) =>
                Findings.Add(new(kind, _number, v, Sighting.AtTick(_tick, state.InvalidateSeq, vcpu.Page, vcpu.Snapshot)));
        }
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

/// <summary>xoshiro128++ as its authors describe it, seeded by SplitMix64 from the run's seed and the VM's number.</summary>
public sealed class ReferenceRandom
{
    private const ulong Golden = 0x9e3779b97f4a7c15;

    private readonly uint[] _s = new uint[4];

    public ReferenceRandom(ulong seed, int vm)
    {
        ulong state = seed ^ Mix(unchecked((ulong)vm + Golden));
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
