using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;

namespace SoakHost.Engine.Tests.Watchdogs;

public sealed class HostVerdictTests
{
    private static readonly Totals Crossed = new() { Crossings31 = 1 };

    [Fact]
    public void A_pass_of_real_VMs_needs_a_crossing_with_a_probe_in_flight()
    {
        Assert.Equal(Verdict.Pass, Of(Verdict.Pass, Crossed).Verdict);
        Assert.Equal(Verdict.Inconclusive, Of(Verdict.Pass, default).Verdict);
    }

    [Fact]
    public void Their_own_reasons_are_told_as_they_are() => Assert.Equal("One. Two.", Of(Verdict.Inconclusive, Crossed).Reason);

    [Fact]
    public void A_hang_that_was_told_once_is_a_violation_for_good() =>
        Assert.Equal((Verdict.Violation, "1 vCPUs hung"), Of(Verdict.Pass, Crossed, new IncidentCounts(1, 0, 0, 0)));

    [Fact]
    public void Real_VMs_that_cannot_be_run_make_the_run_unsupported() =>
        Assert.Equal((Verdict.Unsupported, "One. Two."), Of(Verdict.Unsupported, default));

    private static (Verdict Verdict, string Reason) Of(Verdict own, Totals totals, IncidentCounts incidents = default) => Verdicts.OfHost(
        new HostFigures
        {
            KernelRelease = "6.1",
            Mmu = "npt",
            Cpu = "a CPU",
            At = default,
            Elapsed = default,
            InvalidationsPerSecond = 0,
            Until = 1,
            Share = 1,
            ExpectedEnd = null,
            IsOver = true,
            Boundaries = [],
            Verdict = own,
            Reasons = ["One.", "Two."],
            NotCovered = [],
        },
        totals,
        incidents);
}
