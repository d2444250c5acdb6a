using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http.Features;

namespace SoakHost.Configuration;

/// <summary>
/// The addresses that the service listens on: wrong ones, and whatever the server refuses, are errors of the configuration.
/// </summary>
internal static class Listening
{
    private const int PortMax = 65_535;

    /// <summary>
    /// Checks the addresses of the configuration. The server takes some that it should not: a name becomes every address.
    /// </summary>
    /// <exception cref="ConfigurationException">Lists every address that cannot be used.</exception>
    public static void Check(IConfiguration configuration)
    {
        var errors = new ConfigurationErrors();
        string[] urls = [.. HostSettings.Urls(configuration)];
        if (urls.Length == 0)
            errors.Add($"there is no address to listen on; give one such as --urls={HostSettings.DefaultUrl}");
        Check(urls, "", errors);
        errors.ThrowIfAny();
    }

    /// <summary>Checks one more address.</summary>
    /// <param name="url">The address.</param>
    /// <param name="setting">Where it is from.</param>
    /// <param name="others">The addresses that were checked before.</param>
    /// <exception cref="ConfigurationException">The address cannot be used.</exception>
    public static void Check(string url, string setting, IReadOnlyList<string> others)
    {
        var errors = new ConfigurationErrors();
        Check([url], $"{setting}: ", errors);
        if (others.FirstOrDefault(other => Overlap(other, url)) is { } taken)
            errors.Add($"{setting}: cannot listen on \"{url}\": the service listens on \"{taken}\" already; give another port");
        errors.ThrowIfAny();
    }

    private static void Check(string[] urls, string prefix, ConfigurationErrors errors)
    {
        for (int u = 0; u < urls.Length; u++)
        {
            if (WhyNot(urls[u]) is { } why)
                errors.Add($"{prefix}cannot listen on \"{urls[u]}\": {why}");
            else if (urls.Take(u).FirstOrDefault(other => Overlap(other, urls[u])) is { } taken)
                errors.Add($"{prefix}cannot listen on \"{urls[u]}\": it is the address of \"{taken}\" again; give another port");
        }
    }

    /// <summary>Whether the operating system refuses one of the two addresses once it has given the other.</summary>
    public static bool Overlap(string left, string right)
    {
        if (WhyNot(left) is not null || WhyNot(right) is not null)
            return false;
        (BindingAddress one, BindingAddress two) = (BindingAddress.Parse(left), BindingAddress.Parse(right));
        if (one.IsUnixPipe || two.IsUnixPipe || one.IsNamedPipe || two.IsNamedPipe)
            return left == right;

        // The operating system chooses a port for 0, another one each time.
        if (one.Port != two.Port || one.Port == 0)
            return false;
        return IsAny(one.Host) || IsAny(two.Host) || one.Host == two.Host
            || (IsLocalhost(one.Host) && IsLoopback(two.Host)) || (IsLocalhost(two.Host) && IsLoopback(one.Host));

        static bool IsAny(string host) => host is "*" or "+" or "0.0.0.0" or "[::]";
        static bool IsLocalhost(string host) => host == "localhost";
        static bool IsLoopback(string host) => IsLocalhost(host) || host is "127.0.0.1" or "[::1]";
    }

    /// <summary>Reports what the server refuses as it starts, and nothing else, as an error of the configuration.</summary>
    /// <param name="services">The services.</param>
    /// <param name="asked">
    /// The addresses that were asked for, without one that the program added; null for all of the configuration.
    /// </param>
    public static void AddListening(this IServiceCollection services, IReadOnlyList<string>? asked = null)
    {
        ServiceDescriptor server = services.Last(service => service.ServiceType == typeof(IServer));
        services.Remove(server);
        services.AddSingleton<IServer>(provider => new ReportingServer(
            (IServer)ActivatorUtilities.CreateInstance(provider, server.ImplementationType!),
            provider.GetRequiredService<IConfiguration>(),
            asked));
    }

    private static string? WhyNot(string url)
    {
        BindingAddress address;
        try
        {
            address = BindingAddress.Parse(url);
        }
        catch (FormatException)
        {
            return "it must be an address such as http://127.0.0.1:8080";
        }

        if (address.Scheme is not ("http" or "https"))
            return "it must begin with http:// or https://";
        if (address.IsUnixPipe || address.IsNamedPipe)
            return null;
        if (address.PathBase.Length > 0)
            return "it must not have a path";
        if (address.Port is < 0 or > PortMax)
            return $"the port must be 0 to {PortMax}";
        bool isHost = address.Host is "localhost" or "*" or "+" || IPAddress.TryParse(address.Host.Trim('[', ']'), out _);
        return isHost ? null : "the host must be an IP address, localhost, or * for every address of this machine";
    }

    /// <summary>The server, with its refusals in words.</summary>
    private sealed class ReportingServer(IServer server, IConfiguration configuration, IReadOnlyList<string>? asked) : IServer
    {
        public IFeatureCollection Features => server.Features;

        public async Task StartAsync<TContext>(IHttpApplication<TContext> application, CancellationToken cancellationToken)
            where TContext : notnull
        {
            try
            {
                await server.StartAsync(application, cancellationToken);
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                string cause = exception.InnerException is AddressInUseException ? "another process uses the port"
                    : exception is SocketException { SocketErrorCode: SocketError.AccessDenied }
                        ? "this user may not listen on the port; give one above 1023"
                    : exception is SocketException { SocketErrorCode: SocketError.AddressNotAvailable }
                        ? "this machine has no such address"
                    : exception.Message.Split('\n')[0].TrimEnd();
                throw new ConfigurationException($"cannot listen on {string.Join(", ", Concerned(exception))}: {cause}");
            }
        }

        /// <summary>The addresses that the server names; where it names none, those that were asked for.</summary>
        private string[] Concerned(Exception exception)
        {
            string[] all = [.. HostSettings.Urls(configuration)];
            string[] named = [.. all.Where(url => exception.Message.Contains($"{url}:", StringComparison.Ordinal))];
            return named.Length > 0 ? named : [.. asked ?? all];
        }

        public Task StopAsync(CancellationToken cancellationToken) => server.StopAsync(cancellationToken);

        public void Dispose() => server.Dispose();
    }
}
