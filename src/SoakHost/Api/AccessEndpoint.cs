using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;

namespace SoakHost.Api;

/// <summary><c>GET /api/v1/access</c>: whether the service's own page, as this client has opened it, may operate the fleet.</summary>
internal static class AccessEndpoint
{
    public static void MapAccess(this WebApplication app) => app
        .MapGet("/api/v1/access", Tell).Produces<AccessDocument>().WithName("access").WithTags("operations")
        .WithSummary("Whether operations are open to the page that asks, need the token, or are refused, and why.");

    private static JsonHttpResult<AccessDocument> Tell(OperatorAccess access, HttpContext http)
    {
        string? why = access.NeedsToken ? "operations need the token of Soak:ApiToken" : access.WhyNotPage(http);
        OperationAccess operations = access.NeedsToken ? OperationAccess.Token : why is null ? OperationAccess.Open : OperationAccess.Refused;
        return TypedResults.Json(new AccessDocument(operations, why), AccessJson.Default.AccessDocument);
    }
}

/// <summary>Whether operations are let in.</summary>
internal enum OperationAccess
{
    /// <summary>They are.</summary>
    Open,

    /// <summary>With the token they are.</summary>
    Token,

    /// <summary>They are not.</summary>
    Refused,
}

/// <summary>Whether operations are let in and, unless they simply are, why.</summary>
internal sealed record AccessDocument(OperationAccess Operations, string? Reason);

/// <summary>What the answer looks like.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, Converters = [typeof(OperationAccessNames)])]
[JsonSerializable(typeof(AccessDocument))]
internal sealed partial class AccessJson : JsonSerializerContext;

/// <summary>The three by their names in snake_case.</summary>
internal sealed class OperationAccessNames() : JsonStringEnumConverter<OperationAccess>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);
