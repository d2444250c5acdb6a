using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Watchdogs;

namespace SoakHost.Reports;

/// <summary>
/// The vCPUs of a cohort, counted in cells, for the live page's heat map. Cell i starts at vCPU i * <see cref="VcpusPerCell"/>;
/// vCPU v of VM m has the number m * (vCPUs of a VM) + v.
/// </summary>
/// <param name="VcpusPerCell">vCPUs in a cell: 1, or a multiple of the vCPUs of a VM. The last cell may have fewer.</param>
/// <param name="Hung">How many of each cell are hung or deadlocked.</param>
/// <param name="Starved">How many of each cell are starved.</param>
internal sealed record VcpuCells(int VcpusPerCell, int[] Hung, int[] Starved)
{
    /// <summary>The most cells of all of a report's cohorts together, whatever the size of the fleet.</summary>
    public const int CellsMax = 8192;

    /// <summary>
    /// The cells of each cohort, in order; null for one whose VMs differ in their vCPUs, or whose conditions leave vCPUs out,
    /// because a shard failed before it had any: then nobody knows whose condition is whose.
    /// </summary>
    public static VcpuCells?[] Of(IReadOnlyList<CohortReport> cohorts)
    {
        int[] shares = Share([.. cohorts.Select(Vcpus)], CellsMax);
        return [.. cohorts.Select((cohort, c) => Of(cohort, shares[c]))];
    }

    /// <summary>
    /// Distributes cells: a cohort that needs less than an equal share gets what it needs, and the others share the rest.
    /// </summary>
    /// <param name="needs">Cells that each needs, at least 1.</param>
    /// <param name="cells">Cells to distribute, at least 1 for each.</param>
    internal static int[] Share(int[] needs, int cells)
    {
        int[] shares = new int[needs.Length];
        int left = needs.Length;
        foreach (int c in Enumerable.Range(0, needs.Length).OrderBy(c => needs[c]))
        {
            shares[c] = Math.Min(needs[c], cells / left);
            cells -= shares[c];
            left--;
        }

        return shares;
    }

    private static int Vcpus(CohortReport cohort) => (int)Math.Max(1, cohort.Cohort.Vcpus);

    private static VcpuCells? Of(CohortReport cohort, int cellsMax)
    {
        ImmutableArray<ImmutableArray<VcpuCondition>> runs = cohort.Snapshot.Conditions;
        int vcpus = Vcpus(cohort);
        if (cohort.Cohort.VcpusPerVm is not { } vcpusPerVm || runs.Sum(run => run.Length) != vcpus)
            return null;
        int vcpusPerCell = VcpusInCell(vcpus, vcpusPerVm, cellsMax);
        int cells = (vcpus + vcpusPerCell - 1) / vcpusPerCell;
        var counted = new VcpuCells(vcpusPerCell, new int[cells], new int[cells]);
        int at = 0;
        foreach (ImmutableArray<VcpuCondition> run in runs)
            at = counted.Count(run.AsSpan(), at);
        return counted;
    }

    private static int VcpusInCell(int vcpus, int vcpusOfVm, int cellsMax)
    {
        if (vcpus <= cellsMax)
            return 1;
        int vms = vcpus / vcpusOfVm;
        return (vms + cellsMax - 1) / cellsMax * vcpusOfVm;
    }

    /// <summary>Counts a run of conditions that begins with vCPU <paramref name="at"/>; returns the vCPU after it.</summary>
    private int Count(ReadOnlySpan<VcpuCondition> run, int at)
    {
        // Most vCPUs run most of the time, and this check is vectorised.
        if (!run.ContainsAnyExcept(VcpuCondition.Running))
            return at + run.Length;
        while (!run.IsEmpty)
        {
            int cell = at / VcpusPerCell;
            ReadOnlySpan<VcpuCondition> part = run[..Math.Min(run.Length, ((cell + 1) * VcpusPerCell) - at)];
            Hung[cell] += part.Count(VcpuCondition.Hung) + part.Count(VcpuCondition.Deadlocked);
            Starved[cell] += part.Count(VcpuCondition.Starved);
            at += part.Length;
            run = run[part.Length..];
        }

        return at;
    }
}
