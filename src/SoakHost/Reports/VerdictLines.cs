using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Watchdogs;

namespace SoakHost.Reports;

/// <summary>The verdict on a run in lines of text, as the terminal and a JUnit report have them.</summary>
internal static class VerdictLines
{
    /// <summary>
    /// What stands on the verdict's own line after it: what was seen, for a pass. Beside any other verdict that would read as its
    /// reason.
    /// </summary>
    public static string OwnLine(Verdict verdict, IReadOnlyCollection<CohortReport> cohorts) =>
        verdict == Verdict.Pass && Verdicts.Evidence(cohorts) is { Length: > 0 } evidence ? $": {evidence}" : "";

    /// <summary>The lines after it: the reasons, which cohorts are toys, and what was seen all the same.</summary>
    public static IEnumerable<string> Rest(
        Verdict verdict, IEnumerable<string> reasons, IReadOnlyCollection<CohortReport> cohorts)
    {
        foreach (string reason in reasons)
            yield return reason;
        foreach (CohortReport cohort in cohorts)
        {
            if (ToyBoundary.Of(cohort) is { } toy)
                yield return $"{cohort.Cohort.Name} is a toy: {ToyBoundary.Explain(toy)}";
        }

        if (verdict == Verdict.Inconclusive && Verdicts.Evidence(cohorts) is { Length: > 0 } evidence)
            yield return $"seen: {evidence}";
    }
}
