using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel.Workloads;

/// <summary>What a workload did in one VM so far.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Events">Events that it has finished.</param>
/// <param name="FixedBefore">
/// Faults of its guest fixed in them before the last boundary that was crossed; null where the kernel counts none.
/// </param>
/// <param name="FixedAfter">The same after it.</param>
/// <param name="WhyNot">Why it cannot run here, as a part of a sentence; null where it can.</param>
/// <param name="Failure">Why it could not go on; null where it could.</param>
public sealed record WorkloadState(
    string Name, long Events, ulong? FixedBefore, ulong? FixedAfter, string? WhyNot, string? Failure);

/// <summary>
/// Runs a VM's workloads on a thread of its own, one event after another, in turn: at the beginning, around boundaries, and at the
/// end until each has had some.
/// </summary>
internal sealed class WorkloadRunner : IWorkloadPace, IDisposable
{
    /// <summary>Events of each workload in the first part of a run, and again after a boundary.</summary>
    private const int EventsMin = 8;

    /// <summary>The longest that a run waits for these at its end.</summary>
    private static readonly TimeSpan FinishWithin = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan Idle = TimeSpan.FromMilliseconds(20);

    private readonly InvalidatorGate _gate = new(1);
    private readonly TimeProvider _time;
    private readonly Vcpu _vcpu;
    private readonly Func<int> _crossings;
    private readonly Turn[] _turns;
    private readonly WorkloadGuest _guest;
    private readonly Thread _thread;
    private readonly Lock _lock = new();
    private long _invalidationsMax;
    private long? _finishing;
    private int _isResting = 1;
    private volatile bool _isDue;

    /// <param name="vm">The VM.</param>
    /// <param name="options">Options with workloads.</param>
    /// <param name="vcpu">Their vCPU.</param>
    /// <param name="crossings">How many boundaries were crossed.</param>
    /// <param name="counter">Where the counter lies.</param>
    /// <param name="time">The clock.</param>
    internal WorkloadRunner(
        KvmDescriptor vm, HostCohortOptions options, Vcpu vcpu, Func<int> crossings, Func<CounterBounds> counter, TimeProvider time)
    {
        (_vcpu, _crossings, _time) = (vcpu, crossings, time);
        long address = options.Shape.WorkloadBase;
        _turns = [.. options.Workloads.Select((name, index) => new Turn(
            WorkloadNames.Create(name),
            new WorkloadSpace(
                vm, (uint)(options.Memslots + 1 + index), address + (index * WorkloadSpace.Bytes), options.StaleWorkload == name)))];
        _guest = new WorkloadGuest(vcpu, this, counter, time);
        _thread = new Thread(Run) { Name = "workloads", IsBackground = true };
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
                return [.. _turns.Select(turn => turn.Describe(crossings))];
        }
    }

    /// <summary>Starts the thread.</summary>
    internal void Start() => _thread.Start();

    /// <summary>Says whether they are due by the count: around a boundary.</summary>
    internal void SetNearBoundary(bool isNear) => _isDue = isNear || _finishing is not null || !HasEach(EventsMin);

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
                if (_isDue && _turns[next % _turns.Length] is { CanRun: true } turn)
                    RunOne(turn);
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
        catch (Exception refusal) when (refusal is NotOfferedException or KvmException)
        {
            whyNot = refusal.Message;
        }

        lock (_lock)
            (turn.WhyNot, turn.IsPrepared) = (whyNot, true);
    }

    private void RunOne(Turn turn)
    {
        int crossings = _crossings();
        ulong? before = _vcpu.ReadFaults()?.Fixed;
        Interlocked.Add(ref _invalidationsMax, turn.Workload.InvalidationsMax);
        _guest.Begin(turn.Workload.Name, turn.Events + 1);
        string? failure = null;
        try
        {
            turn.Workload.Step(_guest);
        }
        catch (Exception error) when (error is WorkloadException or KvmException)
        {
            failure = error.Message;
        }

        ulong? fixedNow = _vcpu.ReadFaults()?.Fixed - before;
        lock (_lock)
        {
            turn.Add(crossings, fixedNow, failure);
            Stale = _guest.Stale;
        }
    }

    private bool HasEach(int events)
    {
        int crossings = _crossings();
        lock (_lock)
            return Array.TrueForAll(_turns, turn => turn.IsPrepared && (!turn.CanRun || turn.EventsSince(crossings) >= events));
    }

    /// <summary>A workload, and what it did.</summary>
    private sealed class Turn(Workload workload, WorkloadSpace space)
    {
        private ulong? _fixedBefore;
        private ulong? _fixedAfter;
        private long _eventsSince;
        private int _crossings;

        public Workload Workload => workload;

        public WorkloadSpace Space => space;

        public bool IsPrepared { get; set; }

        public string? WhyNot { get; set; }

        public string? Failure { get; private set; }

        public long Events { get; private set; }

        public bool CanRun => IsPrepared && WhyNot is null && Failure is null;

        /// <summary>Events since the last of so many crossings.</summary>
        public long EventsSince(int crossings) => crossings == _crossings ? _eventsSince : 0;

        /// <summary>Takes an event that began after so many crossings.</summary>
        public void Add(int crossings, ulong? fixedNow, string? failure)
        {
            Cross(crossings);
            Failure = failure;
            if (failure is null)
            {
                Events++;
                _eventsSince++;
            }

            if (crossings == 0)
                _fixedBefore = (_fixedBefore ?? 0) + fixedNow;
            else
                _fixedAfter = (_fixedAfter ?? 0) + fixedNow;
        }

        public WorkloadState Describe(int crossings)
        {
            bool isSame = crossings == _crossings;
            bool isCounted = Events == 0 || _fixedBefore is not null || _fixedAfter is not null;
            ulong all = (_fixedBefore ?? 0) + (_fixedAfter ?? 0);
            ulong after = isSame ? _fixedAfter ?? 0 : 0;
            return new WorkloadState(
                workload.Name, Events, isCounted ? all - after : null, isCounted ? after : null, WhyNot, Failure);
        }

        private void Cross(int crossings)
        {
            if (crossings == _crossings)
                return;
            if (_fixedAfter is { } after)
                _fixedBefore = (_fixedBefore ?? 0) + after;
            (_crossings, _eventsSince, _fixedAfter) = (crossings, 0, null);
        }
    }
}
