namespace SoakHost.Engine.Cohorts;

/// <summary>One point in time that several waits share: each of them waits for what the ones before it have left.</summary>
public readonly struct Deadline
{
    private readonly TimeProvider _time;
    private readonly long _started;
    private readonly TimeSpan _timeout;

    /// <summary>A deadline that begins now.</summary>
    /// <param name="time">The clock.</param>
    /// <param name="timeout">How far away it is, at least zero.</param>
    public Deadline(TimeProvider time, TimeSpan timeout)
    {
        ArgumentNullException.ThrowIfNull(time);
        ArgumentOutOfRangeException.ThrowIfLessThan(timeout, TimeSpan.Zero);
        (_time, _started, _timeout) = (time, time.GetTimestamp(), timeout);
    }

    /// <summary>The time that is left, zero once the deadline has passed.</summary>
    public TimeSpan Left => _timeout - _time.GetElapsedTime(_started) is var left && left > TimeSpan.Zero ? left : TimeSpan.Zero;
}
