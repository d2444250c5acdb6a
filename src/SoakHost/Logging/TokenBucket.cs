namespace SoakHost.Logging;

/// <summary>
/// Lets a number of lines through at once, and one more after each period; counts the refused ones. Not thread-safe. The
/// framework's TokenBucketRateLimiter has a clock of its own, which no test can advance.
/// </summary>
/// <param name="time">The clock.</param>
/// <param name="capacity">Tokens of a full bucket, at least 1.</param>
/// <param name="period">Time until a spent token returns.</param>
internal sealed class TokenBucket(TimeProvider time, int capacity, TimeSpan period)
{
    private int _spent;
    private long _since;

    /// <summary>Lines refused since <see cref="TakeRefused"/>.</summary>
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

    /// <summary>Lines refused, as soon as a token allows a line about them; else 0.</summary>
    /// <param name="now">Whether to return them without a token too.</param>
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
