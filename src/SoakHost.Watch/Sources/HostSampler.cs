using System.Collections.Concurrent;
using System.Globalization;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Tracing;
using SoakHost.Watch.Discovery;
using SoakHost.Watch.Samples;

namespace SoakHost.Watch.Sources;

/// <summary>What a host is sampled for, and how.</summary>
public sealed record SamplerOptions
{
    /// <summary>Looks at these processes and their children alone; empty, the default, for all.</summary>
    public IReadOnlyCollection<int> Processes { get; init; } = [];

    /// <summary>Whether QEMU's monitor is asked where a VMM keeps no statistics open. Default false.</summary>
    public bool AsksQmp { get; init; }

    /// <summary>
    /// Whether the kernel's faults are traced by eBPF: they give the counter and the faulting address. Default true.
    /// </summary>
    public bool TracesFaults { get; init; } = true;

    /// <summary>How long one VM may take to be read. Default 2 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How often VMs are looked for; between that the known ones are read. Default 5 s.</summary>
    public TimeSpan DiscoverEvery { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Whether the kernel has the defect, where a check of this very build decided it; null, the default, leaves it to its
    /// release. Asked at each look.
    /// </summary>
    public Func<bool?> Affected { get; init; } = () => null;

    /// <summary>The root of the file system, for tests.</summary>
    public string Root { get; init; } = "/";
}

/// <summary>One look at a host.</summary>
/// <param name="Samples">A sample of each vCPU, or of each VM where only sums are known.</param>
/// <param name="Unread">What could not be read and what is lost by that, a sentence each.</param>
public sealed record HostSampling(IReadOnlyList<VcpuSample> Samples, IReadOnlyList<string> Unread);

/// <summary>
/// Reads the VMs of this host, each by the best source that it has, and never writes. Each VM has a time limit of its own: one
/// that cannot be read in time is named, and costs the others nothing.
/// </summary>
public sealed class HostSampler : IDisposable
{
    private readonly SamplerOptions _options;
    private readonly TimeProvider _time;
    private readonly ProcFiles _files;
    private readonly VmDiscovery _discovery;
    private readonly HostMachine _machine;
    private readonly FaultTracer? _tracer;
    private readonly ReadFaults? _faults;
    private readonly ConcurrentDictionary<string, VmReader> _readers = new(StringComparer.Ordinal);
    private (HostInventory Found, long At, double Seconds)? _inventory;

    /// <summary>A sampler that has read nothing yet.</summary>
    public HostSampler(SamplerOptions options, TimeProvider time)
        : this(options, time, null)
    {
        if (!options.TracesFaults)
            return;
        try
        {
            _tracer = FaultTracer.Begin(KernelLayout.OfThisKernel(options.Root));
            _faults = _tracer.Read;
        }
        catch (TracingException error)
        {
            NotTraced = $"The VMs' counters and faulting addresses are not read: {error.Message}.";
        }
    }

    /// <summary>One with a tracer of its own, for tests.</summary>
    internal HostSampler(SamplerOptions options, TimeProvider time, ReadFaults? faults)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(time);
        _faults = faults;
        _options = options;
        _time = time;
        _files = new ProcFiles(options.Root);
        _discovery = new VmDiscovery(_files);
        _machine = HostMachine.Read(options.Root);
    }

    /// <summary>Why the kernel's faults are not traced, as a sentence; null where they are, or nobody asked for it.</summary>
    public string? NotTraced { get; }

    /// <summary>Finds the VMs, and reads each once.</summary>
    public async Task<HostSampling> SampleAsync(CancellationToken stop)
    {
        (HostInventory found, double foundSeconds) = Find();
        found = SettleOwners(found);
        HashSet<string> here = [.. found.Vms.Select(vm => vm.KvmId)];
        foreach (string gone in _readers.Keys.Where(id => !here.Contains(id)))
        {
            if (_readers.TryRemove(gone, out VmReader? reader))
                reader.Dispose();
        }

        HostFacts facts = ReadFacts();
        bool? affected = _options.Affected();
        (IReadOnlyList<VcpuSample> Samples, IReadOnlyList<string> Unread)[] all =
            await Task.WhenAll(found.Vms.Select(vm => ReadAsync(vm, facts, affected, foundSeconds, stop)));
        return new HostSampling(
            [.. all.SelectMany(vm => vm.Samples)], [.. found.Unread, .. all.SelectMany(vm => vm.Unread).Distinct()]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (VmReader reader in _readers.Values)
            reader.Dispose();
        _readers.Clear();
        _tracer?.Dispose();
    }

    private (HostInventory Found, double Seconds) Find()
    {
        if (_inventory is { } known && _time.GetElapsedTime(known.At) < _options.DiscoverEvery)
            return (known.Found, known.Seconds);

        // The time before the ages are read: a VM is never taken for younger than it is.
        double seconds = Now();
        HostInventory found = _discovery.Find(_options.Processes);
        _inventory = (found, _time.GetTimestamp(), seconds);
        return (found, seconds);
    }

    /// <summary>Puts each vCPU to its VM, where a process holds several.</summary>
    private HostInventory SettleOwners(HostInventory found)
    {
        ILookup<int, WatchedVm> byProcess = found.Vms.ToLookup(vm => vm.Pid);
        if (byProcess.All(vms => vms.Count() == 1))
            return found;
        (IReadOnlyList<WatchedVm> Vms, string? Unknown)[] settled =
        [
            .. byProcess.Select(vms => vms.Count() == 1 ? (vms.ToList(), null) : VcpuOwners.Settle([.. vms], _faults)),
        ];
        return new HostInventory(
            [.. settled.SelectMany(process => process.Vms)],
            [.. found.Unread, .. settled.Select(process => process.Unknown).OfType<string>()]);
    }

    private double Now() => _time.GetUtcNow().ToUnixTimeMilliseconds() / 1000.0;

    private async Task<(IReadOnlyList<VcpuSample> Samples, IReadOnlyList<string> Unread)> ReadAsync(
        WatchedVm vm, HostFacts facts, bool? affected, double foundSeconds, CancellationToken stop)
    {
        VmReader reader = _readers.GetOrAdd(vm.KvmId, _ => new VmReader(_files, _options, _time, _faults));
        VcpuSample basis = new()
        {
            TimeSeconds = Now(),
            Vm = vm.Name,
            Pid = vm.Pid,
            KvmId = vm.KvmId,
            StartedSeconds = foundSeconds - vm.AgeSeconds,
            // The module's parameter now, not what it was when the VM was created: nothing shows that from outside.
            Mmu = _machine.MmuMode,
            Kernel = new KernelFacts(_machine.KernelRelease, affected),
            Host = facts,
        };
        try
        {
            return await reader.ReadAsync(vm, basis, stop).WaitAsync(_options.Timeout, _time, stop);
        }
        catch (TimeoutException)
        {
            return (
                [.. vm.Vcpus.Select(vcpu => basis with { Vcpu = vcpu.Number })],
                [$"VM {vm.Name} could not be read within {_options.Timeout.TotalSeconds:0.#} s: its state is unknown."]);
        }
    }

    private HostFacts ReadFacts() => new(
        _files.Text("proc/sys/kernel/numa_balancing") is { } numa ? numa is not "0" : null,
        _files.Text("sys/kernel/mm/ksm/run") is { } ksm ? ksm is "1" : null);
}

/// <summary>Reads one VM, with what it keeps open for it.</summary>
internal sealed class VmReader(ProcFiles files, SamplerOptions options, TimeProvider time, ReadFaults? faults) : IDisposable
{
    private readonly TracedFaults? _faults = faults is null ? null : new TracedFaults(faults);
    private readonly Dictionary<int, DescriptorStatistics> _open = [];
    private readonly Lock _gate = new();
    private Task<(IReadOnlyList<VcpuSample>, IReadOnlyList<string>)>? _reading;
    private bool _isDisposed;

    /// <summary>Reads the VM now. While an earlier reading has not ended, no other begins: that one's result is given.</summary>
    public Task<(IReadOnlyList<VcpuSample> Samples, IReadOnlyList<string> Unread)> ReadAsync(
        WatchedVm vm, VcpuSample basis, CancellationToken stop)
    {
        lock (_gate)
        {
            // A read from /proc can wait for the process's memory map: not on the caller's thread.
            if (_reading is not { IsCompleted: false })
                _reading = Task.Run(() => ReadNowAsync(vm, basis, stop), stop);
            return _reading!;
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            if (_reading is { IsCompleted: false } reading)
                reading.ContinueWith(_ => Close(), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            else
                Close();
        }
    }

    private async Task<(IReadOnlyList<VcpuSample>, IReadOnlyList<string>)> ReadNowAsync(
        WatchedVm vm, VcpuSample basis, CancellationToken stop)
    {
        HashSet<string> unread = [];
        if (vm.Unread is not null)
            unread.Add(vm.Unread);
        VmFigures vmStats = vm.StatsDescriptor is { } descriptor && TryRead(vm.Pid, descriptor, unread) is { } values
            ? FigureNames.Vm(values) : new();
        IReadOnlyDictionary<int, IReadOnlyDictionary<string, ulong>>? byQmp = null;
        if (options.AsksQmp && vm.QmpPath is { } path && vm.Vcpus.Any(vcpu => vcpu.StatsDescriptor is null))
            byQmp = await TryQmpAsync(path, unread, stop);
        (CounterReading counter, IReadOnlyDictionary<int, FaultTrace> traces) =
            _faults?.Read(vm) ?? (new(), new Dictionary<int, FaultTrace>());
        basis = basis with { VmStats = vmStats, Counter = counter };
        List<VcpuSample> samples =
            [.. vm.Vcpus.Select(vcpu => Sample(vm, vcpu, basis, byQmp, traces.GetValueOrDefault(vcpu.Number), unread))];
        if (samples.TrueForAll(sample => sample.Stats == new VcpuFigures()) && Sums(vm) is { } sums)
            samples.Add(basis with { Stats = FigureNames.Vcpu(sums), VmStats = FigureNames.Vm(sums), Sources = ["debugfs"] });
        if (samples.Count == 0)
        {
            samples.Add(basis);
            unread.Add($"VM {vm.Name} has no vCPU yet.");
        }
        else if (vm.Unread is null && samples.TrueForAll(sample => sample.Stats == new VcpuFigures()))
        {
            unread.Add(
                $"VM {vm.Name}: its faults are not known. Process {vm.Pid} keeps no statistics open; QEMU 8.1 and later do."
                + (vm.QmpPath is null || options.AsksQmp ? ""
                    : " --qmp asks its monitor; QEMU 7.1 to 8.0 interrupt every vCPU for the answer."));
        }

        return (samples, [.. unread]);
    }

    private VcpuSample Sample(
        WatchedVm vm, WatchedVcpu vcpu, VcpuSample basis,
        IReadOnlyDictionary<int, IReadOnlyDictionary<string, ulong>>? byQmp, FaultTrace? trace, HashSet<string> unread)
    {
        List<string> sources = [];
        VcpuFigures stats = new();
        if (vcpu.StatsDescriptor is { } descriptor && TryRead(vm.Pid, descriptor, unread) is { } values)
        {
            stats = FigureNames.Vcpu(values);
            sources.Add("descriptors");
        }
        else if (byQmp?.GetValueOrDefault(vcpu.Number) is { } answer)
        {
            stats = FigureNames.Vcpu(answer);
            sources.Add("qmp");
        }

        ThreadFigures thread = vcpu.ThreadId is { } id ? ReadThread(vm.Pid, id) : new();
        if (thread != new ThreadFigures())
            sources.Add("proc");
        if (trace is not null)
            sources.Add("ebpf");
        return basis with
        {
            Vcpu = vcpu.Number,
            Stats = stats,
            Trace = trace ?? new(),
            Thread = thread,
            Sources = sources,
        };
    }

    private ThreadFigures ReadThread(int pid, int thread)
    {
        string folder = $"proc/{pid}/task/{thread}";
        if (files.Text($"{folder}/stat") is not { } text || !ThreadStat.TryParse(text, out ThreadStat stat))
            return new();
        // schedstat counts nanoseconds, where the kernel keeps it.
        double seconds = files.Text($"{folder}/schedstat") is { } sched
            && sched.IndexOf(' ', StringComparison.Ordinal) is > 0 and var end
            && ulong.TryParse(sched.AsSpan(0, end), NumberStyles.None, CultureInfo.InvariantCulture, out ulong nanoseconds)
            ? nanoseconds / 1e9 : stat.CpuTicks / ThreadStat.TicksPerSecond;
        // One that runs waits nowhere, and the kernel says "0".
        return new ThreadFigures(stat.State, seconds, stat.State == "R" ? "" : files.Text($"{folder}/wchan"));
    }

    private IReadOnlyDictionary<string, ulong>? TryRead(int pid, int descriptor, HashSet<string> unread)
    {
        try
        {
            lock (_gate)
            {
                if (_isDisposed)
                    return null;
                if (_open.TryGetValue(descriptor, out DescriptorStatistics? statistics) && !statistics.IsStill(pid, descriptor))
                {
                    _open.Remove(descriptor);
                    statistics.Dispose();
                    statistics = null;
                }

                if (statistics is null)
                    _open.Add(descriptor, statistics = DescriptorStatistics.Open(pid, descriptor));
                return statistics.Read();
            }
        }
        catch (SourceException error)
        {
            unread.Add(error.Message);
            return null;
        }
    }

    private async Task<IReadOnlyDictionary<int, IReadOnlyDictionary<string, ulong>>?> TryQmpAsync(
        string path, HashSet<string> unread, CancellationToken stop)
    {
        try
        {
            // A little less than the whole: its reason is better than that of the whole.
            return await QmpStatistics.ReadAsync(path, options.Timeout * 0.75, time, stop);
        }
        catch (SourceException error)
        {
            unread.Add(error.Message);
            return null;
        }
    }

    private Dictionary<string, ulong>? Sums(WatchedVm vm)
    {
        string folder = $"sys/kernel/debug/kvm/{vm.Pid}-{vm.Descriptor}";
        Dictionary<string, ulong> sums = [];
        foreach (string name in files.Folder(folder))
        {
            if (files.Number($"{folder}/{name}") is { } value)
                sums.Add(name, value);
        }

        return sums.Count > 0 ? sums : null;
    }

    private void Close()
    {
        foreach (DescriptorStatistics statistics in _open.Values)
            statistics.Dispose();
        _open.Clear();
    }
}
