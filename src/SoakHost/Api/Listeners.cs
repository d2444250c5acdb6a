using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using SoakHost.Configuration;

namespace SoakHost.Api;

/// <summary>
/// The addresses that the service listens on: the first ones for everything, and a last one for probes and scrapes alone. Each
/// address has connections of its own, so whoever takes all of the first keeps no probe and no scrape waiting.
/// </summary>
/// <param name="server">The server.</param>
/// <param name="hasHealth">Whether the last address is that for probes and scrapes.</param>
internal sealed class Listeners(IServer server, bool hasHealth)
{
    private string[]? _all;

    /// <summary>Whether there is an address for probes and scrapes.</summary>
    public bool HasHealth => hasHealth;

    /// <summary>Whether the addresses for everything are those of loopback alone.</summary>
    public bool AreLoopbackAlone => Main is { Length: > 0 } main && Array.TrueForAll(main, IsLoopbackAddress);

    private string[] All => _all ??= [.. server.Features.Get<IServerAddressesFeature>()?.Addresses ?? []];

    private string[] Main => hasHealth ? All[..^1] : All;

    /// <summary>Whether a request came in at the address for probes and scrapes.</summary>
    public bool IsHealth(HttpContext http) =>
        hasHealth && All.Length > 1 && http.Connection.LocalPort == BindingAddress.Parse(All[^1]).Port;

    /// <summary>Whether the address at which a request came in can be reached from this machine alone.</summary>
    public bool IsLoopback(HttpContext http) => IsHealth(http) ? IsLoopbackAddress(All[^1]) : AreLoopbackAlone;

    /// <summary>Whether a host is a name or an address of loopback.</summary>
    public static bool IsLoopbackHost(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
        || (IPAddress.TryParse(host.Trim('[', ']'), out IPAddress? ip) && IPAddress.IsLoopback(ip));

    private static bool IsLoopbackAddress(string address) => IsLoopbackHost(BindingAddress.Parse(address).Host);
}

/// <summary>Sets up the address for probes and scrapes.</summary>
internal static class ListenersSetup
{
    // Kestrel binds its endpoints in the order of their names; this one is the last.
    private const string EndpointKey = "Kestrel:Endpoints:~health:Url";

    /// <summary>Adds the address to those that the server listens on.</summary>
    /// <returns>Whether there is one.</returns>
    /// <exception cref="ConfigurationException">The configured address cannot be used.</exception>
    public static bool AddHealthListener(this WebApplicationBuilder builder, SoakOptions options)
    {
        string[] main = [.. HostSettings.Urls(builder.Configuration)];
        string? health = HostSettings.HealthUrl(options.HealthUrl, main);
        bool isAuto = options.HealthUrl == HostSettings.AutoHealthUrl;
        if (health is null || (isAuto && (IsTaken(BindingAddress.Parse(health).Port)
            || Array.Exists(main, url => Listening.Overlap(url, health)))))
        {
            AddListeners(builder.Services, hasHealth: false);
            return false;
        }

        Listening.Check(health, $"{SoakConfiguration.Section}:{nameof(SoakOptions.HealthUrl)}", main);
        if (builder.Configuration.GetSection("Kestrel:Endpoints").GetChildren().Any())
            builder.Configuration[EndpointKey] = health;
        else
            builder.WebHost.UseUrls([.. main, health]);
        AddListeners(builder.Services, hasHealth: true);
        return true;
    }

    /// <summary>At the address for probes and scrapes there is nothing else.</summary>
    public static void UseHealthListener(this WebApplication app)
    {
        Listeners listeners = app.Services.GetRequiredService<Listeners>();
        app.Use((http, next) =>
        {
            if (!listeners.IsHealth(http) || http.Request.Path.StartsWithSegments("/health") || http.Request.Path == "/metrics")
                return next(http);
            http.Response.StatusCode = StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        });
    }

    private static void AddListeners(IServiceCollection services, bool hasHealth) =>
        services.AddSingleton(provider => new Listeners(provider.GetRequiredService<IServer>(), hasHealth));

    private static bool IsTaken(int port)
    {
        try
        {
            using var probe = new TcpListener(IPAddress.Loopback, port);
            probe.Start();
            return false;
        }
        catch (SocketException)
        {
            return true;
        }
    }
}
