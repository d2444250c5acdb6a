using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>Admits operators only, and not too many requests at once.</summary>
internal sealed class OperatorFilter(OperatorAccess access, RefusedRequests refused) : IEndpointFilter, IDisposable
{
    /// <summary>The most interventions that wait or are being done at a time.</summary>
    public const int PlacesMax = 32;

    // Each intervention is a commit to disk and a wait for all shards of a cohort.
    private const int RequestsAtOnce = 20;

    private readonly ConcurrencyLimiter _places = new(new() { PermitLimit = PlacesMax, QueueLimit = 0 });
    private readonly TokenBucketRateLimiter _limiter = new(new()
    {
        TokenLimit = RequestsAtOnce,
        TokensPerPeriod = 1,
        ReplenishmentPeriod = TimeSpan.FromSeconds(1),
        QueueLimit = 0,
        AutoReplenishment = true,
    });

    public async ValueTask<object?> InvokeAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        HttpContext http = context.HttpContext;

        // Only operators use up the limits: nobody else can lock them out.
        if (access.Admit(http, out Requester? requester) is { } refusal)
            return refused.Take(http, refusal);
        http.Features.Set(requester);
        using RateLimitLease lease = _limiter.AttemptAcquire();
        if (!lease.IsAcquired)
            return TryAgain(
                http,
                StatusCodes.Status429TooManyRequests,
                $"more than {RequestsAtOnce} interventions in a row; try again in a second");
        using RateLimitLease place = _places.AttemptAcquire();
        return place.IsAcquired
            ? await next(context)
            : TryAgain(
                http,
                StatusCodes.Status503ServiceUnavailable,
                $"{PlacesMax} interventions are waiting or being done already; nothing was done");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _limiter.Dispose();
        _places.Dispose();
    }

    private static ProblemHttpResult TryAgain(HttpContext http, int status, string why)
    {
        http.Response.Headers.RetryAfter = "1";
        return TypedResults.Problem(why, statusCode: status);
    }
}
