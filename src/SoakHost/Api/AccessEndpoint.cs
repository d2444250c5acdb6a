using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;

namespace SoakHost.Api;

/// <summary><c>GET /api/v1/access</c>: whether the service's own page, as this client has opened it, may intervene.</summary>
internal static class AccessEndpoint
{
    public static void MapAccess(this WebApplication app) => app
        .MapGet("/api/v1/access", Tell).WithoutParameters()
        .Produces<AccessDocument>().WithName("access").WithTags("interventions")
        .WithSummary("Whether the page that asks may intervene, needs the token, or is refused, and why.");

    private static JsonHttpResult<AccessDocument> Tell(OperatorAccess access, HttpContext http)
    {
        string? why = access.NeedsToken
            ? "interventions need a token of Soak:ApiToken or Soak:ApiTokens"
            : access.WhyNotPage(http);
        InterventionAccess interventions =
            access.NeedsToken ? InterventionAccess.Token
            : why is null ? InterventionAccess.Open
            : InterventionAccess.Refused;
        return TypedResults.Json(new AccessDocument(interventions, why), AccessJson.Default.AccessDocument);
    }
}

/// <summary>Whether interventions are allowed.</summary>
internal enum InterventionAccess
{
    /// <summary>They are allowed.</summary>
    Open,

    /// <summary>They need the token.</summary>
    Token,

    /// <summary>They are refused.</summary>
    Refused,
}

/// <summary>Whether interventions are allowed; unless they are open, why.</summary>
internal sealed record AccessDocument(InterventionAccess Interventions, string? Reason);

/// <summary>What the answer looks like.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    WriteIndented = true,
    Converters = [typeof(InterventionAccessNames)]
)]
[JsonSerializable(typeof(AccessDocument))]
internal sealed partial class AccessJson : JsonSerializerContext;

/// <summary>The three by their names in snake_case.</summary>
internal sealed class InterventionAccessNames()
    : JsonStringEnumConverter<InterventionAccess>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);
