using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace SoakHost.Api;

/// <summary>Bounds what a client can make the server hold. Errors are problem details of RFC 9457.</summary>
internal static class HttpLimits
{
    /// <summary>The longest body of a request in bytes.</summary>
    public const int BodyBytesMax = 256 * 1024;

    /// <summary>How long a connection may be open without a request, or between two requests.</summary>
    public static readonly TimeSpan IdleTimeout = TimeSpan.FromSeconds(5);

    public static void AddHttpLimits(this WebApplicationBuilder builder)
    {
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            KestrelServerLimits limits = kestrel.Limits;
            limits.MaxConcurrentConnections = 256;
            limits.MaxRequestBodySize = BodyBytesMax;
            limits.MaxRequestHeadersTotalSize = 16 * 1024;

            // A connection that sends nothing, or only a part of a request, gives its place to another soon.
            limits.RequestHeadersTimeout = IdleTimeout;
            limits.KeepAliveTimeout = IdleTimeout;
        });
        builder.Services.AddProblemDetails(problems => problems.CustomizeProblemDetails = UnknownPath.Describe);
        builder.Services.AddOpenApi("v1");

        // Documents have serialiser contexts of their own; the API's description takes its spelling from here.
        builder.Services.ConfigureHttpJsonOptions(json =>
        {
            json.SerializerOptions.PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower;
            json.SerializerOptions.Converters.Add(new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower));
        });
    }

    /// <summary>No browser takes an answer for something else than its content type says.</summary>
    public static void UseNoSniff(this WebApplication app) => app.Use((http, next) =>
    {
        http.Response.Headers.XContentTypeOptions = "nosniff";
        return next(http);
    });

    public static void UseProblemDetails(this WebApplication app) => app.UseExceptionHandler().UseStatusCodePages();
}
