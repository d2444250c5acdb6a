using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;

namespace SoakHost.Api;

/// <summary>
/// Who may intervene: a client with the token. Where none is set, a client on this machine, and only if the service listens on
/// loopback alone. The service's own page is such a client; no other page in the same browser is.
/// </summary>
internal sealed class OperatorAccess(SoakOptions options, IServer server)
{
    /// <summary>Whether interventions need the token.</summary>
    public bool NeedsToken => options.ApiToken is not null;

    /// <summary>Why this request may not intervene; null where it may.</summary>
    public ProblemHttpResult? Refuse(HttpContext http)
    {
        if (options.ApiToken is { } token)
        {
            string given = http.Request.Headers.Authorization.ToString();
            string bearer = given.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? given["Bearer ".Length..] : "";

            // Hashes have equal lengths: the time of the comparison reveals nothing about the token, not even its length.
            if (
                CryptographicOperations.FixedTimeEquals(
                    SHA256.HashData(Encoding.UTF8.GetBytes(bearer)),
                    SHA256.HashData(Encoding.UTF8.GetBytes(token))))
                return null;
            http.Response.Headers.WWWAuthenticate = "Bearer";
            return TypedResults.Problem(
                "interventions need the token of Soak:ApiToken in a header: Authorization: Bearer ...",
                statusCode: StatusCodes.Status401Unauthorized);
        }

        string? why = WhyNotLocal(http) ?? (IsFromPage(http.Request) ? WhyNotThisPage(http.Request) : null);
        return why is null ? null : TypedResults.Problem(why, statusCode: StatusCodes.Status403Forbidden);
    }

    /// <summary>
    /// Why the service's own page, as this client has opened it, may not intervene without a token; null where it may.
    /// </summary>
    public string? WhyNotPage(HttpContext http) => WhyNotLocal(http) ?? WhyNotThisHost(http.Request);

    private string? WhyNotLocal(HttpContext http)
    {
        if (!ListensOnLoopbackAlone())
            return "nobody may intervene: the service listens beyond loopback and has no Soak:ApiToken";
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
            && (!request.Headers.TryGetValue("Sec-Fetch-Site", out var site) || site == "same-origin");
        return isSameOrigin
            ? WhyNotThisHost(request)
            : "a page of another origin may not intervene; set a Soak:ApiToken to allow clients elsewhere";
    }

    /// <summary>
    /// Anybody can point a name of theirs here, and its pages would have the same origin; not so for an address or localhost.
    /// </summary>
    private static string? WhyNotThisHost(HttpRequest request) => IsLoopback(request.Host.Host)
        ? null : "the page has a name that is not this machine's own: open it as localhost or 127.0.0.1, or set a Soak:ApiToken";

    private bool ListensOnLoopbackAlone() =>
        server.Features.Get<IServerAddressesFeature>()?.Addresses is { Count: > 0 } addresses
        && addresses.All(address => IsLoopback(BindingAddress.Parse(address).Host));

    private static bool IsLoopback(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
        || (IPAddress.TryParse(host.Trim('[', ']'), out IPAddress? ip) && IPAddress.IsLoopback(ip));
}
