using System.Collections.Immutable;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Results;

namespace SoakHost.Watch.Verdicts.Tests;

public sealed class KernelVerdictTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 20, 12, 0, 0, TimeSpan.Zero);

    private static readonly HostMachine Machine = new("6.1.38", "npt, tdp_mmu=Y", "a CPU");

    private static readonly HostResult Passed = new()
    {
        CheckedAt = Noon,
        Verdict = "pass",
        VerdictName = "pass for 2^31",
        Mmu = Machine.MmuMode,
        Cpu = Machine.CpuModel,
        Crossed = ["2^31"],
    };

    private static readonly HostResult Hung = Passed with
    {
        Verdict = "violation",
        VerdictName = "violation past 2^31",
        Crossed = [],
        HungAt = "0x80000005",
    };

    private static readonly HostResult Quick = Passed with
    {
        Verdict = "inconclusive",
        VerdictName = HostVerdictName.QuickPass,
        Quick = true,
        Crossed = [],
    };

    [Fact]
    public void A_pass_for_2_to_31_on_this_build_mode_and_CPU_outweighs_the_release_and_is_quoted() => Assert.Equal(
        new KernelVerdict(
            "6.1.38", false, KernelEvidence.Check,
            "This kernel was checked on 2026-11-20: pass for 2^31 (npt, tdp_mmu=Y; a CPU).", Passed),
        Of(Quick with { CheckedAt = Noon.AddDays(1) }, Passed));

    [Fact]
    public void A_hang_past_2_to_31_outweighs_the_release_and_any_pass()
    {
        KernelVerdict verdict = KernelVerdict.Of(
            Kept(Passed with { CheckedAt = Noon.AddDays(1) }, Hung), Machine with { KernelRelease = "6.18.0" });

        Assert.Equal(
            (true, KernelEvidence.Check, "This kernel was checked on 2026-11-20: violation past 2^31 (npt, tdp_mmu=Y; a CPU)."),
            (verdict.Affected, verdict.DecidedBy, verdict.Sentence));
    }

    [Fact]
    public void A_quick_pass_or_a_hang_below_2_to_31_is_quoted_and_decides_nothing()
    {
        Assert.Equal(
            (true, KernelEvidence.Release,
                "This kernel was checked on 2026-11-20: quick pass, not for 2^31 (npt, tdp_mmu=Y; a CPU). "
                + "That says nothing about 2^31. By its release, 6.1.38, it has the defect."),
            Parts(Of(Quick)));
        Assert.Equal(KernelEvidence.Release, Of(Hung with { HungAt = "0x5" }).DecidedBy);
    }

    [Fact]
    public void A_violation_below_2_to_31_that_came_after_a_pass_is_not_hidden_by_it()
    {
        HostResult low = Hung with
        {
            HungAt = "0x5",
            CheckedAt = Noon.AddDays(3),
            Verdict = "violation",
            VerdictName = "violation",
        };

        KernelVerdict verdict = Of(Passed, low);

        Assert.Equal((false, KernelEvidence.Check), (verdict.Affected, verdict.DecidedBy));
        Assert.EndsWith(" A later check, on 2026-11-23: violation.", verdict.Sentence, StringComparison.Ordinal);
        Assert.DoesNotContain(
            "later", Of(Passed, low with { CheckedAt = Noon.AddDays(-3) }).Sentence, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("shadow (npt=0)", "a CPU")]
    [InlineData("npt, tdp_mmu=Y", "another CPU")]
    public void A_result_for_another_MMU_mode_or_CPU_decides_nothing(string mmu, string cpu)
    {
        foreach (HostResult result in (HostResult[])[Passed, Hung])
        {
            KernelVerdict verdict = Of(result with { Mmu = mmu, Cpu = cpu });

            Assert.Equal(KernelEvidence.Release, verdict.DecidedBy);
            Assert.Contains(
                $" ({mmu}; {cpu}). This host now has npt, tdp_mmu=Y and a CPU, so that does not apply.", verdict.Sentence,
                StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_newest_result_of_this_mode_is_quoted_before_any_of_another()
    {
        HostResult other = Passed with { Mmu = "shadow", CheckedAt = Noon.AddDays(5) };

        Assert.Equal(Noon.AddDays(2), Of(other, Quick, Quick with { CheckedAt = Noon.AddDays(2) }).Quoted!.CheckedAt);
        Assert.Equal(other, Of(other).Quoted);
    }

    [Theory]
    [InlineData("6.1.38", true, KernelEvidence.Release, "By its release, 6.1.38, it has the defect.")]
    [InlineData("6.18.0", false, KernelEvidence.Release, "By its release, 6.18.0, it does not have the defect.")]
    [InlineData("6.1.0-25-amd64", null, KernelEvidence.Nothing,
        "Its release, 6.1.0-25-amd64, does not decide: whether it has the defect is unknown. Find out with: soakhost check "
        + "--kernel host (with the data directory of this watch, if it has one of its own).")]
    public void Without_a_result_the_release_decides_or_nothing_does(
        string release, bool? affected, KernelEvidence by, string sentence)
    {
        KernelVerdict verdict = KernelVerdict.Of(null, Machine with { KernelRelease = release });

        Assert.Equal(
            (affected, by, $"This build of the kernel was not checked. {sentence}"), Parts(verdict));
        Assert.Null(verdict.Quoted);
    }

    private static (bool?, KernelEvidence, string) Parts(KernelVerdict verdict) =>
        (verdict.Affected, verdict.DecidedBy, verdict.Sentence);

    private static KernelVerdict Of(params HostResult[] results) => KernelVerdict.Of(Kept(results), Machine);

    private static KernelResults Kept(params HostResult[] results) => new(
        new KernelBuild("6.1.38", "", null, ImmutableSortedDictionary<string, string>.Empty, []), [.. results]);
}
