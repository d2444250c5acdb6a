using System.Net;
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
    public static void Check(IConfiguration configuration) => Check(HostSettings.Urls(configuration));

    /// <summary>Checks addresses.</summary>
    /// <param name="urls">The addresses.</param>
    /// <param name="setting">Where they are from, or nothing.</param>
    /// <exception cref="ConfigurationException">Lists every address that cannot be used.</exception>
    public static void Check(IEnumerable<string> urls, string setting = "")
    {
        var errors = new ConfigurationErrors();
        foreach (string url in urls)
        {
            if (WhyNot(url) is { } why)
                errors.Add($"{setting}cannot listen on \"{url}\": {why}");
        }

        errors.ThrowIfAny();
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
