using System.Numerics;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>
/// Which page of a list is asked for. Both are text here: errors must name the parameter, and numbers are spelled as in
/// configuration.
/// </summary>
/// <param name="Before">The "next" of another page; the default is the newest page.</param>
/// <param name="Limit">The length of the page; the default is 100.</param>
internal sealed record PageQuery(string? Before, string? Limit)
{
    private const int LimitDefault = 100;

    /// <summary>The page.</summary>
    /// <exception cref="ArgumentException">A parameter is out of its range.</exception>
    public (long Before, int Limit) Read() => (
        QueryText.Number("before", Before, 1, long.MaxValue) ?? long.MaxValue,
        (int?)QueryText.Number("limit", Limit, 1, Paging.LimitMax) ?? LimitDefault);
}

/// <summary>Parameters of a query.</summary>
internal static class QueryText
{
    /// <summary>A misspelled filter would return everything, which looks like an answer.</summary>
    /// <exception cref="ArgumentException">A parameter is unknown.</exception>
    public static void RejectUnknown(IQueryCollection query, IReadOnlyList<string> names)
    {
        if (query.Keys.FirstOrDefault(key => !names.Contains(key, StringComparer.OrdinalIgnoreCase)) is not { } unknown)
            return;
        string hint = Suggestion.For(unknown, names);
        throw new ArgumentException(
            $"{ConfigurationErrors.Quote(unknown)} is no parameter of this path"
                + (hint.Length > 0 ? hint
                    : names.Count == 0 ? "; it has none" : $"; known here are {string.Join(", ", names)}"));
    }

    /// <summary>Refuses every parameter, on a path that has none.</summary>
    public static RouteHandlerBuilder WithoutParameters(this RouteHandlerBuilder path) => path
        .ProducesProblem(StatusCodes.Status400BadRequest)
        .AddEndpointFilter(async (call, next) =>
        {
            try
            {
                RejectUnknown(call.HttpContext.Request.Query, []);
            }
            catch (ArgumentException exception)
            {
                return TypedResults.Problem(exception.Message, statusCode: StatusCodes.Status400BadRequest);
            }

            return await next(call);
        });

    /// <summary>A whole number, or null where it is not given.</summary>
    /// <exception cref="ArgumentException">It is out of its range.</exception>
    public static long? Number(string name, string? text, long min, long max) =>
        text is null ? null
        : NumberSyntax.TryParse(text, out BigInteger value) && value >= min && value <= max ? (long)value
        : throw new ArgumentException(
            $"{name} is {ConfigurationErrors.Quote(text)}; it must be {new WholeNumber<long>(min, max).Allowed}");
}

/// <summary>Pages of the database.</summary>
internal static class Paging
{
    /// <summary>The longest page.</summary>
    public const int LimitMax = 1000;

    /// <summary>When to ask again where the disk does not answer.</summary>
    public const string RetryAfterSeconds = "5";

    /// <summary>A page, or the problem: a parameter that is not allowed, or a database that cannot be read.</summary>
    /// <param name="http">The request.</param>
    /// <param name="reads">What bounds the time of the read.</param>
    /// <param name="page">Which page; null for a list that has none.</param>
    /// <param name="filters">The query's parameters besides those of the page.</param>
    /// <param name="read">Reads it.</param>
    /// <param name="json">How it is written.</param>
    public static async Task<Results<JsonHttpResult<T>, ProblemHttpResult>> ReadAsync<T>(
        HttpContext http, StorageReads reads, PageQuery? page, IReadOnlyList<string> filters, Func<long, int, T> read,
        JsonTypeInfo<T> json)
    {
        try
        {
            QueryText.RejectUnknown(http.Request.Query, page is null ? filters : [.. filters, "before", "limit"]);
            (long before, int limit) = (page ?? new PageQuery(null, null)).Read();
            return TypedResults.Json(await reads.ReadAsync(() => read(before, limit), http.RequestAborted), json);
        }
        catch (ArgumentException exception)
        {
            return TypedResults.Problem(exception.Message, statusCode: StatusCodes.Status400BadRequest);
        }
        catch (Exception exception) when (exception is ConfigurationException or StorageUnavailableException)
        {
            http.Response.Headers.RetryAfter = RetryAfterSeconds;
            return TypedResults.Problem(exception.Message, statusCode: StatusCodes.Status503ServiceUnavailable);
        }
    }
}
