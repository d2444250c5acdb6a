namespace SoakHost.Storage;

/// <summary>
/// A write that waits for the storage thread. Until it begins it can be given up, and then it is never done; once it has begun,
/// it is waited for, however long it takes: it is either done or not, and whoever asked knows which.
/// </summary>
/// <param name="write">The write.</param>
internal sealed class PendingWrite<T>(Func<T> write)
{
    private readonly TaskCompletionSource<T> _outcome = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _isDecided;

    /// <summary>What the write returns; or its exception, or that with which it was given up.</summary>
    public Task<T> Outcome => _outcome.Task;

    /// <summary>Does the write unless it was given up.</summary>
    public void Run()
    {
        if (!Decide())
            return;
        try
        {
            _outcome.SetResult(write());
        }
#pragma warning disable CA1031 // Every exception goes to the caller that waits for the write.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            _outcome.SetException(exception);
        }
    }

    /// <summary>Gives the write up unless it has begun.</summary>
    public void GiveUp(Exception reason)
    {
        if (Decide())
            _outcome.SetException(reason);
    }

    private bool Decide() => Interlocked.Exchange(ref _isDecided, 1) == 0;
}
