using System.Numerics;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;
using SoakHost.Engine.Soak;
using SoakHost.Logging;
using SoakHost.Metrics;
using SoakHost.Service;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>
/// <c>POST /api/v1/cohorts/...</c>: what can be done to the fleet while it runs; <c>GET /api/v1/interventions</c>: what was done. Reading is open; who may
/// change it, <see cref="OperatorAccess"/> says.
/// </summary>
internal static class InterventionEndpoints
{
    public static void MapInterventions(this WebApplication app)
    {
        app.MapGet("/api/v1/interventions", List).Produces<InterventionPage>().ProducesProblem(StatusCodes.Status400BadRequest)
            .WithName("interventions").WithTags("interventions").WithSummary("What was done, newest first. \"next\" of a page is the \"before\" of the next one.");
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
        Map(cohort, InterventionKind.PatchKernel, "Patches the kernel of the cohort's VMs; \"kernel\" names it.");
        Map(cohort, InterventionKind.Migrate, "Live-migrates the cohort, or \"vm\" alone: the counter restarts at \"invalidate_seq\" (0), mappings and roots restart.");
        Map(cohort, InterventionKind.PauseInvalidations, "Lets no invalidation begin any more.");
        Map(cohort, InterventionKind.ResumeInvalidations, "Lets invalidations begin again.");
        Map(cohort, InterventionKind.UpdateMemslots, "Updates the memslots of the cohort's VMs, or of \"vm\" alone, once.");
        Map(cohort, InterventionKind.SetCounter, "Sets mmu_invalidate_seq of the cohort's VMs, or of \"vm\" alone, to \"invalidate_seq\".");
        Map(cohort, InterventionKind.ResizeCohort, "Gives the cohort \"vms\" VMs: those with the highest numbers go, or new ones start.");
        Map(cohort, InterventionKind.RemoveCohort, "Removes the cohort. What it did and showed is kept.");
    }

    private static Results<JsonHttpResult<InterventionPage>, ProblemHttpResult> List(
        SoakOptions options, long before = long.MaxValue, int limit = 100, string? cohort = null) =>
        Paging.Read(limit, () => InterventionPage.Read(options.DataDirectory, before, limit, cohort), InterventionJson.Default.InterventionPage);

    private static void Map(RouteGroupBuilder cohort, InterventionKind kind, string summary) => cohort
        .MapPost(kind.Name(), (string name, HttpRequest request, SoakRun run, InterventionMetrics metrics, ILogger<InterventionRequest> log) =>
            InterveneAsync(kind, name, request, run, metrics, log))
        .Accepts<InterventionRequest>("application/json").Produces<InterventionDocument>().WithName(kind.Name()).WithSummary(summary);

    private static async Task<Results<JsonHttpResult<InterventionDocument>, ProblemHttpResult>> InterveneAsync(
        InterventionKind kind, string name, HttpRequest request, SoakRun run, InterventionMetrics metrics, ILogger log) =>
        run.Cohorts.All(cohort => cohort.Name != name)
            ? Problem(StatusCodes.Status404NotFound, "there is no such cohort")
            : await InterveneAsync(async () => (name, (await ReadAsync(request)).ToIntervention(kind)), run, metrics, log);

    private static Task<Results<JsonHttpResult<InterventionDocument>, ProblemHttpResult>> AddAsync(
        HttpRequest request, SoakRun run, InterventionMetrics metrics, ILogger log) =>
        InterveneAsync(
            async () =>
            {
                SimulatedCohort cohort = await CohortRequest.ReadAsync(request);
                return (cohort.Name, new ShardIntervention { Kind = InterventionKind.AddCohort, Cohort = cohort });
            },
            run,
            metrics,
            log);

    private static async Task<Results<JsonHttpResult<InterventionDocument>, ProblemHttpResult>> InterveneAsync(
        Func<Task<(string Cohort, ShardIntervention Intervention)>> read, SoakRun run, InterventionMetrics metrics, ILogger log)
    {
        try
        {
            (string name, ShardIntervention intervention) = await read();

            // Waits for the disk, and so not on a thread that others wait for.
            InterventionRecord record = await Task.Run(() => run.Intervene(name, intervention));
            metrics.Count(name, intervention.Kind);
            log.InterventionApplied(name, Describe(record.Intervention), record.Intervention.Tick);
            return TypedResults.Json(InterventionDocument.Of(record), InterventionJson.Default.InterventionDocument);
        }
        catch (BadHttpRequestException exception)
        {
            return Problem(exception.StatusCode, exception.Message);
        }
        catch (Exception exception) when (exception is ArgumentException or JsonException or FormatException or ConfigurationException)
        {
            return Problem(StatusCodes.Status400BadRequest, exception.Message);
        }
        catch (InvalidOperationException exception)
        {
            return Problem(StatusCodes.Status409Conflict, exception.Message);
        }
        catch (StorageUnavailableException exception)
        {
            return Problem(StatusCodes.Status503ServiceUnavailable, $"nothing was done: {exception.Message}");
        }
    }

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
            throw new BadHttpRequestException("the body is to be application/json", StatusCodes.Status415UnsupportedMediaType);
        return await JsonSerializer.DeserializeAsync(request.Body, InterventionJson.Default.InterventionRequest, request.HttpContext.RequestAborted)
            ?? new InterventionRequest(null, null, null, null);
    }

    private static ProblemHttpResult Problem(int status, string detail) => TypedResults.Problem(detail, statusCode: status);
}

/// <summary>What is asked for. Numbers may be text, as configuration spells them: "2^31-1000".</summary>
internal sealed record InterventionRequest(string? Kernel, int? Vm, JsonElement? InvalidateSeq, JsonElement? Vms)
{
    /// <summary>The intervention, without a tick.</summary>
    /// <exception cref="ArgumentException">Something does not belong there, or is missing.</exception>
    public ShardIntervention ToIntervention(InterventionKind kind)
    {
        bool takesCounter = kind is InterventionKind.Migrate or InterventionKind.SetCounter;
        if (InvalidateSeq is not null && !takesCounter)
            throw new ArgumentException($"{kind.Name()} takes no invalidate_seq");
        if (kind == InterventionKind.SetCounter && InvalidateSeq is null)
            throw new ArgumentException("invalidate_seq is missing");
        if (kind == InterventionKind.PatchKernel && Kernel is null)
            throw new ArgumentException("kernel is missing");
        if ((kind == InterventionKind.ResizeCohort) != (Vms is not null))
            throw new ArgumentException(Vms is null ? "vms is missing" : $"{kind.Name()} takes no vms");
        return new ShardIntervention
        {
            Kind = kind,
            Vm = Vm,
            Kernel = Kernel is null ? null : Model.Kernels.Kernel.Find(Kernel)
                ?? throw new ArgumentException($"there is no such kernel; there are {string.Join(", ", Model.Kernels.Kernel.All.Select(kernel => kernel.Info.Name))}"),
            InvalidateSeq = InvalidateSeq is { } value ? (ulong)Number("invalidate_seq", value, 0, ulong.MaxValue) : 0,
            Vms = Vms is { } vms ? (int)Number("vms", vms, 1, SoakOptions.VmsMax) : 0,
        };
    }

    private static BigInteger Number(string key, JsonElement value, BigInteger min, BigInteger max) =>
        NumberSyntax.TryParse(value.ToString(), out BigInteger number) && number >= min && number <= max
            ? number : throw new ArgumentException($"{key} is to be a whole number from {min} to {max}");
}

/// <summary>What was done, and the tick at which it takes effect in every VM.</summary>
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
        IReadOnlyList<InterventionRecord> interventions = database?.Interventions(before, limit, cohort) ?? [];
        return new InterventionPage([.. interventions.Select(InterventionDocument.Of)], interventions.Count == limit ? interventions[^1].Id : null);
    }
}

/// <summary>What requests and answers look like.</summary>
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
