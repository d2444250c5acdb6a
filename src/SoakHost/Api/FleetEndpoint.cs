using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Reports;
using SoakHost.Service;

namespace SoakHost.Api;

/// <summary><c>GET /api/v1/fleet</c>: the watchdog's latest report; <c>/stream</c> under it: each new one.</summary>
internal static class FleetEndpoint
{
    public static void MapFleet(this WebApplication app)
    {
        app.MapGet(
                "/api/v1/fleet",
                (SoakRun run) => TypedResults.Json(FleetDocument.Of(run.Latest, run.Options), ReportJson.Default.FleetDocument))
            .WithoutParameters()
            .Produces<FleetDocument>()
            .WithName("fleet")
            .WithTags("fleet")
            .WithSummary(
                "The watchdog's latest report. Values of 64 bits (counters, snapshots, the seed) are strings of hex digits.");
        app.MapGet("/api/v1/fleet/stream", Follow)
            .WithoutParameters()
            .Produces<FleetDocument>(contentType: "text/event-stream")
            .ProducesProblem(StatusCodes.Status503ServiceUnavailable)
            .WithName("fleet-stream")
            .WithTags("fleet")
            .WithSummary(
                "The latest report, then each new one, as server-sent events \"fleet\": the document of /api/v1/fleet in one "
                    + "line, plus \"version\", "
                    + "\"run\", \"interval_seconds\" and, for each cohort, \"vcpu_cells\". Slow clients skip reports.");
    }

    private static Results<ServerSentEventsResult<string>, ProblemHttpResult> Follow(
        FleetStream stream,
        HttpContext http,
        IHostApplicationLifetime host)
    {
        if (stream.TryEnter() is not { } place)
        {
            return TypedResults.Problem(
                $"{FleetStream.FollowersMax} clients already follow the fleet; /api/v1/fleet has the latest report",
                statusCode: StatusCodes.Status503ServiceUnavailable);
        }

        http.Response.RegisterForDispose(place);

        // Pages that are still open must not delay the service's stop.
        var stop = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, host.ApplicationStopping);
        http.Response.RegisterForDispose(stop);
        return TypedResults.ServerSentEvents(stream.FollowAsync(stop.Token));
    }
}
