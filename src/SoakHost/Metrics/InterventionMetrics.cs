using System.Collections.Concurrent;
using SoakHost.Engine.Soak;
using SoakHost.Storage;

namespace SoakHost.Metrics;

/// <summary>Interventions since the service started.</summary>
internal sealed class InterventionMetrics
{
    private readonly ConcurrentDictionary<(string Cohort, string Kind), long> _applied = [];

    /// <summary>Registers the family.</summary>
    /// <param name="registry">Where.</param>
    /// <param name="cohorts">The names of the cohorts that there are now.</param>
    public InterventionMetrics(MetricRegistry registry, Func<IReadOnlyList<string>> cohorts)
    {
        MetricFamily applied = registry.Add(DeclaredMetrics.Interventions);
        registry.BeforeScrape(() =>
        {
            foreach (string cohort in cohorts())
            {
                foreach (string kind in InterventionNames.Names)
                    applied.Set(_applied.GetValueOrDefault((cohort, kind)), cohort, kind);
            }

            // Interventions in a cohort that is gone still count, its removal above all.
            foreach (((string cohort, string kind), long count) in _applied)
                applied.Set(count, cohort, kind);
        });
    }

    /// <summary>Counts one.</summary>
    public void Count(string cohort, InterventionKind kind) =>
        _applied.AddOrUpdate((cohort, kind.Name()), 1, (_, count) => count + 1);
}
