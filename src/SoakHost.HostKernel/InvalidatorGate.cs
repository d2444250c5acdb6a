namespace SoakHost.HostKernel;

/// <summary>
/// Where invalidator threads wait while invalidations are paused, and after the last one. One thread pauses, resumes and stops;
/// any number of threads wait.
/// </summary>
internal sealed class InvalidatorGate(int threads) : IDisposable
{
    private readonly ManualResetEventSlim _resumed = new(initialState: true);
    private readonly ManualResetEventSlim _stopped = new();
    private int _waiting;
    private volatile bool _isPaused;
    private volatile bool _isStopping;

    /// <summary>Whether invalidations are paused.</summary>
    internal bool IsPaused => _isPaused;

    /// <summary>Whether the threads must end.</summary>
    internal bool IsStopping => _isStopping;

    /// <summary>Whether every thread waits.</summary>
    internal bool IsEveryoneWaiting => Volatile.Read(ref _waiting) == threads;

    /// <summary>Lets every thread wait from its next look on. <see cref="IsEveryoneWaiting"/> says when all do.</summary>
    internal void Pause()
    {
        _resumed.Reset();
        _isPaused = true;
    }

    /// <summary>Ends the pause.</summary>
    internal void Resume()
    {
        _isPaused = false;
        _resumed.Set();
    }

    /// <summary>Wakes every thread for good.</summary>
    internal void Stop()
    {
        _isStopping = true;
        _resumed.Set();
        _stopped.Set();
    }

    /// <summary>
    /// Waits for the end of a pause. The caller saw <see cref="IsPaused"/>; it may have ended since, and then this returns at
    /// once. What it waits for must not depend on a second look: a thread that waited for the stop because a resume fell between
    /// two looks would wait for ever.
    /// </summary>
    internal void WaitForResume() => Wait(_resumed);

    /// <summary>Waits for the stop: for a thread that has nothing more to do.</summary>
    internal void WaitForStop() => Wait(_stopped);

    /// <summary>Rests for some time, or until the stop.</summary>
    internal void Rest(TimeSpan time) => _stopped.Wait(time);

    /// <inheritdoc/>
    public void Dispose()
    {
        _resumed.Dispose();
        _stopped.Dispose();
    }

    private void Wait(ManualResetEventSlim signal)
    {
        Interlocked.Increment(ref _waiting);
        signal.Wait();
        Interlocked.Decrement(ref _waiting);
    }
}
