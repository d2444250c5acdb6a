using System.Runtime.InteropServices;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;

namespace SoakHost.HostKernel;

/// <summary>
/// The threads that invalidate one VM's memory, and their count. Each owns a part of the memory; one madvise(MADV_DONTNEED)
/// over that part makes one invalidation for each of its VMAs, whether or not anything was ever touched.
/// </summary>
/// <remarks>The loop allocates nothing and takes no lock; it costs two atomic additions for each call of some hundred
/// invalidations.</remarks>
internal sealed unsafe class Invalidators : IDisposable
{
    private static readonly TimeSpan Burst = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan RestMax = TimeSpan.FromMinutes(1);

    private readonly HostCohortOptions _options;
    private readonly GuestMemory _memory;
    private readonly TimeProvider _time;
    private readonly Action<long, long> _crossed;
    private long[] _boundaries = [];
    private long _start;
    private readonly Thread[] _threads;
    private readonly InvalidatorGate _gate;
    private Counters _counters;
    private int _boundary;

    /// <param name="options">Validated options.</param>
    /// <param name="memory">The memory, cut into VMAs.</param>
    /// <param name="time">The clock of the duty cycle.</param>
    /// <param name="crossed">Called once for each boundary, with the counter, by the thread whose call crossed it.</param>
    internal Invalidators(HostCohortOptions options, GuestMemory memory, TimeProvider time, Action<long, long> crossed)
    {
        (_options, _memory, _time, _crossed) = (options, memory, time, crossed);
        _gate = new InvalidatorGate(options.InvalidatorThreads);
        _threads = new Thread[options.InvalidatorThreads];
        for (int index = 0; index < _threads.Length; index++)
        {
            int part = index;
            _threads[index] = new Thread(() => Run(part)) { Name = $"invalidator {index}", IsBackground = true };
        }
    }

    /// <summary>Invalidations that had ended: the kernel's counter is at least this.</summary>
    internal long Ended => Volatile.Read(ref _counters.Ended);

    /// <summary>Invalidations that had begun: the counter is at most this, other sources aside.</summary>
    internal long Begun => Volatile.Read(ref _counters.Begun);

    /// <summary>Whether no thread is in a call, and none will make one before <see cref="Resume"/>.</summary>
    internal bool AreStopped => (_gate.IsPaused || IsWorkDone) && _gate.IsEveryoneWaiting;

    /// <summary>Whether all the work is done and every thread has stopped for good.</summary>
    internal bool AreDone => IsWorkDone && _gate.IsEveryoneWaiting;

    internal bool ArePausing => _gate.IsPaused;

    private bool IsWorkDone => Begun >= _options.Until;

    /// <summary>Why a thread gave up; null while none has.</summary>
    internal string? Failure { get; private set; }

    internal string? PinningError { get; private set; }

    /// <summary>
    /// Managed memory that the first thread's loop has allocated, in bytes, once it has ended. Tests check that it is 0.
    /// </summary>
    internal long BytesAllocated { get; private set; }

    /// <summary>Begins.</summary>
    /// <param name="start">Where the counter is now.</param>
    internal void Start(long start)
    {
        _start = start;
        _boundaries = [.. _options.BoundariesFrom(start).Select(boundary => boundary - start)];
        foreach (Thread thread in _threads)
            thread.Start();
    }

    /// <summary>Stops every thread after its present call. <see cref="AreStopped"/> says when.</summary>
    internal void Pause() => _gate.Pause();

    internal void Resume() => _gate.Resume();

    /// <summary>Asks every thread to end after its present call. Returns at once.</summary>
    internal void RequestStop() => _gate.Stop();

    /// <summary>Waits for the threads, after <see cref="RequestStop"/>. A call takes well under a second.</summary>
    /// <returns>Whether all of them ended in time.</returns>
    internal bool TryJoin(Deadline deadline)
    {
        bool haveEnded = true;
        foreach (Thread thread in _threads)
            haveEnded &= thread.ThreadState.HasFlag(ThreadState.Unstarted) || thread.Join(deadline.Left);
        return haveEnded;
    }

    public void Dispose() => _gate.Dispose();

    private void Run(int part)
    {
        if (_options.InvalidatorCpus.Count > 0)
            PinningError = CpuPinning.TryPin(_options.InvalidatorCpus[part % _options.InvalidatorCpus.Count]) ?? PinningError;
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        Invalidate(part);
        if (part == 0)
            BytesAllocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
    }

    private void Invalidate(int part)
    {
        nuint bytes = (nuint)(_memory.VmaBytes * _options.VmasPerCall);
        nint start = (nint)(_memory.Soaked + ((long)bytes * part));
        int each = _options.VmasPerCall;
        bool always = _options.DutyCycle >= 1;
        long burstStart = _time.GetTimestamp();
        while (!_gate.IsStopping)
        {
            if (_gate.IsPaused)
            {
                _gate.WaitForResume();

                // A pause is no work, to be rested from.
                burstStart = _time.GetTimestamp();
                continue;
            }

            if (IsWorkDone)
            {
                _gate.WaitForStop();
                continue;
            }

            Interlocked.Add(ref _counters.Begun, each);
            if (Libc.Advise(start, bytes, Libc.AdviseDontNeed) != 0)
            {
                // Some of the call's ranges may have ended before it failed: they stay counted as begun, which is the upper
                // bound.
                Failure = $"madvise failed: {Libc.Explain(Marshal.GetLastPInvokeError())}";
                _gate.WaitForStop();
                return;
            }

            long ended = Interlocked.Add(ref _counters.Ended, each);
            int next = Volatile.Read(ref _boundary);
            if (next < _boundaries.Length && ended >= _boundaries[next])
                Cross(ended);
            if (!always)
                burstStart = RestAfterBurst(burstStart);
        }
    }

    private void Cross(long ended)
    {
        int next;
        while ((next = Volatile.Read(ref _boundary)) < _boundaries.Length && ended >= _boundaries[next])
        {
            if (Interlocked.CompareExchange(ref _boundary, next + 1, next) == next)
                _crossed(_start + _boundaries[next], _start + ended);
        }
    }

    private long RestAfterBurst(long burstStart)
    {
        TimeSpan worked = _time.GetElapsedTime(burstStart);
        if (worked < Burst)
            return burstStart;
        TimeSpan rest = worked * ((1 - _options.DutyCycle) / _options.DutyCycle);
        _gate.Rest(rest < RestMax ? rest : RestMax);
        return _time.GetTimestamp();
    }

    // Each on a cache line of its own, away from what others read.
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct Counters
    {
        [FieldOffset(64)]
        internal long Begun;

        [FieldOffset(128)]
        internal long Ended;
    }
}
