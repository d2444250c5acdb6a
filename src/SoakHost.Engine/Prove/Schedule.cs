using System.Globalization;
using SoakHost.Engine.Explore;
using SoakHost.Engine.Timelines;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Prove;

/// <summary>What goes wrong at the end of a schedule.</summary>
internal enum ScheduleEnd
{
    /// <summary>The last step is an unjustified retry, an unsafe install, a stale mapping or an accounting error.</summary>
    DefectiveStep,

    /// <summary>A memslot update and a vCPU wait for each other for ever.</summary>
    Deadlock,

    /// <summary>A vCPU that is left alone from there, with what is in progress ended, is never fixed.</summary>
    Hang,
}

/// <summary>
/// Who moves when, from a new VM to a defect: a way that the explorer found, to be taken again from another counter, or from any.
/// It may have a bridge: so many whole invalidations of one page, one after another, that taking them one by one would take too
/// long.
/// </summary>
/// <param name="Vcpus">vCPUs of the VM.</param>
/// <param name="Invalidators">Its invalidators.</param>
/// <param name="Steps">The steps.</param>
/// <param name="End">What goes wrong.</param>
/// <param name="Stuck">The vCPU that hangs, or -1.</param>
/// <param name="BridgeAt">The number of steps after which the bridge comes, or -1.</param>
internal sealed record Schedule(
    int Vcpus, int Invalidators, IReadOnlyList<ExploreStep> Steps, ScheduleEnd End, int Stuck = -1, int BridgeAt = -1)
{
    /// <summary>
    /// Steps within which a vCPU that is left alone must be fixed; as in the explorer, thrice what a fault needs.
    /// </summary>
    public const int StepsAloneMax = 20;

    /// <summary>Turns within which a memslot update must end: two waits for readers, and its own steps.</summary>
    public const int UpdateTurnsMax = (2 * StepsAloneMax) + 4;

    /// <summary>The schedule of a way that the explorer found.</summary>
    public static Schedule Of(ExploreOptions options, ExploreDefect found) => new(
        options.Vcpus, options.Invalidators, found.Path.Steps,
        found.Path.Hung is null ? ScheduleEnd.DefectiveStep
            : found.Kind == ExploreVerdict.Deadlock ? ScheduleEnd.Deadlock : ScheduleEnd.Hang,
        found.Path.Hung ?? -1);
}

/// <summary>
/// One VM that takes a schedule's steps, in lanes of any kind: numbers to tell the story, terms to ask for which counters it is
/// true.
/// </summary>
internal sealed class ScheduledVm<TKernel, TMemslots, TPages, TLanes>
    where TKernel : struct, IKernel
    where TMemslots : struct, IMemslots
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    private readonly VcpuLanes<TPages, TLanes>[] _vcpus;
    private readonly InvalidatorLanes<TPages, TLanes>[] _invalidators;
    private VmLanes<TPages, TLanes> _vm;

    /// <summary>A new VM whose counter stands at <paramref name="seq"/>.</summary>
    public ScheduledVm(int vcpus, int invalidators, Counter<TLanes> seq)
    {
        _vcpus = new VcpuLanes<TPages, TLanes>[vcpus];
        _invalidators = new InvalidatorLanes<TPages, TLanes>[invalidators];
        new VmState(new VmParameters { Vcpus = vcpus, Invalidators = invalidators })
            .Write<TKernel, TPages, TLanes>(ref _vm, _vcpus, _invalidators, 0);
        _vm.InvalidateSeq = seq;
    }

    private ScheduledVm(ScheduledVm<TKernel, TMemslots, TPages, TLanes> other) =>
        (_vm, _vcpus, _invalidators) = (other._vm, [.. other._vcpus], [.. other._invalidators]);

    /// <summary>The counter.</summary>
    public Counter<TLanes> Seq
    {
        get => _vm.InvalidateSeq;
        set => _vm.InvalidateSeq = value;
    }

    /// <summary>What the last step counted.</summary>
    public ref readonly TotalsLanes<TLanes> Totals => ref _vm.Totals;

    /// <summary>The whole VM but for its vCPUs and invalidators.</summary>
    public VmLanes<TPages, TLanes> Vm => _vm;

    /// <summary>The vCPUs.</summary>
    public ReadOnlySpan<VcpuLanes<TPages, TLanes>> Vcpus => _vcpus;

    /// <summary>The invalidators.</summary>
    public ReadOnlySpan<InvalidatorLanes<TPages, TLanes>> Invalidators => _invalidators;

    /// <summary>A copy that shares nothing.</summary>
    public ScheduledVm<TKernel, TMemslots, TPages, TLanes> Copy() => new(this);

    /// <summary>Takes one step.</summary>
    public void Take(ExploreStep step)
    {
        TLanes moves = TLanes.Broadcast(uint.MaxValue);
        _vm.Totals = default;
        if (step.Actor < _vcpus.Length)
        {
            Protocol<TKernel, TMemslots, TPages, TLanes>.StepVcpu(
                ref _vm, ref _vcpus[step.Actor], step.Actor, moves, TPages.Page(TLanes.Broadcast((uint)step.First)));
        }
        else if (step.Actor < _vcpus.Length + _invalidators.Length)
        {
            var own = new PageRange<TPages, TLanes>(
                ~TPages.Below(TLanes.Broadcast((uint)step.First)), TPages.Below(TLanes.Broadcast((uint)step.End)));
            Protocol<TKernel, TMemslots, TPages, TLanes>.StepInvalidator(
                ref _vm, _vcpus, _invalidators, step.Actor - _vcpus.Length, moves, own);
        }
        else
        {
            Protocol<TKernel, TMemslots, TPages, TLanes>.StepMemslotUpdater(
                ref _vm, _vcpus, moves, TPages.Below(TLanes.Broadcast((uint)step.End)));
        }
    }

    /// <summary>One whole invalidation of a page by invalidator 0.</summary>
    public void Round(int page)
    {
        // Lanes of a known schedule hold known phases.
        do
            Take(new(_vcpus.Length, page, page + 1));
        while (IsInProgress(0));
    }

    /// <summary>
    /// One turn of a memslot update that is under way: the updater's step, and one of each vCPU that it waits for.
    /// </summary>
    public void TakeUpdateTurn()
    {
        _vm.Totals = default;
        Protocol<TKernel, TMemslots, TPages, TLanes>.StepMemslotUpdater(
            ref _vm, _vcpus, _vm.MemslotUpdate.IsUnderWay, default);
        for (int v = 0; v < _vcpus.Length; v++)
        {
            TLanes isAwaited = ~TLanes.IsZero(_vm.FaultFlags & TLanes.Broadcast(FaultFlags.Awaited(v)));
            Protocol<TKernel, TMemslots, TPages, TLanes>.StepVcpu(ref _vm, ref _vcpus[v], v, isAwaited, _vcpus[v].Page);
        }
    }

    /// <summary>Whether an invalidator is between begin and end, in lane 0.</summary>
    public bool IsInProgress(int invalidator)
    {
        ref readonly InvalidatorLanes<TPages, TLanes> lanes = ref _invalidators[invalidator];
        return (lanes.AtZap | lanes.AtChange | lanes.AtEnd)[0] != 0;
    }

    /// <summary>The state, where the lanes hold numbers.</summary>
    public VmState Read() => VmState.Read<TKernel, TPages, TLanes>(in _vm, _vcpus, _invalidators, 0);
}

/// <summary>Narrates a schedule with numbers.</summary>
internal static class ScheduleNarrator
{
    /// <summary>Takes the steps from a counter, and narrates them.</summary>
    /// <param name="schedule">The schedule.</param>
    /// <param name="start">Where the counter starts.</param>
    /// <param name="bridge">How many invalidations the bridge has.</param>
    /// <returns>The story, or null where nothing goes wrong at its end.</returns>
    public static Timeline? Tell<TKernel, TMemslots, TPages>(Schedule schedule, ulong start, ulong bridge)
        where TKernel : struct, IKernel
        where TMemslots : struct, IMemslots
        where TPages : unmanaged, IPages<TPages, Lanes32>
    {
        var vm = new ScheduledVm<TKernel, TMemslots, TPages, Lanes32>(
            schedule.Vcpus, schedule.Invalidators, default(Counter<Lanes32>).With(0, start));
        List<TimelineStep> steps = [];
        for (int i = 0; i <= schedule.Steps.Count; i++)
        {
            if (i == schedule.BridgeAt)
                steps.Add(Cross(vm, bridge, steps.Count + 1));
            if (i < schedule.Steps.Count)
                NarrateStep(vm, schedule.Steps[i], steps);
        }

        return steps.Count > 0 && steps[^1].IsDefect ? new(TKernel.Info.Name, [.. steps], steps[^1].Explanation) : null;
    }

    private static void NarrateStep<TKernel, TMemslots, TPages>(
        ScheduledVm<TKernel, TMemslots, TPages, Lanes32> vm, ExploreStep step, List<TimelineStep> steps)
        where TKernel : struct, IKernel
        where TMemslots : struct, IMemslots
        where TPages : unmanaged, IPages<TPages, Lanes32>
    {
        VmState before = vm.Read();
        vm.Take(step);
        StepCounts counts = StepCounts.Read(vm.Totals, default, 0);
        if (Narrator.Tell(Kernel.Of<TKernel>(), steps.Count + 1, step.Actor, before, vm.Read(), counts) is { } narrated)
            steps.Add(narrated);
    }

    private static TimelineStep Cross<TKernel, TMemslots, TPages>(
        ScheduledVm<TKernel, TMemslots, TPages, Lanes32> vm, ulong times, int number)
        where TKernel : struct, IKernel
        where TMemslots : struct, IMemslots
        where TPages : unmanaged, IPages<TPages, Lanes32>
    {
        ulong from = vm.Seq[0];
        vm.Round(0);
        vm.Seq = vm.Seq.With(0, unchecked(from + times));
        VmState after = vm.Read();
        return new TimelineStep
        {
            Tick = number,
            Actor = "invalidator 0",
            Action = string.Create(
                CultureInfo.InvariantCulture,
                $"invalidates page 0 {times:N0} times: the counter goes from {Narrator.Hex(from)} "
                + $"to {Narrator.Hex(after.InvalidateSeq)}, "
                + $"and nothing else differs after one of them and after all"),
            InvalidateSeq = after.InvalidateSeq,
            InProgress = after.InProgress,
            Range = (after.RangeStart, after.RangeEnd),
            Mapped = after.Mapped,
        };
    }
}
