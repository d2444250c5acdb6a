using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;
using SoakHost.Engine.Soak;
using SoakHost.Interventions;
using SoakHost.Logging;
using SoakHost.Metrics;
using SoakHost.Reports;
using SoakHost.Service;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>
/// <c>POST /api/v1/cohorts/...</c>: interventions in the running fleet; <c>GET /api/v1/interventions</c>: those of the past.
/// Reading is open;
/// <see cref="OperatorAccess"/> decides who may intervene.
/// </summary>
internal static class InterventionEndpoints
{
    public static void MapInterventions(this WebApplication app)
    {
        app.MapGet("/api/v1/interventions", ListAsync)
            .Produces<InterventionPage>()
            .ProducesProblem(StatusCodes.Status400BadRequest)
            .ProducesProblem(StatusCodes.Status503ServiceUnavailable)
            .WithName("interventions")
            .WithTags("interventions")
            .WithSummary("Interventions, newest first. Pass a page's \"next\" as \"before\" to get the page after it.");
        RouteGroupBuilder cohorts = app.MapGroup("/api/v1/cohorts").WithTags("interventions");
        cohorts.AddEndpointFilter(app.Services.GetRequiredService<OperatorFilter>());
        cohorts.AddEndpointFilter(app.Services.GetRequiredService<IdempotencyFilter>());
        cohorts
            .ProducesProblem(StatusCodes.Status400BadRequest)
            .ProducesProblem(StatusCodes.Status401Unauthorized)
            .ProducesProblem(StatusCodes.Status403Forbidden)
            .ProducesProblem(StatusCodes.Status404NotFound)
            .ProducesProblem(StatusCodes.Status409Conflict)
            .ProducesProblem(StatusCodes.Status415UnsupportedMediaType)
            .ProducesProblem(StatusCodes.Status422UnprocessableEntity)
            .ProducesProblem(StatusCodes.Status429TooManyRequests)
            .ProducesProblem(StatusCodes.Status503ServiceUnavailable);
        cohorts
            .MapPost(
                "",
                (HttpRequest request, SoakRun run, InterventionMetrics metrics, ILogger<InterventionRequest> log) =>
                    AddAsync(request, run, metrics, log))
            .Produces<InterventionDocument>()
            .WithName(InterventionKind.AddCohort.Name())
            .WithBody(SimulatedCohortSettings.Table)
            .WithSummary("Adds a cohort. Its VMs start at tick 0.");
        RouteGroupBuilder cohort = cohorts.MapGroup("/{name}");
        Map(cohort, InterventionKind.PatchKernel, "Live-patches the cohort: its VMs run \"kernel\" from now on.");
        Map(
            cohort,
            InterventionKind.Migrate,
            "Live-migrates the cohort, or one \"vm\": the counter restarts at \"invalidate_seq\", mappings and roots restart.");
        Map(cohort, InterventionKind.PauseInvalidations, "Pauses new invalidations and memslot updates; those in progress end.");
        Map(cohort, InterventionKind.ResumeInvalidations, "Resumes invalidations and memslot updates.");
        Map(cohort, InterventionKind.UpdateMemslots, "Updates the memslots of the cohort, or of one \"vm\", once.");
        Map(
            cohort,
            InterventionKind.SetCounter,
            "Sets mmu_invalidate_seq of the cohort, or of one \"vm\", to \"invalidate_seq\".");
        Map(
            cohort,
            InterventionKind.ResizeCohort,
            "Changes the number of VMs to \"vms\": new ones start, or those with the highest numbers are removed.");
        Map(cohort, InterventionKind.RemoveCohort, "Removes the cohort. Its totals and incidents are kept.");
    }

    private static Task<Results<JsonHttpResult<InterventionPage>, ProblemHttpResult>> ListAsync(
        HttpContext http, SoakOptions options, StorageReads reads, [AsParameters] PageQuery page, string? cohort = null) =>
        Paging.ReadAsync(
            http,
            reads,
            page,
            ["cohort"],
            (before, limit) => InterventionPage.Read(options.DataDirectory, before, limit, cohort),
            InterventionJson.Default.InterventionPage);

    private static void Map(RouteGroupBuilder cohort, InterventionKind kind, string summary) =>
        cohort
            .MapPost(
                kind.Name(),
                (string name, HttpRequest request, SoakRun run, InterventionMetrics metrics, ILogger<InterventionRequest> log) =>
                    InterveneAsync(kind, name, request, run, metrics, log))
            .Produces<InterventionDocument>()
            .WithName(kind.Name())
            .WithSummary(summary)
            .WithBody(InterventionRequest.Table(kind));

    private static Task<Results<JsonHttpResult<InterventionDocument>, ProblemHttpResult>> InterveneAsync(
        InterventionKind kind, string name, HttpRequest request, SoakRun run, InterventionMetrics metrics, ILogger log) =>
        InterveneAsync(
            async () => (name, (await JsonBody.ReadAsync(request)).Read(InterventionRequest.Table(kind)).ToIntervention(kind)),
            request, run, metrics, log);

    private static Task<Results<JsonHttpResult<InterventionDocument>, ProblemHttpResult>> AddAsync(
        HttpRequest request, SoakRun run, InterventionMetrics metrics, ILogger log) =>
        InterveneAsync(
            async () =>
            {
                SimulatedCohort cohort = await ReadCohortAsync(request);
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
        catch (Exception exception) when (exception is ConfigurationException or InvalidInterventionException)
        {
            return Problem(StatusCodes.Status400BadRequest, exception.Message);
        }

        try
        {
            InterventionRecord record = await run.InterveneAsync(
                asked.Cohort,
                asked.Intervention,
                request.HttpContext.RequestAborted,
                request.HttpContext.Features.Get<Requester>());
            Tell(record, metrics, log);
            return TypedResults.Json(InterventionDocument.Of(record), InterventionJson.Default.InterventionDocument);
        }
        catch (Exception exception) when (StatusOf(exception) is { } status)
        {
            if (RetryAfter(exception) is { } seconds)
                request.HttpContext.Response.Headers.RetryAfter = seconds;
            string hint =
                exception is NoSuchCohortException ? Suggestion.For(asked.Cohort, run.Cohorts.Select(cohort => cohort.Name)) : "";
            return Problem(status, $"{exception.Message}; nothing was done{hint}", mayStillBeApplied: false);
        }
        catch (InterventionUndecidedException exception)
        {
            TellWhenDecided(exception.Outcome, asked, metrics, log);
            request.HttpContext.Response.Headers.RetryAfter = RetryAfter(exception);
            ProblemHttpResult undecided =
                Problem(StatusCodes.Status503ServiceUnavailable, exception.Message, mayStillBeApplied: true);
            request.HttpContext.Features.Set(new UndecidedAnswer(AnswerWhenDecidedAsync(exception.Outcome, undecided)));
            return undecided;
        }
    }

    /// <summary>
    /// The answer to a request that is made again under its key. An intervention that was not recorded may be asked for again;
    /// one of which nobody knows whether it was stays undecided.
    /// </summary>
    private static async Task<KeyedAnswer<object?>> AnswerWhenDecidedAsync(
        Task<InterventionRecord> outcome, ProblemHttpResult undecided)
    {
        try
        {
            InterventionRecord record = await outcome;
            return new(
                TypedResults.Json(InterventionDocument.Of(record), InterventionJson.Default.InterventionDocument), IsFinal: true);
        }
        catch (Exception exception)
        {
            return new(undecided, IsFinal: exception is CommitUndecidedException || StatusOf(exception) is null);
        }
    }

    private static void Tell(InterventionRecord record, InterventionMetrics metrics, ILogger log)
    {
        metrics.Count(record.Cohort, record.Intervention.Kind);
        log.InterventionApplied(
            record.Cohort, Describe(record.Intervention), record.Intervention.Tick,
            record.RequestedBy?.Name ?? "-", record.RequestedBy?.Address ?? "-", record.RequestedBy?.UserAgent ?? "-");
    }

    /// <summary>Tells how an intervention ended that nobody waits for any more.</summary>
    private static void TellWhenDecided(
        Task<InterventionRecord> outcome,
        (string Cohort, ShardIntervention Intervention) asked,
        InterventionMetrics metrics,
        ILogger log) =>
        outcome.ContinueWith(
            ended =>
            {
                if (ended.IsCompletedSuccessfully)
                    Tell(ended.Result, metrics, log);
                else
                    log.InterventionNotApplied(
                        asked.Cohort, Describe(asked.Intervention), ended.Exception!.InnerException!.Message);
            },
            CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);

    /// <summary>After how many seconds trying again may help; null where it does not.</summary>
    private static string? RetryAfter(Exception exception) => exception switch
    {
        InterventionQueueException => "1",
        StorageUnavailableException or InterventionUndecidedException => Paging.RetryAfterSeconds,
        _ => null,
    };

    /// <summary>The status of an intervention that was not done; null where the exception is a defect of this program.</summary>
    internal static int? StatusOf(Exception exception) => exception switch
    {
        InvalidInterventionException => StatusCodes.Status400BadRequest,
        NoSuchCohortException => StatusCodes.Status404NotFound,
        InterventionConflictException => StatusCodes.Status409Conflict,
        StorageUnavailableException or InterventionQueueException => StatusCodes.Status503ServiceUnavailable,
        _ => null,
    };

    private static async Task<SimulatedCohort> ReadCohortAsync(HttpRequest request)
    {
        JsonBody body = await JsonBody.ReadAsync(request);
        var errors = new ConfigurationErrors("in the request");
        SimulatedCohort cohort = SimulatedCohortSettings.Complete(
            body.Read(SimulatedCohortSettings.Table), body.IsGiven(SimulatedCohortSettings.RangePages.Field),
            (setting, error) => errors.Add($"{setting.Field} {error}"));
        errors.ThrowIfAny();
        return cohort;
    }

    private static string Describe(ShardIntervention intervention) => intervention.Kind.Name() + intervention switch
    {
        { Kernel: { } kernel } => $" {kernel.Info.Name}",
        { Cohort: { } added } => $" {added.Kernel.Info.Name}, {added.Vms} VMs",
        { Vms: > 0 } => $" to {intervention.Vms} VMs",
        { Vm: { } vm } => $" of VM {vm}",
        _ => "",
    };

    private static RouteHandlerBuilder WithBody<TOptions>(this RouteHandlerBuilder endpoint, SettingTable<TOptions> fields) =>
        endpoint.AddOpenApiOperationTransformer((operation, _, _) =>
        {
            operation.RequestBody = JsonBody.Describe(fields);
            return Task.CompletedTask;
        });

    private static ProblemHttpResult Problem(int status, string detail, bool mayStillBeApplied = false) => TypedResults.Problem(
        detail,
        statusCode: status,
        extensions: status != StatusCodes.Status503ServiceUnavailable
            ? null
            : new Dictionary<string, object?> { ["may_still_be_applied"] = mayStillBeApplied });
}

/// <summary>An intervention, and the tick at which it takes effect in every VM.</summary>
internal sealed record InterventionDocument(
    long Id,
    long Run,
    string Cohort,
    string Kind,
    long Tick,
    int? Vm,
    string? Kernel,
    string? InvalidateSeq,
    int? Vms,
    DateTimeOffset Requested,
    Requester? RequestedBy)
{
    public static InterventionDocument Of(InterventionRecord record)
    {
        ShardIntervention done = record.Intervention;
        return new(
            record.Id,
            record.RunId,
            record.Cohort,
            done.Kind.Name(),
            done.Tick,
            done.Vm,
            (done.Kernel ?? done.Cohort?.Kernel)?.Info.Name,
            done.Kind is InterventionKind.Migrate or InterventionKind.SetCounter ? Hex64.Of(done.InvalidateSeq) : null,
            done.Cohort?.Vms ?? (done.Vms > 0 ? done.Vms : null), record.Requested, record.RequestedBy);
    }
}

/// <summary>A page of interventions.</summary>
/// <param name="Interventions">Newest first.</param>
/// <param name="Refused">Records that are damaged, each as a sentence that names it.</param>
/// <param name="Next">The "before" of the next page; null where this is the last.</param>
internal sealed record InterventionPage(
    IReadOnlyList<InterventionDocument> Interventions,
    IReadOnlyList<string> Refused,
    long? Next)
{
    /// <summary>Reads a page from a data directory that a service may be using.</summary>
    public static InterventionPage Read(string directory, long before, int limit, string? cohort)
    {
        using SoakDatabase? database = SoakDatabase.OpenForReading(directory);
        StoredPage<InterventionRecord> page =
            database?.Interventions.Page(before, limit, cohort) ?? StoredPage<InterventionRecord>.Empty;
        return new InterventionPage([.. page.Records.Select(InterventionDocument.Of)], page.Refused, page.Next);
    }
}

/// <summary>How answers are written.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(InterventionDocument))]
[JsonSerializable(typeof(InterventionPage))]
internal sealed partial class InterventionJson : JsonSerializerContext;
