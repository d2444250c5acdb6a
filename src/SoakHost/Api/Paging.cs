using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;

namespace SoakHost.Api;

/// <summary>Pages of what the database keeps.</summary>
internal static class Paging
{
    /// <summary>The longest page.</summary>
    public const int LimitMax = 1000;

    /// <summary>A page, or the problem: a length that is not allowed, or a database that cannot be read.</summary>
    public static Results<JsonHttpResult<T>, ProblemHttpResult> Read<T>(int limit, Func<T> read, JsonTypeInfo<T> json)
    {
        if (limit is < 1 or > LimitMax)
            return TypedResults.Problem($"limit is {limit}; allowed is 1 to {LimitMax}", statusCode: StatusCodes.Status400BadRequest);
        try
        {
            return TypedResults.Json(read(), json);
        }
        catch (ConfigurationException exception)
        {
            return TypedResults.Problem(exception.Message, statusCode: StatusCodes.Status503ServiceUnavailable);
        }
    }
}
