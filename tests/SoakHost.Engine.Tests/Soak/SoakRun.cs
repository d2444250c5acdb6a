using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Engine.Tests.Soak;

/// <summary>How a cohort's VMs are cut into shards and slices: all that must not make a difference.</summary>
/// <param name="VectorBits">Width of the vectors.</param>
/// <param name="VmsPerShard">The last shard has what is left.</param>
/// <param name="TicksPerSlice">The last slice has what is left.</param>
public readonly record struct Cut(int VectorBits, int VmsPerShard, int TicksPerSlice);

/// <summary>Everything that a cohort's soak came to: equal texts are equal outcomes.</summary>
/// <param name="Vms">Each VM's state and place in its random stream.</param>
/// <param name="Totals">Sums over all VMs.</param>
/// <param name="Findings">What was found, ordered by VM and then by tick.</param>
public sealed partial record SoakOutcome(IReadOnlyList<string> Vms, Totals Totals, IReadOnlyList<Finding> Findings)
{
    /// <summary>A digest of all of it.</summary>
    public string Hash
    {
        get
        {
            string all = string.Join(
                '\n',
                [.. Vms, TotalsText, .. Findings.Select(Text)]);
            return Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(all)));
        }
    }

    // As totals were written when the digests were taken.
    private string TotalsText => LivesAndLowCrossings().Replace($"{Totals}", "")
        .Replace(", Operations", ", CrossingsElsewhere = 0, Operations");

    [GeneratedRegex("(LivesStarted|HangsCaught|HangsMissed|DetectionTicks|Crossings15|Crossings16) = 0, ")]
    private static partial Regex LivesAndLowCrossings();

    private static string Text(Finding finding) =>
        $"Finding {{ Kind = {finding.Kind}, Vm = {finding.Vm}, Vcpu = {finding.Vcpu ?? -1}, "
        + $"Tick = {finding.Time.Tick}, Page = {finding.Page ?? -1}, InvalidateSeq = {finding.InvalidateSeq?.Low}, "
        + $"Snapshot = {finding.Snapshot ?? 0}, Boundary = {finding.Boundary?.Power ?? 0} }}";
}

/// <summary>Soaks a cohort, cut one way or another, on this thread.</summary>
public static class SoakRun
{
    public static SimulatedCohort CohortOf(string kernel, int vms, VmParameters parameters) =>
        new() { Name = "test", Kernel = Kernel.Find(kernel)!, Vms = vms, Vm = parameters };

    public static SoakOutcome Of(SimulatedCohort cohort, ulong seed, int ticks, Cut cut)
    {
        var vms = new List<string>();
        var findings = new List<Finding>();
        var totals = default(Totals);
        var options = new ShardOptions { Seed = seed, StallRetries = 50, VectorBits = cut.VectorBits };
        for (int firstVm = 0; firstVm < cohort.Vms; firstVm += cut.VmsPerShard)
        {
            var shard = Shard.Create(cohort, firstVm, Math.Min(cut.VmsPerShard, cohort.Vms - firstVm), options);
            for (int done = 0; done < ticks; done += cut.TicksPerSlice)
            {
                shard.Advance(Math.Min(cut.TicksPerSlice, ticks - done));
                findings.AddRange(shard.TakeSnapshot().Findings);
            }

            totals += shard.TakeSnapshot().Totals;
            for (int vm = firstVm; vm < firstVm + shard.Vms; vm++)
                vms.Add($"{string.Join("; ", StateComparison.Fields(shard.Read(vm)))}; {shard.ReadRandom(vm)}");
        }

        IEnumerable<Finding> ordered = findings
            .OrderBy(finding => finding.Vm)
            .ThenBy(finding => finding.Time.Tick)
            .ThenBy(finding => finding.ToString(), StringComparer.Ordinal);
        return new(vms, totals, [.. ordered]);
    }
}
