namespace SoakHost.Interventions;

/// <summary>
/// Answers by idempotency key: a client that got no answer asks again with the same key, and what it asked for is done once. Kept
/// in memory, for a bounded time and number. Safe for use by several threads at once.
/// </summary>
/// <param name="time">The clock.</param>
/// <typeparam name="TAnswer">An answer.</typeparam>
internal sealed class IdempotencyKeys<TAnswer>(TimeProvider time)
{
    /// <summary>The most keys; the oldest answer goes first.</summary>
    public const int KeysMax = 1000;

    /// <summary>How long an answer is kept.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromHours(1);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Entry> _entries = [];

    // In the order in which they came.
    private readonly LinkedList<string> _order = [];

    /// <summary>Does something unless it was done, or is being done, under this key; then returns that answer.</summary>
    /// <param name="key">The key.</param>
    /// <param name="fingerprint">What is asked for. The same key must always be for the same.</param>
    /// <param name="run">Does it.</param>
    /// <param name="cancellation">Gives up the wait for somebody else's answer.</param>
    /// <exception cref="IdempotencyKeyReusedException">The key was used for something else.</exception>
    /// <exception cref="InterventionQueueException">Too many are being done.</exception>
    public async Task<TAnswer> RunAsync(
        string key,
        string fingerprint,
        Func<Task<KeyedAnswer<TAnswer>>> run,
        CancellationToken cancellation)
    {
        while (true)
        {
            (Entry entry, bool isOwn) = Enter(key, fingerprint);
            if (isOwn)
                return await RunAsync(key, entry, run);
            if (await entry.Outcome.Task.WaitAsync(cancellation) is { IsFinal: true } before)
                return before.Answer;
        }
    }

    private async Task<TAnswer> RunAsync(string key, Entry entry, Func<Task<KeyedAnswer<TAnswer>>> run)
    {
        KeyedAnswer<TAnswer>? outcome = null;
        try
        {
            outcome = await run();
            return outcome.Answer;
        }
        finally
        {
            if (outcome is not { IsFinal: true })
                Forget(key, entry);
            entry.Outcome.SetResult(outcome);
            if (outcome is { Decided: { } decided })
                _ = ReplaceAsync(key, entry, decided);
        }
    }

    private async Task ReplaceAsync(string key, Entry entry, Task<KeyedAnswer<TAnswer>> decided)
    {
        KeyedAnswer<TAnswer> outcome = await decided;
        if (!outcome.IsFinal)
            Forget(key, entry);
        var known = new TaskCompletionSource<KeyedAnswer<TAnswer>?>();
        known.SetResult(outcome);
        entry.Outcome = known;
    }

    private (Entry Entry, bool IsOwn) Enter(string key, string fingerprint)
    {
        lock (_gate)
        {
            RemoveOld();
            if (_entries.TryGetValue(key, out Entry? found))
            {
                return found.Fingerprint == fingerprint ? (found, false)
                    : throw new IdempotencyKeyReusedException("this Idempotency-Key was used for another request");
            }

            if (_entries.Count >= KeysMax && !RemoveOldestAnswer())
                throw new InterventionQueueException($"{KeysMax} requests with an Idempotency-Key are being done already");
            var entry = new Entry(fingerprint, time.GetTimestamp());
            _entries.Add(key, entry);
            _order.AddLast(key);
            return (entry, true);
        }
    }

    private void RemoveOld()
    {
        while (_order.First is { } first && time.GetElapsedTime(_entries[first.Value].Since) > Lifetime)
        {
            _entries.Remove(first.Value);
            _order.RemoveFirst();
        }
    }

    private bool RemoveOldestAnswer()
    {
        for (LinkedListNode<string>? node = _order.First; node is not null; node = node.Next)
        {
            if (!_entries[node.Value].Outcome.Task.IsCompleted)
                continue;
            _entries.Remove(node.Value);
            _order.Remove(node);
            return true;
        }

        return false;
    }

    private void Forget(string key, Entry entry)
    {
        lock (_gate)
        {
            // An entry that was too old may have made way for another under its key.
            if (_entries.GetValueOrDefault(key) == entry && _entries.Remove(key))
                _order.Remove(key);
        }
    }

    private sealed class Entry(string fingerprint, long since)
    {
        public string Fingerprint => fingerprint;

        public long Since => since;

        /// <summary>Completes with null where nothing came of it.</summary>
        public TaskCompletionSource<KeyedAnswer<TAnswer>?> Outcome { get; set; } =
            new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}

/// <summary>An answer to a request with an idempotency key.</summary>
/// <param name="Answer">The answer.</param>
/// <param name="IsFinal">
/// Whether it is kept. One that is not says that nothing was done: the same request may be made again.
/// </param>
/// <param name="Decided">
/// The answer that takes the place of this one once it is known whether the request was done; null where it is known. It must not
/// fail.
/// </param>
/// <typeparam name="TAnswer">An answer.</typeparam>
internal sealed record KeyedAnswer<TAnswer>(TAnswer Answer, bool IsFinal, Task<KeyedAnswer<TAnswer>>? Decided = null);

/// <summary>An idempotency key was used for something else before.</summary>
internal sealed class IdempotencyKeyReusedException(string message) : Exception(message);
