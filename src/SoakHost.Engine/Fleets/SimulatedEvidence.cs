using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Fleets;

/// <summary>What the figures of a simulated cohort do not show, whoever added them up.</summary>
public static class SimulatedEvidence
{
    /// <summary>
    /// Why the cohort shows nothing yet, or not any more, a part of a sentence each: a control that cannot hang proves no
    /// detector, and boundaries below 2^31 are those of mutants alone.
    /// </summary>
    /// <param name="expected">What the cohort is expected to show.</param>
    /// <param name="snapshot">Its figures.</param>
    /// <param name="hangsNow">Whether any vCPU is hung or deadlocked.</param>
    public static IEnumerable<string> FindMissing(Defect expected, SimulatedSnapshot snapshot, bool hangsNow)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        CohortTotals totals = snapshot.Totals;
        long low = totals.CrossingsOf(Boundary.AtPower(15)) + totals.CrossingsOf(Boundary.AtPower(16));
        if (expected == Defect.None && low > 0 && totals.CrossingsInAll == low)
            yield return "no VM has crossed 2^31 or a higher boundary with a fault in flight yet";
        if (expected == Defect.None && totals.CrossingsFrom31 > 0)
        {
            // Crossings under a kernel that was patched since are no evidence about this one.
            foreach (CrossingStates never in snapshot.Coverage.NeverReached.Split())
            {
                yield return never == CrossingStates.FaultInFlight
                    ? $"no VM has crossed 2^31 or a higher boundary with a fault in flight under {snapshot.Kernel.Info.Name} yet"
                    : $"no VM has crossed 2^31 or a higher boundary {never.Describe()} yet: run longer, or let VMs cross again "
                        + "and again (LifeAfterBoundary)";
            }
        }

        if (expected != Defect.Hang)
            yield break;
        KernelInfo kernel = snapshot.Kernel.Info;
        if (kernel.Expected != Defect.Hang && !hangsNow)
        {
            yield return $"runs {kernel.Name}, which is not known to hang; while it does, nothing shows that a hang would be "
                + "found";
        }

        if (totals.HangsMissed > 0)
        {
            yield return string.Create(
                CultureInfo.InvariantCulture,
                $"hung in {totals.HangsCaught:N0} of {totals.HangsCaught + totals.HangsMissed:N0} crossings, and missed "
                    + $"{totals.HangsMissed:N0}");
        }

        long recovered = snapshot.LastRecoveryTick;
        if (kernel.Expected == Defect.Hang && recovered > 0 && !hangsNow && snapshot.LastHangTick <= recovered)
        {
            yield return string.Create(
                CultureInfo.InvariantCulture,
                $"its hung vCPUs recovered at tick {recovered}; since then none hung, and nothing shows that a hang would be "
                    + $"found");
        }
    }
}
