using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>
/// <c>GET /api/v1/incidents</c>: recorded incidents, newest first, a page at a time; <c>/groups</c> under it: how many there are
/// of each kind.
/// </summary>
internal static class IncidentEndpoint
{
    public static void MapIncidents(this WebApplication app)
    {
        app.MapGet("/api/v1/incidents", ReadAsync)
            .Produces<IncidentPage>()
            .ProducesProblem(StatusCodes.Status400BadRequest)
            .ProducesProblem(StatusCodes.Status503ServiceUnavailable)
            .WithName("incidents")
            .WithTags("incidents")
            .WithSummary(
                "Incidents, newest first. Pass a page's \"next\" as \"before\" to get the page after it. Filters: \"cohort\", "
                    + "\"run\", \"vm\" with the number of "
                    + "\"vms\" from it on (1), \"vcpu\", \"kind\", and \"hung\": true for vCPUs that are still hung, false for "
                    + "all others.");
        app.MapGet("/api/v1/incidents/groups", ReadGroupsAsync)
            .Produces<IncidentGroupList>()
            .ProducesProblem(StatusCodes.Status400BadRequest)
            .ProducesProblem(StatusCodes.Status503ServiceUnavailable)
            .WithName("incident-groups")
            .WithTags("incidents")
            .WithSummary(
                "How many incidents of one kind there are in one cohort and one run, with the times of the first and of the "
                    + $"newest; the {IncidentGroupList.GroupsMax} groups with the newest incidents. Filter: \"cohort\".");
    }

    private static Task<Results<JsonHttpResult<IncidentPage>, ProblemHttpResult>> ReadAsync(
        HttpContext http,
        SoakOptions options,
        StorageReads reads,
        [AsParameters] IncidentQuery query,
        [AsParameters] PageQuery page) =>
        Paging.ReadAsync(
            http,
            reads,
            page,
            IncidentQuery.Names,
            (before, limit) => IncidentPage.Read(options.DataDirectory, before, limit, query.ToFilter()),
            IncidentJson.Default.IncidentPage);

    private static Task<Results<JsonHttpResult<IncidentGroupList>, ProblemHttpResult>> ReadGroupsAsync(
        HttpContext http, SoakOptions options, StorageReads reads, string? cohort = null) =>
        Paging.ReadAsync(
            http,
            reads,
            page: null,
            ["cohort"],
            (_, _) => IncidentGroupList.Read(options.DataDirectory, cohort),
            IncidentJson.Default.IncidentGroupList);
}

/// <summary>A page of incidents.</summary>
/// <param name="Incidents">Newest first.</param>
/// <param name="Refused">Records that are damaged, each as a sentence that names it.</param>
/// <param name="Next">The "before" of the next page; null where this is the last.</param>
internal sealed record IncidentPage(IReadOnlyList<IncidentDocument> Incidents, IReadOnlyList<string> Refused, long? Next)
{
    /// <summary>The cohorts of the latest run in a data directory, those that interventions added too.</summary>
    public static IEnumerable<string> CohortsOf(string directory)
    {
        using SoakDatabase? database = SoakDatabase.OpenForReading(directory);
        return database?.Runs.Latest() is not { } run ? []
            :
            [
                .. run.Identity.Fleet.Select(cohort => cohort.Name),
                .. database.Interventions.Of(run.Id).Select(done => done.Cohort),
            ];
    }

    /// <summary>Reads a page from a data directory that a service may be using.</summary>
    public static IncidentPage Read(string directory, long before, int limit, IncidentFilter filter)
    {
        using SoakDatabase? database = SoakDatabase.OpenForReading(directory);
        StoredPage<IncidentRecord> page = database?.Incidents.Page(before, limit, filter) ?? StoredPage<IncidentRecord>.Empty;
        Func<IncidentRecord, IncidentContext> find = database is null ? _ => default : IncidentContext.Finder(database);
        return new IncidentPage(
            [.. page.Records.Select(incident => IncidentDocument.Of(incident, find(incident)))], page.Refused, page.Next);
    }
}

/// <summary>
/// An incident. <c>soakhost replay</c> takes its id. The kernel in which it was found, and whether it was expected there, are
/// null where that is not known any more.
/// </summary>
internal sealed record IncidentDocument(
    string Id,
    long Run,
    string Kind,
    string Cohort,
    int Vm,
    int? Vcpu,
    long? Tick,
    double? ElapsedSeconds,
    int? Page,
    string? InvalidateSeq,
    string? Snapshot,
    DateTimeOffset FirstSeen,
    DateTimeOffset LastSeen,
    DateTimeOffset? Recovered,
    long? RecoveredTick,
    double? RecoveredElapsedSeconds,
    string? RecoveredBy,
    int? Life,
    string? Kernel,
    bool? Expected)
{
    public static IncidentDocument Of(IncidentRecord incident, IncidentContext context) =>
        new(
            incident.Id.ToString(),
            incident.RunId,
            IncidentKinds.NameOf(incident.Id.Kind),
            incident.Id.Cohort,
            incident.Id.Vm,
            incident.Id.Vcpu,
            incident.Id.Time.Tick,
            incident.Id.Time.Elapsed?.TotalSeconds,
            incident.Page,
            incident.InvalidateSeq?.ToString(),
            incident.Snapshot is { } snapshot ? CounterRange.Exactly(snapshot).ToString() : null,
            incident.FirstSeen,
            incident.LastSeen,
            incident.Recovery?.At,
            incident.Recovery?.Time.Tick,
            incident.Recovery?.Time.Elapsed?.TotalSeconds,
            incident.Recovery?.By,
            incident.Origin?.Life,
            context.Kernel,
            context.IsExpected);
}

/// <summary>How many incidents of each kind there are.</summary>
/// <param name="Groups">The groups, the one with the newest incident first.</param>
internal sealed record IncidentGroupList(IReadOnlyList<IncidentGroupDocument> Groups)
{
    /// <summary>The most groups of an answer.</summary>
    public const int GroupsMax = 100;

    /// <summary>Reads the groups from a data directory that a service may be using.</summary>
    public static IncidentGroupList Read(string directory, string? cohort)
    {
        using SoakDatabase? database = SoakDatabase.OpenForReading(directory);
        if (database is null)
            return new([]);
        Func<IncidentRecord, IncidentContext> find = IncidentContext.Finder(database);
        return new([.. database.Incidents.Groups(GroupsMax, cohort).Select(group => IncidentGroupDocument.Of(group, find))]);
    }
}

/// <summary>
/// The incidents of one kind in one cohort and one run. Times are null where a record is damaged; kernel and expectation, those
/// of the newest incident, where they are not known any more.
/// </summary>
internal sealed record IncidentGroupDocument(
    long Run,
    string Cohort,
    string Kind,
    long Count,
    DateTimeOffset? FirstSeen,
    DateTimeOffset? NewestSeen,
    string? Kernel,
    bool? Expected)
{
    public static IncidentGroupDocument Of(IncidentGroup group, Func<IncidentRecord, IncidentContext> find)
    {
        IncidentContext context = group.Newest is { } newest ? find(newest) : default;
        return new(
            group.RunId, group.Cohort, IncidentKinds.NameOf(group.Kind), group.Count, group.First?.FirstSeen,
            group.Newest?.FirstSeen, context.Kernel, context.IsExpected);
    }
}

/// <summary>Kinds of incidents as the API spells them.</summary>
internal static class IncidentKinds
{
    private static readonly (FindingKind Kind, string Name)[] All =
    [
        (FindingKind.VcpuHung, "hang"),
        (FindingKind.UnsafeInstall, "unsafe_install"),
        (FindingKind.StaleMapping, "stale_mapping"),
        (FindingKind.AccountingError, "accounting_error"),
        (FindingKind.Deadlock, "deadlock"),
    ];

    /// <summary>Every name.</summary>
    public static IEnumerable<string> Names => All.Select(entry => entry.Name);

    /// <summary>The kind's name.</summary>
    public static string NameOf(FindingKind kind) => Array.Find(All, entry => entry.Kind == kind).Name;

    /// <summary>The kind of that name, or null.</summary>
    public static FindingKind? Find(string name) =>
        Array.Find(All, entry => entry.Name == name) is { Name: not null } found ? found.Kind : null;
}

/// <summary>How pages of incidents are written.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(IncidentPage))]
[JsonSerializable(typeof(IncidentGroupList))]
internal sealed partial class IncidentJson : JsonSerializerContext;
