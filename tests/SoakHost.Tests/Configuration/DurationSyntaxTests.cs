using SoakHost.Configuration;

namespace SoakHost.Tests.Configuration;

public class DurationSyntaxTests
{
    [Theory]
    [InlineData("500ms", 0.5)]
    [InlineData("1.5s", 1.5)]
    [InlineData("10s", 10)]
    [InlineData("5m", 300)]
    [InlineData("1h", 3600)]
    [InlineData("00:00:10", 10)]
    [InlineData("00:00:00.5", 0.5)]
    public void A_time_has_a_unit_or_colons(string text, double seconds)
    {
        Assert.True(DurationSyntax.TryParse(text, out TimeSpan value));
        Assert.Equal(TimeSpan.FromSeconds(seconds), value);
    }

    [Theory]
    [InlineData("")]
    [InlineData("5")] // .NET would take it for five days
    [InlineData("s")]
    [InlineData("-1s")]
    [InlineData("1 day")]
    [InlineData("1e9s")]
    [InlineData("99999999999h")]
    [InlineData("12:00")]
    public void Anything_else_is_no_time(string text) => Assert.False(DurationSyntax.TryParse(text, out _));

    [Theory]
    [InlineData(100, "100ms")]
    [InlineData(1_000, "1s")]
    [InlineData(90_000, "90s")]
    [InlineData(3_600_000, "1h")]
    public void A_limit_is_written_in_its_largest_unit(int milliseconds, string expected) =>
        Assert.Equal(expected, DurationSyntax.Format(TimeSpan.FromMilliseconds(milliseconds)));
}
