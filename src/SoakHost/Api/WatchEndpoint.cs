using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Reports;
using SoakHost.Service;

namespace SoakHost.Api;

/// <summary><c>GET /api/v1/watch</c>: the VMs of this host, as they were last seen.</summary>
internal static class WatchEndpoint
{
    public static void MapWatch(this WebApplication app) => app.MapGet("/api/v1/watch", Answer)
        .Produces<WatchDocument>().ProducesProblem(StatusCodes.Status404NotFound)
        .WithName("watch").WithTags("watch")
        .WithSummary(
            "The VMs that other processes of this host run, each vCPU's state and why, as soakhost watch --json prints them; 404 "
                + "where this service does not watch.");

    private static Results<JsonHttpResult<WatchDocument>, ProblemHttpResult> Answer(IServiceProvider services)
    {
        if (services.GetService<WatchService>() is not { } watch)
        {
            return TypedResults.Problem(
                "this service does not watch the VMs of its host: Soak:Watch=true makes it do so",
                statusCode: StatusCodes.Status404NotFound);
        }

        WatchDocument document = watch.Latest is { } host
            ? WatchReport.Document(host.Vms, host.Vcpus, host.Kernel, host.Unread) with { LookedAt = host.At }
            : WatchReport.Document([], [], null, []);
        DateTimeOffset now = services.GetRequiredService<TimeProvider>().GetUtcNow();
        return TypedResults.Json(document with { AnsweredAt = now }, WatchJson.Default.WatchDocument);
    }
}
