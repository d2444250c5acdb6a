using SoakHost.Watch.Samples;

namespace SoakHost.Watch.Verdicts;

/// <summary>A VM as it was last seen.</summary>
/// <param name="Last">Its last sample, with the sources of all its vCPUs.</param>
/// <param name="Affected">Whether its host's kernel has the defect; null where that is not known.</param>
/// <param name="Forecast">Its counter and when it crosses; null where the counter was never read.</param>
public sealed record VmReport(VcpuSample Last, bool? Affected, CrossingForecast? Forecast)
{
    /// <summary>What is known of the crossing where the counter has no rate.</summary>
    public CrossingBound? Bound { get; init; }
}

/// <summary>A vCPU as it was last seen.</summary>
/// <param name="Last">Its last sample.</param>
/// <param name="Verdict">The verdict at its last sample.</param>
public sealed record VcpuReport(VcpuSample Last, VcpuVerdict Verdict);

/// <summary>
/// Judges every vCPU of a host, or of a recording. Samples of one vCPU come oldest first; those of different vCPUs in any order.
/// </summary>
public sealed class HostHistory
{
    /// <summary>Most vCPUs followed. Hosts have hundreds.</summary>
    public const int VcpusMax = 10_000;

    private readonly SortedDictionary<string, Vm> _vms = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _names = new(StringComparer.Ordinal);
    private int _vcpus;

    /// <summary>A KVM instance has another name than before: its history goes on under the new one.</summary>
    public event Action<string, string>? Renamed;

    /// <summary>Every VM, by name.</summary>
    public IReadOnlyList<VmReport> Vms => [.. _vms.Values.Select(vm => vm.Report())];

    /// <summary>Every vCPU, by its VM's name and its number; a sum over a VM's vCPUs comes first.</summary>
    public IReadOnlyList<VcpuReport> Vcpus =>
        [.. _vms.Values.SelectMany(vm => vm.Vcpus.Values).Select(vcpu => new VcpuReport(vcpu.Last, vcpu.History.Verdict!))];

    /// <summary>Takes the next sample of a vCPU, and judges it.</summary>
    /// <exception cref="FormatException">It is not later than the vCPU's sample before, or there are too many vCPUs.</exception>
    public VcpuVerdict Add(VcpuSample sample)
    {
        ArgumentNullException.ThrowIfNull(sample);
        Follow(sample);

        int number = NumberOf(sample);
        Vcpu? known = _vms.GetValueOrDefault(sample.Vm)?.Vcpus.GetValueOrDefault(number);
        if (known is null && _vcpus == VcpusMax)
            throw new FormatException($"it is of one more vCPU than the {VcpusMax} that are followed");
        Vcpu vcpu = known ?? new Vcpu(sample);
        VcpuVerdict verdict;
        try
        {
            verdict = vcpu.History.Add(sample);
        }
        catch (ArgumentException error)
        {
            throw new FormatException(error.Message, error);
        }

        if (!_vms.TryGetValue(sample.Vm, out Vm? vm))
            _vms.Add(sample.Vm, vm = new Vm(sample));
        if (known is null)
        {
            vm.Vcpus.Add(number, vcpu);
            _vcpus++;
        }

        vcpu.Saw(sample);
        if (sample.KvmId is { } id)
        {
            if (vm.KvmId is { } old)
                _names.Remove(old);
            _names[id] = sample.Vm;
        }

        vm.Add(sample);
        return verdict;
    }

    /// <summary>
    /// Forgets what the last look did not see: VMs that ended, vCPUs that were unplugged, and a VM's sum once its vCPUs are seen.
    /// </summary>
    /// <returns>The VMs that ended.</returns>
    public IReadOnlyList<string> KeepOnly(IReadOnlyCollection<VcpuSample> seen)
    {
        ArgumentNullException.ThrowIfNull(seen);
        Dictionary<string, HashSet<int>> here = seen.GroupBy(sample => sample.Vm, NumberOf)
            .ToDictionary(vm => vm.Key, vm => vm.ToHashSet(), StringComparer.Ordinal);
        string[] ended = [.. _vms.Keys.Where(vm => !here.ContainsKey(vm))];
        foreach (string vm in ended)
            Remove(vm);
        foreach ((string name, Vm vm) in _vms)
        {
            foreach (int gone in vm.Vcpus.Keys.Where(vcpu => !here[name].Contains(vcpu)).ToList())
            {
                vm.Vcpus.Remove(gone);
                _vcpus--;
            }
        }

        return ended;
    }

    /// <summary>Forgets a VM that has ended.</summary>
    public void Remove(string vm)
    {
        if (!_vms.Remove(vm, out Vm? removed))
            return;
        _vcpus -= removed.Vcpus.Count;
        foreach (string id in _names.Where(name => name.Value == vm).Select(name => name.Key).ToList())
            _names.Remove(id);
    }

    // A sum has no number; -1 keeps it apart.
    private static int NumberOf(VcpuSample sample) => sample.Vcpu ?? -1;

    /// <summary>A VM is known by its KVM instance: one that is named anew keeps its history.</summary>
    private void Follow(VcpuSample sample)
    {
        if (sample.KvmId is not { } id || !_names.TryGetValue(id, out string? before) || before == sample.Vm
            || !_vms.TryGetValue(before, out Vm? vm) || sample.TimeSeconds <= vm.TimeSeconds
            || _vms.GetValueOrDefault(sample.Vm)?.KvmId == id)
            return;

        // Who had that name has ended, or is about to be named anew itself.
        Remove(sample.Vm);
        _vms.Remove(before);
        _vms.Add(sample.Vm, vm);
        _names[id] = sample.Vm;
        Renamed?.Invoke(before, sample.Vm);
    }

    private sealed class Vcpu(VcpuSample first)
    {
        public VcpuHistory History { get; } = new();

        public VcpuSample Last { get; private set; } = first;

        /// <summary>The sources of its last sample that named some.</summary>
        public IReadOnlyList<string> Sources { get; private set; } = [];

        public void Saw(VcpuSample sample)
        {
            Last = sample;
            if (sample.Sources.Count > 0)
                Sources = sample.Sources;
        }
    }

    private sealed class Vm(VcpuSample first)
    {
        private readonly CounterForecast _forecast = new();
        private VcpuSample _last = first;

        public SortedDictionary<int, Vcpu> Vcpus { get; } = [];

        /// <summary>The KVM instance that it was last; null where that is not known.</summary>
        public string? KvmId => _last.KvmId;

        /// <summary>When it was last seen.</summary>
        public double TimeSeconds => _last.TimeSeconds;

        public void Add(VcpuSample sample)
        {
            // What one sample does not say, an earlier one of the same VM may have.
            VcpuSample merged = sample with
            {
                Pid = sample.Pid ?? _last.Pid,
                KvmId = sample.KvmId ?? _last.KvmId,
                StartedSeconds = sample.StartedSeconds ?? _last.StartedSeconds,
                Mmu = sample.Mmu ?? _last.Mmu,
                Kernel = sample.Kernel == new KernelFacts() ? _last.Kernel : sample.Kernel,
            };
            if (merged.KvmId != _last.KvmId || merged.Pid != _last.Pid)
                _forecast.Restart();
            _forecast.Add(sample);
            _last = merged;
        }

        public VmReport Report()
        {
            bool? affected = _last.Kernel.Affected ?? AffectedKernel.ByRelease(_last.Kernel.Release);
            string[] sources = [.. Vcpus.Values.SelectMany(vcpu => vcpu.Sources).Distinct()];
            return new VmReport(_last with { Sources = sources }, affected, _forecast.Forecast(affected))
            {
                Bound = _forecast.Bound(affected, _last.StartedSeconds, _last.TimeSeconds),
            };
        }
    }
}
