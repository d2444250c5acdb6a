using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;
using Pages = SoakHost.Model.Lanes.Pages32<SoakHost.Model.Lanes.Lanes32>;

namespace SoakHost.Engine.Explore;

/// <summary>The model's steps, one at a time.</summary>
internal static class Steps<TKernel, TMemslots>
    where TKernel : struct, IKernel
    where TMemslots : struct, IMemslots
{
    /// <summary>A new VM.</summary>
    public static State Start(ExploreOptions options)
    {
        var state = new State(options.Vcpus, options.Invalidators);
        var start = new VmState(new VmParameters
        {
            Vcpus = options.Vcpus,
            Invalidators = options.Invalidators,
            Pages = options.Pages,
            InvalidateSeqStart = options.Start,
        });
        start.Write<TKernel, Pages, Lanes32>(ref state.Vm, state.Vcpus, state.Invalidators, 0);
        return state;
    }

    /// <summary>Takes one step; the VM's totals then hold what that step showed, and nothing else.</summary>
    public static void Take(State state, Action action)
    {
        state.Vm.Totals = default;
        Lanes32 moves = Lanes32.Broadcast(uint.MaxValue);
        int invalidator = action.Actor - state.Vcpus.Length;
        if (invalidator < 0)
        {
            Protocol<TKernel, TMemslots, Pages, Lanes32>.StepVcpu(
                ref state.Vm,
                ref state.Vcpus[action.Actor],
                action.Actor,
                moves,
                Pages.Page(Lanes32.Broadcast((uint)action.First)));
        }
        else if (invalidator < state.Invalidators.Length)
        {
            if (State.IsIdleAt(state.Invalidators[invalidator]))
                state.Begun++;
            var own = new PageRange<Pages, Lanes32>(
                ~Pages.Below(Lanes32.Broadcast((uint)action.First)), Pages.Below(Lanes32.Broadcast((uint)action.End)));
            Protocol<TKernel, TMemslots, Pages, Lanes32>.StepInvalidator(
                ref state.Vm, state.Vcpus, state.Invalidators, invalidator, moves, own);
        }
        else
        {
            if (!state.IsUpdatingMemslots)
                state.Updated++;
            Protocol<TKernel, TMemslots, Pages, Lanes32>.StepMemslotUpdater(
                ref state.Vm, state.Vcpus, moves, Pages.Below(Lanes32.Broadcast((uint)action.End)));
        }
    }
}
