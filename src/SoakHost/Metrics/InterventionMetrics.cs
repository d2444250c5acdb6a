using System.Collections.Concurrent;
using SoakHost.Engine.Soak;
using SoakHost.Service;
using SoakHost.Storage;

namespace SoakHost.Metrics;

/// <summary>Interventions that were done to cohorts since the service started.</summary>
internal sealed class InterventionMetrics
{
    private readonly ConcurrentDictionary<(string Cohort, string Kind), long> _applied = [];

    public InterventionMetrics(MetricRegistry registry, SoakRun run)
    {
        MetricFamily applied = registry.Counter(
            "soakhost_interventions_total", "Interventions done to the cohort: kernel, migrate, pause, resume, memslots, counter, add, resize or remove.", "cohort", "kind");
        registry.BeforeScrape(() =>
        {
            foreach (string cohort in run.Cohorts.Select(cohort => cohort.Name))
            {
                foreach (string kind in InterventionNames.Names)
                    applied.Set(_applied.GetValueOrDefault((cohort, kind)), cohort, kind);
            }

            // What was done to a cohort that is gone was done all the same, its removal above all.
            foreach (((string cohort, string kind), long count) in _applied)
                applied.Set(count, cohort, kind);
        });
    }

    /// <summary>Counts one.</summary>
    public void Count(string cohort, InterventionKind kind) => _applied.AddOrUpdate((cohort, kind.Name()), 1, (_, count) => count + 1);
}
