using System.Threading.RateLimiting;

namespace SoakHost.Api;

/// <summary>Admits operators only, and not too many requests at once.</summary>
internal sealed class OperatorFilter(OperatorAccess access) : IEndpointFilter, IDisposable
{
    // Each intervention is a commit to disk and a wait for all shards of a cohort.
    private const int RequestsAtOnce = 20;

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
        // Only operators use up the limit: nobody else can lock them out.
        if (access.Refuse(context.HttpContext) is { } refusal)
            return refusal;
        using RateLimitLease lease = _limiter.AttemptAcquire();
        if (lease.IsAcquired)
            return await next(context);
        context.HttpContext.Response.Headers.RetryAfter = "1";
        return TypedResults.Problem(
            $"more than {RequestsAtOnce} interventions in a row; try again in a second",
            statusCode: StatusCodes.Status429TooManyRequests);
    }

    /// <inheritdoc/>
    public void Dispose() => _limiter.Dispose();
}
