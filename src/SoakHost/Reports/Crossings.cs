using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;

namespace SoakHost.Reports;

/// <summary>VMs that crossed each boundary with a fault in flight, by the boundary's name, as reports and metrics show them.</summary>
internal static class Crossings
{
    /// <summary>The four boundaries of every counter, and those that real VMs were given besides.</summary>
    public static IReadOnlyDictionary<string, long> ByBoundary(in Totals totals, HostFigures? host)
    {
        var crossings = new Dictionary<string, long>
        {
            ["2^31"] = totals.Crossings31,
            ["2^32"] = totals.Crossings32,
            ["2^63"] = totals.Crossings63,
            ["2^64"] = totals.Crossings64,
        };
        foreach (HostBoundary boundary in host?.Boundaries ?? [])
            crossings[boundary.Name] = boundary.Crossings;
        return crossings;
    }
}
