using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Primitives;
using SoakHost.Configuration;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>
/// Who may intervene: a client with a token. Where none is set, a client on this machine, and only if the service listens on
/// loopback alone. The service's own page is such a client; no other page in the same browser is, and no proxy on this machine.
/// </summary>
internal sealed class OperatorAccess(SoakOptions options, Listeners listeners)
{
    // What proxies add. A request with one of them comes from elsewhere, whatever the address of its connection is.
    private static readonly string[] ForwardingHeaders =
        ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via"];

    private readonly (string Name, byte[] Hash)[] _tokens =
        [.. options.AllTokens().Select(token => (token.Name, Hash(token.Token)))];

    /// <summary>Whether interventions need a token.</summary>
    public bool NeedsToken => _tokens.Length > 0;

    /// <summary>Why this request may not intervene; null where it may.</summary>
    /// <param name="http">The request.</param>
    /// <param name="requester">Who it comes from, where it may.</param>
    public ProblemHttpResult? Admit(HttpContext http, out Requester? requester)
    {
        string? name = Requester.Local;
        ProblemHttpResult? refusal = null;
        if (NeedsToken)
        {
            name = NameOf(http.Request);
            if (name is null)
            {
                http.Response.Headers.WWWAuthenticate = "Bearer";
                refusal = TypedResults.Problem(
                    "interventions need a token of Soak:ApiToken or Soak:ApiTokens in a header: Authorization: Bearer ...",
                    statusCode: StatusCodes.Status401Unauthorized);
            }
        }
        else if ((WhyNotLocal(http) ?? (IsFromPage(http.Request) ? WhyNotThisPage(http.Request) : null)) is { } why)
        {
            refusal = TypedResults.Problem(why, statusCode: StatusCodes.Status403Forbidden);
        }

        requester = refusal is null ? new Requester(name!, RequestSource.Address(http), RequestSource.UserAgent(http)) : null;
        return refusal;
    }

    /// <summary>
    /// Why the service's own page, as this client has opened it, may not intervene without a token; null where it may.
    /// </summary>
    public string? WhyNotPage(HttpContext http) => WhyNotLocal(http) ?? WhyNotThisHost(http.Request);

    /// <summary>Whether a request has this token.</summary>
    public static bool HasToken(HttpRequest request, string token) => Equals(Given(request), Hash(token));

    /// <summary>The name of the token that a request has; null where it has none that is known.</summary>
    private string? NameOf(HttpRequest request)
    {
        // Every token is compared, whichever it is: the time reveals nothing about them.
        byte[] given = Given(request);
        string? name = null;
        foreach ((string each, byte[] hash) in _tokens)
            name = Equals(given, hash) ? each : name;
        return name;
    }

    // Hashes have equal lengths: the time of the comparison reveals nothing about the token, not even its length.
    private static bool Equals(byte[] given, byte[] hash) => CryptographicOperations.FixedTimeEquals(given, hash);

    private static byte[] Given(HttpRequest request)
    {
        string given = request.Headers.Authorization.ToString();
        return Hash(given.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? given["Bearer ".Length..] : "");
    }

    private static byte[] Hash(string token) => SHA256.HashData(Encoding.UTF8.GetBytes(token));

    private string? WhyNotLocal(HttpContext http)
    {
        if (!listeners.AreLoopbackAlone)
            return "nobody may intervene: the service listens beyond loopback and has no Soak:ApiToken";
        if (Array.Find(ForwardingHeaders, http.Request.Headers.ContainsKey) is { } header)
            return $"without a Soak:ApiToken only clients on this machine may intervene, and the header {header} says that a "
                + "proxy forwarded this request";
        return http.Connection.RemoteIpAddress is { } client && IPAddress.IsLoopback(client)
            ? null : "without a Soak:ApiToken only clients on this machine may intervene";
    }

    /// <summary>A page in a browser has this machine's address too, but always sends these headers.</summary>
    private static bool IsFromPage(HttpRequest request) =>
        request.Headers.Origin.Count > 0 || request.Headers.ContainsKey("Sec-Fetch-Site");

    private static string? WhyNotThisPage(HttpRequest request)
    {
        bool isSameOrigin =
            request.Headers.Origin is [{ } origin]
            && string.Equals(origin, $"{request.Scheme}://{request.Host}", StringComparison.OrdinalIgnoreCase)
            && (!request.Headers.TryGetValue("Sec-Fetch-Site", out StringValues site) || site == "same-origin");
        return isSameOrigin
            ? WhyNotThisHost(request)
            : "a page of another origin may not intervene; set a Soak:ApiToken to allow clients elsewhere";
    }

    /// <summary>
    /// Anybody can point a name of theirs here, and its pages would have the same origin; not so for an address or localhost.
    /// </summary>
    private static string? WhyNotThisHost(HttpRequest request) => Listeners.IsLoopbackHost(request.Host.Host)
        ? null : "the page has a name that is not this machine's own: open it as localhost or 127.0.0.1, or set a Soak:ApiToken";
}
