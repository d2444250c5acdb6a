using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;

namespace SoakHost.Api;

/// <summary>
/// Anybody can point a name of theirs at 127.0.0.1, and a page of that name could then read what only this machine may (DNS
/// rebinding). So where the service can be reached from this machine alone, it answers to names of this machine alone.
/// </summary>
internal static class HostCheck
{
    /// <summary>Refuses requests for another host. Probes are exempt: they show nothing.</summary>
    public static void UseHostCheck(this WebApplication app)
    {
        Listeners listeners = app.Services.GetRequiredService<Listeners>();
        SoakOptions options = app.Services.GetRequiredService<SoakOptions>();
        RefusedRequests refused = app.Services.GetRequiredService<RefusedRequests>();
        app.Use((http, next) =>
        {
            string host = http.Request.Host.Host;
            if (!listeners.IsLoopback(http)
                || Listeners.IsLoopbackHost(host)
                || options.HostNames.Contains(host, StringComparer.OrdinalIgnoreCase)
                || http.Request.Path.StartsWithSegments("/health"))
                return next(http);
            ProblemHttpResult refusal = TypedResults.Problem(
                $"{ConfigurationErrors.Quote(host)} is not a name of this machine: open the service as localhost or 127.0.0.1, "
                    + $"or add the name to {SoakConfiguration.Section}:{nameof(SoakOptions.HostNames)}",
                statusCode: StatusCodes.Status403Forbidden);
            return refused.Take(http, refusal).ExecuteAsync(http);
        });
    }
}
