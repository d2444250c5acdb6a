using System.Numerics;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;
using SoakHost.Engine;
using SoakHost.Engine.Soak;
using SoakHost.Logging;
using SoakHost.Metrics;
using SoakHost.Service;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>
/// <c>POST /api/v1/cohorts/...</c>: what can be done to the fleet while it runs; <c>GET /api/v1/operations</c>: what was done. Reading is open; who may
/// change it, <see cref="OperatorAccess"/> says.
/// </summary>
internal static class OperationEndpoints
{
    public static void MapOperations(this WebApplication app)
    {
        app.MapGet("/api/v1/operations", List).Produces<OperationPage>().ProducesProblem(StatusCodes.Status400BadRequest)
            .WithName("operations").WithTags("operations").WithSummary("What was done, newest first. \"next\" of a page is the \"before\" of the next one.");
        RouteGroupBuilder cohorts = app.MapGroup("/api/v1/cohorts").WithTags("operations");
        cohorts.AddEndpointFilter(app.Services.GetRequiredService<OperatorFilter>());
        cohorts
            .ProducesProblem(StatusCodes.Status400BadRequest).ProducesProblem(StatusCodes.Status401Unauthorized)
            .ProducesProblem(StatusCodes.Status403Forbidden).ProducesProblem(StatusCodes.Status404NotFound)
            .ProducesProblem(StatusCodes.Status409Conflict).ProducesProblem(StatusCodes.Status415UnsupportedMediaType)
            .ProducesProblem(StatusCodes.Status429TooManyRequests).ProducesProblem(StatusCodes.Status503ServiceUnavailable);
        cohorts.MapPost("", (HttpRequest request, SoakRun run, OperationMetrics metrics, ILogger<OperationRequest> log) => AddAsync(request, run, metrics, log))
            .Accepts<CohortRequest>("application/json").Produces<OperationDocument>().WithName(OperationKind.AddCohort.Name())
            .WithSummary("Adds a cohort; its VMs start at tick 0. The keys are those of Soak:Fleet.");
        RouteGroupBuilder cohort = cohorts.MapGroup("/{name}");
        Map(cohort, OperationKind.PatchKernel, "Patches the kernel of the cohort's VMs; \"kernel\" names it.");
        Map(cohort, OperationKind.Migrate, "Live-migrates the cohort, or \"vm\" alone: the counter restarts at \"invalidate_seq\" (0), mappings and roots restart.");
        Map(cohort, OperationKind.PauseInvalidations, "Lets no invalidation begin any more.");
        Map(cohort, OperationKind.ResumeInvalidations, "Lets invalidations begin again.");
        Map(cohort, OperationKind.UpdateMemslots, "Updates the memslots of the cohort's VMs, or of \"vm\" alone, once.");
        Map(cohort, OperationKind.SetCounter, "Sets mmu_invalidate_seq of the cohort's VMs, or of \"vm\" alone, to \"invalidate_seq\".");
        Map(cohort, OperationKind.ResizeCohort, "Gives the cohort \"vms\" VMs: those with the highest numbers go, or new ones start.");
        Map(cohort, OperationKind.RemoveCohort, "Removes the cohort. What it did and showed is kept.");
    }

    private static Results<JsonHttpResult<OperationPage>, ProblemHttpResult> List(
        SoakOptions options, long before = long.MaxValue, int limit = 100, string? cohort = null) =>
        Paging.Read(limit, () => OperationPage.Read(options.DataDirectory, before, limit, cohort), OperationJson.Default.OperationPage);

    private static void Map(RouteGroupBuilder cohort, OperationKind kind, string summary) => cohort
        .MapPost(kind.Name(), (string name, HttpRequest request, SoakRun run, OperationMetrics metrics, ILogger<OperationRequest> log) =>
            OperateAsync(kind, name, request, run, metrics, log))
        .Accepts<OperationRequest>("application/json").Produces<OperationDocument>().WithName(kind.Name()).WithSummary(summary);

    private static async Task<Results<JsonHttpResult<OperationDocument>, ProblemHttpResult>> OperateAsync(
        OperationKind kind, string name, HttpRequest request, SoakRun run, OperationMetrics metrics, ILogger log) =>
        run.Cohorts.All(cohort => cohort.Name != name)
            ? Problem(StatusCodes.Status404NotFound, "there is no such cohort")
            : await OperateAsync(async () => (name, (await ReadAsync(request)).ToOperation(kind)), run, metrics, log);

    private static Task<Results<JsonHttpResult<OperationDocument>, ProblemHttpResult>> AddAsync(
        HttpRequest request, SoakRun run, OperationMetrics metrics, ILogger log) =>
        OperateAsync(
            async () =>
            {
                Cohort cohort = await CohortRequest.ReadAsync(request);
                return (cohort.Name, new ShardOperation { Kind = OperationKind.AddCohort, Cohort = cohort });
            },
            run,
            metrics,
            log);

    private static async Task<Results<JsonHttpResult<OperationDocument>, ProblemHttpResult>> OperateAsync(
        Func<Task<(string Cohort, ShardOperation Operation)>> read, SoakRun run, OperationMetrics metrics, ILogger log)
    {
        try
        {
            (string name, ShardOperation operation) = await read();

            // Waits for the disk, and so not on a thread that others wait for.
            OperationRecord record = await Task.Run(() => run.Operate(name, operation));
            metrics.Count(name, operation.Kind);
            log.OperationApplied(name, Describe(record.Operation), record.Operation.Tick);
            return TypedResults.Json(OperationDocument.Of(record), OperationJson.Default.OperationDocument);
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

    private static string Describe(ShardOperation operation) => operation.Kind.Name() + operation switch
    {
        { Kernel: { } kernel } => $" {kernel.Info.Name}",
        { Cohort: { } added } => $" {added.Kernel.Info.Name}, {added.Vms} VMs",
        { Vms: > 0 } => $" to {operation.Vms} VMs",
        { Vm: { } vm } => $" of VM {vm}",
        _ => "",
    };

    private static async Task<OperationRequest> ReadAsync(HttpRequest request)
    {
        if (request.HttpContext.Features.Get<IHttpRequestBodyDetectionFeature>() is not { CanHaveBody: true })
            return new OperationRequest(null, null, null, null);
        if (!request.HasJsonContentType())
            throw new BadHttpRequestException("the body is to be application/json", StatusCodes.Status415UnsupportedMediaType);
        return await JsonSerializer.DeserializeAsync(request.Body, OperationJson.Default.OperationRequest, request.HttpContext.RequestAborted)
            ?? new OperationRequest(null, null, null, null);
    }

    private static ProblemHttpResult Problem(int status, string detail) => TypedResults.Problem(detail, statusCode: status);
}

/// <summary>What is asked for. Numbers may be text, as configuration spells them: "2^31-1000".</summary>
internal sealed record OperationRequest(string? Kernel, int? Vm, JsonElement? InvalidateSeq, JsonElement? Vms)
{
    /// <summary>The operation, without a tick.</summary>
    /// <exception cref="ArgumentException">Something does not belong there, or is missing.</exception>
    public ShardOperation ToOperation(OperationKind kind)
    {
        bool takesCounter = kind is OperationKind.Migrate or OperationKind.SetCounter;
        if (InvalidateSeq is not null && !takesCounter)
            throw new ArgumentException($"{kind.Name()} takes no invalidate_seq");
        if (kind == OperationKind.SetCounter && InvalidateSeq is null)
            throw new ArgumentException("invalidate_seq is missing");
        if (kind == OperationKind.PatchKernel && Kernel is null)
            throw new ArgumentException("kernel is missing");
        if ((kind == OperationKind.ResizeCohort) != (Vms is not null))
            throw new ArgumentException(Vms is null ? "vms is missing" : $"{kind.Name()} takes no vms");
        return new ShardOperation
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
internal sealed record OperationDocument(
    long Id, long Run, string Cohort, string Kind, long Tick, int? Vm, string? Kernel, string? InvalidateSeq, int? Vms, DateTimeOffset Requested)
{
    public static OperationDocument Of(OperationRecord record)
    {
        ShardOperation done = record.Operation;
        return new(
            record.Id, record.RunId, record.Cohort, done.Kind.Name(), done.Tick, done.Vm, (done.Kernel ?? done.Cohort?.Kernel)?.Info.Name,
            done.Kind is OperationKind.Migrate or OperationKind.SetCounter ? $"0x{done.InvalidateSeq:x}" : null,
            done.Cohort?.Vms ?? (done.Vms > 0 ? done.Vms : null), record.Requested);
    }
}

/// <summary>A page of operations.</summary>
/// <param name="Operations">Newest first.</param>
/// <param name="Next">What to ask for as "before" to see the next page, or null when this is the last.</param>
internal sealed record OperationPage(IReadOnlyList<OperationDocument> Operations, long? Next)
{
    /// <summary>Reads a page from a data directory, beside whoever writes there.</summary>
    public static OperationPage Read(string directory, long before, int limit, string? cohort)
    {
        using SoakDatabase? database = SoakDatabase.OpenForReading(directory);
        IReadOnlyList<OperationRecord> operations = database?.Operations(before, limit, cohort) ?? [];
        return new OperationPage([.. operations.Select(OperationDocument.Of)], operations.Count == limit ? operations[^1].Id : null);
    }
}

/// <summary>What requests and answers look like.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(OperationRequest))]
[JsonSerializable(typeof(OperationDocument))]
[JsonSerializable(typeof(OperationPage))]
internal sealed partial class OperationJson : JsonSerializerContext;

/// <summary>Lets operators in, and nobody else, and not too many requests at once.</summary>
internal sealed class OperatorFilter(OperatorAccess access, TimeProvider time) : IEndpointFilter
{
    // Each operation is a commit to disk and a wait for all shards of a cohort.
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
                return TypedResults.Problem($"more than {RequestsAtOnce} operations in a row; try again in a second", statusCode: StatusCodes.Status429TooManyRequests);
        }

        return await next(context);
    }
}
