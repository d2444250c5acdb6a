using SoakHost.Configuration;

namespace SoakHost.Tests.Configuration;

public class SuggestionTests
{
    private static readonly string[] Names = ["Workers", "DutyCycle", "linux-6.1", "linux-6.1.y", "linux-6.3"];

    [Theory]
    [InlineData("Wokers", "Workers")]
    [InlineData("workers", "Workers")]
    [InlineData("Wrokers", "Workers")]
    [InlineData("linux-6.2", "linux-6.1")]
    [InlineData("linux-6.1.x", "linux-6.1.y")]
    public void A_name_that_is_nearly_right_finds_the_right_one(string name, string closest) =>
        Assert.Equal(closest, Suggestion.Closest(name, Names));

    [Theory]
    [InlineData("")]
    [InlineData("Colour")]
    [InlineData("windows")]
    public void Nothing_is_suggested_for_anything_else(string name) => Assert.Equal("", Suggestion.For(name, Names));

    [Fact]
    public void A_text_of_any_length_is_answered_at_once() => Assert.Null(Suggestion.Closest(new string('x', 200_000), Names));
}
