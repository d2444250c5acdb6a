using SoakHost.Engine.Checks;
using SoakHost.Engine.Prove;
using SoakHost.Engine.Timelines;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Prove;

/// <summary>
/// What proofs come to: of the kernels that there are, and of those that people bring.
/// </summary>
public sealed class ProverTests
{
    public static TheoryData<string> Kernels => [.. Kernel.All.Select(kernel => kernel.Info.Name)];

    [Theory]
    [MemberData(nameof(Kernels))]
    public async Task Every_kernel_is_proven_or_refuted_as_is_expected_of_it(string name)
    {
        Kernel kernel = Kernel.Find(name)!;
        ProveResult result = await Solvers.ProofOf(kernel);
        Assert.Equal((KillMatrixRow.ExpectedOfProof(kernel.Info), ""), (result.Verdict, result.Reason));
        Assert.DoesNotContain(result.Obligations, obligation => obligation.Outcome == ObligationOutcome.Unknown);
        if (result.Breakage is not { } breakage)
            return;
        Assert.Equal(kernel.Info.ExpectedFrom, breakage.LowestCounter);
        Assert.True(breakage.IsExact, breakage.ToString());

        // Its counter moves at begin, so that the induction fails without any invalidation in a fault, and yet nothing goes
        // wrong.
        Assert.Equal(name != "seq-at-begin", breakage.IsShortest);
        Assert.Contains(breakage.Story.Steps, step => step.IsDefect);
    }

    [Theory]
    [InlineData("linux-6.1", 0UL, 0x8000_0000UL, 0xffff_ffff_7fff_ffffUL)]
    [InlineData("snapshot-u32", 0UL, 0x1_0000_0000UL, ulong.MaxValue)]
    [InlineData("snapshot-i16", 0UL, 0x8000UL, 0xffff_ffff_ffff_7fffUL)]
    [InlineData("snapshot-i8", 0UL, 0x80UL, 0xffff_ffff_ffff_ff7fUL)]
    [InlineData("snapshot-u8", 0UL, 0x100UL, ulong.MaxValue)]
    [InlineData("compare-signed", 1UL, 1UL << 63, 1UL << 63)]
    [InlineData("saturating-seq", 1UL, 0x7fff_ffffUL, ulong.MaxValue)]
    [InlineData("compare-low-32", 1UL << 32, 0UL, ulong.MaxValue)]
    public async Task A_kernel_breaks_in_one_interval_with_a_shortest_span(string name, ulong span, ulong lowest, ulong highest)
    {
        Breakage breakage = (await Solvers.ProofOf(Kernel.Find(name)!)).Breakage!;
        Assert.Equal((span, lowest, highest), (breakage.FaultSpan, breakage.LowestCounter, breakage.HighestCounter));
        Assert.Equal([new CounterInterval(lowest, highest)], breakage.Intervals);
        Assert.True(breakage.AreAllIntervals);
    }

    [Fact]
    public async Task With_shorter_faults_compare_low_32_is_proven_and_the_assumption_is_what_does_it()
    {
        Kernel kernel = Kernel.Of<CompareLow32>();
        Assert.Equal(ProofVerdict.Proven, (await Solvers.ProveAsync(kernel, new() { FaultSpan = 1UL << 32 })).Verdict);
        Breakage breakage = (await Solvers.ProveAsync(kernel, new() { FaultSpan = (1UL << 32) + 1 })).Breakage!;
        Assert.Equal("a fault that spans 2^32 invalidations", breakage.Takes);
        Assert.Contains(breakage.Story.Steps, step => step.Action.Contains("4,294,967,296 times", StringComparison.Ordinal));
        Assert.Equal(StepVerdict.UnsafeInstall, breakage.Story.Steps[^1].Verdict);
    }

    [Theory]
    [InlineData("linux-5.11")]
    [InlineData("linux-6.1.y")]
    [InlineData("linux-6.3")]
    [InlineData("linux-6.9")]
    public async Task Both_solvers_prove_the_releases(string name)
    {
        ProveResult z3 = await Solvers.ProveAsync(Kernel.Find(name)!, null, Solvers.Z3);
        ProveResult cvc5 = await Solvers.ProofOf(Kernel.Find(name)!);
        Assert.Equal((ProofVerdict.Proven, ProofVerdict.Proven), (z3.Verdict, cvc5.Verdict));
        Assert.Equal(
            z3.Obligations.Select(obligation => obligation.Name), cvc5.Obligations.Select(obligation => obligation.Name));
    }

    [Theory]
    [InlineData("linux-6.1")]
    [InlineData("linux-5.15")]
    [InlineData("linux-5.12-i386")]
    public async Task Both_solvers_refute_the_releases_with_a_defect(string name)
    {
        Breakage z3 = (await Solvers.ProveAsync(Kernel.Find(name)!, null, Solvers.Z3)).Breakage!;
        Breakage cvc5 = (await Solvers.ProofOf(Kernel.Find(name)!)).Breakage!;
        Assert.Equal(
            (z3.Defect, z3.FaultSpan, z3.LowestCounter, z3.HighestCounter),
            (cvc5.Defect, cvc5.FaultSpan, cvc5.LowestCounter, cvc5.HighestCounter));
    }

    [Fact]
    public async Task Linux_5_15_is_proven_as_long_as_memslots_stay_as_they_are()
    {
        ProveResult withFixed = await Solvers.ProveAsync(Kernel.Of<Linux515>(), new() { MemslotUpdates = false });
        Assert.Equal((ProofVerdict.Proven, ""), Brief(withFixed));
        Assert.Equal("memslot updates", (await Solvers.ProofOf(Kernel.Of<Linux515>())).Breakage!.Takes);
    }

    [Theory]
    [InlineData(1, 32)]
    [InlineData(4, 32)]
    [InlineData(2, 64)]
    public async Task The_fix_is_proven_for_every_shape_of_VM(int invalidators, int pages)
    {
        var options = new ProveOptions { Invalidators = invalidators, Pages = pages };
        Assert.Equal((ProofVerdict.Proven, ""), Brief(await Solvers.ProveAsync(Kernel.Of<Linux61Stable>(), options)));
    }

    [Fact]
    public async Task Kernels_that_people_bring_are_proven_or_refuted_as_they_are()
    {
        Assert.Equal((ProofVerdict.Proven, ""), Brief(await Solvers.ProveAsync(Kernel.Of<Complemented>())));
        Assert.Equal((ProofVerdict.Proven, ""), Brief(await Solvers.ProveAsync(Kernel.Of<YieldingZap>())));
        Assert.Equal(
            [
                "hang 0: 0x1000000 to 0xffffffffffffffff",
                "hang 0: 0x1000000000000 to 0xffffffffffffffff",
                "unsafe install 1: 0xffffffff to 0xffffffffffffffff",
                "unsafe install 1: 0x1 to 0xffffffffffffffff",
            ],
            [
                await WhereAsync<SnapshotU24>(), await WhereAsync<SnapshotU48>(), await WhereAsync<SaturatingU32>(),
                await WhereAsync<CompareShifted>(),
            ]);
    }

    /// <summary>
    /// A total that the model gains must be claimed to be 0, where it counts a defect, or be added here, where it does not.
    /// </summary>
    [Fact]
    public void Every_total_of_the_model_is_claimed_to_be_zero_or_counts_no_defect() => Assert.Equal(
        [
            "Invalidations", "GuestAccesses", "Fixed", "Retried", "UnwarrantedRetries", "UnsafeInstalls", "StaleMappings",
            "AccountingErrors",
        ],
        Layout<TotalsLanes<SymbolicLanes>>.Names);

    [Fact]
    public async Task A_solver_that_gives_up_proves_nothing()
    {
        var options = new ProveOptions { Timeout = TimeSpan.FromMilliseconds(1) };
        ProveResult result = await Solvers.ProveAsync(Kernel.Of<Linux61Stable>(), options);
        Assert.Equal(ProofVerdict.NotProven, result.Verdict);
        Assert.Contains("the solver gave no answer to", result.Reason, StringComparison.Ordinal);
    }

    private static (ProofVerdict Verdict, string Reason) Brief(ProveResult result) => (result.Verdict, result.Reason);

    private static async Task<string> WhereAsync<TKernel>()
        where TKernel : struct, IKernel
    {
        ProveResult result = await Solvers.ProveAsync(Kernel.Of<TKernel>());
        return result.Breakage is { } breakage
            ? $"{breakage.Defect} {breakage.FaultSpan}: 0x{breakage.LowestCounter:x} to 0x{breakage.HighestCounter:x}"
            : $"{result.Verdict} {result.Reason}";
    }
}
