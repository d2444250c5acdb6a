using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;
using SoakHost.Engine.Soak;
using SoakHost.Logging;
using SoakHost.Metrics;
using SoakHost.Service;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>
/// <c>POST /api/v1/cohorts/{name}/...</c>: what can be done to a cohort while it runs. Reading is open; who may change it, <see cref="OperatorAccess"/> says.
/// </summary>
internal static class OperationEndpoints
{
    public static void MapOperations(this WebApplication app)
    {
        RouteGroupBuilder cohort = app.MapGroup("/api/v1/cohorts/{name}").WithTags("operations");
        cohort.AddEndpointFilter(app.Services.GetRequiredService<OperatorFilter>());
        cohort
            .ProducesProblem(StatusCodes.Status400BadRequest).ProducesProblem(StatusCodes.Status401Unauthorized)
            .ProducesProblem(StatusCodes.Status403Forbidden).ProducesProblem(StatusCodes.Status404NotFound)
            .ProducesProblem(StatusCodes.Status409Conflict).ProducesProblem(StatusCodes.Status415UnsupportedMediaType)
            .ProducesProblem(StatusCodes.Status429TooManyRequests).ProducesProblem(StatusCodes.Status503ServiceUnavailable);
        Map(cohort, OperationKind.PatchKernel, "Patches the kernel of the cohort's VMs; \"kernel\" names it.");
        Map(cohort, OperationKind.Migrate, "Live-migrates the cohort, or \"vm\" alone: the counter restarts at \"invalidate_seq\" (0), mappings and roots restart.");
        Map(cohort, OperationKind.PauseInvalidations, "Lets no invalidation begin any more.");
        Map(cohort, OperationKind.ResumeInvalidations, "Lets invalidations begin again.");
        Map(cohort, OperationKind.UpdateMemslots, "Updates the memslots of the cohort's VMs, or of \"vm\" alone, once.");
        Map(cohort, OperationKind.SetCounter, "Sets mmu_invalidate_seq of the cohort's VMs, or of \"vm\" alone, to \"invalidate_seq\".");
    }

    private static void Map(RouteGroupBuilder cohort, OperationKind kind, string summary) => cohort
        .MapPost(kind.Name(), (string name, HttpRequest request, SoakRun run, OperationMetrics metrics, ILogger<OperationRequest> log) =>
            OperateAsync(kind, name, request, run, metrics, log))
        .Accepts<OperationRequest>("application/json").Produces<OperationDocument>().WithName(kind.Name()).WithSummary(summary);

    private static async Task<Results<JsonHttpResult<OperationDocument>, ProblemHttpResult>> OperateAsync(
        OperationKind kind, string name, HttpRequest request, SoakRun run, OperationMetrics metrics, ILogger log)
    {
        if (run.FleetOptions.Cohorts.All(cohort => cohort.Name != name))
            return Problem(StatusCodes.Status404NotFound, "there is no such cohort");
        try
        {
            ShardOperation operation = (await ReadAsync(request)).ToOperation(kind);

            // Waits for the disk, and so not on a thread that others wait for.
            OperationRecord record = await Task.Run(() => run.Operate(name, operation));
            metrics.Count(name, kind);
            string what = $"{kind.Name()}{(record.Operation.Kernel is { } kernel ? $" {kernel.Info.Name}" : "")}{(record.Operation.Vm is { } vm ? $" of VM {vm}" : "")}";
            log.OperationApplied(name, what, record.Operation.Tick);
            return TypedResults.Json(OperationDocument.Of(record), OperationJson.Default.OperationDocument);
        }
        catch (BadHttpRequestException exception)
        {
            return Problem(exception.StatusCode, exception.Message);
        }
        catch (Exception exception) when (exception is ArgumentException or JsonException or FormatException)
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

    private static async Task<OperationRequest> ReadAsync(HttpRequest request)
    {
        if (request.ContentLength is null or 0 && !request.HasJsonContentType())
            return new OperationRequest(null, null, null);
        if (!request.HasJsonContentType())
            throw new BadHttpRequestException("the body is to be application/json", StatusCodes.Status415UnsupportedMediaType);
        return await JsonSerializer.DeserializeAsync(request.Body, OperationJson.Default.OperationRequest, request.HttpContext.RequestAborted)
            ?? new OperationRequest(null, null, null);
    }

    private static ProblemHttpResult Problem(int status, string detail) => TypedResults.Problem(detail, statusCode: status);
}

/// <summary>What is asked for. Numbers may be text, as configuration spells them: "2^31-1000".</summary>
internal sealed record OperationRequest(string? Kernel, int? Vm, JsonElement? InvalidateSeq)
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
        return new ShardOperation
        {
            Kind = kind,
            Vm = Vm,
            Kernel = Kernel is null ? null : Model.Kernels.Kernel.Find(Kernel)
                ?? throw new ArgumentException($"there is no such kernel; there are {string.Join(", ", Model.Kernels.Kernel.All.Select(kernel => kernel.Info.Name))}"),
            InvalidateSeq = InvalidateSeq is { } value ? Counter(value) : 0,
        };
    }

    private static ulong Counter(JsonElement value)
    {
        if (NumberSyntax.TryParse(value.ToString(), out System.Numerics.BigInteger number) && number >= 0 && number <= ulong.MaxValue)
            return (ulong)number;
        throw new ArgumentException($"invalidate_seq is to be a whole number from 0 to {ulong.MaxValue}");
    }
}

/// <summary>What was done, and the tick at which it takes effect in every VM.</summary>
internal sealed record OperationDocument(long Id, string Cohort, string Kind, long Tick, int? Vm, string? Kernel, string? InvalidateSeq, DateTimeOffset Requested)
{
    public static OperationDocument Of(OperationRecord record) => new(
        record.Id, record.Cohort, record.Operation.Kind.Name(), record.Operation.Tick, record.Operation.Vm, record.Operation.Kernel?.Info.Name,
        record.Operation.Kind is OperationKind.Migrate or OperationKind.SetCounter ? $"0x{record.Operation.InvalidateSeq:x}" : null, record.Requested);
}

/// <summary>What requests and answers look like.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(OperationRequest))]
[JsonSerializable(typeof(OperationDocument))]
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
