using SoakHost.Model;
using SoakHost.Model.Lanes;
using Pages = SoakHost.Model.Lanes.Pages32<SoakHost.Model.Lanes.Lanes32>;

namespace SoakHost.Engine.Explore;

/// <summary>One VM, spelled out, in which the model's steps can be taken.</summary>
internal sealed class State(int vcpus, int invalidators)
{
    public VmLanes<Pages, Lanes32> Vm;

    public readonly VcpuLanes<Pages, Lanes32>[] Vcpus = vcpus == 0 ? [] : new VcpuLanes<Pages, Lanes32>[vcpus];

    public readonly InvalidatorLanes<Pages, Lanes32>[] Invalidators = new InvalidatorLanes<Pages, Lanes32>[invalidators];

    /// <summary>Invalidations that have begun.</summary>
    public int Begun;

    /// <summary>Memslot updates so far.</summary>
    public int Updated;

    /// <summary>Whether no invalidator is between begin and end.</summary>
    public bool IsIdle => Array.TrueForAll(Invalidators, IsIdleAt);

    public bool IsUpdatingMemslots => Vm.MemslotUpdate.IsUnderWay[0] != 0;

    public static bool IsIdleAt(InvalidatorLanes<Pages, Lanes32> invalidator) =>
        (invalidator.AtZap | invalidator.AtChange | invalidator.AtEnd)[0] == 0;

    /// <summary>Takes over all but the vCPUs.</summary>
    public void CopySharedFrom(State other)
    {
        Vm = other.Vm;
        other.Invalidators.CopyTo(Invalidators, 0);
        (Begun, Updated) = (other.Begun, other.Updated);
    }
}

/// <summary>
/// One actor's step: the next page of a vCPU, or the range [First, End) of an invalidator or of the memslot that is updated.
/// </summary>
internal readonly record struct Action(byte Actor, byte First, byte End)
{
    public Action(int actor, int first, int end)
        : this((byte)actor, (byte)first, (byte)end)
    {
    }
}
