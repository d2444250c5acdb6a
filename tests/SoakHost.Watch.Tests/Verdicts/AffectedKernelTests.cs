using System.Globalization;
using CsCheck;

namespace SoakHost.Watch.Verdicts.Tests;

public sealed class AffectedKernelTests
{
    [Theory]
    [InlineData("6.1", true)]
    [InlineData("6.1.38", true)]
    [InlineData("6.1.49", true)]
    [InlineData("6.1.50", false)]
    [InlineData("6.1.192", false)]
    [InlineData("6.1.50-custom", false)]
    [InlineData("5.16", true)]
    [InlineData("5.19.17", true)]
    [InlineData("5.16.0-rc1", true)]
    [InlineData("6.0.12", true)]
    [InlineData("6.2.16", true)]
    [InlineData("6.3", false)]
    [InlineData("6.3.0-rc1", false)]
    [InlineData("6.18.5-1-pve", false)]
    [InlineData("7.0.1", false)]
    [InlineData("5.15.100", false)]
    [InlineData("5.15.0-1092-azure", false)]
    [InlineData("4.19.1", false)]
    [InlineData("6.1.0-13-amd64", null)]
    [InlineData("6.1.38-custom", null)]
    [InlineData("5.19.0-50-generic", null)]
    [InlineData("6.2.16-19-pve", null)]
    [InlineData("5.14.0-362.8.1.el9_3.x86_64", null)]
    [InlineData("5.14.21-150500.55-default", null)]
    [InlineData("5.10.210-201.852.amzn2.x86_64", null)]
    [InlineData("garbage", null)]
    [InlineData("", null)]
    [InlineData(null, null)]
    [InlineData("99999999999.1", null)]
    [InlineData("6.99999999999", null)]
    [InlineData("6.1.99999999999", null)]
    public void The_release_decides_where_it_can(string? release, bool? affected) =>
        Assert.Equal(affected, AffectedKernel.ByRelease(release));

    [Theory]
    [InlineData("0", true)]
    [InlineData("7fffffff", true)]
    [InlineData("80000000", false)]
    [InlineData("8002dc25", false)]
    [InlineData("ffffffff", false)]
    [InlineData("100000000", false)]
    [InlineData("17fffffff", false)]
    [InlineData("ffffffff7fffffff", false)]
    [InlineData("ffffffff80000000", true)]
    [InlineData("ffffffffffffffff", true)]
    public void The_check_matches_what_survives_sign_extension(string seq, bool matches) =>
        Assert.Equal(matches, AffectedKernel.Matches(ulong.Parse(seq, NumberStyles.HexNumber, CultureInfo.InvariantCulture)));

    [Fact]
    public void The_closed_form_is_the_cast_that_the_kernel_makes() =>
        Gen.ULong.Sample(seq => AffectedKernel.Matches(seq) == (unchecked((ulong)(int)seq) == seq));
}
