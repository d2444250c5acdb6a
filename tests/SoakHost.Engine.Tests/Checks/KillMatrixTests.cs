using System.Globalization;
using System.Text.RegularExpressions;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Explore;
using SoakHost.Engine.Prove;
using SoakHost.Engine.Tests.Prove;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Checks;

/// <summary>
/// Every kernel and mutant is caught as what it is, by both detectors and by proof, and the document that says so is true.
/// </summary>
public sealed partial class KillMatrixTests
{
    private static readonly Lazy<KillMatrixRow[]> Matrix = new(() =>
        [.. Kernel.All.Select(kernel => KillMatrix.Verify(kernel, TimeProvider.System, CancellationToken.None) with
        {
            Proved = Solvers.ProofOf(kernel).GetAwaiter().GetResult(),
        })]);

    [Fact]
    public void Every_kernel_is_caught_as_what_it_is_and_as_nothing_else()
    {
        Assert.Equal(Kernel.All.Select(kernel => kernel.Info.Name), Matrix.Value.Select(row => row.Kernel.Name));
        Assert.All(Matrix.Value, row => Assert.True(row.IsAsExpected, row.ToString()));
    }

    [Fact]
    public void Every_mutant_and_historical_defect_is_caught_but_those_that_say_why_they_are_not()
    {
        Assert.All(
            Matrix.Value.Where(row => row.Kernel.Group == KernelGroup.Mutant),
            row => Assert.Equal(ProofVerdict.Refuted, row.Proved!.Verdict));
        Assert.Equal(
            ["gpc-5.19", "odp-int-seq", "compare-low-32"],
            Matrix
                .Value.Where(row => row.Kernel.Group != KernelGroup.Release && row.Soaked == Defect.None)
                .Select(row => row.Kernel.Name));
        Assert.All(
            Matrix.Value,
            row =>
                Assert.Equal(
                    row.Kernel.Group != KernelGroup.Release && row.Kernel.Expected == Defect.None,
                    row.Kernel.SurvivesBecause is not null));
    }

    [Fact]
    public void A_kernel_that_does_not_show_what_is_expected_of_it_is_not_as_expected()
    {
        KillMatrixRow row = Matrix.Value.Single(row => row.Kernel.Name == "linux-6.1");
        Assert.False((row with { Soaked = Defect.None }).IsAsExpected);
        Assert.False((row with { Explored = ExploreVerdict.Proven }).IsAsExpected);
        Assert.False((row with { Explored = ExploreVerdict.LimitReached }).IsAsExpected);
        Assert.False((row with { Explored = ExploreVerdict.Stopped }).IsAsExpected);
        Assert.False((row with { Proved = row.Proved! with { Verdict = ProofVerdict.Proven } }).IsAsExpected);
        Assert.False((row with { Proved = row.Proved! with { Verdict = ProofVerdict.NotProven } }).IsAsExpected);
    }

    /// <summary>What else each shows: an unsafe install becomes a stale mapping, and nothing is hidden behind anything.</summary>
    [Fact]
    public void Without_a_target_exploration_finds_the_expected_kind_of_defect_among_all_that_there_are()
    {
        foreach (KillMatrixRow row in Matrix.Value)
        {
            ExploreResult result = Explorer.Explore(
                Kernel.Find(row.Kernel.Name)!,
                KillMatrix.ExploreOptionsFor(row.Kernel) with { Target = null, Invalidations = 3 },
                TimeProvider.System,
                cancellation: TestContext.Current.CancellationToken);
            ExploreVerdict[] kinds = [.. result.Defects.Select(defect => defect.Kind)];
            ExploreVerdict[] expected = row.Kernel.Expected switch
            {
                Defect.None => [],
                Defect.UnsafeInstall when kinds.Contains(ExploreVerdict.StaleMapping) =>
                [
                    ExploreVerdict.UnsafeInstall,
                    ExploreVerdict.StaleMapping,
                ],

                // Its prefault hangs too, where its root becomes obsolete.
                Defect.Deadlock when row.Kernel.Name == "prefault-6.17" => [ExploreVerdict.Deadlock, ExploreVerdict.Hang],

                // A sibling may map the page meanwhile, and then the retry was unjustified and no more.
                Defect.Hang when row.Kernel.Name == "snapshot-once" => [ExploreVerdict.Hang, ExploreVerdict.UnjustifiedRetry],
                _ => [row.Explored],
            };
            Assert.Equal((row.Kernel.Name, string.Join(", ", expected)), (row.Kernel.Name, string.Join(", ", kinds)));
        }
    }

    /// <summary>Where defects end, as the document says.</summary>
    [Theory]
    [InlineData("linux-6.1", 0xffffffff7fffffff, ExploreVerdict.Hang)]
    [InlineData("linux-6.1", 0xffffffff80000000, ExploreVerdict.Proven)]
    [InlineData("snapshot-i16", 0xffffffffffff7fff, ExploreVerdict.Hang)]
    [InlineData("snapshot-i16", 0xffffffffffff8000, ExploreVerdict.Proven)]
    [InlineData("snapshot-u32", 0xffffffffffffffff, ExploreVerdict.Hang)]
    [InlineData("snapshot-u32", 0UL, ExploreVerdict.Proven)]
    [InlineData("snapshot-u16", 0xffffffffffffffff, ExploreVerdict.Hang)]
    [InlineData("snapshot-u16", 0UL, ExploreVerdict.Proven)]
    [InlineData("snapshot-i8", 0xffffffffffffff7f, ExploreVerdict.Hang)]
    [InlineData("snapshot-i8", 0xffffffffffffff80, ExploreVerdict.Proven)]
    [InlineData("snapshot-u8", 0xffffffffffffffff, ExploreVerdict.Hang)]
    [InlineData("snapshot-u8", 0UL, ExploreVerdict.Proven)]
    [InlineData("compare-signed", 0x8000000000000000, ExploreVerdict.Proven)]
    [InlineData("compare-signed", 0xfffffffffffffffe, ExploreVerdict.Proven)]
    [InlineData("saturating-seq", 0x7fffffffUL, ExploreVerdict.UnsafeInstall)]
    public void A_defect_ends_where_the_document_says(string kernel, ulong start, ExploreVerdict verdict)
    {
        var options = new ExploreOptions { Start = start, Invalidations = 2 };
        Assert.Equal(verdict, Explorer.Explore(
            Kernel.Find(kernel)!, options, TimeProvider.System, cancellation: TestContext.Current.CancellationToken).Verdict);
    }

    [Fact]
    public void The_document_has_this_matrix()
    {
        string document = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Checks.md"));
        string table = string.Concat(
            Matrix.Value.Select(row =>
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"| `{row.Kernel.Name}` | {Words(row.Kernel.Expected)} | {Words(row.ExploredDefect!.Value)} | "
                        + $"{row.ExploredStates:N0} | {Words(row.Soaked)} | {Proof(row.Proved!)} |\n"
                )));
        string told = string.Concat(Row().Matches(document).Select(match => match.Value));
        Assert.True(table == told, $"the table in src/SoakHost.Engine/Checks/README.md is to be:\n\n{table}");
        foreach (KillMatrixRow survivor in Matrix.Value.Where(row => row.Kernel.SurvivesBecause is not null))
            Assert.Contains(survivor.Kernel.SurvivesBecause!, document.ReplaceLineEndings(" "), StringComparison.Ordinal);
    }

    private static string Words(Defect defect) => defect switch
    {
        Defect.None => "none",
        Defect.Hang => "hang",
        Defect.UnsafeInstall => "unsafe install",
        Defect.StaleMapping => "stale mapping",
        Defect.Deadlock => "deadlock",
        _ => "accounting error",
    };

    private static string Proof(ProveResult proof) => proof.Breakage is not { } breakage ? "proven"
        : string.Create(CultureInfo.InvariantCulture, $"refuted, from 0x{breakage.LowestCounter:x}");

    [GeneratedRegex(@"^\| `[a-z0-9.-]+` \| .* \| .* \| [0-9,]+ \| .* \|\n", RegexOptions.Multiline)]
    private static partial Regex Row();
}
