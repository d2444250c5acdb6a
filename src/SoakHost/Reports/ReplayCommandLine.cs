using System.Globalization;
using SoakHost.Configuration;
using SoakHost.Engine;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model;

namespace SoakHost.Reports;

/// <summary>
/// The command that reproduces an incident. It names everything that the VM's history depends on, so it requires no configuration and gives
/// the same result on any machine. For a cohort with interventions it also requires their record, and so the data directory.
/// </summary>
internal static class ReplayCommandLine
{
    /// <summary>The command for one incident of the present run; null for a real VM, whose incidents cannot be replayed.</summary>
    public static string? Of(CohortReport cohort, SoakOptions run, IncidentId incident) =>
        Of(cohort.Cohort, run.ToShardOptions(), incident, cohort.HasInterventions ? run.DataDirectory : null);

    /// <summary>The command for one incident; null for a real VM, whose incidents cannot be replayed.</summary>
    /// <param name="cohort">Its cohort.</param>
    /// <param name="run">The run's seed and stall threshold.</param>
    /// <param name="incident">The incident.</param>
    /// <param name="dataDirectory">The data directory, if the cohort had interventions: the command requires their record. Otherwise null.</param>
    public static string? Of(Cohort cohort, ShardOptions run, IncidentId incident, string? dataDirectory = null)
    {
        if (!cohort.Kernel.Info.IsSimulated)
            return null;
        if (dataDirectory is not null)
            return $"Soak__DataDirectory='{Path.GetFullPath(dataDirectory).Replace("'", @"'\''", StringComparison.Ordinal)}' soakhost replay {incident}";
        VmParameters vm = cohort.Vm;
        string updates = vm.MemslotUpdates ? " --memslot-updates" : "";

        // Only the tick of a hang depends on the threshold.
        string threshold = incident.Kind == FindingKind.VcpuHung
            ? string.Create(CultureInfo.InvariantCulture, $" --stall-retries {run.StallRetries}") : "";
        return string.Create(
            CultureInfo.InvariantCulture,
            $"soakhost replay {incident} --kernel {cohort.Kernel.Info.Name} --vms {cohort.Vms} --vcpus {vm.Vcpus}"
            + $" --invalidators {vm.Invalidators} --pages {vm.Pages} --range-pages {vm.RangePages}{updates}"
            + $" --start 0x{vm.InvalidateSeqStart:x} --seed {run.Seed}{threshold}");
    }
}
