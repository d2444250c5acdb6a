using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Logging;
using SoakHost.Metrics;

namespace SoakHost.Api;

/// <summary>
/// Requests that are refused with 401 or 403: logged at a bounded rate, counted, and answered with 429 once there are too many
/// from one address. Whoever has a right to what they ask for never comes here, and so nobody can lock them out.
/// </summary>
internal sealed class RefusedRequests(RefusalMetrics metrics, TimeProvider time, ILogger<RefusedRequests> log) : IDisposable
{
    /// <summary>The most refusals of one address in a row; another one is allowed each second.</summary>
    public const int RefusalsAtOnce = 100;

    private const int LinesAtOnce = 10;
    private static readonly TimeSpan LinePeriod = TimeSpan.FromSeconds(5);

    private readonly Lock _gate = new();
    private readonly TokenBucket _lines = new(time, LinesAtOnce, LinePeriod);
    private readonly PartitionedRateLimiter<string> _byAddress = PartitionedRateLimiter.Create<string, string>(
        address => RateLimitPartition.GetTokenBucketLimiter(
            address,
            _ => new TokenBucketRateLimiterOptions
            {
                TokenLimit = RefusalsAtOnce,
                TokensPerPeriod = 1,
                ReplenishmentPeriod = TimeSpan.FromSeconds(1),
                QueueLimit = 0,
                AutoReplenishment = true,
            }));

    /// <summary>Takes note of a refusal.</summary>
    /// <returns>What to answer: the refusal, or 429.</returns>
    public ProblemHttpResult Take(HttpContext http, ProblemHttpResult refusal)
    {
        using RateLimitLease lease = _byAddress.AttemptAcquire(RequestSource.Address(http) ?? "");
        ProblemHttpResult answer = lease.IsAcquired ? refusal : TypedResults.Problem(
            $"more than {RefusalsAtOnce} requests of your address were refused in a row; try again in a second",
            statusCode: StatusCodes.Status429TooManyRequests);
        if (!lease.IsAcquired)
            http.Response.Headers.RetryAfter = "1";
        metrics.Count(answer.StatusCode);
        Log(http, answer);
        return answer;
    }

    /// <inheritdoc/>
    public void Dispose() => _byAddress.Dispose();

    private void Log(HttpContext http, ProblemHttpResult answer)
    {
        long before;
        lock (_gate)
        {
            if (!_lines.TryTake())
                return;
            before = _lines.TakeRefused(now: true);
        }

        log.RequestRefused(
            answer.StatusCode,
            http.Request.Method,
            VisibleText.Of(http.Request.Path, RequestSource.TextMax),
            RequestSource.Address(http) ?? "-",
            RequestSource.UserAgent(http) ?? "-",
            answer.ProblemDetails.Detail ?? "",
            before);
    }
}

/// <summary>Where a request comes from, bounded and printable.</summary>
internal static class RequestSource
{
    /// <summary>The most characters of what a client says of itself.</summary>
    public const int TextMax = 120;

    /// <summary>The client's address, or that of the proxy; null where there is none.</summary>
    public static string? Address(HttpContext http) => http.Connection.RemoteIpAddress?.ToString();

    /// <summary>What the client calls itself; null where it does not.</summary>
    public static string? UserAgent(HttpContext http) =>
        http.Request.Headers.UserAgent.ToString() is { Length: > 0 } agent ? VisibleText.Of(agent, TextMax) : null;
}
