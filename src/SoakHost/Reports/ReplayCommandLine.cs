using System.Globalization;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model;

namespace SoakHost.Reports;

/// <summary>
/// The command that replays an incident. It names all that the VM's history depends on, so it needs no configuration and does the same on any
/// machine. After interventions on the cohort it needs those too, and so the data directory.
/// </summary>
internal static class ReplayCommandLine
{
    /// <summary>The command for one incident of the present run; null for one of a real VM, which cannot be replayed.</summary>
    public static string? Of(CohortReport cohort, SoakOptions run, IncidentId incident) =>
        Of(cohort.Cohort, run.ToShardOptions(), incident, cohort.Snapshot is SimulatedSnapshot { HasInterventions: true } ? run.DataDirectory : null);

    /// <summary>The command for one incident; null for one of a real VM, which cannot be replayed.</summary>
    /// <param name="cohort">The cohort that it happened in.</param>
    /// <param name="run">The run's seed and stall threshold.</param>
    /// <param name="incident">The incident.</param>
    /// <param name="dataDirectory">Where the run's interventions are kept, if any were done to the cohort: the command needs them. Else null.</param>
    public static string? Of(Cohort cohort, ShardOptions run, IncidentId incident, string? dataDirectory = null)
    {
        if (cohort is not SimulatedCohort simulated)
            return null;
        if (dataDirectory is not null)
            return $"Soak__DataDirectory='{Path.GetFullPath(dataDirectory).Replace("'", @"'\''", StringComparison.Ordinal)}' soakhost replay {incident}";
        VmParameters vm = simulated.Vm;
        string updates = vm.MemslotUpdates ? " --memslot-updates" : "";

        // When a vCPU counts as hung depends on the threshold; the other incidents happen when they happen.
        string threshold = incident.Kind == FindingKind.VcpuHung
            ? string.Create(CultureInfo.InvariantCulture, $" --stall-retries {run.StallRetries}") : "";
        return string.Create(
            CultureInfo.InvariantCulture,
            $"soakhost replay {incident} --kernel {simulated.KernelName} --vms {cohort.Vms} --vcpus {vm.Vcpus}"
            + $" --invalidators {vm.Invalidators} --pages {vm.Pages} --range-pages {vm.RangePages}{updates}"
            + $" --start 0x{vm.InvalidateSeqStart:x} --seed {run.Seed}{threshold}");
    }
}
