using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Primitives;
using SoakHost.Configuration;
using SoakHost.Interventions;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>
/// Honours the header <c>Idempotency-Key</c>: the same key with the same request gets the answer of the first one, and nothing is
/// done twice.
/// </summary>
internal sealed class IdempotencyFilter(IdempotencyKeys<object?> keys) : IEndpointFilter
{
    /// <summary>The header.</summary>
    public const string Header = "Idempotency-Key";

    private const int KeyLengthMax = 255;

    public async ValueTask<object?> InvokeAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        HttpContext http = context.HttpContext;
        if (!http.Request.Headers.TryGetValue(Header, out StringValues given))
            return await next(context);
        if (given is not [{ Length: > 0 and <= KeyLengthMax } key] || !key.All(character => character is >= ' ' and <= '~'))
        {
            return Problem(
                StatusCodes.Status400BadRequest,
                $"{Header} is {ConfigurationErrors.Quote(given.ToString())}; it must be 1 to {KeyLengthMax} characters of ASCII");
        }

        try
        {
            string fingerprint = await FingerprintAsync(http.Request);
            object? answer = await keys.RunAsync(
                $"{http.Features.Get<Requester>()?.Name}:{key}", fingerprint, () => RunAsync(context, next), http.RequestAborted);

            // An answer that is repeated has its header again.
            if (StatusOf(answer) == StatusCodes.Status503ServiceUnavailable && http.Response.Headers.RetryAfter.Count == 0)
                http.Response.Headers.RetryAfter = Paging.RetryAfterSeconds;
            return answer;
        }
        catch (IdempotencyKeyReusedException exception)
        {
            return Problem(StatusCodes.Status422UnprocessableEntity, $"{exception.Message}; nothing was done");
        }
        catch (InterventionQueueException exception)
        {
            http.Response.Headers.RetryAfter = "1";
            return Problem(StatusCodes.Status503ServiceUnavailable, $"{exception.Message}; nothing was done");
        }
        catch (BadHttpRequestException exception)
        {
            return Problem(exception.StatusCode, exception.Message);
        }
    }

    /// <summary>
    /// Only what was done is kept, or may still be done: whatever was refused may be asked for again.
    /// </summary>
    private static async Task<KeyedAnswer<object?>> RunAsync(
        EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        object? answer = await next(context);
        Task<KeyedAnswer<object?>>? decided = context.HttpContext.Features.Get<UndecidedAnswer>()?.Decided;
        return new(answer, StatusOf(answer) is not >= 400 || decided is not null, decided);
    }

    private static int? StatusOf(object? answer) =>
        ((answer is INestedHttpResult nested ? nested.Result : answer) as IStatusCodeHttpResult)?.StatusCode;

    private static async Task<string> FingerprintAsync(HttpRequest request)
    {
        // In memory: bodies are bounded.
        request.EnableBuffering(bufferThreshold: HttpLimits.BodyBytesMax);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes($"{request.Method} {request.Path}\n"));
        hash.AppendData(await JsonBody.ReadBytesAsync(request));
        request.Body.Position = 0;
        return Convert.ToHexString(hash.GetHashAndReset());
    }

    private static ProblemHttpResult Problem(int status, string detail) => TypedResults.Problem(detail, statusCode: status);
}

/// <summary>A feature of a request that was answered before it was known whether it is done.</summary>
/// <param name="Decided">The answer once it is known. It does not fail.</param>
internal sealed record UndecidedAnswer(Task<KeyedAnswer<object?>> Decided);
