using System.Globalization;
using SoakHost.Service;
using SoakHost.Watch.Samples;
using SoakHost.Watch.Verdicts;

namespace SoakHost.Metrics;

/// <summary>What <c>soakhost watch</c> sees. Every vCPU has its series: a host has hundreds of them, not hundreds of
/// thousands.</summary>
internal sealed class WatchMetrics
{
    private readonly MetricFamily _state, _faults, _seq, _crossing, _notBefore, _kernel, _checked, _unread, _lastLook;
    private readonly Func<WatchedHost?> _latest;

    public WatchMetrics(MetricRegistry registry, Func<WatchedHost?> latest)
    {
        _latest = latest;
        _state = registry.Add(State);
        _faults = registry.Add(Faults);
        _seq = registry.Add(InvalidateSeq);
        _crossing = registry.Add(ExpectedCrossing);
        _notBefore = registry.Add(NotBefore);
        _kernel = registry.Add(KernelInfo);
        _checked = registry.Add(KernelChecked);
        _unread = registry.Add(Unread);
        _lastLook = registry.Add(LastLook);
        registry.BeforeScrape(Fill);
    }

    /// <summary>All of them, in the order of the documents.</summary>
    public static IReadOnlyList<MetricDeclaration> All =>
        [State, Faults, InvalidateSeq, ExpectedCrossing, NotBefore, KernelInfo, KernelChecked, Unread, LastLook];

    private static MetricDeclaration State { get; } = Gauge(
        "soakhost_watch_vcpu_state",
        "1 for the state of each watched vCPU, with the proof of a hang. vcpu is \"all\" for a sum over a VM's vCPUs",
        "vm", "vcpu", "state", "proof");

    private static MetricDeclaration Faults { get; } = new(
        "soakhost_watch_vcpu_faults_total", MetricType.Counter,
        "Faults of each watched vCPU by kind: taken, fixed, emulated, spurious or fast. Fast ones are among the fixed ones. "
        + "kvm_id changes with the KVM instance", "vm", "kvm_id", "vcpu", "kind")
    { MayBeAbsent = true };

    private static MetricDeclaration InvalidateSeq { get; } =
        Gauge("soakhost_watch_invalidate_seq", "mmu_invalidate_seq of each watched VM. Absent where it is not read", "vm");

    private static MetricDeclaration ExpectedCrossing { get; } = Gauge(
        "soakhost_watch_expected_crossing_timestamp_seconds",
        "When the counter of a watched VM is expected at 2^31, in seconds since 1970. Absent where that is not known, and on a "
        + "kernel without the defect", "vm");

    private static MetricDeclaration NotBefore { get; } = Gauge(
        "soakhost_watch_crossing_not_before_timestamp_seconds",
        "When the counter of a watched VM can be at 2^31 at the earliest, in seconds since 1970, where it has no known rate. "
        + "Absent where it may be there already", "vm");

    private static MetricDeclaration KernelInfo { get; } = Gauge(
        "soakhost_watch_kernel_info",
        "1, with whether this host's kernel has the defect (affected: yes, no or unknown) and what decides that (decided_by: "
        + "check, release or nothing)", "release", "affected", "decided_by");

    private static MetricDeclaration KernelChecked { get; } = Gauge(
        "soakhost_watch_kernel_checked_timestamp_seconds",
        "When soakhost check --kernel host last checked this build of the kernel, in seconds since 1970. Absent where it did not",
        "verdict");

    private static MetricDeclaration Unread { get; } =
        Gauge("soakhost_watch_unread", "Things of this host that could not be read; the log names each");

    private static MetricDeclaration LastLook { get; } =
        Gauge("soakhost_watch_last_look_timestamp_seconds", "When the host was last looked at, in seconds since 1970");

    private void Fill()
    {
        if (_latest() is not { } host)
            return;
        _unread.Set(host.Unread.Count);
        _lastLook.Set(host.At.ToUnixTimeMilliseconds() / 1000.0);
        if (host.Kernel is { } kernel)
            Fill(kernel);
        foreach (VmReport vm in host.Vms)
        {
            if (vm.Bound?.NotBefore is { } earliest)
                _notBefore.Set(earliest.ToUnixTimeSeconds(), vm.Last.Vm);
            if (vm.Forecast is not { } forecast)
                continue;
            _seq.Set(forecast.InvalidateSeq, vm.Last.Vm);
            if (forecast.Expected is { } at)
                _crossing.Set(at.ToUnixTimeSeconds(), vm.Last.Vm);
        }

        foreach (VcpuReport vcpu in host.Vcpus)
            Fill(vcpu);
    }

    private void Fill(KernelVerdict kernel)
    {
        _kernel.Set(1, kernel.Release, WatchNames.YesOrNo(kernel.Affected), kernel.DecidedBy.Name());
        if (kernel.Quoted is { } result)
            _checked.Set(result.CheckedAt.ToUnixTimeSeconds(), result.VerdictName);
    }

    private void Fill(VcpuReport vcpu)
    {
        string number = vcpu.Last.Vcpu?.ToString(CultureInfo.InvariantCulture) ?? "all";
        _state.Set(1, vcpu.Last.Vm, number, vcpu.Verdict.State.Name(), vcpu.Verdict.Proof?.Name() ?? "");
        VcpuFigures stats = vcpu.Last.Stats;
        (string Kind, ulong? Total)[] kinds =
        [
            ("taken", stats.Taken), ("fixed", stats.Fixed), ("emulated", stats.Emulate), ("spurious", stats.Spurious),
            ("fast", stats.Fast),
        ];
        foreach ((string kind, ulong? total) in kinds)
        {
            if (total is { } known)
                _faults.Set(known, vcpu.Last.Vm, vcpu.Last.KvmId ?? "", number, kind);
        }
    }

    private static MetricDeclaration Gauge(string name, string help, params string[] labels) =>
        new(name, MetricType.Gauge, help, labels) { MayBeAbsent = true };
}
