using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;

namespace SoakHost.Api;

/// <summary>
/// Who may change the fleet: who has the token, or, where none is set, a client on this machine of a service that listens nowhere else. The
/// service's own page counts as such a client; no other page in the same browser does.
/// </summary>
internal sealed class OperatorAccess(SoakOptions options, IServer server)
{
    /// <summary>Whether the token alone lets in.</summary>
    public bool NeedsToken => options.ApiToken is not null;

    /// <summary>Why this request may not change anything, or null when it may.</summary>
    public ProblemHttpResult? Refuse(HttpContext http)
    {
        if (options.ApiToken is { } token)
        {
            string given = http.Request.Headers.Authorization.ToString();
            string bearer = given.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? given["Bearer ".Length..] : "";

            // Hashes are equally long, so that the time it takes says nothing about the token, not even its length.
            if (CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(bearer)), SHA256.HashData(Encoding.UTF8.GetBytes(token))))
                return null;
            http.Response.Headers.WWWAuthenticate = "Bearer";
            return TypedResults.Problem("interventions need the token of Soak:ApiToken: Authorization: Bearer ...", statusCode: StatusCodes.Status401Unauthorized);
        }

        string? why = WhyNotLocal(http) ?? (IsFromPage(http.Request) ? WhyNotThisPage(http.Request) : null);
        return why is null ? null : TypedResults.Problem(why, statusCode: StatusCodes.Status403Forbidden);
    }

    /// <summary>Why the service's own page, as this client has opened it, may not change anything without a token, or null when it may.</summary>
    public string? WhyNotPage(HttpContext http) => WhyNotLocal(http) ?? WhyNotThisHost(http.Request);

    private string? WhyNotLocal(HttpContext http)
    {
        if (!ListensOnLoopbackAlone())
            return "the service listens beyond loopback and has no Soak:ApiToken: nobody may change anything";
        return http.Connection.RemoteIpAddress is { } client && IPAddress.IsLoopback(client)
            ? null : "without a Soak:ApiToken only clients on this machine may change anything";
    }

    /// <summary>A page in somebody's browser has this machine's address too, but cannot leave these out.</summary>
    private static bool IsFromPage(HttpRequest request) => request.Headers.Origin.Count > 0 || request.Headers.ContainsKey("Sec-Fetch-Site");

    private static string? WhyNotThisPage(HttpRequest request)
    {
        bool isSameOrigin = request.Headers.Origin is [{ } origin] && string.Equals(origin, $"{request.Scheme}://{request.Host}", StringComparison.OrdinalIgnoreCase)
            && (!request.Headers.TryGetValue("Sec-Fetch-Site", out var site) || site == "same-origin");
        return isSameOrigin ? WhyNotThisHost(request) : "not from a page of another origin; set a Soak:ApiToken for that";
    }

    /// <summary>A name of somebody else's can be made to lead here, and its pages would be of the same origin; an address and localhost cannot.</summary>
    private static string? WhyNotThisHost(HttpRequest request) => IsLoopback(request.Host.Host)
        ? null : "not from a page under a name that is not this machine's own: open it as localhost or 127.0.0.1, or set a Soak:ApiToken";

    private bool ListensOnLoopbackAlone() =>
        server.Features.Get<IServerAddressesFeature>()?.Addresses is { Count: > 0 } addresses
        && addresses.All(address => IsLoopback(BindingAddress.Parse(address).Host));

    private static bool IsLoopback(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || (IPAddress.TryParse(host.Trim('[', ']'), out IPAddress? ip) && IPAddress.IsLoopback(ip));
}
