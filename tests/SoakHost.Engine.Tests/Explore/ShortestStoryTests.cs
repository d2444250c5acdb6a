using System.Globalization;
using SoakHost.Engine.Explore;
using SoakHost.Engine.Timelines;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Explore;

/// <summary>A counterexample is the shortest there is, and says in a sentence what went wrong.</summary>
public sealed class ShortestStoryTests
{
    public static TheoryData<string> DefectiveKernels =>
        [.. Kernel.All.Select(kernel => kernel.Info).Where(info => info.Expected != Defect.None).Select(info => info.Name)];

    [Theory]
    [MemberData(nameof(DefectiveKernels))]
    public void No_way_to_the_first_defect_of_the_story_is_shorter(string kernel)
    {
        KernelInfo info = Kernel.Find(kernel)!.Info;
        foreach (Defect? target in (Defect?[])[null, info.Expected])
        {
            var options = new ExploreOptions
            {
                Start = unchecked(info.ExpectedFrom - 2),
                Pages = kernel == "range-end-off-by-one" ? 1 : 2,
                Invalidations = 3,
                MemslotUpdates = info.NeedsMemslotUpdates ? 1 : 0,
                Target = target,
            };
            ExploreResult result = Explore(kernel, options);
            PlainOutcome plain = PlainEnumeration.UntilDefect(kernel, options);
            int firstDefect = result.Counterexample!.Steps.Index().First(step => step.Item.IsDefect).Index + 1;
            Assert.Equal((target, plain.FirstDefect), (target, firstDefect));
            if (target == Defect.Hang)
                Assert.Equal((ExploreVerdict.Hang, plain.FirstHung), (result.Verdict, result.Depth));
        }
    }

    [Theory]
    [InlineData("2^31-2", 12, "0x80000000", "was kept as an int and came back as 0xffffffff80000000")]
    [InlineData("2^31-1", 9, "0x80000000", "was kept as an int and came back as 0xffffffff80000000")]
    [InlineData("2^31", 6, "0x80000000", "was kept as an int and came back as 0xffffffff80000000")]
    [InlineData("2^32-1", 6, "0xffffffff", "was kept as an int and came back as 0xffffffffffffffff")]
    [InlineData("2^32", 6, "0x100000000", "was cut to 32 bits and came back as 0x0")]
    [InlineData("2^32+5", 6, "0x100000005", "was cut to 32 bits and came back as 0x5")]
    [InlineData("2^63", 6, "0x8000000000000000", "was cut to 32 bits and came back as 0x0")]
    [InlineData("2^64-2^31-1", 6, "0xffffffff7fffffff", "was cut to 32 bits and came back as 0x7fffffff")]
    public void The_shortest_story_of_linux_6_1_is_the_way_to_the_boundary_and_two_rounds_of_one_vCPU(
        string start, int steps, string seq, string what)
    {
        ExploreResult result = Explore("linux-6.1", new ExploreOptions { Start = Number(start) });
        Assert.Equal(ExploreVerdict.Hang, result.Verdict);
        Timeline story = result.Counterexample!;
        Assert.Equal(steps, story.Steps.Length);
        Assert.Equal(2, story.Steps.Count(step => step.IsDefect));
        Assert.Equal(
            $"vCPU 0 hangs: no invalidation is in progress, and it goes round like this for ever: {seq} {what}", story.Conclusion);
        Assert.Equal($"{seq} {what}", story.Steps[^1].Explanation);
    }

    private static ulong Number(string text)
    {
        // Powers of two and small numbers, added and taken away, modulo 2^64.
        ulong sum = 0;
        foreach (string term in text.Replace("-", "+-", StringComparison.Ordinal).Split('+'))
        {
            string digits = term.TrimStart('-');
            ulong value = digits.StartsWith("2^", StringComparison.Ordinal)
                ? digits == "2^64" ? 0 : 1UL << int.Parse(digits[2..], CultureInfo.InvariantCulture)
                : ulong.Parse(digits, CultureInfo.InvariantCulture);
            sum = unchecked(term.StartsWith('-') ? sum - value : sum + value);
        }

        return sum;
    }

    private static ExploreResult Explore(string kernel, ExploreOptions options) =>
        Explorer.Explore(Kernel.Find(kernel)!, options, TimeProvider.System, cancellation: TestContext.Current.CancellationToken);
}
