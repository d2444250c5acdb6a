using System.Collections.Concurrent;
using System.Globalization;

namespace SoakHost.Metrics;

/// <summary>Requests that were refused.</summary>
internal sealed class RefusalMetrics
{
    private static readonly int[] Statuses = [401, 403, 429];

    private readonly ConcurrentDictionary<int, long> _refused = [];

    /// <summary>Registers the family.</summary>
    public RefusalMetrics(MetricRegistry registry)
    {
        MetricFamily refused = registry.Add(DeclaredMetrics.RequestsRefused);
        registry.BeforeScrape(() =>
        {
            foreach (int status in Statuses)
                refused.Set(_refused.GetValueOrDefault(status), status.ToString(CultureInfo.InvariantCulture));
        });
    }

    /// <summary>Counts one.</summary>
    public void Count(int status) => _refused.AddOrUpdate(status, 1, (_, count) => count + 1);
}
