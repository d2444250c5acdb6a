using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.HttpResults;
using SoakHost.Configuration;

namespace SoakHost.Api;

/// <summary>
/// Who may intervene: a client with the token or, where none is set, a client on this machine, provided that the service listens on loopback
/// only. The live page counts as such a client; other pages in the same browser do not.
/// </summary>
internal sealed class OperatorAccess(SoakOptions options, IServer server)
{
    /// <summary>Whether interventions require the token.</summary>
    public bool NeedsToken => options.ApiToken is not null;

    /// <summary>The refusal of this request, or null if it is allowed.</summary>
    public ProblemHttpResult? Refuse(HttpContext http)
    {
        if (options.ApiToken is { } token)
        {
            string given = http.Request.Headers.Authorization.ToString();
            string bearer = given.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? given["Bearer ".Length..] : "";

            // Hashes have equal lengths, so the time of the comparison reveals nothing about the token, not even its length.
            if (CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(bearer)), SHA256.HashData(Encoding.UTF8.GetBytes(token))))
                return null;
            http.Response.Headers.WWWAuthenticate = "Bearer";
            return TypedResults.Problem("interventions require the token from Soak:ApiToken: send the header Authorization: Bearer TOKEN", statusCode: StatusCodes.Status401Unauthorized);
        }

        string? why = WhyNotLocal(http) ?? (IsFromPage(http.Request) ? WhyNotThisPage(http.Request) : null);
        return why is null ? null : TypedResults.Problem(why, statusCode: StatusCodes.Status403Forbidden);
    }

    /// <summary>Why the live page, as this client has opened it, may not intervene without a token; null if it may.</summary>
    public string? WhyNotPage(HttpContext http) => WhyNotLocal(http) ?? WhyNotThisHost(http.Request);

    private string? WhyNotLocal(HttpContext http)
    {
        if (!ListensOnLoopbackAlone())
            return "the service listens beyond loopback, so interventions require Soak:ApiToken, and none is set";
        return http.Connection.RemoteIpAddress is { } client && IPAddress.IsLoopback(client)
            ? null : "Soak:ApiToken is not set, so only clients on this machine may intervene";
    }

    /// <summary>Any page in a local browser has this machine's address, but the browser always sends these headers with its requests.</summary>
    private static bool IsFromPage(HttpRequest request) => request.Headers.Origin.Count > 0 || request.Headers.ContainsKey("Sec-Fetch-Site");

    private static string? WhyNotThisPage(HttpRequest request)
    {
        bool isSameOrigin = request.Headers.Origin is [{ } origin] && string.Equals(origin, $"{request.Scheme}://{request.Host}", StringComparison.OrdinalIgnoreCase)
            && (!request.Headers.TryGetValue("Sec-Fetch-Site", out var site) || site == "same-origin");
        return isSameOrigin ? WhyNotThisHost(request) : "the request comes from a page of another origin; set Soak:ApiToken to allow that";
    }

    /// <summary>A foreign name can be made to resolve to this machine (DNS rebinding), and its pages would share this origin; an address and localhost cannot.</summary>
    private static string? WhyNotThisHost(HttpRequest request) => IsLoopback(request.Host.Host)
        ? null : "the page was opened under a name other than localhost or a loopback address: open it as http://localhost or http://127.0.0.1, or set Soak:ApiToken";

    private bool ListensOnLoopbackAlone() =>
        server.Features.Get<IServerAddressesFeature>()?.Addresses is { Count: > 0 } addresses
        && addresses.All(address => IsLoopback(BindingAddress.Parse(address).Host));

    private static bool IsLoopback(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || (IPAddress.TryParse(host.Trim('[', ']'), out IPAddress? ip) && IPAddress.IsLoopback(ip));
}
