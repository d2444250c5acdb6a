using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Explore;

/// <summary>What the explorations of one kernel, from all its starts, amount to beside what is expected of it.</summary>
/// <param name="Kernel">The kernel.</param>
/// <param name="Starts">From how many starts it was explored.</param>
/// <param name="States">Distinct states, of all of them.</param>
/// <param name="Found">The kinds of defects that were found, each once, the most serious first.</param>
/// <param name="Expectation">Whether that is what is expected of the kernel.</param>
public sealed record ExploreOutcome(
    KernelInfo Kernel, int Starts, long States, ImmutableArray<ExploreVerdict> Found, ExploreExpectation Expectation)
{
    /// <summary>The outcome of each kernel, in their order.</summary>
    public static IReadOnlyList<ExploreOutcome> Of(IEnumerable<ExploreResult> results) =>
        [.. results.GroupBy(result => result.Kernel.Name).Select(kernel => Of(kernel.First().Kernel, [.. kernel]))];

    private static ExploreOutcome Of(KernelInfo kernel, ExploreResult[] results)
    {
        ImmutableArray<ExploreVerdict> found =
            [.. results.SelectMany(result => result.Defects).Select(defect => defect.Kind).Distinct().Order()];
        bool isOpen = Array.Exists(
            results, result => result.Verdict is ExploreVerdict.LimitReached or ExploreVerdict.Stopped);
        bool isShown = kernel.Expected == Defect.None || found.Any(kind => kind == VerdictOf(kernel.Expected));
        ExploreExpectation expectation =
            found.Any(kind => !IsExpected(kind, kernel.Expected)) ? ExploreExpectation.Surprise
            : isOpen && (kernel.Expected == Defect.None || !isShown) ? ExploreExpectation.NotProven
            : isShown ? ExploreExpectation.AsExpected : ExploreExpectation.NotShown;
        return new(kernel, results.Length, results.Sum(result => (long)result.States), found, expectation);
    }

    // A hang begins with a retry that nothing warrants.
    private static bool IsExpected(ExploreVerdict found, Defect expected) => found switch
    {
        ExploreVerdict.Hang => IncidentId.IsExpected(FindingKind.VcpuHung, expected),
        ExploreVerdict.UnjustifiedRetry => IncidentId.IsExpected(FindingKind.VcpuHung, expected),
        ExploreVerdict.UnsafeInstall => IncidentId.IsExpected(FindingKind.UnsafeInstall, expected),
        ExploreVerdict.StaleMapping => IncidentId.IsExpected(FindingKind.StaleMapping, expected),
        ExploreVerdict.Deadlock => IncidentId.IsExpected(FindingKind.Deadlock, expected),
        ExploreVerdict.AccountingError => IncidentId.IsExpected(FindingKind.AccountingError, expected),
        _ => false,
    };

    private static ExploreVerdict VerdictOf(Defect expected) => expected switch
    {
        Defect.Hang => ExploreVerdict.Hang,
        Defect.UnsafeInstall => ExploreVerdict.UnsafeInstall,
        Defect.StaleMapping => ExploreVerdict.StaleMapping,
        Defect.Deadlock => ExploreVerdict.Deadlock,
        Defect.AccountingError => ExploreVerdict.AccountingError,
        _ => ExploreVerdict.Proven,
    };
}

/// <summary>What was found of a kernel, beside what is expected of it.</summary>
public enum ExploreExpectation
{
    /// <summary>The expected defect and none that is not expected; or none, and none is expected.</summary>
    AsExpected,

    /// <summary>The expected defect did not show: the bound or the starts are too small for it.</summary>
    NotShown,

    /// <summary>Not all states were seen, and none of those seen decides.</summary>
    NotProven,

    /// <summary>A defect that is not expected.</summary>
    Surprise,
}
