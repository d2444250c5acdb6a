using SoakHost.Reports;
using SoakHost.Service;

namespace SoakHost.Api;

/// <summary><c>GET /api/v1/fleet</c>: the watchdog's latest report.</summary>
internal static class FleetEndpoint
{
    public static void MapFleet(this WebApplication app) => app.MapGet(
        "/api/v1/fleet",
        (SoakRun run) => TypedResults.Json(FleetDocument.Of(run.Latest, run.Options.ToShardOptions()), ReportJson.Default.FleetDocument));

    /// <summary><c>GET /</c>: what else there is.</summary>
    public static void MapIndex(this WebApplication app) => app.MapGet("/", () => $"""
        SoakHost {ProgramVersion.Current}

        /metrics        for Prometheus
        /health/live    the process answers
        /health/ready   the fleet is soaked and watched
        /api/v1/fleet   the latest report
        /api/v1/alerts  takes Alertmanager's webhook (POST)

        """);
}
