using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary><c>GET /api/v1/incidents</c>: what is recorded, newest first, a page at a time.</summary>
internal static class IncidentEndpoint
{
    public static void MapIncidents(this WebApplication app) => app
        .MapGet("/api/v1/incidents", Read).Produces<IncidentPage>().ProducesProblem(StatusCodes.Status400BadRequest).WithName("incidents").WithTags("incidents")
        .WithSummary("Incidents, newest first. \"next\" of a page is the \"before\" of the next one. Of one \"cohort\", one \"run\", the \"vms\" (1) VMs from \"vm\" on, one "
            + "\"vcpu\", and with \"hung\" those of vCPUs that are hung still (true), or all others (false).");

    private static Results<JsonHttpResult<IncidentPage>, ProblemHttpResult> Read(
        SoakOptions options, [AsParameters] IncidentQuery query, long before = long.MaxValue, int limit = 100)
    {
        try
        {
            IncidentFilter filter = query.ToFilter();
            return Paging.Read(limit, () => IncidentPage.Read(options.DataDirectory, before, limit, filter), IncidentJson.Default.IncidentPage);
        }
        catch (ArgumentException exception)
        {
            return TypedResults.Problem(exception.Message, statusCode: StatusCodes.Status400BadRequest);
        }
    }
}

/// <summary>A page of incidents.</summary>
/// <param name="Incidents">Newest first.</param>
/// <param name="Next">What to ask for as "before" to see the next page, or null when this is the last.</param>
internal sealed record IncidentPage(IReadOnlyList<IncidentDocument> Incidents, long? Next)
{
    /// <summary>Reads a page from a data directory, beside whoever writes there.</summary>
    public static IncidentPage Read(string directory, long before, int limit, IncidentFilter filter)
    {
        using SoakDatabase? database = SoakDatabase.OpenForReading(directory);
        IReadOnlyList<IncidentRecord> incidents = database?.Incidents(before, limit, filter) ?? [];
        return new IncidentPage([.. incidents.Select(IncidentDocument.Of)], incidents.Count == limit ? incidents[^1].Number : null);
    }
}

/// <summary>An incident. <c>soakhost replay</c> takes its id.</summary>
internal sealed record IncidentDocument(
    string Id, long Run, string Kind, string Cohort, int Vm, int? Vcpu, long? Tick, double? ElapsedSeconds, int? Page, string? InvalidateSeq,
    string? Snapshot, DateTimeOffset FirstSeen, DateTimeOffset LastSeen, DateTimeOffset? Recovered, long? RecoveredTick,
    double? RecoveredElapsedSeconds, string? RecoveredBy)
{
    public static IncidentDocument Of(IncidentRecord incident) => new(
        incident.Id.ToString(), incident.RunId, Name(incident.Id.Kind), incident.Id.Cohort, incident.Id.Vm, incident.Id.Vcpu,
        incident.Id.Time.Tick, incident.Id.Time.Elapsed?.TotalSeconds, incident.Page, incident.InvalidateSeq?.ToString(),
        incident.Snapshot is { } snapshot ? CounterRange.Exactly(snapshot).ToString() : null, incident.FirstSeen, incident.LastSeen,
        incident.Recovery?.At, incident.Recovery?.Time.Tick, incident.Recovery?.Time.Elapsed?.TotalSeconds, incident.Recovery?.By);

    private static string Name(FindingKind kind) => kind switch
    {
        FindingKind.VcpuHung => "hang",
        FindingKind.UnsafeInstall => "unsafe_install",
        _ => "accounting_error",
    };
}

/// <summary>What pages of incidents look like.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(IncidentPage))]
internal sealed partial class IncidentJson : JsonSerializerContext;
