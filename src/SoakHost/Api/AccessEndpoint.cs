using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;

namespace SoakHost.Api;

/// <summary><c>GET /api/v1/access</c>: whether the live page, as this client has opened it, may request interventions.</summary>
internal static class AccessEndpoint
{
    public static void MapAccess(this WebApplication app) => app
        .MapGet("/api/v1/access", Tell).Produces<AccessDocument>().WithName("access").WithTags("interventions")
        .WithSummary("Whether the page may request interventions: open, token or refused; with the reason.");

    private static JsonHttpResult<AccessDocument> Tell(OperatorAccess access, HttpContext http)
    {
        string? why = access.NeedsToken ? "interventions require the token from Soak:ApiToken" : access.WhyNotPage(http);
        InterventionAccess interventions = access.NeedsToken ? InterventionAccess.Token : why is null ? InterventionAccess.Open : InterventionAccess.Refused;
        return TypedResults.Json(new AccessDocument(interventions, why), AccessJson.Default.AccessDocument);
    }
}

/// <summary>Whether the page may request interventions.</summary>
internal enum InterventionAccess
{
    /// <summary>Yes.</summary>
    Open,

    /// <summary>Yes, with the token.</summary>
    Token,

    /// <summary>No.</summary>
    Refused,
}

/// <summary>Whether the page may request interventions, and the reason unless it simply may.</summary>
internal sealed record AccessDocument(InterventionAccess Interventions, string? Reason);

/// <summary>The answer as JSON.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, Converters = [typeof(InterventionAccessNames)])]
[JsonSerializable(typeof(AccessDocument))]
internal sealed partial class AccessJson : JsonSerializerContext;

/// <summary>Access by its names in snake_case.</summary>
internal sealed class InterventionAccessNames() : JsonStringEnumConverter<InterventionAccess>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);
