using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel;

/// <summary>
/// Drives real VMs on this machine's own kernel through the boundaries of their counters. Runs on threads of its own from
/// <see cref="Start"/> to <see cref="Dispose"/>, and publishes a snapshot after each look.
/// </summary>
/// <remarks>
/// <para>
/// <b>The count.</b> A VM's <c>mmu_invalidate_seq</c> starts at 0 and moves once at the end of each notifier range that overlaps
/// a memslot. The invalidators make one such range for each VMA of each call, and count a call's ranges before it (begun) and
/// after it (ended): the counter lies between the two. Other sources can only add to it: compaction, KSM, NUMA balancing,
/// huge-page collapse and swap acting on the VM's memory, a fork of this process (one for each VMA), and workloads, which say
/// what they add at most. Huge pages are forbidden on the plain memory, and KSM is asked for by its workload alone. So a boundary
/// is crossed no later than counted, and the windows around boundaries start early.
/// </para>
/// <para>A VM cannot be resumed: its counter lives in the kernel and ends with the process. An interrupted run starts again at
/// 0.</para>
/// </remarks>
public sealed class HostSoak : IDisposable
{
    /// <summary>The longest that <see cref="Stop"/> takes, even with a hung vCPU.</summary>
    public static readonly TimeSpan StopWithin = TimeSpan.FromSeconds(5);

    // Leaves time to publish the last snapshot.
    private static readonly TimeSpan PublishEvery = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan VmsStopWithin = StopWithin - TimeSpan.FromMilliseconds(500);

    private readonly HostCohortOptions _options;
    private readonly TimeProvider _time;
    private readonly HostMachine _machine;
    private readonly IReadOnlyList<IHostVm> _vms;
    private readonly IDisposable? _device;
    private readonly CounterTracing? _tracing;
    private readonly Thread _thread;
    private readonly ManualResetEventSlim _stopRequest = new();
    private readonly TaskCompletionSource<HostSoakSnapshot> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _started;
    private readonly Func<string, Action<BoundaryProgress>, Func<bool>, BoundaryResult>? _crossOther;
    private ImmutableArray<BoundaryResult> _others = [];
    private BoundaryProgress? _progress;
    private HostSoakSnapshot _snapshot;
    private string? _failure;
    private volatile bool _haveVmsStopped;

    /// <summary>Drives VMs that were created already.</summary>
    internal HostSoak(
        HostCohortOptions options,
        TimeProvider time,
        HostMachine machine,
        IReadOnlyList<IHostVm> vms,
        IDisposable? device,
        CounterTracing? tracing = null,
        Func<string, Action<BoundaryProgress>, Func<bool>, BoundaryResult>? crossOther = null)
    {
        _crossOther = crossOther;
        (_options, _time, _machine, _vms, _device, _tracing) = (options, time, machine, vms, device, tracing);
        _started = time.GetTimestamp();
        _snapshot = TakeSnapshot(isOver: false);
        _thread = new Thread(Run) { Name = "host soak", IsBackground = true };
    }

    /// <summary>The state of everything at the last look. Any thread may read it.</summary>
    public HostSoakSnapshot Snapshot => Volatile.Read(ref _snapshot);

    /// <summary>
    /// Raised on the soak's own thread with each new snapshot, including the last. A handler must be quick and must not throw.
    /// </summary>
    public event Action<HostSoakSnapshot>? Published;

    /// <summary>
    /// Completes with the last snapshot when every VM is over or the soak was stopped; faults where driving the VMs failed, with
    /// what it failed with.
    /// </summary>
    public Task<HostSoakSnapshot> Completion => _completion.Task;

    internal IReadOnlyList<IHostVm> Vms => _vms;

    /// <summary>Creates the VMs and starts everything.</summary>
    /// <param name="options">What to run.</param>
    /// <param name="time">The clock.</param>
    /// <exception cref="KvmException">
    /// The kernel refuses; see <see cref="HostKernelSupport.Probe(string)"/> to know before.
    /// </exception>
    /// <exception cref="ArgumentException">The options are wrong; the message holds every error.</exception>
    public static HostSoak Start(HostCohortOptions options, TimeProvider time)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(time);
        KvmDevice device = KvmDevice.Open(options.DevicePath);
        List<HostVm> vms = [];
        var tracing = CounterTracing.Begin();
        try
        {
            IReadOnlyList<(string Key, string Error)> errors = options.Validate(device.Limits);
            if (errors.Count > 0)
                throw new ArgumentException(
                    string.Join("; ", errors.Select(error => $"{error.Key} {error.Error}")),
                    nameof(options));
            for (int index = 0; index < options.Vms; index++)
                vms.Add(new HostVm(device, options, index, tracing, time));
            var soak = new HostSoak(
                options, time, HostMachine.Read(), vms, device, tracing,
                (name, progress, isStopping) => BoundaryRuns.Run(name, device, mover: null, time, progress, isStopping));
            soak.Begin();
            return soak;
        }
        catch
        {
            vms.ForEach(vm => vm.Dispose());
            tracing.Dispose();
            device.Dispose();
            throw;
        }
    }

    /// <summary>Asks every thread to end. Returns at once; <see cref="TryJoin"/> waits.</summary>
    public void RequestStop() => _stopRequest.Set();

    /// <summary>Waits until every thread has ended and the last snapshot is published.</summary>
    /// <returns>Whether that was before the deadline.</returns>
    public bool TryJoin(Deadline deadline) => _thread.Join(deadline.Left);

    /// <summary>Ends every thread, within <see cref="StopWithin"/>, and publishes a last snapshot. May be called again.</summary>
    public void Stop()
    {
        RequestStop();
        TryJoin(new Deadline(_time, StopWithin));
    }

    /// <summary>Stops, and returns everything to the kernel.</summary>
    public void Dispose()
    {
        Stop();

        // A thread that is still in the kernel uses its VM. Then the end of the process returns it, and nothing earlier may.
        if (!_haveVmsStopped)
            return;
        foreach (IHostVm vm in _vms)
            vm.Dispose();
        _device?.Dispose();
        _tracing?.Dispose();
        _stopRequest.Dispose();
    }

    internal void Begin()
    {
        // What a VM cannot start with is told to whoever starts it.
        if (!HasOthers)
            StartVms();
        _thread.Start();
    }

    private bool HasOthers => BoundaryNames.WithoutCounter(_options.Counters).Any();

    private void StartVms()
    {
        foreach (IHostVm vm in _options.HasCounter ? _vms : [])
            vm.Start();
    }

    /// <summary>The short runs come first: what they find is not worth waiting half an hour for.</summary>
    private void CrossOthers()
    {
        long published = _time.GetTimestamp();
        foreach (string name in BoundaryNames.WithoutCounter(_options.Counters))
        {
            if (_stopRequest.IsSet)
                return;
            BoundaryResult result = _crossOther!(name, Tell, IsStopping);
            _others = [.. _others, result];
            _progress = null;
            Publish(isOver: false);
        }

        if (!HasOthers)
            return;

        // What is said of the count is of its own time.
        if (_options.HasCounter)
            _started = _time.GetTimestamp();
        StartVms();

        // It is asked for as long as a run waits, however long for: who reads must not take that for the end of this thread.
        bool IsStopping()
        {
            if (_time.GetElapsedTime(published) >= PublishEvery)
            {
                published = _time.GetTimestamp();
                Publish(isOver: false);
            }

            return _stopRequest.IsSet;
        }

        void Tell(BoundaryProgress progress)
        {
            _progress = progress;
            Publish(isOver: false);
        }
    }

    private void Run()
    {
        Exception? driving = Attempt(Drive);
        _failure = driving?.Message;
        Exception? stopping = Attempt(StopVms);
        Exception? publishing = Attempt(() => Publish(isOver: true));
        if ((driving ?? stopping ?? publishing) is { } error)
            _completion.SetException(error);
        else
            _completion.SetResult(Snapshot);
    }

    private void Drive()
    {
        CrossOthers();
        while (_options.HasCounter && !_stopRequest.Wait(_options.SampleInterval) && !_vms.All(vm => vm.IsOver))
        {
            foreach (IHostVm vm in _vms)
            {
                if (!vm.IsOver)
                    vm.Step();
            }

            Publish(isOver: false);
        }
    }

    private void StopVms()
    {
        var deadline = new Deadline(_time, VmsStopWithin);

        // VMs of one process share its mmap_lock and notifiers: while one of them is invalidated, no vCPU of another leaves the
        // kernel soon.
        foreach (IHostVm vm in _vms)
            vm.StopInvalidating();
        foreach (IHostVm vm in _vms)
            vm.RequestStop();
        bool haveStopped = true;
        foreach (IHostVm vm in _vms)
            haveStopped &= vm.TryJoin(deadline);
        _haveVmsStopped = haveStopped;
    }

    private static Exception? Attempt(Action step)
    {
        try
        {
            step();
            return null;
        }
#pragma warning disable CA1031 // Whatever went wrong ends the run with a reason, never the process from a thread of its own.
        catch (Exception error)
        {
            return error;
        }
#pragma warning restore CA1031
    }

    private void Publish(bool isOver)
    {
        HostSoakSnapshot taken = TakeSnapshot(isOver);
        Volatile.Write(ref _snapshot, taken);
        Published?.Invoke(taken);
    }

    private HostSoakSnapshot TakeSnapshot(bool isOver)
    {
        DateTimeOffset at = _time.GetUtcNow();
        ImmutableArray<HostVmSnapshot> states = [.. _vms.Select(vm => vm.Snapshot(at))];
        IEnumerable<string> shortcomings = _vms.SelectMany(vm => vm.Shortcomings).Distinct(StringComparer.Ordinal);
        return new HostSoakSnapshot
        {
            At = at,
            Elapsed = _time.GetElapsedTime(_started),
            IsOver = isOver,
            Violations = [.. Others(Verdict.Violation), .. HostEvidence.Violations(states)],
            Missing = isOver ? [.. Failures(states), .. MissingOthers(), .. HostEvidence.Missing(_options, states)] : [],
            Seen = isOver ? [.. Others(Verdict.Pass), .. _options.HasCounter ? HostEvidence.Seen(states) : []] : [],
            NotCovered =
            [
                .. HostEvidence.NotCovered(
                    _options, _machine, shortcomings, WhyNoCounter(states),
                    states.Select(vm => vm.Start).DefaultIfEmpty().Min(), states, isOver),
                .. Others(Verdict.Unsupported),
            ],
            Others = _others,
            OtherProgress = _progress,
            Machine = _machine,
            Vms = states,
        };
    }

    private IEnumerable<string> Others(Verdict verdict) =>
        _others.Where(each => each.Verdict == verdict).Select(each => each.ToString());

    private IEnumerable<string> MissingOthers() => Others(Verdict.Inconclusive).Concat(
        BoundaryNames.WithoutCounter(_options.Counters).Except(_others.Select(each => each.Name))
            .Select(name => $"{name} was not tried."));

    private string? WhyNoCounter(IEnumerable<HostVmSnapshot> states) => states.All(vm => vm.Counter is not null) ? null
        : _tracing?.WhyNot ?? "no fault of its vCPUs was traced";

    private IEnumerable<string> Failures(IEnumerable<HostVmSnapshot> states)
    {
        if (_failure is not null)
            yield return _failure;
        if (_stopRequest.IsSet && _options.HasCounter && !_vms.All(vm => vm.IsOver))
            yield return "The run was stopped before its end. A VM cannot be resumed: it would start again at 0.";
        foreach ((HostVmSnapshot state, IHostVm vm) in states.Zip(_vms))
        {
            if (vm.Failure is { } reason)
                yield return $"VM {state.Index}: {reason}.";
        }
    }
}
