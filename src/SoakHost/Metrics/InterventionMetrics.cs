using SoakHost.Engine.Soak;
using SoakHost.Storage;

namespace SoakHost.Metrics;

/// <summary>Interventions since the service started.</summary>
internal sealed class InterventionMetrics
{
    /// <summary>The most cohorts that are gone and still have series; those of the others end.</summary>
    public const int GoneMax = 100;

    private readonly Lock _gate = new();
    private readonly Dictionary<(string Cohort, string Kind), long> _applied = [];

    // Cohorts in the order of their last intervention.
    private readonly List<string> _order = [];

    /// <summary>Registers the family.</summary>
    /// <param name="registry">Where.</param>
    /// <param name="cohorts">The names of the cohorts that there are now.</param>
    public InterventionMetrics(MetricRegistry registry, Func<IReadOnlyList<string>> cohorts)
    {
        MetricFamily applied = registry.Add(DeclaredMetrics.Interventions);
        registry.BeforeScrape(() =>
        {
            foreach ((string cohort, string kind, long count) in Read(cohorts()))
                applied.Set(count, cohort, kind);
        });
    }

    /// <summary>Counts one.</summary>
    public void Count(string cohort, InterventionKind kind)
    {
        lock (_gate)
        {
            _applied[(cohort, kind.Name())] = _applied.GetValueOrDefault((cohort, kind.Name())) + 1;
            _order.Remove(cohort);
            _order.Add(cohort);
        }
    }

    /// <summary>
    /// Every kind of every present cohort. Interventions in a cohort that is gone still count, its removal above all.
    /// </summary>
    private List<(string Cohort, string Kind, long Count)> Read(IReadOnlyList<string> present)
    {
        lock (_gate)
        {
            foreach (string forgotten in _order.Except(present).SkipLast(GoneMax).ToList())
            {
                _order.Remove(forgotten);
                foreach (string kind in InterventionNames.Names)
                    _applied.Remove((forgotten, kind));
            }

            return
            [
                .. from cohort in present
                   from kind in InterventionNames.Names
                   select (cohort, kind, _applied.GetValueOrDefault((cohort, kind))),
                .. from applied in _applied
                   where !present.Contains(applied.Key.Cohort)
                   select (applied.Key.Cohort, applied.Key.Kind, applied.Value),
            ];
        }
    }
}
