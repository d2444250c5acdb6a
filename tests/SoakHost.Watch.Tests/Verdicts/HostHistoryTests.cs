using SoakHost.Watch.Samples;
using static SoakHost.Watch.Verdicts.Tests.Sampled;

namespace SoakHost.Watch.Verdicts.Tests;

public sealed class HostHistoryTests
{
    [Fact]
    public void VMs_and_vCPUs_are_in_order_and_a_sum_comes_first()
    {
        var host = new HostHistory();
        foreach ((string vm, int? vcpu) in ((string, int?)[])[("b", 10), ("b", 1), ("a", 0), ("b", null)])
            host.Add(At(1, vcpu) with { Vm = vm });

        Assert.Equal(["a", "b"], host.Vms.Select(vm => vm.Last.Vm));
        Assert.Equal([("a", 0), ("b", null), ("b", 1), ("b", 10)], host.Vcpus.Select(vcpu => (vcpu.Last.Vm, vcpu.Last.Vcpu)));
    }

    [Fact]
    public void VMs_vCPUs_and_sums_that_the_last_look_did_not_see_are_forgotten()
    {
        var host = new HostHistory();
        for (int vcpu = 0; vcpu < HostHistory.VcpusMax - 3; vcpu++)
            host.Add(At(1, vcpu) with { Vm = "large" });
        foreach ((string vm, int? vcpu) in ((string, int?)[])[("a", 0), ("b", null), ("b", 3)])
            host.Add(At(1, vcpu) with { Vm = vm });
        Assert.Throws<FormatException>(() => host.Add(At(2, 4) with { Vm = "b" }));
        VcpuSample[] seen = [At(1, 0) with { Vm = "large" }, At(1, 3) with { Vm = "b" }];

        Assert.Equal(["a"], host.KeepOnly(seen));
        Assert.Equal([("b", 3), ("large", 0)], host.Vcpus.Select(vcpu => (vcpu.Last.Vm, vcpu.Last.Vcpu)));
        Assert.Equal(["b", "large"], host.Vms.Select(vm => vm.Last.Vm));
        for (int vcpu = 1; vcpu < HostHistory.VcpusMax - 1; vcpu++)
            host.Add(At(2, vcpu) with { Vm = "large" });
        Assert.Throws<FormatException>(() => host.Add(At(2, 4) with { Vm = "b" }));
        Assert.Empty(host.KeepOnly(seen));
        Assert.Equal(["b", "large"], host.KeepOnly([]));
        Assert.Empty(host.Vcpus);
    }

    [Fact]
    public void What_was_known_of_a_VM_stays_known()
    {
        var host = new HostHistory();
        host.Add(At(1) with
        {
            Kernel = new("6.1.38"),
            Pid = 9,
            KvmId = "k",
            Mmu = "ept",
            StartedSeconds = 0.5,
            Sources = ["proc"],
            Counter = new(5, 0),
        });
        Assert.NotNull(Assert.Single(host.Vms).Bound!.NotBefore);
        host.Add(At(2) with { Kernel = new(), Counter = new(15, 0) });

        VmReport vm = Assert.Single(host.Vms);
        Assert.Equal((9, "k", "ept", true, 10.0), (vm.Last.Pid, vm.Last.KvmId, vm.Last.Mmu, vm.Affected, vm.Forecast!.PerSecond));
        Assert.Equal(["proc"], vm.Last.Sources);
        Assert.Equal((0.5, null), (vm.Last.StartedSeconds, vm.Bound));
        host.Add(At(3) with { Kernel = new("6.1.38", false), Mmu = "npt", StartedSeconds = 0.7, Sources = ["trace"] });
        vm = Assert.Single(host.Vms);
        Assert.Equal(0.7, vm.Last.StartedSeconds);
        Assert.Equal(("npt", false), (vm.Last.Mmu, vm.Affected));
        Assert.Equal(["trace"], vm.Last.Sources);
        host.Add(At(3, vcpu: 1) with { Sources = ["proc", "ebpf"] });
        Assert.Equal(["trace", "proc", "ebpf"], Assert.Single(host.Vms).Last.Sources);
    }

    [Fact]
    public void A_VM_that_is_named_anew_keeps_its_history()
    {
        var host = new HostHistory();
        List<string> renamed = [];
        host.Renamed += (before, now) => renamed.Add($"{before} -> {now}");
        for (int i = 0; i < 4; i++)
        {
            foreach (int vcpu in (int[])[0, 1])
            {
                host.Add(At(i + (0.1 * vcpu), vcpu) with
                {
                    Vm = i < 2 ? "web" : "web (a)",
                    KvmId = "a",
                    Stats = Faults((ulong)(i * 1000)),
                    Counter = vcpu == 0 ? new((ulong)i * 10, 0) : new(),
                });
            }
        }

        Assert.Equal(["web -> web (a)"], renamed);
        VmReport vm = Assert.Single(host.Vms);
        Assert.Equal(("web (a)", 10.0), (vm.Last.Vm, vm.Forecast!.PerSecond!.Value));
        Assert.Equal(2, host.Vcpus.Count);
        Assert.All(host.Vcpus, vcpu => Assert.Equal(3, vcpu.Verdict.SinceSeconds, 0.001));
    }

    [Fact]
    public void Two_VMs_of_one_KVM_instance_s_name_at_one_time_stay_two()
    {
        var host = new HostHistory();
        for (int i = 0; i < 3; i++)
        {
            host.Add(At(i) with { Vm = "a", KvmId = "k" });
            host.Add(At(i) with { Vm = "b", KvmId = "k" });
        }

        Assert.Equal(["a", "b"], host.Vms.Select(vm => vm.Last.Vm));
    }

    [Fact]
    public void A_name_that_another_VM_takes_over_is_that_one_s_with_a_history_of_its_own()
    {
        var host = new HostHistory();
        host.Add(At(1) with { Vm = "web", KvmId = "a", Counter = new(5, 0) });
        host.Add(At(1) with { Vm = "db", KvmId = "b", Counter = new(50, 0) });
        host.Add(At(2) with { Vm = "web", KvmId = "b", Counter = new(60, 0) });
        host.Add(At(2.1) with { Vm = "old", KvmId = "a", Counter = new(6, 0) });

        Assert.Equal(
            ["old b", "web"], host.Vms.Select(vm => vm.Last.Vm == "web" ? "web" : $"{vm.Last.Vm} b"));
        Assert.Equal(10, host.Vms[1].Forecast!.PerSecond);
        Assert.Null(host.Vms[0].Forecast!.PerSecond);
    }

    /// <summary>The number of a process and of a file names a KVM instance, and both come again.</summary>
    [Fact]
    public void The_KVM_instance_that_a_VM_was_before_its_restart_may_be_another_VM_s_later()
    {
        var host = new HostHistory();
        int renamed = 0;
        host.Renamed += (_, _) => renamed++;
        host.Add(At(1) with { Vm = "web", KvmId = "a", Counter = new(5, 0) });
        host.Add(At(2) with { Vm = "web", KvmId = "b", Counter = new(1, 0) });
        host.Add(At(3) with { Vm = "db", KvmId = "a", Counter = new(7, 0) });

        Assert.Equal(["db", "web"], host.Vms.Select(vm => vm.Last.Vm));
        Assert.Equal(0, renamed);
    }

    [Fact]
    public void A_VM_that_was_removed_and_returns_is_new_whatever_its_name()
    {
        var host = new HostHistory();
        int renamed = 0;
        host.Renamed += (_, _) => renamed++;
        host.Add(At(1) with { KvmId = "a", Counter = new(5, 0) });
        host.Remove("web-17");
        host.Add(At(2) with { Vm = "other", KvmId = "a", Counter = new(15, 0) });

        Assert.Equal(0, renamed);
        Assert.Null(Assert.Single(host.Vms).Forecast!.PerSecond);
    }

    [Theory]
    [InlineData("b", 1)]
    [InlineData("a", 2)]
    public void The_forecast_belongs_to_a_KVM_instance(string kvmId, int pid)
    {
        var host = new HostHistory();
        host.Add(At(1) with { Pid = 1, KvmId = "a", Counter = new(5, 0) });
        host.Add(At(2) with { Pid = pid, KvmId = kvmId, Counter = new(1000, 0) });

        Assert.Null(Assert.Single(host.Vms).Forecast!.PerSecond);
    }

    [Fact]
    public void A_sample_that_is_not_later_is_refused_and_forgotten()
    {
        var host = new HostHistory();
        host.Add(At(5));

        string message = Assert.Throws<FormatException>(() => host.Add(At(5))).Message;
        Assert.Contains("time_seconds is 5", message, StringComparison.Ordinal);
        Assert.Equal(5, Assert.Single(host.Vcpus).Last.TimeSeconds);
    }

    [Fact]
    public void More_vCPUs_than_are_followed_are_refused()
    {
        var host = new HostHistory();
        for (int i = 0; i < HostHistory.VcpusMax; i++)
            host.Add(At(1, i));

        string message = Assert.Throws<FormatException>(() => host.Add(At(1) with { Vm = "more" })).Message;
        Assert.Contains("10000", message, StringComparison.Ordinal);
        Assert.Single(host.Vms);
        host.Add(At(2, 0));
        host.Remove("web-17");
        Assert.Equal(WatchState.Unknown, host.Add(At(1) with { Vm = "more" }).State);
        Assert.Single(host.Vcpus);
    }

    [Fact]
    public void A_VM_that_was_never_there_can_be_removed()
    {
        var host = new HostHistory();
        host.Remove("nobody");
        Assert.Empty(host.Vms);
    }

    [Fact]
    public void Every_state_and_proof_has_its_name()
    {
        Assert.Equal(
            [
                "unknown", "running", "stalled", "starved", "hung", "halt-spin", "blocked-in-host", "emulation-failed",
                "run-failed",
            ],
            WatchNames.All.Select(state => state.Name()));
        Assert.Equal(["counter", "quiet", "repeats"], Enum.GetValues<HangProof>().Select(proof => proof.Name()));
    }
}
