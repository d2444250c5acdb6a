using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Watch;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.HostKernel;

/// <summary>
/// Runs a VM's workloads on a thread of its own, one event after another, in turn: at the beginning, around boundaries, and at
/// the end until each has had some.
/// </summary>
internal sealed class WorkloadRunner : IWorkloadPace, IDisposable
{
    /// <summary>Events of each workload in the first part of a run, and again after a boundary.</summary>
    private const int EventsMin = 8;

    /// <summary>The longest that a run waits for these at its end.</summary>
    private static readonly TimeSpan FinishWithin = TimeSpan.FromSeconds(30);

    /// <summary>The longest that they are at work for these events at a run's beginning, and past a boundary.</summary>
    private static readonly TimeSpan PartMax = TimeSpan.FromMinutes(2);

    private static readonly TimeSpan RestMax = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan Idle = TimeSpan.FromMilliseconds(20);

    private readonly InvalidatorGate _gate = new(1);
    private readonly TimeProvider _time;
    private readonly Func<ulong?> _faultsFixed;
    private readonly Func<int> _crossings;
    private readonly Turn[] _turns;
    private readonly WorkloadGuest _guest;
    private readonly Thread _thread;
    private readonly Lock _lock = new();
    private long _invalidationsMax;
    private long? _finishing;
    private (int Crossings, long Began)? _part;
    private int _isResting = 1;
    private volatile bool _isDue;

    /// <param name="workloads">The workloads, each with its part of the VM.</param>
    /// <param name="vcpu">Their vCPU.</param>
    /// <param name="faultsFixed">Faults fixed for it; null where the kernel counts none.</param>
    /// <param name="crossings">How many boundaries were crossed.</param>
    /// <param name="counter">Where the counter lies.</param>
    /// <param name="time">The clock.</param>
    internal WorkloadRunner(
        IEnumerable<(Workload Workload, WorkloadSpace Space)> workloads, IWorkloadVcpu vcpu, Func<ulong?> faultsFixed,
        Func<int> crossings, Func<CounterBounds> counter, TimeProvider time)
    {
        (_faultsFixed, _crossings, _time) = (faultsFixed, crossings, time);
        _turns = [.. workloads.Select(each => new Turn(each.Workload, each.Space))];
        _guest = new WorkloadGuest(vcpu, this, counter, time);
        _thread = new Thread(Run) { Name = "workloads", IsBackground = true };
    }

    /// <summary>The workloads of a VM's options, each with a memslot and guest addresses of its own.</summary>
    /// <param name="vm">The VM.</param>
    /// <param name="options">Options with workloads.</param>
    /// <param name="vcpu">Their vCPU.</param>
    /// <param name="hasRings">Whether the vCPUs have dirty rings.</param>
    internal static IEnumerable<(Workload Workload, WorkloadSpace Space)> Of(
        KvmDescriptor vm, HostCohortOptions options, Vcpu vcpu, bool hasRings)
    {
        uint slot = (uint)options.Memslots + 1;
        long address = options.Shape.WorkloadBase;
        foreach (string name in options.Workloads)
        {
            var space = new WorkloadSpace(vm, slot++, address, options.Vmas, options.StaleWorkload == name)
            {
                GuestFile = vcpu.Descriptor,
                HasRings = hasRings,
            };
            yield return (WorkloadNames.Create(name), space);
            address += WorkloadSpace.Bytes;
        }
    }

    /// <summary>The most that they can have added to the VM's counter.</summary>
    internal long InvalidationsMax => Volatile.Read(ref _invalidationsMax);

    /// <summary>The first stale mapping; null where there is none.</summary>
    internal StaleMapping? Stale { get; private set; }

    /// <summary>Whether none of them changes anything, nor will before <see cref="Resume"/>.</summary>
    internal bool AreStopped => _gate.IsPaused && Volatile.Read(ref _isResting) == 1;

    /// <summary>Whether everything must end.</summary>
    public bool IsStopping => _gate.IsStopping;

    /// <summary>What each did, as of now.</summary>
    internal ImmutableArray<WorkloadState> States
    {
        get
        {
            int crossings = _crossings();
            lock (_lock)
                return [.. _turns.Select(turn => turn.Tally.Describe(crossings))];
        }
    }

    /// <summary>Starts the thread.</summary>
    internal void Start() => _thread.Start();

    /// <summary>Says whether they are due by the count: around a boundary.</summary>
    internal void SetNearBoundary(bool isNear)
    {
        int crossings = _crossings();
        if (_part?.Crossings != crossings)
            _part = (crossings, _time.GetTimestamp());

        // One that waits in vain for the host must not keep the others at work for the whole run.
        bool isPartOver = HasEach(EventsMin) || _time.GetElapsedTime(_part.Value.Began) > PartMax;
        _isDue = isNear || _finishing is not null || !isPartOver;
    }

    /// <summary>
    /// Whether each has had some events since the last boundary, or time enough for them. Once that is so, none runs any more.
    /// </summary>
    internal bool AreFinished(long now)
    {
        _finishing ??= now;
        if (!HasEach(EventsMin) && _time.GetElapsedTime(_finishing.Value, now) < FinishWithin)
            return false;
        _gate.Stop();
        return !_thread.IsAlive;
    }

    internal void Pause() => _gate.Pause();

    internal void Resume() => _gate.Resume();

    /// <summary>Asks the thread to end. Returns at once.</summary>
    internal void RequestStop() => _gate.Stop();

    /// <summary>Waits for the thread, after <see cref="RequestStop"/>.</summary>
    internal bool TryJoin(Deadline deadline) =>
        _thread.ThreadState.HasFlag(ThreadState.Unstarted) || _thread.Join(deadline.Left);

    /// <inheritdoc/>
    public void BeginRest() => Interlocked.Exchange(ref _isResting, 1);

    /// <inheritdoc/>
    public void EndRest()
    {
        // First the mark, then the look: whoever paused just now sees one, or is seen.
        Interlocked.Exchange(ref _isResting, 0);
        while (_gate.IsPaused && !_gate.IsStopping)
        {
            Interlocked.Exchange(ref _isResting, 1);
            _gate.WaitForResume();
            Interlocked.Exchange(ref _isResting, 0);
        }

        if (_gate.IsStopping)
            throw new WorkloadStoppedException();
    }

    /// <summary>Returns everything to the kernel. The thread has ended, and the VM is closed.</summary>
    public void Dispose()
    {
        foreach (Turn turn in _turns)
            turn.Workload.Dispose();
        _gate.Dispose();
    }

    private void Run()
    {
        try
        {
            foreach (Turn turn in _turns)
            {
                EndRest();
                Prepare(turn);
            }

            for (int next = 0; Array.Exists(_turns, turn => turn.CanRun) && Stale is null; next++)
            {
                BeginRest();
                if (!_isDue)
                    _gate.Rest(Idle);
                EndRest();
                if (_isDue && _turns[next % _turns.Length] is { CanRun: true } turn && IsReady(turn))
                    RunOneAndRest(turn);
            }
        }
        catch (WorkloadStoppedException)
        {
            // As it was asked.
        }

        BeginRest();
    }

    private void Prepare(Turn turn)
    {
        string? whyNot = null;
        try
        {
            turn.Workload.Prepare(turn.Space);
        }
        catch (Exception refusal) when (refusal is not WorkloadStoppedException)
        {
            whyNot = refusal.Message;
        }

        lock (_lock)
            (turn.Tally.WhyNot, turn.IsPrepared) = (whyNot, true);
    }

    /// <summary>Half of the time is the others': where processors are few, workloads would slow the count down by much.</summary>
    private void RunOneAndRest(Turn turn)
    {
        long began = _time.GetTimestamp();
        RunOne(turn);
        BeginRest();
        TimeSpan took = _time.GetElapsedTime(began);
        _gate.Rest(took < RestMax ? took : RestMax);
        EndRest();
    }

    private void RunOne(Turn turn)
    {
        int crossings = _crossings();
        ulong? before = _faultsFixed();
        Interlocked.Add(ref _invalidationsMax, turn.Workload.InvalidationsMax);
        _guest.Begin(turn.Workload.Name, turn.Tally.Events + 1);
        string? failure = null;
        try
        {
            turn.Workload.Step(_guest);
        }
        catch (Exception error) when (error is not WorkloadStoppedException)
        {
            // An exception that no workload expects must not end the process.
            failure = error.Message;
        }
        finally
        {
            Stale = _guest.Stale;
        }

        ulong? fixedNow = _faultsFixed() - before;
        lock (_lock)
            turn.Tally.Add(crossings, fixedNow, failure);
    }

    private bool IsReady(Turn turn)
    {
        try
        {
            return turn.Workload.IsReady;
        }
        catch (Exception error) when (error is not WorkloadStoppedException)
        {
            lock (_lock)
                turn.Tally.Add(_crossings(), 0, error.Message);
            return false;
        }
    }

    private bool HasEach(int events)
    {
        int crossings = _crossings();
        lock (_lock)
            return Array.TrueForAll(_turns, HasEnough);

        bool HasEnough(Turn turn) => turn.IsPrepared && (!turn.CanRun || turn.Tally.EventsSince(crossings) >= events);
    }

    /// <summary>A workload, and what it did.</summary>
    private sealed class Turn(Workload workload, WorkloadSpace space)
    {
        public Workload Workload => workload;

        public WorkloadSpace Space => space;

        public WorkloadTally Tally { get; } = new(workload.Name);

        public bool IsPrepared { get; set; }

        public bool CanRun => IsPrepared && Tally.CanRun;
    }
}
