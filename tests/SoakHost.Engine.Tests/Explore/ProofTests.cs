using System.Globalization;
using CsCheck;
using SoakHost.Engine.Explore;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Explore;

/// <summary>What exploration says of real kernels agrees with what they are known to do.</summary>
public sealed class ProofTests
{
    public static TheoryData<string, string> HealthyKernelsAndStarts => new(
        from kernel in (string[])["linux-6.1.y", "linux-6.3", "linux-6.9"]
        from start in ExploreOptions.DefaultStarts
        select (kernel, Hex(start)));

    [Fact]
    public void The_default_starts_are_zero_and_one_and_two_below_each_turn()
    {
        Assert.Equal(
            ["0x0", "0x7fff", "0x7ffe", "0xffff", "0xfffe", "0x7fffffff", "0x7ffffffe", "0xffffffff", "0xfffffffe",
                "0x7fffffffffffffff", "0x7ffffffffffffffe", "0xffffffffffffffff", "0xfffffffffffffffe"],
            ExploreOptions.DefaultStarts.Select(Hex));
    }

    [Theory]
    [MemberData(nameof(HealthyKernelsAndStarts))]
    public void A_healthy_kernel_is_proven_at_every_default_start_with_and_without_a_memslot_update(string kernel, string start)
    {
        // Two invalidations cross every turn from every start; four beside an update would be 1.6 million states of linux-6.9.
        foreach ((int updates, int invalidations) in ((int, int)[])[(0, 4), (1, 2)])
        {
            var options = new ExploreOptions
            {
                Start = Number(start),
                MemslotUpdates = updates,
                Invalidations = invalidations,
            };
            ExploreResult result = Explore(kernel, options);
            Assert.Equal((updates, ExploreVerdict.Proven), (updates, result.Verdict));
            Assert.Null(result.Counterexample);
            Assert.InRange(result.States, 20_000, 400_000);
        }
    }

    /// <summary>
    /// What a 6.1 kernel did whose counter was started at each of these (docs of the host's measurements): at 0x7ffffffe it
    /// survives the next invalidation, one later it does not, and from 0xffffffff80000000 on it works again.
    /// </summary>
    [Theory]
    [InlineData("0x7ffffffe", 1, false)]
    [InlineData("0x7ffffffe", 2, true)]
    [InlineData("0x7fffffff", 0, false)]
    [InlineData("0x7fffffff", 1, true)]
    [InlineData("0x80000000", 0, true)]
    [InlineData("0xfffffff0", 0, true)]
    [InlineData("0x100000000", 0, true)]
    [InlineData("0xffffffff7ffffff0", 0, true)]
    [InlineData("0xffffffff80000000", 4, false)]
    [InlineData("0xfffffffffffffff0", 4, false)]
    [InlineData("0xfffffffffffffffe", 4, false)]
    public void The_kernel_with_the_defect_hangs_where_a_real_one_did_and_the_one_with_the_fix_nowhere(
        string start, int invalidations, bool hangs)
    {
        var options = new ExploreOptions { Start = Number(start), Invalidations = invalidations };
        Assert.Equal(hangs ? ExploreVerdict.Hang : ExploreVerdict.Proven, Explore("linux-6.1", options).Verdict);
        Assert.Equal(ExploreVerdict.Proven, Explore("linux-6.1.y", options).Verdict);
    }

    [Fact]
    public void Over_the_wrap_to_zero_the_kernel_with_the_defect_works_for_as_long_as_the_counter_survives_an_int()
    {
        var options = new ExploreOptions
        {
            Vcpus = 1,
            Invalidators = 1,
            Pages = 1,
            Start = 0xfffffffffffffff0,
            Invalidations = 40,
        };
        Assert.Equal(ExploreVerdict.Proven, Explore("linux-6.1", options).Verdict);
    }

    [Fact]
    public void A_fault_can_be_fixed_if_and_only_if_the_counter_survives_an_int()
    {
        Gen<ulong> nearBoundary = Gen.Select(
            Gen.OneOf(1UL << 15, 1UL << 16, 1UL << 31, 1UL << 32, 1UL << 63, 0UL),
            Gen.Long[-24, 4],
            (boundary, offset) => unchecked(boundary + (ulong)offset));
        Gen.OneOf(nearBoundary, Gen.ULong).Sample(
            start =>
            {
                bool survives = start == unchecked((ulong)(int)start);
                ExploreResult result = Explore("linux-6.1", new ExploreOptions { Start = start, Invalidations = 0 });
                return survives == (result.Verdict == ExploreVerdict.Proven);
            },
            iter: 500);
    }

    private static string Hex(ulong value) => string.Create(CultureInfo.InvariantCulture, $"0x{value:x}");

    private static ulong Number(string hex) =>
        ulong.Parse(hex.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

    private static ExploreResult Explore(string kernel, ExploreOptions options) =>
        Explorer.Explore(Kernel.Find(kernel)!, options, TimeProvider.System, cancellation: TestContext.Current.CancellationToken);
}
