using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace SoakHost.Api;

/// <summary>What a client can make the server hold is bounded, and what it does wrong is told as RFC 9457 says.</summary>
internal static class HttpLimits
{
    /// <summary>The longest body of a request in bytes.</summary>
    public const int BodyBytesMax = 256 * 1024;

    public static void AddHttpLimits(this WebApplicationBuilder builder)
    {
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            KestrelServerLimits limits = kestrel.Limits;
            limits.MaxConcurrentConnections = 256;
            limits.MaxRequestBodySize = BodyBytesMax;
            limits.MaxRequestHeadersTotalSize = 16 * 1024;
            limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
            limits.KeepAliveTimeout = TimeSpan.FromMinutes(2);
        });
        builder.Services.AddProblemDetails();
        builder.Services.AddOpenApi("v1");

        // Documents are written by contexts of their own; from this the API's description has how they are spelled.
        builder.Services.ConfigureHttpJsonOptions(json =>
        {
            json.SerializerOptions.PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower;
            json.SerializerOptions.Converters.Add(new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower));
        });
    }

    public static void UseProblemDetails(this WebApplication app) => app.UseExceptionHandler().UseStatusCodePages();
}
