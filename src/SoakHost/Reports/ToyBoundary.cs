using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.HostKernel;

namespace SoakHost.Reports;

/// <summary>
/// What a cohort crosses where that is no boundary of a real kernel's counter: people try SoakHost out with a boundary that is
/// near, and must not take the result for a real one.
/// </summary>
internal static class ToyBoundary
{
    /// <summary>The lowest boundary at which a kernel of Linux ever failed.</summary>
    private static readonly Boundary Real = Boundary.AtPower(31);

    /// <summary>
    /// The highest boundary that the cohort crosses, where that is below 2^31; null for every other cohort, and once a VM has
    /// crossed 2^31 or a higher boundary.
    /// </summary>
    public static Boundary? Of(Cohort cohort, CohortTotals totals)
    {
        if (totals.CrossingsFrom31 > 0)
            return null;
        IEnumerable<Boundary> crossed = cohort switch
        {
            SimulatedCohort simulated => simulated.Starts.Select(After),
            HostCohort host => host.NoTotals.Crossings.Select(crossing => crossing.Boundary),
            _ => [],
        };
        return crossed.DefaultIfEmpty(Real).Max() is var highest && highest < Real ? highest : null;
    }

    /// <summary>
    /// The same for the reports of a bounded run. There a result on real VMs has a name of its own that says how far it went, and
    /// what it found is real.
    /// </summary>
    public static Boundary? Of(CohortReport report) => report.Cohort is HostCohort ? null : Of(report.Cohort, report.Totals);

    /// <summary>What the result of such a cohort is worth.</summary>
    public static string Explain(Boundary toy) =>
        $"its counters cross nothing above {toy.Name}. No Linux kernel failed below {Real.Name}, so this says nothing about a "
            + "real one.";

    /// <summary>The next boundary after a start.</summary>
    private static Boundary After(ulong start) => SimulatedCohort.Boundaries
        .First(boundary => boundary.Count == 0 || boundary.Count > start);
}
