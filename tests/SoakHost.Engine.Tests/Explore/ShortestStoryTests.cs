using System.Globalization;
using SoakHost.Engine.Checks;
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
    public void Every_kind_of_defect_that_there_is_is_found_and_no_way_to_one_is_shorter(string kernel)
    {
        KernelInfo info = Kernel.Find(kernel)!.Info;
        var options = new ExploreOptions
        {
            Start = unchecked(info.ExpectedFrom - 2),
            Pages = kernel == "range-end-off-by-one" ? 1 : 2,
            Invalidations = info.NeedsMemslotUpdates ? 1 : info.ExpectedFrom == 0 ? 2 : 3,
            MemslotUpdates = info.NeedsMemslotUpdates ? 1 : 0,
        };
        PlainOutcome plain = PlainEnumeration.WithDefects(kernel, options);
        ExploreResult all = Explore(kernel, options);
        Assert.Equal(plain.First.Keys.Order(), all.Defects.Select(defect => defect.Kind));
        Assert.Equal((plain.States.Count, all.Defects[0].Kind), (all.States, all.Verdict));
        foreach (ExploreDefect defect in all.Defects)
        {
            Assert.Equal((defect.Kind, plain.First[defect.Kind]), (defect.Kind, defect.Depth));
            Assert.Contains(defect.Story.Steps, step => step.Verdict == (defect.Kind switch
            {
                ExploreVerdict.UnsafeInstall => StepVerdict.UnsafeInstall,
                ExploreVerdict.StaleMapping => StepVerdict.StaleMapping,
                ExploreVerdict.AccountingError => StepVerdict.AccountingError,
                ExploreVerdict.Deadlock => StepVerdict.Deadlock,
                _ => StepVerdict.UnjustifiedRetry,
            }));
            ExploreResult one = Explore(kernel, options with { Target = defect.Kind });
            Assert.Equal(defect.Kind, Assert.Single(one.Defects).Kind);
            Assert.Equal(defect.Story.Steps.AsEnumerable(), one.Counterexample!.Steps);
        }

        Assert.Contains(KillMatrix.ExploreOptionsFor(info).Target!.Value, all.Defects.Select(defect => defect.Kind));
    }

    [Theory]
    [InlineData("2^31-2", 12, "0x80000000", "was kept as an int and came back as 0xffffffff80000000")]
    [InlineData("2^31-1", 9, "0x80000000", "was kept as an int and came back as 0xffffffff80000000")]
    [InlineData("2^31", 6, "0x80000000", "was kept as an int and came back as 0xffffffff80000000")]
    [InlineData("2^32-1", 6, "0xffffffff", "was kept as an int and came back as 0xffffffffffffffff")]
    [InlineData("2^32", 6, "0x100000000", "was kept as an int and came back as 0x0")]
    [InlineData("2^32+5", 6, "0x100000005", "was kept as an int and came back as 0x5")]
    [InlineData("2^63", 6, "0x8000000000000000", "was kept as an int and came back as 0x0")]
    [InlineData("2^64-2^31-1", 6, "0xffffffff7fffffff", "was kept as an int and came back as 0x7fffffff")]
    public void The_shortest_story_of_linux_6_1_is_the_way_to_the_boundary_and_two_rounds_of_one_vCPU(
        string start, int steps, string seq, string what)
    {
        ExploreResult result = Explore("linux-6.1", new ExploreOptions { Start = Number(start) });
        Assert.Equal(ExploreVerdict.Hang, result.Verdict);
        Timeline story = result.Counterexample!;
        Assert.Equal(steps, story.Steps.Length);
        Assert.Equal(2, story.Steps.Count(step => step.IsDefect));
        Assert.Equal(
            $"vCPU 0 hangs: no invalidation is in progress, and every later retry is like the last: {seq} {what}. "
            + $"What differs in linux-6.1: {result.Kernel.Description}",
            story.Conclusion);
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
