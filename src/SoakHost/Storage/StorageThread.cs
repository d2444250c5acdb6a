using System.Collections.Concurrent;

namespace SoakHost.Storage;

/// <summary>The one thread that writes to the database. It does what is posted, in order.</summary>
internal sealed class StorageThread(TimeProvider time) : IDisposable
{
    private readonly BlockingCollection<Action> _work = [];
    private Thread? _thread;
    private long _busySince;
    private bool _wasGivenUp;

    /// <summary>Whether it was started and has not ended.</summary>
    public bool IsRunning => _thread is { IsAlive: true };

    /// <summary>Starts it. What was posted before is done now.</summary>
    public void Start()
    {
        _thread = new Thread(Run) { Name = "soak-storage", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Has it do something; it must not throw.</summary>
    /// <returns>Whether it will be done; not after <see cref="Stop"/>.</returns>
    public bool TryPost(Action work)
    {
        try
        {
            _work.Add(work);
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    /// <summary>For how long it has been doing what it does now; zero while it waits for work. Any thread may ask.</summary>
    public TimeSpan BusyFor =>
        Volatile.Read(ref _busySince) is var since && since != 0 ? time.GetElapsedTime(since) : TimeSpan.Zero;

    /// <summary>Waits until it has done what was posted before, and ends it.</summary>
    /// <param name="timeout">How long to wait. A disk that hangs may keep it for ever.</param>
    /// <returns>Whether it has ended.</returns>
    public bool Stop(TimeSpan timeout)
    {
        _work.CompleteAdding();
        bool hasEnded = _thread is not { IsAlive: true } || _thread.Join(timeout);
        _wasGivenUp = !hasEnded;
        return hasEnded;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // What a hanging thread uses stays; the process ends without it. Whoever has waited once does not wait again.
        if (Stop(_wasGivenUp ? TimeSpan.Zero : TimeSpan.FromSeconds(1)))
            _work.Dispose();
    }

    private void Run()
    {
        foreach (Action work in _work.GetConsumingEnumerable())
        {
            Volatile.Write(ref _busySince, time.GetTimestamp());
            work();
            Volatile.Write(ref _busySince, 0);
        }
    }
}
