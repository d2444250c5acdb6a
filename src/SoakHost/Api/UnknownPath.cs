using Microsoft.AspNetCore.Routing.Patterns;
using SoakHost.Configuration;

namespace SoakHost.Api;

/// <summary>What a client is told that asks for a path of the API that is not there.</summary>
internal static class UnknownPath
{
    private const string Root = "/api";

    /// <summary>Adds to a problem, where it has no words yet, which path was probably meant.</summary>
    public static void Describe(ProblemDetailsContext context)
    {
        HttpContext http = context.HttpContext;
        string path = http.Request.Path.Value ?? "";
        if (context.ProblemDetails is not { Status: StatusCodes.Status404NotFound, Detail: null }
            || !path.StartsWith(Root, StringComparison.OrdinalIgnoreCase))
            return;
        string[] asked = path.Split('/');
        IEnumerable<string> paths = http.RequestServices.GetRequiredService<EndpointDataSource>().Endpoints
            .OfType<RouteEndpoint>()
            .Select(endpoint => Fill(endpoint.RoutePattern, asked))
            .Where(known => known.StartsWith(Root, StringComparison.Ordinal));
        string hint = Suggestion.For(path, paths.Distinct());
        context.ProblemDetails.Detail =
            $"there is no such path{(hint.Length > 0 ? hint : "; /openapi/v1.json describes the API")}";
    }

    /// <summary>A path of the API with what was asked for in the place of its parameters.</summary>
    private static string Fill(RoutePattern pattern, string[] asked)
    {
        return string.Concat(pattern.PathSegments.Select((segment, index) => $"/{Fill(segment, index + 1)}"));

        string Fill(RoutePatternPathSegment segment, int index) =>
            segment.Parts is [RoutePatternLiteralPart literal] ? literal.Content : asked.ElementAtOrDefault(index) ?? "";
    }
}
