using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.Intrinsics;
using SoakHost.Engine.Cohorts;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Soak;

/// <summary>How a shard is cut and watched.</summary>
public sealed record ShardOptions
{
    /// <summary>The run's seed.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Consecutive retries from which on a vCPU is stalled, 2 to 2^30. Default 1000.</summary>
    public uint StallRetries { get; init; } = 1000;

    /// <summary>The part of the fleet that the shard is of. Default: all of it.</summary>
    public FleetPart Part { get; init; } = FleetPart.Whole;

    /// <summary>Width of the vectors in bits: 32 (no vectors), 128, 256 or 512. Default: the widest this machine has.</summary>
    public int VectorBits { get; init; } = WidestVectorBits;

    /// <summary>The widest vectors that this machine has instructions for.</summary>
    public static int WidestVectorBits =>
        Vector512.IsHardwareAccelerated ? 512
        : Vector256.IsHardwareAccelerated ? 256
        : Vector128.IsHardwareAccelerated ? 128 : 32;
}

/// <summary>
/// A block of VMs of one cohort that are advanced together. Not safe for use by several threads at once; what others may read is
/// a
/// <see cref="ShardSnapshot"/>.
/// </summary>
public abstract class Shard
{
    /// <summary>
    /// Every so many ticks a shard looks at its VMs: crossings, stalls, first unsafe installs. The grid is fixed, so that
    /// findings do not depend on how long slices are.
    /// </summary>
    public const int ObservationTicks = 1024;

    // Retry counts are cut here, far above any threshold and far below an overflow.
    internal const uint RetriesMax = 1u << 30;

    // In the order in which they take effect.
    private readonly List<ShardIntervention> _scheduled = [];

    // What every life starts as, but for its counter.
    private readonly VmState _start;

    private protected Shard(SimulatedCohort cohort, int firstVm, int vms, ShardOptions options)
    {
        Cohort = cohort;
        FirstVm = firstVm;
        Vms = vms;
        Options = options;
        _start = new VmState(cohort.Vm);
        Lives = new VmLives(cohort, vms);
    }

    /// <summary>The cohort the VMs belong to.</summary>
    public SimulatedCohort Cohort { get; private set; }

    /// <summary>The number, in its cohort, of the first VM.</summary>
    public int FirstVm { get; }

    /// <summary>The distance between the numbers of two VMs that follow each other.</summary>
    public int VmStride => Options.Part.Count;

    /// <summary>Number of VMs. It can only fall; a shard without any is over, and stands still.</summary>
    public int Vms { get; private protected set; }

    /// <summary>Ticks since the start of the run.</summary>
    public long Tick { get; private protected set; }

    /// <summary>The kernel that the VMs run now.</summary>
    public abstract Kernel Kernel { get; }

    internal ShardOptions Options { get; }

    /// <summary>The numbers, in the cohort, of its VMs, lowest first.</summary>
    public IEnumerable<int> VmNumbers => Enumerable.Range(0, Vms).Select(NumberOf);

    /// <summary>Whether a VM of that number is in the shard.</summary>
    /// <param name="vm">The VM's number in its cohort.</param>
    public bool Has(int vm) =>
        vm >= FirstVm && IndexOf(vm) < Vms && (vm - FirstVm) % VmStride == 0;

    /// <summary>The number, in the cohort, of the VM at a place in the shard.</summary>
    internal int NumberOf(int index) => FirstVm + (index * VmStride);

    /// <summary>The place in the shard of a VM of a number.</summary>
    internal int IndexOf(int vm) => (vm - FirstVm) / VmStride;

    /// <summary>What is remembered of the VMs' lives.</summary>
    internal VmLives Lives { get; }

    /// <summary>Builds a shard whose VMs are at the start of their history.</summary>
    /// <param name="cohort">The cohort, valid.</param>
    /// <param name="firstVm">The number of the first VM.</param>
    /// <param name="vms">How many, at least 1.</param>
    /// <param name="options">Seed, threshold and width.</param>
    public static Shard Create(SimulatedCohort cohort, int firstVm, int vms, ShardOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(vms, 1);
        bool oneWord = cohort.Vm.Pages <= Pages32<Lanes32>.Capacity;
        return (options.VectorBits, oneWord) switch
        {
            (32, true) => new Shard<Pages32<Lanes32>, Lanes32>(cohort, firstVm, vms, options),
            (32, false) => new Shard<Pages64<Lanes32>, Lanes32>(cohort, firstVm, vms, options),
            (128, true) => new Shard<Pages32<Lanes128>, Lanes128>(cohort, firstVm, vms, options),
            (128, false) => new Shard<Pages64<Lanes128>, Lanes128>(cohort, firstVm, vms, options),
            (256, true) => new Shard<Pages32<Lanes256>, Lanes256>(cohort, firstVm, vms, options),
            (256, false) => new Shard<Pages64<Lanes256>, Lanes256>(cohort, firstVm, vms, options),
            (512, true) => new Shard<Pages32<Lanes512>, Lanes512>(cohort, firstVm, vms, options),
            (512, false) => new Shard<Pages64<Lanes512>, Lanes512>(cohort, firstVm, vms, options),
            _ => throw new ArgumentOutOfRangeException(
                nameof(options),
                options.VectorBits,
                "vectors are 32, 128, 256 or 512 bits wide"),
        };
    }

    /// <summary>
    /// Advances every VM. Does not allocate unless something is found. Stops where an intervention takes the last VM away.
    /// </summary>
    /// <param name="ticks">A multiple of <see cref="ObservationTicks"/>.</param>
    public void Advance(int ticks)
    {
        ThrowUnlessOnGrid(ticks);
        for (long end = Tick + ticks; Tick < end && Vms > 0;)
        {
            int undisturbed = ApplyDue(end);
            if (Vms > 0)
                AdvanceUndisturbed(undisturbed);
        }
    }

    /// <summary>
    /// The same as <see cref="Advance"/>, and tells of each step of the first VM. Slow: for following one VM.
    /// </summary>
    internal void AdvanceTraced(int ticks, IStepListener listener)
    {
        ThrowUnlessOnGrid(ticks);
        for (long end = Tick + ticks; Tick < end && Vms > 0;)
        {
            int undisturbed = ApplyDue(end);
            if (Vms > 0)
                AdvanceUndisturbedTraced(undisturbed, listener);
        }
    }

    /// <summary>
    /// Has an intervention take effect at its tick: before the first step of that tick, and after interventions of the same tick
    /// that were scheduled earlier. One that is for a VM of another shard, or comes to a shard that is over, is passed over.
    /// </summary>
    /// <exception cref="InvalidInterventionException">The intervention is not valid, or its tick is past.</exception>
    public void Schedule(ShardIntervention intervention)
    {
        intervention.ThrowUnlessValid();
        if (intervention.Tick < Tick)
            throw new InvalidInterventionException($"tick {intervention.Tick} is past: the shard is at tick {Tick}");
        if (Vms == 0 || (intervention.Vm is { } vm && !Has(vm)))
            return;
        int after = _scheduled.FindLastIndex(earlier => earlier.Tick <= intervention.Tick);
        _scheduled.Insert(after + 1, intervention);
    }

    private static void ThrowUnlessOnGrid(int ticks)
    {
        if (ticks % ObservationTicks != 0)
            throw new ArgumentOutOfRangeException(nameof(ticks), ticks, $"a slice is a multiple of {ObservationTicks} ticks");
    }

    /// <summary>
    /// Applies the interventions of this tick, and returns the ticks from here to the next intervention or the end. A shard that
    /// an intervention leaves without VMs is over: what comes after, at the same tick too, is none of its.
    /// </summary>
    private int ApplyDue(long end)
    {
        while (Vms > 0 && _scheduled.Count > 0 && _scheduled[0].Tick == Tick)
        {
            ShardIntervention due = _scheduled[0];
            _scheduled.RemoveAt(0);
            Apply(due);
        }

        return (int)((_scheduled.Count > 0 ? Math.Min(end, _scheduled[0].Tick) : end) - Tick);
    }

    private void Apply(ShardIntervention intervention)
    {
        // The VM may have gone since the intervention was scheduled; the one that has its number now is another shard's.
        if (intervention.Vm is { } one && !Has(one))
            return;
        switch (intervention.Kind)
        {
            case InterventionKind.PatchKernel:
                for (int index = 0; index < Vms; index++)
                    Lives.ForgetCrossing(index);
                PatchKernel(intervention.Kernel!);
                break;
            case InterventionKind.PauseInvalidations:
                MayInvalidate = false;
                break;
            case InterventionKind.ResumeInvalidations:
                MayInvalidate = true;
                break;
            case InterventionKind.UpdateMemslots:
                UpdateMemslots(intervention.Vm);
                break;
            case InterventionKind.ResizeCohort or InterventionKind.RemoveCohort:
                Shrink(Math.Clamp((intervention.Vms - FirstVm + VmStride - 1) / VmStride, 0, Vms));
                break;
            case InterventionKind.AddCohort:
                break;
            default:
                foreach (int vm in intervention.Vm is { } single ? [single] : VmNumbers)
                {
                    Lives.ForgetCrossing(IndexOf(vm));
                    Write(vm, Change(Read(vm), intervention));
                }

                break;
        }
    }

    private VmState Change(VmState state, ShardIntervention intervention)
    {
        if (intervention.Kind == InterventionKind.Migrate)
        {
            var arrived = new VmState(Cohort.Vm);
            for (int v = 0; v < arrived.Vcpus.Length; v++)
                arrived.Vcpus[v] = new VcpuState { Page = state.Vcpus[v].Page };
            state = arrived;
        }

        for (int v = 0; v < state.Vcpus.Length; v++)
            state.Vcpus[v] = state.Vcpus[v] with { Phase = VcpuPhase.Access, Awaited = false };
        state.InvalidateSeq = intervention.InvalidateSeq;
        return state;
    }

    private protected abstract void AdvanceUndisturbed(int ticks);

    private protected abstract void AdvanceUndisturbedTraced(int ticks, IStepListener listener);

    private protected abstract void UpdateMemslots(int? vm);

    /// <summary>Lets the VMs with the highest numbers go, so that so many are left. What they did stays in the totals.</summary>
    internal abstract void Shrink(int vms);

    /// <summary>
    /// Totals, counters, conditions and findings as they are now. Takes the findings: the next snapshot has later ones alone.
    /// </summary>
    public abstract ShardSnapshot TakeSnapshot();

    /// <summary>
    /// Whether new invalidations and memslot updates may begin; those in progress end in any case. Initially true.
    /// </summary>
    public abstract bool MayInvalidate { get; set; }

    /// <summary>
    /// Goes on with another kernel, as a live patch does: a fault in flight is taken again under the new one, and the old one
    /// first completes the zaps that it has begun.
    /// </summary>
    public abstract void PatchKernel(Kernel kernel);

    /// <summary>Sums over the VMs.</summary>
    internal abstract Totals Totals { get; }

    /// <summary>Incidents among the findings that snapshots have given out.</summary>
    internal abstract IncidentCounts Reported { get; }

    /// <summary>The interleavings of crossings that are told apart, under the kernel that the VMs run now.</summary>
    internal abstract Interleavings Interleavings { get; }

    /// <summary>One VM's state, by its number in the cohort.</summary>
    public abstract VmState Read(int vm);

    /// <summary>One VM's place in its random stream.</summary>
    public abstract RandomState ReadRandom(int vm);

    /// <summary>Overwrites one VM's state.</summary>
    public abstract void Write(int vm, VmState state);

    /// <summary>Puts one VM's random stream at a place.</summary>
    internal abstract void WriteRandom(int vm, RandomState state);

    /// <summary>What was seen so far.</summary>
    internal abstract ObserverState ReadObserver();

    /// <summary>Overwrites what was seen so far.</summary>
    internal abstract void WriteObserver(ObserverState state);

    /// <summary>
    /// Makes a new shard stand at a tick of its cohort, whose first kernel may be another than the one the shard was built with.
    /// </summary>
    internal void Restart(SimulatedCohort cohort, long tick)
    {
        (Cohort, Tick) = (cohort, tick);
        Lives.StartAll(tick);
    }

    /// <summary>Puts a VM of a new shard where its origin is.</summary>
    /// <exception cref="ShardStateException">The origin's state is damaged, or of another shape of VM.</exception>
    internal void Begin(int vm, VmOrigin origin)
    {
        Lives[IndexOf(vm)] = new VmLife { Number = origin.Life, StartTick = origin.LifeTick };
        (VmState state, RandomState random) = origin.IsStart
            ? (StartOf(vm, origin.Life), RandomStream.Start(Options.Seed, vm, origin.Life))
            : ShardState.RestoreOrigin(origin, Cohort.Vm);
        Write(vm, state);
        WriteRandom(vm, random);
        BoundChoices(IndexOf(vm));
    }

    /// <summary>Overwrites what is remembered of a VM's present life.</summary>
    internal void WriteLife(int vm, VmLife life, VmOrigin origin, ushort reported)
    {
        int index = IndexOf(vm);
        Lives[index] = life;
        Lives.SetOrigin(index, origin);
        Lives.WriteReported(index, reported);
        BoundChoices(index);
    }

    /// <summary>Has a VM choose from what the shape of its life has.</summary>
    private protected abstract void BoundChoices(int index);

    /// <summary>What a life starts as, to be written to its lane at once: the next call changes it.</summary>
    private protected VmState StartOf(long vm, int life)
    {
        _start.InvalidateSeq = Cohort.CounterOf(vm, life);
        return _start;
    }
}

/// <inheritdoc/>
internal sealed class Shard<TPages, TLanes> : Shard
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    private readonly Observer<TPages, TLanes> _observer;
    private AlignedArray<VmLanes<TPages, TLanes>> _vms;
    private AlignedArray<VcpuLanes<TPages, TLanes>> _vcpus;
    private AlignedArray<InvalidatorLanes<TPages, TLanes>> _invalidators;
    private AlignedArray<RandomLanes<TLanes>> _randoms;
    private int _groups;
    private SoakProgram<TPages, TLanes> _program;

    // Of each group; of all of them together where every life has the same shape.
    private AlignedArray<ChoiceBounds<TPages, TLanes>> _bounds;
    private bool _mayInvalidate = true;

    // Whether memslots were ever updated on request: then the program must be one that knows of updates and obsolete roots.
    private bool _hasObsoleteRoots;

    public Shard(SimulatedCohort cohort, int firstVm, int vms, ShardOptions options)
        : base(cohort, firstVm, vms, options)
    {
        Allocate(vms);
        _program = ProgramOf(cohort.Kernel, _hasObsoleteRoots);
        BoundChoices();
        _observer = new(cohort, firstVm, vms, options, Lives);

        // The lanes beyond the last VM run VMs of their own that nobody looks at.
        for (int vm = 0; vm < _groups * TLanes.Count; vm++)
        {
            VmGroup<TPages, TLanes> group = Group(vm / TLanes.Count);
            long number = firstVm + ((long)vm * VmStride);
            _program.Write(group, vm % TLanes.Count, StartOf(number, life: 0));
            group.Random.Write(vm % TLanes.Count, RandomStream.Start(options.Seed, number, life: 0));
        }
    }

    public override Kernel Kernel => _program.Kernel;

    internal override Totals Totals => _observer.Totals;

    internal override IncidentCounts Reported => _observer.Reported;

    internal override Interleavings Interleavings => _observer.Interleavings;

    public override bool MayInvalidate
    {
        get => _mayInvalidate;
        set
        {
            _mayInvalidate = value;
            BoundChoices();
        }
    }

    private protected override void AdvanceUndisturbed(int ticks)
    {
        // Group by group through the whole slice, so that the state stays in the first-level cache while it is worked on.
        VmGroup<TPages, TLanes> before = Group(_groups);
        for (int g = 0; g < _groups; g++)
        {
            VmGroup<TPages, TLanes> group = Group(g);
            for (int done = 0; done < ticks; done += ObservationTicks)
            {
                before.CopyFrom(group);
                _program.Advance(group, BoundsOf(g), ObservationTicks);
                Look(before, group, g * TLanes.Count, Tick + done);
            }
        }

        Tick += ticks;
    }

    /// <summary>Looks at a group at the end of an interval.</summary>
    private void Look(in VmGroup<TPages, TLanes> before, in VmGroup<TPages, TLanes> group, int firstIndex, long tick)
    {
        _observer.Observe(_program, BoundsOf(firstIndex / TLanes.Count), before, group, firstIndex, tick);
        if ((tick + ObservationTicks) % VmLives.GridTicks == 0)
            EndLives(group, firstIndex, tick + ObservationTicks);
    }

    /// <summary>
    /// Replaces the VMs of a group whose lives are over, unless invalidations are paused, and renews the origins of long lives.
    /// </summary>
    private void EndLives(in VmGroup<TPages, TLanes> group, int firstIndex, long tick)
    {
        if (!Lives.HaveEnds && tick % VmLives.OriginTicks != 0)
            return;
        int lanes = Math.Min(TLanes.Count, Vms - firstIndex);
        for (int lane = 0; lane < lanes; lane++)
        {
            int index = firstIndex + lane;
            bool isOver = _mayInvalidate && Lives.HaveEnds && Lives.IsOver(index, group.Vm.InvalidateSeq[lane], tick);
            if ((!isOver && !Lives.IsOriginDue(index, tick)) || IsAnySuspect(group, lane))
                continue;
            if (isOver)
                StartNextLife(group, lane, index, tick);
            else
                Lives.SetOrigin(
                    index, ShardState.KeepOrigin(Lives[index], tick, _program.Read(group, lane), group.Random.Read(lane)));
        }
    }

    /// <summary>Whether a vCPU may be on its way to a hang.</summary>
    private bool IsAnySuspect(in VmGroup<TPages, TLanes> group, int lane)
    {
        foreach (ref VcpuLanes<TPages, TLanes> vcpu in group.Vcpus)
        {
            if (vcpu.ConsecutiveRetries[lane] is >= VmLives.SuspectRetries and var retries && retries < Options.StallRetries)
                return true;
        }

        return false;
    }

    private void StartNextLife(in VmGroup<TPages, TLanes> group, int lane, int index, long tick)
    {
        _observer.EndLife(index, tick, _program, group, lane);
        Lives.StartNext(index, tick);
        int vm = NumberOf(index);
        _program.Write(group, lane, StartOf(vm, Lives[index].Number));
        group.Random.Write(lane, RandomStream.Start(Options.Seed, vm, Lives[index].Number));
        BoundChoices(index);
    }

    private VmParameters ShapeOf(int index) => Cohort.ShapeOf(Options.Seed, NumberOf(index), Lives[index].Number);

    private ref ChoiceBounds<TPages, TLanes> BoundsOf(int group) => ref _bounds.Span[Cohort.HasShapes ? group : 0];

    /// <summary>Has each VM choose from what the shape of its life has.</summary>
    [MemberNotNull(nameof(_bounds))]
    private void BoundChoices()
    {
        var all = new ChoiceBounds<TPages, TLanes>(Cohort.Vm, _mayInvalidate);
        _bounds = new(Cohort.HasShapes ? Math.Max(_groups, 1) : 1);
        _bounds.Span.Fill(all);
        for (int index = 0; index < Vms; index++)
            BoundChoices(index);
    }

    private protected override void BoundChoices(int index)
    {
        if (!Cohort.HasShapes)
            return;
        ref ChoiceBounds<TPages, TLanes> bounds = ref BoundsOf(index / TLanes.Count);
        bounds = bounds.With(index % TLanes.Count, ShapeOf(index));
    }

    private protected override void AdvanceUndisturbedTraced(int ticks, IStepListener listener)
    {
        VmGroup<TPages, TLanes> before = Group(_groups), group = Group(0);
        for (int done = 0; done < ticks; done += ObservationTicks)
        {
            before.CopyFrom(group);
            var tracer = new StepTracer<TPages, TLanes>(_program, group, Tick + done, listener);
            _program.AdvanceObserved(group, BoundsOf(0), ObservationTicks, ref tracer);
            Look(before, group, firstIndex: 0, Tick + done);
        }

        Tick += ticks;
    }

    public override ShardSnapshot TakeSnapshot()
    {
        ImmutableArray<ulong>.Builder seqs = ImmutableArray.CreateBuilder<ulong>(Vms);
        for (int vm = 0; vm < Vms; vm++)
            seqs.Add(_vms.Span[vm / TLanes.Count].InvalidateSeq[vm % TLanes.Count]);
        return _observer.TakeSnapshot(Tick, Kernel, seqs.MoveToImmutable()) with { InvalidationsPaused = !_mayInvalidate };
    }

    public override void PatchKernel(Kernel kernel)
    {
        SoakProgram<TPages, TLanes> program = ProgramOf(kernel, _hasObsoleteRoots);
        for (int g = 0; g < _groups; g++)
            _program.CompleteZaps(Group(g));
        for (int vm = 0; vm < Vms; vm++)
        {
            VmGroup<TPages, TLanes> group = Group(vm / TLanes.Count);
            VmState state = _program.Read(group, vm % TLanes.Count);
            for (int v = 0; v < state.Vcpus.Length; v++)
                state.Vcpus[v] = state.Vcpus[v] with { Phase = VcpuPhase.Access, Awaited = false };
            program.Write(group, vm % TLanes.Count, state);
        }

        _program = program;
        _observer.PatchKernel(Interleavings.Of(kernel, Cohort.Vm));
    }

    public override VmState Read(int vm) => _program.Read(GroupOf(vm, out int lane), lane);

    public override RandomState ReadRandom(int vm) => GroupOf(vm, out int lane).Random.Read(lane);

    public override void Write(int vm, VmState state)
    {
        if (state.RootGeneration != 0 || state.MemslotUpdater != MemslotUpdaterPhase.Idle)
            KnowObsoleteRoots();
        _program.Write(GroupOf(vm, out int lane), lane, state);
    }

    internal override void WriteRandom(int vm, RandomState state) => GroupOf(vm, out int lane).Random.Write(lane, state);

    internal override ObserverState ReadObserver() => _observer.ReadState();

    internal override void WriteObserver(ObserverState state) => _observer.WriteState(state);

    private protected override void UpdateMemslots(int? vm)
    {
        KnowObsoleteRoots();
        if (vm is { } one)
        {
            VmGroup<TPages, TLanes> its = GroupOf(one, out int lane);
            _program.UpdateMemslots(its, BoundsOf(IndexOf(one) / TLanes.Count), default(TLanes).With(lane, uint.MaxValue));
            return;
        }

        for (int g = 0; g < _groups; g++)
            _program.UpdateMemslots(Group(g), BoundsOf(g), TLanes.Broadcast(uint.MaxValue));
    }

    internal override void Shrink(int vms)
    {
        if (vms == Vms)
            return;
        _observer.Shrink(vms, Tick, Read);
        Vms = vms;

        // What is still needed stays where it is; a shard that is over holds next to nothing.
        if (vms == 0)
            Allocate(0);
        else
            _groups = GroupsOf(vms);
    }

    [MemberNotNull(nameof(_vms), nameof(_vcpus), nameof(_invalidators), nameof(_randoms))]
    private void Allocate(int vms)
    {
        _groups = GroupsOf(vms);

        // One group more than there are VMs for: where the observer goes back to, to run an interval again.
        _vms = new(_groups + 1);
        _vcpus = new((_groups + 1) * Cohort.Vm.Vcpus);
        _invalidators = new((_groups + 1) * Cohort.Vm.Invalidators);
        _randoms = new(_groups + 1);
    }

    private static int GroupsOf(int vms) => (vms + TLanes.Count - 1) / TLanes.Count;

    private void KnowObsoleteRoots()
    {
        if (_hasObsoleteRoots)
            return;
        _hasObsoleteRoots = true;
        _program = ProgramOf(Kernel, hasObsoleteRoots: true);
    }

    private VmGroup<TPages, TLanes> GroupOf(int vm, out int lane)
    {
        if (!Has(vm))
        {
            string step = VmStride == 1 ? "" : $" in steps of {VmStride}";
            throw new ArgumentOutOfRangeException(
                nameof(vm), vm, $"this shard has VMs {FirstVm} to {NumberOf(Vms - 1)}{step}");
        }

        int index = IndexOf(vm);
        lane = index % TLanes.Count;
        return Group(index / TLanes.Count);
    }

    private VmGroup<TPages, TLanes> Group(int group)
    {
        VmParameters shape = Cohort.Vm;
        return new(
            ref _vms.Span[group],
            _vcpus.Span.Slice(group * shape.Vcpus, shape.Vcpus),
            _invalidators.Span.Slice(group * shape.Invalidators, shape.Invalidators),
            ref _randoms.Span[group]);
    }

    private SoakProgram<TPages, TLanes> ProgramOf(Kernel kernel, bool hasObsoleteRoots) =>
        kernel.Accept(new ProgramBuilder(Cohort.Vm.MemslotUpdates, hasObsoleteRoots));

    private sealed class ProgramBuilder(bool memslotUpdates, bool hasObsoleteRoots) : IKernelVisitor<SoakProgram<TPages, TLanes>>
    {
        public SoakProgram<TPages, TLanes> Visit<TKernel>()
            where TKernel : struct, IKernel => memslotUpdates
                ? new SoakProgram<TKernel, UpdatedMemslots, TPages, TLanes>()
                : hasObsoleteRoots
                    ? new SoakProgram<TKernel, MemslotsUpdatedOnRequest, TPages, TLanes>()
                    : new SoakProgram<TKernel, FixedMemslots, TPages, TLanes>();
    }
}
