namespace SoakHost.HostKernel;

/// <summary>How fast a count grows, over the last seconds. Used by one thread.</summary>
internal sealed class RateMeter(TimeProvider time)
{
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(10);

    private readonly Queue<(long Timestamp, long Count)> _counts = new();
    private (long Timestamp, long Count) _last;

    /// <summary>The rate per second; 0 until two counts are known.</summary>
    internal double PerSecond
    {
        get
        {
            if (_counts.Count < 2)
                return 0;
            (long timestamp, long count) = _counts.Peek();
            double seconds = time.GetElapsedTime(timestamp, _last.Timestamp).TotalSeconds;
            return seconds > 0 ? (_last.Count - count) / seconds : 0;
        }
    }

    /// <summary>Notes the count at a timestamp.</summary>
    internal void Note(long timestamp, long count)
    {
        _last = (timestamp, count);
        _counts.Enqueue(_last);
        while (_counts.Count > 2 && time.GetElapsedTime(_counts.Peek().Timestamp, timestamp) > Window)
            _counts.Dequeue();
    }
}
