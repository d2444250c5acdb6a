using System.Collections.Concurrent;

namespace SoakHost.Storage;

/// <summary>The one thread that writes to the database. It does what is posted, in order.</summary>
internal sealed class StorageThread : IDisposable
{
    private readonly BlockingCollection<Action> _work = [];
    private readonly Thread _thread;

    public StorageThread() => _thread = new Thread(Run) { Name = "soak-storage", IsBackground = true };

    /// <summary>Whether it was started and has not ended.</summary>
    public bool IsRunning => _thread.IsAlive;

    /// <summary>Starts it. What was posted before is done now.</summary>
    public void Start() => _thread.Start();

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

    /// <summary>Waits until it has done what was posted before, and ends it.</summary>
    public void Stop()
    {
        _work.CompleteAdding();
        if (_thread.IsAlive)
            _thread.Join();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Stop();
        _work.Dispose();
    }

    private void Run()
    {
        foreach (Action work in _work.GetConsumingEnumerable())
            work();
    }
}
