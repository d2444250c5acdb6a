using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;
using SoakHost.Watch.Samples;
using SoakHost.Watch.Verdicts;

namespace SoakHost.Watch.Sources.Tests;

/// <summary>Tests that watch the VMs of their own process: one after another, for each sees those of the others.</summary>
internal static class RealVms
{
    public const string InThisProcess = "VMs of this process";
}

/// <summary>vCPUs of real VMs that stop in each way, seen from outside; skipped where there is no KVM.</summary>
[Collection(RealVms.InThisProcess)]
public sealed class StoppedVcpuTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private const int LooksMax = 60;

    private static readonly HostCohortOptions Small = new()
    {
        VmasPerCall = 32,
        MemoryBytes = 32 * 4096,
        Until = 1L << 62,
        Boundaries = [],
        Workloads = [],
        DutyCycle = 0.5,
    };

    public StoppedVcpuTests()
    {
        HostKernelSupport support = HostKernelSupport.Probe();
        Assert.SkipUnless(support.IsSupported, support.Reason ?? "");
    }

    [Fact]
    public async Task Ones_that_sweep_their_memory_run()
    {
        using HostSoak soak = HostSoak.Start(Small, TimeProvider.System);
        await UntilAsync(() => soak.Snapshot.FaultsFixed > 100);

        // Siblings take no faults. In a storm of invalidations an emulated vCPU may starve for a while.
        await SeeAsync("", WatchState.Running, WatchState.Starved);
    }

    [Fact]
    public async Task Ones_in_a_tight_loop_run_by_their_processor_time()
    {
        using HostSoak soak = HostSoak.Start(Small with { Program = GuestProgram.LoopWithoutHeartbeat }, TimeProvider.System);
        await UntilAsync(() => soak.Snapshot.Vcpus.Any());

        await SeeAsync("", WatchState.Running);
    }

    [Fact]
    public async Task Ones_whose_threads_are_held_up_in_the_VMM_are_blocked_in_the_host()
    {
        using var gate = new ManualResetEventSlim();
        using HostSoak soak = HostSoak.Start(Small with { VcpuGate = gate }, TimeProvider.System);
        await UntilAsync(() => soak.Snapshot.Vcpus.Any());

        await SeeAsync("Its thread sleeps in the host", WatchState.BlockedInHost);
        gate.Set();
    }

    [Theory]
    [InlineData(false, "KVM_RUN ended with KVM_EXIT_HLT")]
    [InlineData(true, "KVM_RUN failed")]
    public async Task One_that_its_VMM_gave_up_is_neither_hung_nor_running(bool isWithoutMemory, string stop)
    {
        HostCohortOptions options = Small with { Program = isWithoutMemory ? GuestProgram.Sweep : GuestProgram.Halt };
        var shape = new GuestShape(1, options.GuestPhysicalBase, options.MemoryBytes, 1, 1, options.Program);
        using KvmDevice device = KvmDevice.Open(options.DevicePath);
        using KvmDescriptor vm = device.CreateVm();
        using var memory = new GuestMemory(vm, shape);
        using var vcpu = new Vcpu(device, vm, memory, 0, VcpuRole.Soaked, options, cpu: null);
        if (isWithoutMemory)
            memory.MakeInaccessible();
        vcpu.Start();
        vcpu.Ring(shape.Base, 32, 4096, continuous: true);
        await UntilAsync(() => vcpu.StopReason is not null);
        Assert.StartsWith(stop, vcpu.StopReason, StringComparison.Ordinal);

        await SeeAsync("the state of its thread is not known", WatchState.Unknown);
        vcpu.RequestStop();
        Assert.True(vcpu.TryJoin(new Deadline(TimeProvider.System, Patience)));
    }

    /// <summary>Looks, as the watch does, until every vCPU was twice in one of these states.</summary>
    private static async Task SeeAsync(string reason, params WatchState[] states)
    {
        using var sampler = new HostSampler(
            new SamplerOptions { Processes = [Environment.ProcessId], Timeout = TimeSpan.FromSeconds(20) }, TimeProvider.System);
        var history = new HostHistory();
        VcpuReport[] last = [];
        for (int seen = 0, looks = 0; seen < 2 && looks < LooksMax; looks++)
        {
            await Task.Delay(TimeSpan.FromSeconds(1), TestContext.Current.CancellationToken);
            foreach (VcpuSample sample in sampler.Sample(TestContext.Current.CancellationToken).Samples)
                history.Add(sample);
            last = [.. history.Vcpus];
            Assert.DoesNotContain(last, each => each.Verdict.State == WatchState.Hung);
            seen = last.Length > 0 && Array.TrueForAll(last, each => states.Contains(each.Verdict.State)
                && each.Verdict.Reasons.Any(why => why.Contains(reason, StringComparison.Ordinal))) ? seen + 1 : 0;
            if (seen == 2)
                return;
        }

        Assert.Fail(string.Join(
            "\n", last.Select(each => $"{each.Last.Vcpu}: {each.Verdict.State}: {string.Join(" ", each.Verdict.Reasons)}")));
    }

    private static async Task UntilAsync(Func<bool> isSo)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        stop.CancelAfter(Patience);
        while (!isSo())
            await Task.Delay(50, stop.Token);
    }
}
