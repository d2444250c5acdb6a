using Microsoft.Extensions.Time.Testing;
using SoakHost.Logging;

namespace SoakHost.Tests.Logging;

public class TokenBucketTests
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(10);

    private readonly FakeTimeProvider _time = new();
    private readonly TokenBucket _bucket;

    public TokenBucketTests() => _bucket = new TokenBucket(_time, 2, Period);

    [Fact]
    public void A_full_bucket_lets_its_capacity_through_at_once() => Assert.Equal([true, true, false, false], Take(4));

    [Fact]
    public void Each_period_gives_one_back()
    {
        Take(4);

        _time.Advance(Period - TimeSpan.FromMilliseconds(1));
        Assert.Equal([false], Take(1));
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal([true, false], Take(2));
        _time.Advance(Period);
        Assert.Equal([true, false], Take(2));
    }

    [Fact]
    public void A_long_pause_gives_no_more_than_the_capacity_back()
    {
        Take(4);
        _time.Advance(100 * Period);
        Assert.Equal([true, true, false], Take(3));
    }

    [Fact]
    public void A_bucket_that_was_full_for_long_does_not_owe_what_it_could_not_hold()
    {
        _time.Advance(100 * Period);
        Assert.Equal([true, true, false], Take(3));
        _time.Advance(Period - TimeSpan.FromMilliseconds(1));
        Assert.Equal([false], Take(1));
    }

    [Fact]
    public void What_was_refused_is_told_once_and_not_before_there_is_room_for_it()
    {
        Take(5);
        Assert.Equal(0, _bucket.TakeRefused());
        _time.Advance(Period);
        Assert.Equal(3, _bucket.TakeRefused());
        Assert.Equal(0, _bucket.TakeRefused());
        Assert.Equal([false], Take(1));
    }

    [Fact]
    public void At_the_end_what_was_refused_is_told_in_any_case()
    {
        Take(5);
        Assert.Equal(3, _bucket.TakeRefused(now: true));
    }

    private bool[] Take(int times) => [.. Enumerable.Range(0, times).Select(_ => _bucket.TryTake())];
}
