using System.Text.Json;
using System.Text.Json.Serialization;
using SoakHost.Engine.Watchdogs;
using SoakHost.Service;

namespace SoakHost.Health;

/// <summary><c>GET /health/live</c>: the process answers. <c>GET /health/ready</c>: the fleet is soaked and watched.</summary>
internal static class HealthEndpoints
{
    public static void MapHealth(this WebApplication app)
    {
        app.MapGet("/health/live", () => TypedResults.Json(new LiveDocument("live"), HealthJson.Default.LiveDocument));
        app.MapGet(
            "/health/ready",
            async (SoakRun run, TimeProvider time, CancellationToken stop) =>
            {
                FleetReport report = await FreshAsync(run, time, stop);
                Readiness readiness = Readiness.Of(
                    report,
                    report.CohortsInAll,
                    time.GetElapsedTime(report.Timestamp),
                    run.Options.StallAfter,
                    run.Storage.Failure);
                return TypedResults.Json(
                    new ReadyDocument(readiness.Status, readiness.Reasons, report.Time),
                    HealthJson.Default.ReadyDocument,
                    statusCode: readiness.Status == ReadinessStatus.NotReady
                        ? StatusCodes.Status503ServiceUnavailable
                        : StatusCodes.Status200OK);
            });
    }

    /// <summary>
    /// The latest report. One that is too old may be so because the whole process was stopped (SIGSTOP, a suspended machine): the
    /// watchdog then has two intervals to make another.
    /// </summary>
    private static async Task<FleetReport> FreshAsync(SoakRun run, TimeProvider time, CancellationToken stop)
    {
        long asked = time.GetTimestamp();
        while (IsOld(run.Latest) && time.GetElapsedTime(asked) < 2 * run.Options.WatchdogInterval)
            await Task.Delay(run.Options.WatchdogInterval / 4, time, stop);
        return run.Latest;

        bool IsOld(FleetReport report) => time.GetElapsedTime(report.Timestamp) > run.Options.StallAfter;
    }
}

/// <summary>The body of <c>/health/live</c>.</summary>
internal sealed record LiveDocument(string Status);

/// <summary>The body of <c>/health/ready</c>.</summary>
internal sealed record ReadyDocument(ReadinessStatus Status, IReadOnlyList<string> Reasons, DateTimeOffset ReportTime);

/// <summary>How the bodies are written.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, Converters = [typeof(StatusNames)])]
[JsonSerializable(typeof(LiveDocument))]
[JsonSerializable(typeof(ReadyDocument))]
internal sealed partial class HealthJson : JsonSerializerContext;

/// <summary>Statuses by their names in snake_case.</summary>
internal sealed class StatusNames() : JsonStringEnumConverter<ReadinessStatus>(JsonNamingPolicy.SnakeCaseLower);
