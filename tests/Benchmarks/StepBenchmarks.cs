using BenchmarkDotNet.Attributes;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Benchmarks;

/// <summary>The protocol's steps alone, over a row of lanes, in which every VM moves.</summary>
[GenericTypeArguments(typeof(Lanes32))]
[GenericTypeArguments(typeof(Lanes128))]
[GenericTypeArguments(typeof(Lanes256))]
[GenericTypeArguments(typeof(Lanes512))]
public class StepBenchmarks<TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    private readonly VcpuLanes<Pages32<TLanes>, TLanes>[] _vcpus = new VcpuLanes<Pages32<TLanes>, TLanes>[4];
    private readonly InvalidatorLanes<Pages32<TLanes>, TLanes>[] _invalidators = new InvalidatorLanes<Pages32<TLanes>, TLanes>[1];
    private readonly TLanes _moves = TLanes.Broadcast(uint.MaxValue);
    private VmLanes<Pages32<TLanes>, TLanes> _vm;
    private uint _page;

    [GlobalSetup]
    public void Build()
    {
        var start = new VmState(new VmParameters());
        for (int lane = 0; lane < TLanes.Count; lane++)
            start.Write<Linux61Stable, Pages32<TLanes>, TLanes>(ref _vm, _vcpus, _invalidators, lane);
    }

    [Benchmark]
    public void StepVcpu()
    {
        _page = (_page + 5) & 31;
        Protocol<Linux61Stable, FixedMemslots, Pages32<TLanes>, TLanes>.StepVcpu(
            ref _vm, ref _vcpus[0], 0, _moves, Pages32<TLanes>.Page(TLanes.Broadcast(_page)));
    }

    [Benchmark]
    public void StepInvalidator()
    {
        _page = (_page + 5) & 31;
        var own = new PageRange<Pages32<TLanes>, TLanes>(
            ~Pages32<TLanes>.Below(TLanes.Broadcast(_page)), Pages32<TLanes>.Below(TLanes.Broadcast(_page + 8)));
        Protocol<Linux61Stable, FixedMemslots, Pages32<TLanes>, TLanes>.StepInvalidator(
            ref _vm, _vcpus, _invalidators, 0, _moves, own);
    }
}
