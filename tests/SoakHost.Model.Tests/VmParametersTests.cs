namespace SoakHost.Model.Tests;

public sealed class VmParametersTests
{
    [Fact]
    public void The_defaults_and_both_ends_of_every_range_are_allowed()
    {
        Assert.Empty(new VmParameters().Errors());
        Assert.Empty(new VmParameters { Vcpus = 1, Invalidators = 1, Pages = 1, RangePages = 1 }.Errors());
        Assert.Empty(new VmParameters { Vcpus = 8, Invalidators = 4, Pages = 64, RangePages = 64 }.Errors());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(65)]
    public void Everything_out_of_range_is_reported_at_once(int wrong)
    {
        var parameters = new VmParameters { Vcpus = wrong, Invalidators = wrong, Pages = wrong };
        Assert.Equal(["Vcpus", "Invalidators", "Pages"], parameters.Errors().Select(error => error.Key));
        Assert.All(parameters.Errors(), error => Assert.StartsWith($"is {wrong}; it must be 1 to ", error.Error));
    }

    [Fact]
    public void A_range_is_not_longer_than_the_guest_is_large() =>
        Assert.Equal(
            ("RangePages", "is 9; it must be 1 to 8"), Assert.Single(new VmParameters { Pages = 8, RangePages = 9 }.Errors()));
}
