using System.Threading.RateLimiting;
using SoakHost.Configuration;

namespace SoakHost.Api;

/// <summary>Bounds the rate of notifications, and of the alerts that are logged; asks for the token where one is set.</summary>
internal sealed class AlertFilter(SoakOptions options, RefusedRequests refused) : IEndpointFilter, IDisposable
{
    // Alertmanager sends one a group and interval; a burst is a fleet that hangs.
    private const int NotificationsAtOnce = 60;
    private const int NotificationsPerSecond = 5;
    private const int LinesAtOnce = 1000;
    private const int LinesPerSecond = 20;

    private readonly TokenBucketRateLimiter _notifications = Create(NotificationsAtOnce, NotificationsPerSecond);
    private readonly TokenBucketRateLimiter _lines = Create(LinesAtOnce, LinesPerSecond);

    /// <summary>Whether one more alert may be logged; all are counted.</summary>
    public bool AllowsLine()
    {
        using RateLimitLease lease = _lines.AttemptAcquire();
        return lease.IsAcquired;
    }

    public async ValueTask<object?> InvokeAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        HttpContext http = context.HttpContext;
        if (options.AlertToken is { } token && !OperatorAccess.HasToken(http.Request, token))
        {
            http.Response.Headers.WWWAuthenticate = "Bearer";
            return refused.Take(http, TypedResults.Problem(
                "notifications need the token of Soak:AlertToken in a header: Authorization: Bearer ...",
                statusCode: StatusCodes.Status401Unauthorized));
        }

        using RateLimitLease lease = _notifications.AttemptAcquire();
        if (lease.IsAcquired)
            return await next(context);
        http.Response.Headers.RetryAfter = "1";
        return TypedResults.Problem(
            $"more than {NotificationsPerSecond} notifications a second; try again in a second",
            statusCode: StatusCodes.Status429TooManyRequests);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _notifications.Dispose();
        _lines.Dispose();
    }

    private static TokenBucketRateLimiter Create(int atOnce, int perSecond) => new(new()
    {
        TokenLimit = atOnce,
        TokensPerPeriod = perSecond,
        ReplenishmentPeriod = TimeSpan.FromSeconds(1),
        QueueLimit = 0,
        AutoReplenishment = true,
    });
}
