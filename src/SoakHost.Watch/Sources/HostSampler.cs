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
    /// How long a process that holds no VM may go without being looked into, once it has been here for that long. Default 0:
    /// every process is looked into whenever VMs are looked for.
    /// </summary>
    public TimeSpan LookIntoEvery { get; init; } = TimeSpan.Zero;

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
    private readonly KeptFile _numaBalancing, _ksm;
    private readonly FaultTracer? _tracer;
    private readonly ReadFaults? _faults;
    private readonly Dictionary<string, VmReader> _readers = new(StringComparer.Ordinal);
    private readonly InTurn _inTurn = new();
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
        _discovery = new VmDiscovery(_files, time, options.LookIntoEvery, options.Timeout);
        _machine = HostMachine.Read(options.Root);
        _numaBalancing = new KeptFile(_files, "proc/sys/kernel/numa_balancing");
        _ksm = new KeptFile(_files, "sys/kernel/mm/ksm/run");
    }

    /// <summary>Why the kernel's faults are not traced, as a sentence; null where they are, or nobody asked for it.</summary>
    public string? NotTraced { get; }

    /// <summary>
    /// Finds the VMs, and reads each once. It takes as long as that does, and at most about three times <see
    /// cref="SamplerOptions.Timeout"/> for all VMs and command lines that cannot be read together.
    /// </summary>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    public HostSampling Sample(CancellationToken stop)
    {
        (HostInventory found, double foundSeconds) = Find();
        found = SettleOwners(found);
        HashSet<string> here = [.. found.Vms.Select(vm => vm.KvmId)];
        foreach (string gone in _readers.Keys.Where(id => !here.Contains(id)).ToList())
        {
            if (_readers.Remove(gone, out VmReader? reader))
                reader.Dispose();
        }

        HostFacts facts = ReadFacts();
        bool? affected = _options.Affected();
        Reading[] readings = [.. found.Vms.Select(vm => Prepare(vm, facts, affected, foundSeconds))];
        Read(readings, stop);
        (IReadOnlyList<VcpuSample> Samples, IReadOnlyList<string> Unread)[] all = [.. readings.Select(Result)];
        foreach (Reading ended in readings.Where(reading => reading.Task is { IsCompleted: true } && reading.Reader.LostThreads))
        {
            // The VMM has replaced the VM within its process, or is about to end: do not wait for the process's turn.
            _discovery.Forget(ended.Vm.Pid);
            _inventory = null;
        }

        return new HostSampling(
            [.. all.SelectMany(vm => vm.Samples)], [.. found.Unread, .. all.SelectMany(vm => vm.Unread).Distinct()]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (VmReader reader in _readers.Values)
            reader.Dispose();
        _readers.Clear();
        _inTurn.Dispose();
        _discovery.Dispose();
        _numaBalancing.Dispose();
        _ksm.Dispose();
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

    private Reading Prepare(WatchedVm vm, HostFacts facts, bool? affected, double foundSeconds)
    {
        if (!_readers.TryGetValue(vm.KvmId, out VmReader? reader))
            _readers.Add(vm.KvmId, reader = new VmReader(_files, _options, _time, _faults));
        return new Reading(vm, reader, new VcpuSample
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
        });
    }

    /// <summary>
    /// One VM after another, for almost always each takes a moment. Those that wait for somebody, and those behind one that does
    /// not end, are read at the same time.
    /// </summary>
    private void Read(Reading[] readings, CancellationToken stop)
    {
        foreach (Reading aside in readings.Where(reading => reading.Reader.AsksQmp(reading.Vm)))
            aside.Begin(On.Pool, Now(), stop);
        Reading[] here = [.. readings.Where(reading => reading.Task is null)];
        int next = _inTurn.Do(here.Length, at => here[at].Begin(On.ThisThread, Now(), stop), _options.Timeout, stop);
        foreach (Reading late in here.Skip(next))
            late.Begin(On.ThreadOfItsOwn, Now(), stop);
        Task[] left = [.. readings.Select(reading => reading.Task).OfType<Task>().Where(task => !task.IsCompleted)];
        if (left.Length > 0)
            Task.WhenAll(left).ContinueWith(_ => { }, TaskScheduler.Default).Wait((int)_options.Timeout.TotalMilliseconds, stop);
        stop.ThrowIfCancellationRequested();
    }

    private (IReadOnlyList<VcpuSample> Samples, IReadOnlyList<string> Unread) Result(Reading reading) =>
        reading.Task is { IsCompleted: true } task ? task.GetAwaiter().GetResult()
        : (
            [.. reading.Vm.Vcpus.Select(vcpu => reading.Basis with { Vcpu = vcpu.Number })],
            [$"VM {reading.Vm.Name} could not be read within {_options.Timeout.TotalSeconds:0.#} s: its state is unknown."]);

    private HostFacts ReadFacts() =>
        new(_numaBalancing.Text() is { } numa ? numa is not "0" : null, _ksm.Text() is { } ksm ? ksm is "1" : null);
}

/// <summary>One VM at one look.</summary>
internal sealed class Reading(WatchedVm vm, VmReader reader, VcpuSample basis)
{
    public WatchedVm Vm => vm;

    public VmReader Reader => reader;

    /// <summary>What its samples have in common.</summary>
    public VcpuSample Basis => basis;

    /// <summary>Its samples and what could not be read; null before it begins.</summary>
    public Task<(IReadOnlyList<VcpuSample> Samples, IReadOnlyList<string> Unread)>? Task { get; private set; }

    /// <summary>Reads it.</summary>
    public void Begin(On on, double seconds, CancellationToken stop)
    {
        (Task, Task? toRun) = reader.Prepare(vm, basis with { TimeSeconds = seconds }, on, stop);
        if (on == On.ThisThread)
            toRun?.RunSynchronously(TaskScheduler.Default);
        else
            toRun?.Start(TaskScheduler.Default);
    }
}

/// <summary>Where a VM is read.</summary>
internal enum On
{
    ThisThread,

    /// <summary>For what waits for an answer, and holds no thread meanwhile.</summary>
    Pool,

    /// <summary>For what may hang: those of the pool are few, and others would wait for one.</summary>
    ThreadOfItsOwn,
}

/// <summary>Reads one VM, with what it keeps open for it.</summary>
/// <remarks>One reading at a time uses what is open. Nothing that may have to wait is done under the lock.</remarks>
internal sealed class VmReader(ProcFiles files, SamplerOptions options, TimeProvider time, ReadFaults? faults) : IDisposable
{
    private readonly TracedFaults? _faults = faults is null ? null : new TracedFaults(faults);
    private readonly Dictionary<int, DescriptorStatistics> _open = [];
    private readonly Dictionary<int, ThreadFiles> _threads = [];
    private IReadOnlyList<WatchedVcpu>? _vcpus;
    private bool _comparesNext, _comparesAll;
    private readonly Lock _gate = new();
    private Task<(IReadOnlyList<VcpuSample>, IReadOnlyList<string>)>? _reading;

    /// <summary>Whether reading this VM takes asking its monitor.</summary>
    public bool AsksQmp(WatchedVm vm) =>
        options.AsksQmp && vm.QmpPath is not null && vm.Vcpus.Any(vcpu => vcpu.StatsDescriptor is null);

    /// <summary>
    /// Prepares reading the VM now. While an earlier reading has not ended, no other begins: that one's result is given.
    /// </summary>
    /// <returns>The result, and what has to be run for it; null where that is running already.</returns>
    public (Task<(IReadOnlyList<VcpuSample> Samples, IReadOnlyList<string> Unread)> Result, Task? ToRun) Prepare(
        WatchedVm vm, VcpuSample basis, On on, CancellationToken stop)
    {
        lock (_gate)
        {
            if (_reading is { IsCompleted: false } earlier)
                return (earlier, null);
            Task<Task<(IReadOnlyList<VcpuSample>, IReadOnlyList<string>)>> reading = new(
                () => ReadNowAsync(vm, basis, stop), CancellationToken.None,
                on == On.ThreadOfItsOwn ? TaskCreationOptions.LongRunning : TaskCreationOptions.None);
            return (_reading = reading.Unwrap(), reading);
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
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
        _comparesNext = true;
        _comparesAll = !ReferenceEquals(vm.Vcpus, _vcpus);
        if (vm.Unread is not null)
            unread.Add(vm.Unread);
        VmFigures vmStats = vm.StatsDescriptor is { } descriptor && Open(vm.Pid, descriptor, unread) is { } file
            ? TryRead(file, FigureNames.Vm, unread) ?? new() : new();
        IReadOnlyDictionary<int, IReadOnlyDictionary<string, ulong>>? byQmp = null;
        if (AsksQmp(vm))
            byQmp = await TryQmpAsync(vm.QmpPath!, unread, stop);
        ForgetThreads(vm);
        (CounterReading counter, IReadOnlyDictionary<int, FaultTrace> traces) =
            _faults?.Read(vm) ?? (new(), new Dictionary<int, FaultTrace>());
        basis = basis with { VmStats = vmStats, Counter = counter };
        List<VcpuSample> samples =
            [.. vm.Vcpus.Select(vcpu => Sample(vm, vcpu, basis, byQmp, traces.GetValueOrDefault(vcpu.Number), unread))];
        if (samples.TrueForAll(sample => sample.Stats == new VcpuFigures()) && Sums(vm) is { } sums)
        {
            ulong?[] values = FigureNames.Values(sums);
            samples.Add(basis with { Stats = FigureNames.Vcpu(values), VmStats = FigureNames.Vm(values), Sources = ["debugfs"] });
        }

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
        if (vcpu.StatsDescriptor is { } descriptor && Open(vm.Pid, descriptor, unread) is { } file
            && TryRead(file, FigureNames.Vcpu, unread) is { } values)
        {
            stats = values;
            sources.Add("descriptors");
        }
        else if (byQmp?.GetValueOrDefault(vcpu.Number) is { } answer)
        {
            stats = FigureNames.Vcpu(FigureNames.Values(answer));
            sources.Add("qmp");
        }

        ThreadFigures thread = vcpu.ThreadId is { } id ? ReadThread(vm.Pid, id, stats.Exits) : new();
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

    /// <summary>Whether a thread that ran a vCPU has ended, by the last reading.</summary>
    public bool LostThreads => _threads.Values.Any(thread => thread.HasEnded);

    private ThreadFigures ReadThread(int pid, int thread, ulong? exits)
    {
        if (!_threads.TryGetValue(thread, out ThreadFiles? its))
            _threads.Add(thread, its = new ThreadFiles(files, pid, thread));
        return its.Read(exits);
    }

    /// <summary>Closes the files of threads that no longer run a vCPU.</summary>
    private void ForgetThreads(WatchedVm vm)
    {
        if (ReferenceEquals(vm.Vcpus, _vcpus))
            return;
        _vcpus = vm.Vcpus;
        HashSet<int> here = [.. vm.Vcpus.Select(vcpu => vcpu.ThreadId).OfType<int>()];
        foreach (int gone in _threads.Keys.Where(thread => !here.Contains(thread)).ToList())
        {
            if (_threads.Remove(gone, out ThreadFiles? its))
                its.Dispose();
        }
    }

    /// <summary>A statistics file of the process, opened if it is not; null where that cannot be.</summary>
    /// <remarks>
    /// A VMM that closes a VM and opens another one uses the same numbers for all its files. So the first one that is read tells
    /// whether they are still those that were opened. All of them are compared once it is not, or the process was looked into.
    /// </remarks>
    private DescriptorStatistics? Open(int pid, int descriptor, HashSet<string> unread)
    {
        try
        {
            if (_open.TryGetValue(descriptor, out DescriptorStatistics? statistics))
            {
                if (!_comparesNext || statistics.IsStill(pid, descriptor))
                {
                    _comparesNext = _comparesAll;
                    return statistics;
                }

                _comparesAll = true;
                _open.Remove(descriptor);
                statistics.Dispose();
            }

            statistics = DescriptorStatistics.Open(pid, descriptor);
            _open.Add(descriptor, statistics);
            return statistics;
        }
        catch (SourceException error)
        {
            unread.Add(error.Message);
            return null;
        }
    }

    private static T? TryRead<T>(
        DescriptorStatistics file, Func<ReadOnlySpan<ulong?>, T> figures, HashSet<string> unread) where T : class
    {
        try
        {
            return figures(file.Read());
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
        foreach (ThreadFiles thread in _threads.Values)
            thread.Dispose();
        _threads.Clear();
    }
}
