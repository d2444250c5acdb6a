using System.Numerics;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;
using SoakHost.Engine;
using SoakHost.Engine.Soak;
using SoakHost.Interventions;
using SoakHost.Logging;
using SoakHost.Metrics;
using SoakHost.Service;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>
/// <c>POST /api/v1/cohorts/...</c> does interventions; <c>GET /api/v1/interventions</c> lists them. Everybody may read;
/// <see cref="OperatorAccess"/> decides who may intervene.
/// </summary>
internal static class InterventionEndpoints
{
    public static void MapInterventions(this WebApplication app)
    {
        app.MapGet("/api/v1/interventions", List).Produces<InterventionPage>().ProducesProblem(StatusCodes.Status400BadRequest)
            .WithName("interventions").WithTags("interventions").WithSummary("Interventions, newest first. \"next\" of a page is the \"before\" of the next one.");
        RouteGroupBuilder cohorts = app.MapGroup("/api/v1/cohorts").WithTags("interventions");
        cohorts.AddEndpointFilter(app.Services.GetRequiredService<OperatorFilter>());
        cohorts
            .ProducesProblem(StatusCodes.Status400BadRequest).ProducesProblem(StatusCodes.Status401Unauthorized)
            .ProducesProblem(StatusCodes.Status403Forbidden).ProducesProblem(StatusCodes.Status404NotFound)
            .ProducesProblem(StatusCodes.Status409Conflict).ProducesProblem(StatusCodes.Status415UnsupportedMediaType)
            .ProducesProblem(StatusCodes.Status429TooManyRequests).ProducesProblem(StatusCodes.Status503ServiceUnavailable);
        cohorts.MapPost("", (HttpRequest request, SoakRun run, InterventionMetrics metrics, ILogger<InterventionRequest> log) => AddAsync(request, run, metrics, log))
            .Accepts<CohortRequest>("application/json").Produces<InterventionDocument>().WithName(InterventionKind.AddCohort.Name())
            .WithSummary("Adds a cohort; its VMs start at tick 0. The keys are those of Soak:Fleet.");
        RouteGroupBuilder cohort = cohorts.MapGroup("/{name}");
        Map(cohort, InterventionKind.PatchKernel, "Live-patches the cohort's VMs to the kernel that \"kernel\" names.");
        Map(cohort, InterventionKind.Migrate, "Live-migrates the cohort, or \"vm\" alone: the counter restarts at \"invalidate_seq\" (0), mappings and roots restart.");
        Map(cohort, InterventionKind.PauseInvalidations, "Pauses new invalidations and memslot updates; those in progress end.");
        Map(cohort, InterventionKind.ResumeInvalidations, "Resumes invalidations and memslot updates.");
        Map(cohort, InterventionKind.UpdateMemslots, "Updates the memslots of the cohort's VMs, or of \"vm\" alone, once.");
        Map(cohort, InterventionKind.SetCounter, "Sets mmu_invalidate_seq of the cohort's VMs, or of \"vm\" alone, to \"invalidate_seq\".");
        Map(cohort, InterventionKind.ResizeCohort, "Changes the cohort's number of VMs to \"vms\": those with the highest numbers end, or new ones start.");
        Map(cohort, InterventionKind.RemoveCohort, "Removes the cohort. Its totals and incidents are kept.");
    }

    private static Results<JsonHttpResult<InterventionPage>, ProblemHttpResult> List(
        SoakOptions options, long before = long.MaxValue, int limit = 100, string? cohort = null) =>
        Paging.Read(limit, () => InterventionPage.Read(options.DataDirectory, before, limit, cohort), InterventionJson.Default.InterventionPage);

    private static void Map(RouteGroupBuilder cohort, InterventionKind kind, string summary) => cohort
        .MapPost(kind.Name(), (string name, HttpRequest request, SoakRun run, InterventionMetrics metrics, ILogger<InterventionRequest> log) =>
            InterveneAsync(kind, name, request, run, metrics, log))
        .Accepts<InterventionRequest>("application/json").Produces<InterventionDocument>().WithName(kind.Name()).WithSummary(summary);

    private static Task<Results<JsonHttpResult<InterventionDocument>, ProblemHttpResult>> InterveneAsync(
        InterventionKind kind, string name, HttpRequest request, SoakRun run, InterventionMetrics metrics, ILogger log) =>
        InterveneAsync(async () => (name, (await ReadAsync(request)).ToIntervention(kind)), request, run, metrics, log);

    private static Task<Results<JsonHttpResult<InterventionDocument>, ProblemHttpResult>> AddAsync(
        HttpRequest request, SoakRun run, InterventionMetrics metrics, ILogger log) =>
        InterveneAsync(
            async () =>
            {
                Cohort cohort = await CohortRequest.ReadAsync(request);
                return (cohort.Name, new ShardIntervention { Kind = InterventionKind.AddCohort, Cohort = cohort });
            },
            request,
            run,
            metrics,
            log);

    private static async Task<Results<JsonHttpResult<InterventionDocument>, ProblemHttpResult>> InterveneAsync(
        Func<Task<(string Cohort, ShardIntervention Intervention)>> read,
        HttpRequest request,
        SoakRun run,
        InterventionMetrics metrics,
        ILogger log)
    {
        (string Cohort, ShardIntervention Intervention) asked;
        try
        {
            asked = await read();
        }
        catch (BadHttpRequestException exception)
        {
            return Problem(exception.StatusCode, exception.Message);
        }
        catch (Exception exception) when (exception is JsonException or ConfigurationException or InvalidInterventionException)
        {
            return Problem(StatusCodes.Status400BadRequest, exception.Message);
        }

        try
        {
            InterventionRecord record = await run.InterveneAsync(asked.Cohort, asked.Intervention, request.HttpContext.RequestAborted);
            metrics.Count(asked.Cohort, asked.Intervention.Kind);
            log.InterventionApplied(asked.Cohort, Describe(record.Intervention), record.Intervention.Tick);
            return TypedResults.Json(InterventionDocument.Of(record), InterventionJson.Default.InterventionDocument);
        }
        catch (Exception exception) when (StatusOf(exception) is { } status)
        {
            if (exception is InterventionQueueException)
                request.HttpContext.Response.Headers.RetryAfter = "1";
            return Problem(status, $"{exception.Message}; nothing was done");
        }
    }

    /// <summary>The status of an intervention that was not done; null where the exception is a defect of this program.</summary>
    internal static int? StatusOf(Exception exception) => exception switch
    {
        InvalidInterventionException => StatusCodes.Status400BadRequest,
        NoSuchCohortException => StatusCodes.Status404NotFound,
        InterventionConflictException => StatusCodes.Status409Conflict,
        StorageUnavailableException or InterventionQueueException => StatusCodes.Status503ServiceUnavailable,
        _ => null,
    };

    private static string Describe(ShardIntervention intervention) => intervention.Kind.Name() + intervention switch
    {
        { Kernel: { } kernel } => $" {kernel.Info.Name}",
        { Cohort: { } added } => $" {added.Kernel.Info.Name}, {added.Vms} VMs",
        { Vms: > 0 } => $" to {intervention.Vms} VMs",
        { Vm: { } vm } => $" of VM {vm}",
        _ => "",
    };

    private static async Task<InterventionRequest> ReadAsync(HttpRequest request)
    {
        if (request.HttpContext.Features.Get<IHttpRequestBodyDetectionFeature>() is not { CanHaveBody: true })
            return new InterventionRequest(null, null, null, null);
        if (!request.HasJsonContentType())
            throw new BadHttpRequestException("the body must be application/json", StatusCodes.Status415UnsupportedMediaType);
        return await JsonSerializer.DeserializeAsync(request.Body, InterventionJson.Default.InterventionRequest, request.HttpContext.RequestAborted)
            ?? new InterventionRequest(null, null, null, null);
    }

    private static ProblemHttpResult Problem(int status, string detail) => TypedResults.Problem(detail, statusCode: status);
}

/// <summary>A request. Numbers may be text, as in the configuration: "2^31-1000".</summary>
internal sealed record InterventionRequest(string? Kernel, int? Vm, JsonElement? InvalidateSeq, JsonElement? Vms)
{
    /// <summary>The intervention, without a tick.</summary>
    /// <exception cref="InvalidInterventionException">Something is missing, out of range, or not for this kind.</exception>
    public ShardIntervention ToIntervention(InterventionKind kind)
    {
        bool takesCounter = kind is InterventionKind.Migrate or InterventionKind.SetCounter;
        if (InvalidateSeq is not null && !takesCounter)
            throw new InvalidInterventionException($"{kind.Name()} takes no invalidate_seq");
        if (kind == InterventionKind.SetCounter && InvalidateSeq is null)
            throw new InvalidInterventionException("invalidate_seq is missing");
        if (kind == InterventionKind.PatchKernel && Kernel is null)
            throw new InvalidInterventionException("kernel is missing");
        if ((kind == InterventionKind.ResizeCohort) != (Vms is not null))
            throw new InvalidInterventionException(Vms is null ? "vms is missing" : $"{kind.Name()} takes no vms");
        return new ShardIntervention
        {
            Kind = kind,
            Vm = Vm,
            Kernel = Kernel is null ? null : Model.Kernels.Kernel.Find(Kernel)
                ?? throw new InvalidInterventionException($"there is no such kernel; there are {string.Join(", ", Model.Kernels.Kernel.All.Select(kernel => kernel.Info.Name))}"),
            InvalidateSeq = InvalidateSeq is { } value ? (ulong)Number("invalidate_seq", value, 0, ulong.MaxValue) : 0,
            Vms = Vms is { } vms ? (int)Number("vms", vms, 1, SoakOptions.VmsMax) : 0,
        };
    }

    private static BigInteger Number(string key, JsonElement value, BigInteger min, BigInteger max) =>
        NumberSyntax.TryParse(value.ToString(), out BigInteger number) && number >= min && number <= max
            ? number : throw new InvalidInterventionException($"{key} must be a whole number from {min} to {max}");
}

/// <summary>An intervention, with the tick at which it takes effect in every VM.</summary>
internal sealed record InterventionDocument(
    long Id, long Run, string Cohort, string Kind, long Tick, int? Vm, string? Kernel, string? InvalidateSeq, int? Vms, DateTimeOffset Requested)
{
    public static InterventionDocument Of(InterventionRecord record)
    {
        ShardIntervention done = record.Intervention;
        return new(
            record.Id, record.RunId, record.Cohort, done.Kind.Name(), done.Tick, done.Vm, (done.Kernel ?? done.Cohort?.Kernel)?.Info.Name,
            done.Kind is InterventionKind.Migrate or InterventionKind.SetCounter ? $"0x{done.InvalidateSeq:x}" : null,
            done.Cohort?.Vms ?? (done.Vms > 0 ? done.Vms : null), record.Requested);
    }
}

/// <summary>A page of interventions.</summary>
/// <param name="Interventions">Newest first.</param>
/// <param name="Next">What to ask for as "before" to see the next page, or null when this is the last.</param>
internal sealed record InterventionPage(IReadOnlyList<InterventionDocument> Interventions, long? Next)
{
    /// <summary>Reads a page from a data directory, beside whoever writes there.</summary>
    public static InterventionPage Read(string directory, long before, int limit, string? cohort)
    {
        using SoakDatabase? database = SoakDatabase.OpenForReading(directory);
        IReadOnlyList<InterventionRecord> interventions = database?.Interventions.Page(before, limit, cohort) ?? [];
        return new InterventionPage([.. interventions.Select(InterventionDocument.Of)], interventions.Count == limit ? interventions[^1].Id : null);
    }
}

/// <summary>Requests and answers as JSON.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(InterventionRequest))]
[JsonSerializable(typeof(InterventionDocument))]
[JsonSerializable(typeof(InterventionPage))]
internal sealed partial class InterventionJson : JsonSerializerContext;

/// <summary>Lets operators in, and nobody else, and not too many requests at once.</summary>
internal sealed class OperatorFilter(OperatorAccess access, TimeProvider time) : IEndpointFilter
{
    // Each intervention is a commit to disk and a wait for all shards of a cohort.
    private const int RequestsAtOnce = 20;
    private readonly Lock _gate = new();
    private readonly TokenBucket _bucket = new(time, RequestsAtOnce, TimeSpan.FromSeconds(1));

    public async ValueTask<object?> InvokeAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        if (access.Refuse(context.HttpContext) is { } refusal)
            return refusal;
        lock (_gate)
        {
            if (!_bucket.TryTake())
                return TypedResults.Problem($"more than {RequestsAtOnce} interventions in a row; try again in a second", statusCode: StatusCodes.Status429TooManyRequests);
        }

        return await next(context);
    }
}
