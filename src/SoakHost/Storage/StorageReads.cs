namespace SoakHost.Storage;

/// <summary>
/// Reads the data directory for HTTP clients. A disk may hang in any read, so each has a thread of its own and a limit in time,
/// and only so many go on at once: a disk that hangs keeps that many threads, and no request longer than the limit.
/// </summary>
internal sealed class StorageReads(TimeProvider time) : IDisposable
{
    /// <summary>The most that go on at the same time.</summary>
    public const int AtOnceMax = 4;

    /// <summary>How long a read may take. A machine that is merely busy is rarely as slow.</summary>
    public static readonly TimeSpan TimeMax = TimeSpan.FromSeconds(4);

    /// <summary>How long a read may wait for its turn before.</summary>
    public static readonly TimeSpan TurnMax = TimeSpan.FromSeconds(2);

    private readonly SemaphoreSlim _turns = new(AtOnceMax);

    /// <summary>Reads something.</summary>
    /// <param name="read">The read. If it is given up, it ends whenever the disk lets it, and nobody sees its result.</param>
    /// <param name="cancellation">Gives it up.</param>
    /// <exception cref="StorageUnavailableException">The disk did not answer in time.</exception>
    public async Task<T> ReadAsync<T>(Func<T> read, CancellationToken cancellation)
    {
        await TakeTurnAsync(cancellation);
        Task<T> reading = Task.Factory.StartNew(
            () =>
            {
                try
                {
                    return read();
                }
                finally
                {
                    _turns.Release();
                }
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        try
        {
            return await reading.WaitAsync(TimeMax, time, cancellation);
        }
        catch (TimeoutException)
        {
            throw Late(TimeMax);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _turns.Dispose();

    private async Task TakeTurnAsync(CancellationToken cancellation)
    {
        using var limit = new CancellationTokenSource(TurnMax, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, limit.Token);
        try
        {
            await _turns.WaitAsync(either.Token);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw Late(TurnMax);
        }
    }

    private static StorageUnavailableException Late(TimeSpan after) =>
        new($"the disk has not answered for {after.TotalSeconds:0} s");
}
