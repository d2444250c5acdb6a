namespace SoakHost.Logging;

/// <summary>Lets so many through at once, and one more each time the period has passed. Not safe for use by several threads at once.</summary>
/// <param name="time">The clock.</param>
/// <param name="capacity">How many at once, at least 1.</param>
/// <param name="period">How long a spent token takes to come back.</param>
internal sealed class TokenBucket(TimeProvider time, int capacity, TimeSpan period)
{
    private int _spent;
    private long _since;

    /// <summary>How many were refused since <see cref="TakeRefused"/>.</summary>
    public long Refused { get; private set; }

    /// <summary>Takes a token if there is one, else counts a refusal.</summary>
    public bool TryTake()
    {
        if (HasToken())
        {
            Spend();
            return true;
        }

        Refused++;
        return false;
    }

    /// <summary>How many were refused, once it may be said: that takes a token too. 0 when there is nothing to say, or not yet.</summary>
    /// <param name="now">Whether to say it in any case.</param>
    public long TakeRefused(bool now = false)
    {
        if (Refused == 0 || (!HasToken() && !now))
            return 0;
        if (_spent < capacity)
            Spend();
        long refused = Refused;
        Refused = 0;
        return refused;
    }

    private void Spend()
    {
        // A full bucket has nothing to wait for: its period starts with the first token spent.
        if (_spent++ == 0)
            _since = time.GetTimestamp();
    }

    private bool HasToken()
    {
        long back = _spent == 0 ? 0 : Math.Min(time.GetElapsedTime(_since).Ticks / period.Ticks, _spent);
        _spent -= (int)back;
        _since += (long)(back * period.TotalSeconds * time.TimestampFrequency);
        return _spent < capacity;
    }
}
