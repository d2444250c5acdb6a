using System.Collections.Immutable;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel;

/// <summary>
/// Real VMs on this machine's own kernel, driven through their counters' boundaries. Runs on threads of its own from
/// <see cref="Start"/> to <see cref="Dispose"/>, and publishes a snapshot after each look.
/// </summary>
/// <remarks>
/// <para>
/// <b>The count.</b> A VM's <c>mmu_invalidate_seq</c> starts at 0 and moves once at the end of each notifier range that
/// overlaps a memslot. The invalidators make one such range for each VMA of each call, and count a call's ranges before it
/// (begun) and after it (ended): the counter lies between the two. Other sources can only add to it: compaction, KSM, NUMA
/// balancing, huge-page collapse and swap acting on the VM's memory, and a fork of this process (one for each VMA). Huge
/// pages are forbidden on that memory, and KSM never asked for. So a boundary is crossed no later than counted, and the
/// windows around boundaries start early.
/// </para>
/// <para>A VM cannot be resumed: its counter lives in the kernel and ends with the process. An interrupted run starts
/// again at 0.</para>
/// </remarks>
public sealed class HostCohort : IDisposable
{
    /// <summary>The longest that <see cref="Stop"/> takes, even with a hung vCPU.</summary>
    public static readonly TimeSpan StopWithin = TimeSpan.FromSeconds(5);

    private readonly HostCohortOptions options;
    private readonly TimeProvider time;
    private readonly KvmDevice device;
    private readonly List<HostVm> vms = [];
    private readonly HostMachine machine;
    private readonly Thread thread;
    private readonly ManualResetEventSlim stopRequest = new();
    private readonly TaskCompletionSource<HostCohortSnapshot> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly long startTicks;
    private HostCohortSnapshot snapshot;
    private string? failure;
    private bool stopped;

    private HostCohort(HostCohortOptions options, TimeProvider time)
    {
        this.options = options;
        this.time = time;
        device = KvmDevice.Open(options.DevicePath);
        try
        {
            IReadOnlyList<(string Key, string Error)> errors = options.Validate(device.Limits);
            if (errors.Count > 0)
                throw new ArgumentException(string.Join("; ", errors.Select(error => $"{error.Key} {error.Error}")), nameof(options));
            machine = HostMachine.Read();
            for (int index = 0; index < options.Vms; index++)
                vms.Add(new HostVm(device, options, index, time));
        }
        catch
        {
            Release();
            throw;
        }

        startTicks = time.GetTimestamp();
        snapshot = TakeSnapshot(isOver: false);
        thread = new Thread(Run) { Name = "host cohort", IsBackground = true };
    }

    /// <summary>The state of everything at the last look. Any thread may read it.</summary>
    public HostCohortSnapshot Snapshot => Volatile.Read(ref snapshot);

    /// <summary>Raised on the cohort's own thread with each new snapshot, the last included. A handler must be quick and
    /// throw nothing.</summary>
    public event Action<HostCohortSnapshot>? Published;

    /// <summary>Ends with the last snapshot when every VM is over, or the cohort was stopped; fails where driving itself
    /// failed.</summary>
    public Task<HostCohortSnapshot> Completion => completion.Task;

    internal IReadOnlyList<HostVm> Vms => vms;

    /// <summary>Creates the VMs and starts everything.</summary>
    /// <param name="options">What to run.</param>
    /// <param name="time">The clock.</param>
    /// <exception cref="KvmException">The kernel refuses; see <see cref="HostKernelSupport.Probe(string)"/> for a way to
    /// know before.</exception>
    /// <exception cref="ArgumentException">The options are wrong; the message holds every error.</exception>
    public static HostCohort Start(HostCohortOptions options, TimeProvider time)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(time);
        var cohort = new HostCohort(options, time);
        foreach (HostVm vm in cohort.vms)
            vm.Start();
        cohort.thread.Start();
        return cohort;
    }

    /// <summary>Asks every thread to end, and returns at once; <see cref="TryJoin"/> waits.</summary>
    public void RequestStop() => stopRequest.Set();

    /// <summary>Waits until every thread has ended and the last snapshot is published.</summary>
    /// <returns>Whether that was within this time.</returns>
    public bool TryJoin(TimeSpan within) => thread.Join(within);

    /// <summary>Ends every thread, within <see cref="StopWithin"/>, and publishes a last snapshot. May be called
    /// again.</summary>
    public void Stop()
    {
        RequestStop();
        thread.Join();
    }

    /// <summary>Stops, and gives everything back to the kernel.</summary>
    public void Dispose()
    {
        Stop();
        Release();
        stopRequest.Dispose();
    }

    private void Run()
    {
        try
        {
            while (!stopRequest.Wait(options.SampleInterval) && !vms.All(vm => vm.IsOver))
            {
                foreach (HostVm vm in vms)
                {
                    if (!vm.IsOver)
                        vm.Step();
                }

                Publish(isOver: false);
            }
        }
#pragma warning disable CA1031 // Whatever went wrong ends the run with a reason, never the process from a thread of its own.
        catch (Exception error)
        {
            failure = error.Message;
        }
#pragma warning restore CA1031
        StopThreads();
        Publish(isOver: true);
        completion.SetResult(snapshot);
    }

    private void Publish(bool isOver)
    {
        HostCohortSnapshot taken = TakeSnapshot(isOver);
        Volatile.Write(ref snapshot, taken);
        Published?.Invoke(taken);
    }

    private void StopThreads()
    {
        stopped = true;
        long start = time.GetTimestamp();
        foreach (HostVm vm in vms)
        {
            TimeSpan left = StopWithin - time.GetElapsedTime(start);
            stopped &= vm.TryStop(left > TimeSpan.Zero ? left : TimeSpan.Zero);
        }
    }

    private void Release()
    {
        // A thread that is still in the kernel uses its VM; then the process's end gives it back, and nothing earlier may.
        if (thread is not null && !stopped)
            return;
        foreach (HostVm vm in vms)
            vm.Dispose();
        device.Dispose();
    }

    private HostCohortSnapshot TakeSnapshot(bool isOver)
    {
        DateTimeOffset at = time.GetUtcNow();
        ImmutableArray<HostVmSnapshot> states = [.. vms.Select(vm => vm.Snapshot(at))];
        (HostVerdict verdict, ImmutableArray<string> reasons) = HostJudgement.Of(options, states, isOver, Failures());
        ImmutableArray<string> gaps = HostJudgement.NotCovered(options, machine, Shortcomings());
        return new HostCohortSnapshot(at, time.GetElapsedTime(startTicks), isOver, verdict, reasons, gaps, machine, states);
    }

    private IEnumerable<string> Failures()
    {
        if (failure is not null)
            yield return failure;
        if (stopRequest.IsSet && !vms.All(vm => vm.IsOver))
            yield return "The run was stopped before its end; a VM cannot be resumed, so it would start again at 0.";
        foreach (HostVm vm in vms)
        {
            if (vm.Invalidators.Failure is { } reason)
                yield return $"VM {vm.Index}: {reason}.";
        }
    }

    private HashSet<string> Shortcomings()
    {
        var found = new HashSet<string>(StringComparer.Ordinal);
        foreach (HostVm vm in vms)
        {
            foreach (Vcpu vcpu in vm.Vcpus)
            {
                if (vcpu.StatisticsMissing is { } missing)
                    found.Add($"Verdicts rest on heartbeats and quiescing alone: {missing}.");
                if (vcpu.PinningError is { } error)
                    found.Add(error);
            }

            if (vm.Invalidators.PinningError is { } reason)
                found.Add(reason);
        }

        return found;
    }
}
