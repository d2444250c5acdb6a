using System.Runtime.InteropServices;
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

    private readonly HostCohortOptions options;
    private readonly GuestMemory memory;
    private readonly TimeProvider time;
    private readonly Action<long, long> crossed;
    private readonly long[] boundaries;
    private readonly Thread[] threads;
    private readonly ManualResetEventSlim go = new(initialState: true);
    private readonly ManualResetEventSlim never = new();
    private Counters counters;
    private int parked;
    private int boundary;
    private volatile bool pausing;
    private volatile bool stopping;

    /// <param name="options">Validated options.</param>
    /// <param name="memory">The memory, cut into VMAs.</param>
    /// <param name="time">The clock of the duty cycle.</param>
    /// <param name="crossed">Told of each boundary once, with the count, by the thread whose call crossed it.</param>
    internal Invalidators(HostCohortOptions options, GuestMemory memory, TimeProvider time, Action<long, long> crossed)
    {
        this.options = options;
        this.memory = memory;
        this.time = time;
        this.crossed = crossed;
        boundaries = [.. options.Boundaries.Order()];
        threads = new Thread[options.InvalidatorThreads];
        for (int index = 0; index < threads.Length; index++)
        {
            int part = index;
            threads[index] = new Thread(() => Run(part)) { Name = $"invalidator {index}", IsBackground = true };
        }
    }

    /// <summary>Invalidations that had ended: the kernel's counter is at least this.</summary>
    internal long Ended => Volatile.Read(ref counters.Ended);

    /// <summary>Invalidations that had begun: the counter is at most this, other sources aside.</summary>
    internal long Begun => Volatile.Read(ref counters.Begun);

    /// <summary>Whether no thread is in a call, and none will make one before <see cref="Resume"/>.</summary>
    internal bool AreStopped => (pausing || Begun >= options.Until) && Volatile.Read(ref parked) == threads.Length;

    /// <summary>Whether all the work is done and every thread has stopped for good.</summary>
    internal bool AreDone => Begun >= options.Until && Volatile.Read(ref parked) == threads.Length;

    internal bool ArePausing => pausing;

    /// <summary>Why a thread gave up; null while none has.</summary>
    internal string? Failure { get; private set; }

    internal string? PinningError { get; private set; }

    /// <summary>Managed memory that the first thread's loop has allocated, in bytes, once it has ended: 0, as the tests
    /// check.</summary>
    internal long BytesAllocated { get; private set; }

    internal void Start()
    {
        foreach (Thread thread in threads)
            thread.Start();
    }

    /// <summary>Stops every thread after its present call. <see cref="AreStopped"/> tells when.</summary>
    internal void Pause()
    {
        go.Reset();
        pausing = true;
    }

    internal void Resume()
    {
        pausing = false;
        go.Set();
    }

    /// <summary>Ends the threads. A call takes well under a second, so they always end.</summary>
    internal void Stop()
    {
        stopping = true;
        go.Set();
        never.Set();
        foreach (Thread thread in threads)
        {
            if (!thread.ThreadState.HasFlag(ThreadState.Unstarted))
                thread.Join();
        }
    }

    public void Dispose()
    {
        go.Dispose();
        never.Dispose();
    }

    private void Run(int part)
    {
        if (options.InvalidatorCpus.Count > 0)
            PinningError = CpuPinning.TryPin(options.InvalidatorCpus[part % options.InvalidatorCpus.Count]) ?? PinningError;
        nuint bytes = (nuint)(memory.VmaBytes * options.VmasPerCall);
        nint start = (nint)(memory.Soaked + ((long)bytes * part));
        int each = options.VmasPerCall;
        bool always = options.DutyCycle >= 1;
        long burstStart = time.GetTimestamp();
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        while (!stopping)
        {
            if (pausing || Volatile.Read(ref counters.Begun) >= options.Until)
            {
                Park();
                continue;
            }

            Interlocked.Add(ref counters.Begun, each);
            if (Libc.Advise(start, bytes, Libc.AdviseDontNeed) != 0)
            {
                Failure = $"madvise failed: {Libc.Explain(Marshal.GetLastPInvokeError())}";
                // Some of the call's ranges may have ended before it failed: they stay counted as begun, which is the
                // upper bound.
                Park();
                return;
            }

            long ended = Interlocked.Add(ref counters.Ended, each);
            int next = Volatile.Read(ref boundary);
            if (next < boundaries.Length && ended >= boundaries[next])
                Cross(ended);
            if (!always)
                burstStart = RestAfterBurst(burstStart);
        }

        if (part == 0)
            BytesAllocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
    }

    private void Cross(long ended)
    {
        int next;
        while ((next = Volatile.Read(ref boundary)) < boundaries.Length && ended >= boundaries[next])
        {
            if (Interlocked.CompareExchange(ref boundary, next + 1, next) == next)
                crossed(boundaries[next], ended);
        }
    }

    private void Park()
    {
        Interlocked.Increment(ref parked);
        // Done, or paused: the one ends with the other's signal, and both with Stop.
        if (pausing)
            go.Wait();
        else
            never.Wait();
        Interlocked.Decrement(ref parked);
    }

    private long RestAfterBurst(long burstStart)
    {
        TimeSpan worked = time.GetElapsedTime(burstStart);
        if (worked < Burst)
            return burstStart;
        TimeSpan rest = worked * ((1 - options.DutyCycle) / options.DutyCycle);
        never.Wait(rest < TimeSpan.FromMinutes(1) ? rest : TimeSpan.FromMinutes(1));
        return time.GetTimestamp();
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
