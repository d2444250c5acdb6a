using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.HostKernel;
using SoakHost.Model.Kernels;

namespace SoakHost.Storage;

/// <summary>In which kernel an incident was found, and whether it was expected there.</summary>
/// <param name="Kernel">The kernel's name; null where that is not known any more.</param>
/// <param name="IsExpected">Whether the cohort was expected to show it; null where that is not known any more.</param>
internal readonly record struct IncidentContext(string? Kernel, bool? IsExpected)
{
    /// <summary>Finds the contexts of incidents of one page, which share runs and cohorts.</summary>
    /// <param name="database">The database.</param>
    public static Func<IncidentRecord, IncidentContext> Finder(SoakDatabase database)
    {
        Dictionary<long, RunRecord?> runs = [];
        Dictionary<(long, string), ShardIntervention[]> interventions = [];
        return incident =>
        {
            // Real VMs are no part of a run's identity: their histories cannot be repeated.
            if (incident.Id.Time.Tick is not { } tick)
                return new(HostCohort.KindName, IncidentId.IsExpected(incident.Id.Kind, Defect.None));
            if (!runs.TryGetValue(incident.RunId, out RunRecord? run))
                runs[incident.RunId] = run = database.Runs.Find(incident.RunId);
            string name = incident.Id.Cohort;
            if (!interventions.TryGetValue((incident.RunId, name), out ShardIntervention[]? done))
            {
                interventions[(incident.RunId, name)] = done =
                [
                    .. database.Interventions.Of(incident.RunId).Where(record => record.Cohort == name)
                        .Select(record => record.Intervention),
                ];
            }

            SimulatedCohort? cohort = run?.Identity.Fleet.FirstOrDefault(cohort => cohort.Name == name)?.ToCohort()
                ?? done.FirstOrDefault()?.Cohort;
            if (cohort is null)
                return default;
            Kernel kernel = done.LastOrDefault(patch => patch.Kernel is not null && patch.Tick < tick)?.Kernel ?? cohort.Kernel;
            return new(kernel.Info.Name, IncidentId.IsExpected(incident.Id.Kind, cohort.Expected));
        };
    }
}
