using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;

namespace SoakHost.Api;

/// <summary><c>GET /api/v1/access</c>: whether the service's own page, as this client has opened it, may operate the fleet.</summary>
internal static class AccessEndpoint
{
    public static void MapAccess(this WebApplication app) => app
        .MapGet("/api/v1/access", Tell).Produces<AccessDocument>().WithName("access").WithTags("interventions")
        .WithSummary("Whether interventions are open to the page that asks, need the token, or are refused, and why.");

    private static JsonHttpResult<AccessDocument> Tell(OperatorAccess access, HttpContext http)
    {
        string? why = access.NeedsToken ? "interventions need the token of Soak:ApiToken" : access.WhyNotPage(http);
        InterventionAccess interventions = access.NeedsToken ? InterventionAccess.Token : why is null ? InterventionAccess.Open : InterventionAccess.Refused;
        return TypedResults.Json(new AccessDocument(interventions, why), AccessJson.Default.AccessDocument);
    }
}

/// <summary>Whether interventions are let in.</summary>
internal enum InterventionAccess
{
    /// <summary>They are.</summary>
    Open,

    /// <summary>With the token they are.</summary>
    Token,

    /// <summary>They are not.</summary>
    Refused,
}

/// <summary>Whether interventions are let in and, unless they simply are, why.</summary>
internal sealed record AccessDocument(InterventionAccess Interventions, string? Reason);

/// <summary>What the answer looks like.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, Converters = [typeof(InterventionAccessNames)])]
[JsonSerializable(typeof(AccessDocument))]
internal sealed partial class AccessJson : JsonSerializerContext;

/// <summary>The three by their names in snake_case.</summary>
internal sealed class InterventionAccessNames() : JsonStringEnumConverter<InterventionAccess>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);
