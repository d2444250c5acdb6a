namespace SoakHost.EndToEnd.Harness;

/// <summary>Waits for another process by asking it again and again.</summary>
public static class Poll
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(50);

    /// <summary>Asks until the answer is yes.</summary>
    /// <exception cref="TimeoutException">
    /// It was no for longer than <paramref name="limit"/>; the message comes from <paramref name="failure"/>.
    /// </exception>
    public static async Task UntilAsync(
        Func<Task<bool>> condition, TimeSpan limit, Func<string> failure, CancellationToken cancellationToken)
    {
        using PeriodicTimer timer = new(Interval);
        var end = TimeProvider.System.GetTimestamp() + (long)(limit.TotalSeconds * TimeProvider.System.TimestampFrequency);
        while (!await condition())
        {
            if (TimeProvider.System.GetTimestamp() > end)
                throw new TimeoutException(failure());
            await timer.WaitForNextTickAsync(cancellationToken);
        }
    }
}
