using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Timelines;
using SoakHost.Engine.Watchdogs;
using SoakHost.Reports;
using SoakHost.Service;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary><c>GET /api/v1/timeline</c>: an incident, replayed step by step as <c>soakhost replay</c> does.</summary>
internal static class TimelineEndpoint
{
    public static void MapTimeline(this WebApplication app) =>
        app.MapGet("/api/v1/timeline", ReplayAsync)
            .Produces<IncidentTimelineDocument>()
            .WithName("timeline")
            .WithTags("incidents")
            .ProducesProblem(StatusCodes.Status400BadRequest)
            .ProducesProblem(StatusCodes.Status404NotFound)
            .ProducesProblem(StatusCodes.Status422UnprocessableEntity)
            .ProducesProblem(StatusCodes.Status503ServiceUnavailable)
            .ProducesProblem(StatusCodes.Status504GatewayTimeout)
            .WithSummary(
                "Replays an incident step by step, with an explanation and the command that reproduces it. One replay runs at "
                    + "a time. A replay that takes "
                    + "longer than 20 s is cancelled, and the problem document has the \"command\".");

    private static async Task<Results<JsonHttpResult<IncidentTimelineDocument>, ProblemHttpResult>> ReplayAsync(
        SoakRun current,
        ReplayService replays,
        StorageReads reads,
        HttpContext http,
        IHostApplicationLifetime host,
        string incident = "",
        string? run = null)
    {
        try
        {
            QueryText.RejectUnknown(http.Request.Query, ["incident", "run"]);
        }
        catch (ArgumentException exception)
        {
            return Problem(StatusCodes.Status400BadRequest, exception.Message);
        }

        if (!IncidentId.TryParse(incident, out IncidentId id))
        {
            return Problem(
                StatusCodes.Status400BadRequest,
                "incident must be the id of a hang, unsafe-install, stale-mapping, accounting-error or deadlock, such as "
                    + "hang:control/12/3@3411968"
            );
        }

        try
        {
            long? wanted = QueryText.Number("run", run, 1, long.MaxValue);
            if (await reads.ReadAsync(() => Find(current, id, wanted), http.RequestAborted) is not { } found)
            {
                return Problem(
                    StatusCodes.Status404NotFound,
                    "no such incident is recorded, and no such vCPU is hung now; incidents are recorded with the next checkpoint"
                );
            }

            if (found.Cohort is not { } cohort)
            {
                return Problem(
                    StatusCodes.Status422UnprocessableEntity,
                    "it cannot be replayed: its VM was a real one, or its kernel is not in this version of SoakHost");
            }

            using var stop = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, host.ApplicationStopping);
            (ReplayOutcome outcome, Timeline? timeline) = await replays.ReplayAsync(found, cohort, id, stop.Token);
            string command = ReplayCommandLine.Of(
                cohort,
                found.Options,
                id,
                found.Origin,
                ReplayCommandLine.NeedsRecord(found.HasInterventions, found.Origin, id) ? current.Options.DataDirectory : null)!;
            switch (outcome)
            {
                case ReplayOutcome.Replayed:
                    return TypedResults.Json(
                        IncidentTimelineDocument.Of(id, found.Run, command, timeline!),
                        ReportJson.Default.IncidentTimelineDocument);
                case ReplayOutcome.NoSuchIncident:
                    return Problem(
                        StatusCodes.Status404NotFound,
                        "the replay did not come to this incident: it was recorded with another version of the model");
                case ReplayOutcome.Busy:
                    http.Response.Headers.RetryAfter = "1";
                    return Problem(
                        StatusCodes.Status503ServiceUnavailable,
                        "too many replays are waiting; try again in a second");
                default:
                    return TypedResults.Problem(
                        $"the replay takes longer than {ReplayService.TimeMax.TotalSeconds:0} s; run the command instead, "
                            + "which has no time limit",
                        statusCode: StatusCodes.Status504GatewayTimeout,
                        extensions: new Dictionary<string, object?> { ["command"] = command });
            }
        }
        catch (ArgumentException exception) when (exception.ParamName is null)
        {
            return Problem(StatusCodes.Status400BadRequest, exception.Message);
        }
        catch (Exception exception) when (exception is ConfigurationException or StorageUnavailableException)
        {
            http.Response.Headers.RetryAfter = Paging.RetryAfterSeconds;
            return Problem(StatusCodes.Status503ServiceUnavailable, exception.Message);
        }
        catch (OperationCanceledException) when (!http.RequestAborted.IsCancellationRequested)
        {
            return Problem(StatusCodes.Status503ServiceUnavailable, "the service is stopping");
        }
    }

    /// <summary>
    /// The run that has the incident: the present one, which may not have recorded it yet, or one that the data directory knows.
    /// </summary>
    private static ReplayInput? Find(SoakRun current, IncidentId id, long? run)
    {
        string directory = current.Options.DataDirectory;
        if (ReplayInput.OfRecorded(directory, id, run) is { } recorded)
            return recorded;
        return (run ?? current.RunId) == current.RunId && HangsNow(current.Latest, id) is { } vcpu
            ? ReplayInput.OfCurrent(current.RunId, directory, current.FleetOptions, id.Cohort) with { Origin = vcpu.Origin }
            : null;
    }

    /// <summary>The vCPU that an incident is about, while it hangs; null where it does not.</summary>
    private static StalledVcpu? HangsNow(FleetReport report, IncidentId id) => report.Cohorts
        .Where(cohort => cohort.Cohort.Name == id.Cohort)
        .SelectMany(cohort => cohort.Stalls)
        .Select(stall => (StalledVcpu?)stall.Vcpu)
        .FirstOrDefault(vcpu =>
            (vcpu!.Value.Condition, id.Kind) is (VcpuCondition.Hung, FindingKind.VcpuHung)
                or (VcpuCondition.Deadlocked, FindingKind.Deadlock)
            && (vcpu.Value.Vm, vcpu.Value.Vcpu, vcpu.Value.Time) == (id.Vm, id.Vcpu, id.Time));

    private static ProblemHttpResult Problem(int status, string detail) => TypedResults.Problem(detail, statusCode: status);
}
