using System.Collections.Immutable;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Timelines;
using SoakHost.Engine.Watchdogs;
using SoakHost.Reports;
using SoakHost.Service;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary><c>GET /api/v1/timeline</c>: an incident, told again step by step, as <c>soakhost replay</c> does.</summary>
internal static class TimelineEndpoint
{
    public static void MapTimeline(this WebApplication app) => app
        .MapGet("/api/v1/timeline", ReplayAsync).Produces<IncidentTimelineDocument>().WithName("timeline").WithTags("incidents")
        .ProducesProblem(StatusCodes.Status400BadRequest).ProducesProblem(StatusCodes.Status404NotFound)
        .ProducesProblem(StatusCodes.Status422UnprocessableEntity).ProducesProblem(StatusCodes.Status503ServiceUnavailable)
        .ProducesProblem(StatusCodes.Status504GatewayTimeout)
        .WithSummary("An incident told again, step by step, with the sentence that explains it and the command that repeats it. One at a time; one that takes "
            + "longer than 20 s is given up, and the problem has the \"command\".");

    private static async Task<Results<JsonHttpResult<IncidentTimelineDocument>, ProblemHttpResult>> ReplayAsync(
        SoakRun current, IncidentReplays replays, HttpContext http, IHostApplicationLifetime host, string incident = "", long? run = null)
    {
        if (!IncidentId.TryParse(incident, out IncidentId id))
        {
            return Problem(
                StatusCodes.Status400BadRequest, "incident is to be the id of a hang, unsafe-install or accounting-error, as in hang:control/12/3@3411968");
        }

        try
        {
            if (Find(current, id, run) is not { } found)
            {
                return Problem(StatusCodes.Status404NotFound, "no such incident is recorded, and no vCPU hangs by that name; what was found is recorded with the next checkpoint");
            }

            if (found.Cohort is not { } cohort)
            {
                return Problem(
                    StatusCodes.Status422UnprocessableEntity, "nothing brings it back: its VM was a real one, or had a kernel that this program does not know");
            }

            using var stop = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, host.ApplicationStopping);
            (ReplayOutcome outcome, Timeline? timeline) = await replays.ReplayAsync(found, cohort, id, stop.Token);
            string command = ReplayCommandLine.Of(cohort, found.Options, id, found.HasInterventions ? current.Options.DataDirectory : null)!;
            switch (outcome)
            {
                case ReplayOutcome.Replayed:
                    return TypedResults.Json(
                        IncidentTimelineDocument.Of(id, found.Run, command, timeline!), ReportJson.Default.IncidentTimelineDocument);
                case ReplayOutcome.NoSuchIncident:
                    return Problem(StatusCodes.Status404NotFound, "run again, the run has no such incident: it was recorded with another version of the model");
                case ReplayOutcome.Busy:
                    http.Response.Headers.RetryAfter = "1";
                    return Problem(StatusCodes.Status503ServiceUnavailable, "others wait for their timelines already; try again in a second");
                default:
                    return TypedResults.Problem(
                        $"it takes longer than {IncidentReplays.TimeMax.TotalSeconds:0} s here, so far into the run it is; the command tells it, however long it takes",
                        statusCode: StatusCodes.Status504GatewayTimeout, extensions: new Dictionary<string, object?> { ["command"] = command });
            }
        }
        catch (ConfigurationException exception)
        {
            return Problem(StatusCodes.Status503ServiceUnavailable, exception.Message);
        }
        catch (OperationCanceledException) when (!http.RequestAborted.IsCancellationRequested)
        {
            return Problem(StatusCodes.Status503ServiceUnavailable, "the service is being stopped");
        }
    }

    /// <summary>The run that has the incident: the present one, which may not have recorded it yet, or one that the data directory knows.</summary>
    private static IncidentRun? Find(SoakRun current, IncidentId id, long? run)
    {
        string directory = current.Options.DataDirectory;
        return (run ?? current.RunId) == current.RunId && HangsNow(current.Latest, id)
            ? IncidentRun.Current(current.RunId, directory, current.FleetOptions, id.Cohort) : IncidentRun.Recorded(directory, id, run);
    }

    private static bool HangsNow(FleetReport report, IncidentId id) => report.Cohorts.Any(cohort =>
        id.Kind == FindingKind.VcpuHung && cohort.Cohort.Name == id.Cohort && cohort.Stalls.Any(stall =>
            stall.Vcpu.Condition == VcpuCondition.Hung && stall.Vcpu.Vm == id.Vm && stall.Vcpu.Vcpu == id.Vcpu && stall.Vcpu.Time == id.Time));

    private static ProblemHttpResult Problem(int status, string detail) => TypedResults.Problem(detail, statusCode: status);
}

/// <summary>An incident's timeline: what <see cref="TimelineDocument"/> has, and where it is from.</summary>
internal sealed record IncidentTimelineDocument(
    string Incident, long Run, string Kernel, string Conclusion, string Command, ImmutableArray<TimelineStepDocument> Steps)
{
    public static IncidentTimelineDocument Of(IncidentId incident, long run, string command, Timeline timeline)
    {
        TimelineDocument told = TimelineDocument.Of(timeline);
        return new(incident.ToString(), run, told.Kernel, told.Conclusion, command, told.Steps);
    }
}
