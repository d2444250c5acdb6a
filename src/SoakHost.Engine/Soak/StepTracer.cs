using SoakHost.Engine.Timelines;
using SoakHost.Model;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Soak;

/// <summary>Hears of each step of one VM.</summary>
internal interface IStepListener
{
    /// <summary>Called after each actor's turn, whether it moved or not.</summary>
    void Stepped(long tick, int actor, VmState before, VmState after, StepCounts counts);
}

/// <summary>Reads the first VM of a group after each step and tells a listener.</summary>
internal struct StepTracer<TPages, TLanes> : IStepObserver<TPages, TLanes>
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    private readonly SoakProgram<TPages, TLanes> _program;
    private readonly IStepListener _listener;
    private readonly long _firstTick;
    private VmState _before;
    private TotalsLanes<TLanes> _totals;

    public StepTracer(
        SoakProgram<TPages, TLanes> program,
        in VmGroup<TPages, TLanes> group,
        long firstTick,
        IStepListener listener)
    {
        (_program, _listener, _firstTick) = (program, listener, firstTick);
        _before = program.Read(group, 0);
        _totals = group.Vm.Totals;
    }

    public void Stepped(in VmGroup<TPages, TLanes> group, int tick, int actor)
    {
        VmState after = _program.Read(group, 0);
        _listener.Stepped(_firstTick + tick, actor, _before, after, StepCounts.Read(group.Vm.Totals, _totals, 0));
        (_before, _totals) = (after, group.Vm.Totals);
    }
}
