using BenchmarkDotNet.Attributes;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Benchmarks;

/// <summary>
/// One observation interval of a shard of 64 VMs: the hot loop with everything that comes with it. The allocated column is the
/// proof that soaking allocates nothing.
/// </summary>
[MemoryDiagnoser]
public class ShardBenchmarks
{
    private Shard _shard = null!;

    [Params(32, 128, 256, 512)]
    public int VectorBits { get; set; }

    [Params("linux-6.1.y", "linux-6.9")]
    public string KernelName { get; set; } = "";

    [GlobalSetup]
    public void Build()
    {
        var cohort = new SimulatedCohort
        {
            Name = "bench",
            Kernel = Kernel.Find(KernelName)!,
            Vms = 64,
            Vm = new VmParameters { InvalidateSeqStart = 0 },
        };
        _shard = Shard.Create(cohort, 0, 64, new ShardOptions { VectorBits = VectorBits });
    }

    [Benchmark(OperationsPerInvoke = Shard.ObservationTicks * 64)]
    public void TickOfOneVm() => _shard.Advance(Shard.ObservationTicks);

    /// <summary>Taken once a second for each shard.</summary>
    [Benchmark]
    public ShardSnapshot TakeSnapshot() => _shard.TakeSnapshot();
}
