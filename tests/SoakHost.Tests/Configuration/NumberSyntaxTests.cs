using System.Numerics;
using SoakHost.Configuration;

namespace SoakHost.Tests.Configuration;

public class NumberSyntaxTests
{
    [Theory]
    [InlineData("0", "0")]
    [InlineData("123", "123")]
    [InlineData(" 123 ", "123")]
    [InlineData("1_000_000", "1000000")]
    [InlineData("0x7fff0000", "2147418112")]
    [InlineData("0xFFFF_FFFF_FFFF_FFFF", "18446744073709551615")]
    [InlineData("2^31", "2147483648")]
    [InlineData("2^31-65536", "2147418112")]
    [InlineData("2^31 - 0x1_0000", "2147418112")]
    [InlineData("2^64-1", "18446744073709551615")]
    [InlineData("2^65", "36893488147419103232")]
    [InlineData("2^10+2^9-1", "1535")]
    [InlineData("2e9", "2000000000")]
    [InlineData("2E9+1", "2000000001")]
    [InlineData("10_0e1_0", "1000000000000")]
    [InlineData("0e0", "0")]
    [InlineData("-1", "-1")]
    [InlineData("5-7", "-2")]
    public void A_number_is_read_as_people_write_it(string text, string expected)
    {
        Assert.True(NumberSyntax.TryParse(text, out BigInteger value));
        Assert.Equal(BigInteger.Parse(expected, null), value);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("x")]
    [InlineData("1.5")]
    [InlineData("1,000")]
    [InlineData("1.5e6")]
    [InlineData("1e")]
    [InlineData("e6")]
    [InlineData("1e6e6")]
    [InlineData("1e-6")]
    [InlineData("1e1000000000")]
    [InlineData("2^1e3")]
    [InlineData("_1")]
    [InlineData("1_")]
    [InlineData("1__0")]
    [InlineData("0x")]
    [InlineData("0xg")]
    [InlineData("2^")]
    [InlineData("^2")]
    [InlineData("2^3^4")]
    [InlineData("2^-1")]
    [InlineData("2^1000000000")]
    [InlineData("1-")]
    [InlineData("--1")]
    [InlineData("1+-1")]
    public void Anything_else_is_no_number(string text) => Assert.False(NumberSyntax.TryParse(text, out _));

    [Fact]
    public void A_text_of_any_length_is_answered_at_once() =>
        Assert.False(NumberSyntax.TryParse(new string('9', 1_000_000), out _));

    [Theory]
    [InlineData("1024")]
    [InlineData("1_000_000")]
    [InlineData("2^30")]
    [InlineData("2^64-1")]
    public void A_limit_is_written_so_that_it_can_be_read_back(string limit)
    {
        Assert.True(NumberSyntax.TryParse(limit, out BigInteger value));
        Assert.Equal(limit.Replace("1024", "1_024", StringComparison.Ordinal), NumberSyntax.Format(value));
    }
}
