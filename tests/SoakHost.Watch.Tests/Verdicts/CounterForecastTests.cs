using static SoakHost.Watch.Verdicts.Tests.Sampled;

namespace SoakHost.Watch.Verdicts.Tests;

public sealed class CounterForecastTests
{
    private const double Start = 1_700_000_000;

    [Fact]
    public void Without_a_counter_there_is_no_forecast()
    {
        var forecast = new CounterForecast();
        forecast.Add(At(1));

        Assert.Null(forecast.Forecast(true));
    }

    [Fact]
    public void One_reading_is_a_counter_and_no_rate() =>
        Assert.Equal(new CrossingForecast(7, null, null, null, null), Of(_ => 7, 1).Forecast(true));

    [Fact]
    public void The_rate_is_that_of_the_whole_and_the_bounds_those_of_its_parts()
    {
        // 10 a second in the first half, 30 in the second.
        CrossingForecast crossing = Of(i => (ulong)(i < 20 ? 10 * i : 200 + (30 * (i - 20))), 41).Forecast(null)!;

        double left = (1UL << 31) - 800;
        Assert.Equal((800UL, 20.0), (crossing.InvalidateSeq, crossing.PerSecond!.Value));
        Assert.Equal(Start + 40 + (left / 20), crossing.Expected!.Value.ToUnixTimeSeconds(), 1.0);
        Assert.Equal(Start + 40 + (left / 30), crossing.Earliest!.Value.ToUnixTimeSeconds(), 1.0);
        Assert.Equal(Start + 40 + (left / 10), crossing.Latest!.Value.ToUnixTimeSeconds(), 1.0);
    }

    [Theory]
    [InlineData(1000, 1)]
    [InlineData(10_000, 7)]
    public void Any_number_of_readings_gives_the_same_rate(int readings, ulong perSecond) =>
        Assert.Equal((double)perSecond, Of(i => (ulong)i * perSecond, readings).Forecast(true)!.PerSecond!.Value, 6);

    [Fact]
    public void A_counter_that_stands_still_never_crosses()
    {
        CrossingForecast crossing = Of(_ => 5, 9).Forecast(true)!;

        Assert.Equal((0.0, null, null, null), (crossing.PerSecond, crossing.Expected, crossing.Earliest, crossing.Latest));
    }

    [Fact]
    public void A_crossing_beyond_the_calendar_is_none() =>
        Assert.Null(Of(i => i < 9 ? 0UL : 1, 10_000).Forecast(true)!.Expected);

    [Theory]
    [InlineData(0x7fffff00UL, true)]
    [InlineData(0x80000000UL, false)]
    [InlineData(0x900000000UL, false)]
    public void A_counter_beyond_the_boundary_has_crossed(ulong from, bool isExpected) =>
        Assert.Equal(isExpected, Of(i => from + (ulong)i, 9).Forecast(true)!.Expected is not null);

    [Fact]
    public void A_kernel_without_the_defect_has_nothing_to_cross()
    {
        CrossingForecast crossing = Of(i => (ulong)i, 9).Forecast(false)!;

        Assert.Equal((1.0, null, null), (crossing.PerSecond, crossing.Expected, crossing.Earliest));
    }

    [Fact]
    public void A_counter_that_went_back_starts_again()
    {
        CounterForecast forecast = Of(i => 1_000_000 + (ulong)i, 100);
        forecast.Add(At(Start + 200) with { Counter = new(10, 0) });
        Assert.Null(forecast.Forecast(true)!.PerSecond);
        forecast.Add(At(Start + 210) with { Counter = new(60, 0) });

        Assert.Equal(5, forecast.Forecast(true)!.PerSecond);
    }

    [Fact]
    public void The_same_moment_is_read_once()
    {
        CounterForecast forecast = Of(i => (ulong)i, 2);
        forecast.Add(At(Start + 1) with { Counter = new(1, 0) });

        Assert.Equal(1, forecast.Forecast(true)!.PerSecond);
    }

    [Fact]
    public void Of_many_readings_few_are_kept_and_they_still_show_when_the_rate_changed()
    {
        // 10 a second for the first 5,000 s, 30 for the others.
        CounterForecast forecast = Of(i => (ulong)(i < 5000 ? 10 * i : 50_000 + (30 * (i - 5000))), 10_000);

        Assert.InRange(forecast.Kept, CounterForecast.ReadingsMax / 2, CounterForecast.ReadingsMax);
        CrossingForecast crossing = forecast.Forecast(true)!;
        double left = (1UL << 31) - crossing.InvalidateSeq;
        Assert.Equal(20.0, crossing.PerSecond!.Value, 0.1);
        Assert.Equal(left / 30, crossing.Earliest!.Value.ToUnixTimeSeconds() - Start - 9999, left / 30 / 20);
        Assert.Equal(left / 10, crossing.Latest!.Value.ToUnixTimeSeconds() - Start - 9999, left / 10 / 20);
    }

    [Fact]
    public void As_many_readings_as_are_kept_are_all_kept() =>
        Assert.Equal(CounterForecast.ReadingsMax, Of(i => (ulong)i, CounterForecast.ReadingsMax).Kept);

    [Fact]
    public void A_counter_at_the_boundary_has_crossed_it() =>
        Assert.Null(Of(i => (1UL << 31) - 8 + (ulong)i, 9).Forecast(true)!.Expected);

    [Fact]
    public void Two_readings_of_one_moment_are_one()
    {
        CounterForecast forecast = Of(i => (ulong)i, 2);
        forecast.Add(At(Start + 1) with { Counter = new(50, 0) });

        Assert.Equal(2, forecast.Kept);
        Assert.Equal((1UL, 1.0), (forecast.Forecast(true)!.InvalidateSeq, forecast.Forecast(true)!.PerSecond!.Value));
    }

    [Fact]
    public void A_moment_that_has_come_is_not_one_before_which_nothing_happens() => Assert.Null(
        new CounterForecast().Bound(null, Start, Start + ((1UL << 31) / CounterForecast.PerSecondMax))!.NotBefore);

    [Fact]
    public void A_counter_that_was_never_read_is_bounded_by_the_VMs_age_alone()
    {
        var forecast = new CounterForecast();
        const double young = Start + 10;
        const double old = Start + 1_000_000;

        Assert.Equal(
            Start + ((1UL << 31) / CounterForecast.PerSecondMax),
            forecast.Bound(null, Start, young)!.NotBefore!.Value.ToUnixTimeMilliseconds() / 1000.0, 0.001);
        Assert.Equal((1UL << 31) / 10.0, forecast.Bound(true, Start, young)!.PassedAbovePerSecond!.Value, 0.001);
        Assert.Equal(new CrossingBound(null, (1UL << 31) / 1_000_000.0), forecast.Bound(true, Start, old));
        Assert.Null(forecast.Bound(false, Start, young));
        Assert.Null(forecast.Bound(true, null, young));
        Assert.Null(forecast.Bound(true, Start, Start));
    }

    [Fact]
    public void A_counter_that_was_read_is_bounded_from_there_and_not_where_it_has_a_rate()
    {
        CrossingBound once = Of(_ => 1 << 30, 1).Bound(true, Start - 1_000_000, Start + 1)!;

        Assert.Equal(
            Start + ((1UL << 30) / CounterForecast.PerSecondMax),
            once.NotBefore!.Value.ToUnixTimeMilliseconds() / 1000.0, 0.001);
        Assert.Null(once.PassedAbovePerSecond);
        Assert.Equal(
            Start + 8 + (((1UL << 31) - 5) / CounterForecast.PerSecondMax),
            Of(_ => 5, 9).Bound(null, null, Start + 8)!.NotBefore!.Value.ToUnixTimeMilliseconds() / 1000.0, 0.001);
        Assert.Null(Of(_ => 1 << 30, 1).Bound(true, null, Start + 1000)!.NotBefore);
        Assert.Null(Of(_ => 1UL << 31, 1).Bound(true, Start, Start + 1));
        Assert.Null(Of(i => (ulong)i, 9).Bound(true, Start, Start + 9));
    }

    private static CounterForecast Of(Func<int, ulong> seq, int readings)
    {
        var forecast = new CounterForecast();
        for (int i = 0; i < readings; i++)
            forecast.Add(At(Start + i) with { Counter = new(seq(i), 0) });
        return forecast;
    }
}
