using System.CommandLine;
using SoakHost.Configuration;

namespace SoakHost.Commands;

/// <summary><c>soakhost healthcheck</c>: a probe for containers that have no shell.</summary>
internal static class HealthcheckCommand
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(3);

    public static Command Create()
    {
        Option<Uri?> url = CommonOptions.Url(
            "Address of the service, or of one of its probes. Default: this machine, with the ports of the configuration.");
        var command = new Command("healthcheck", "Asks a running service whether it is ready. Exit code 0: it is; 1: it is not.")
        {
            url,
        };
        command.SetAction(async (parsed, stop) =>
        {
            Uri[] places = parsed.GetValue(url) is { } given ? [given] : [.. HostSettings.LocalProbeUrls()];
            foreach (Uri place in places)
            {
                if (await AskAsync(place, isLast: place == places[^1], stop) is { } answer)
                    return answer;
            }

            return (int)ExitCode.Violation;
        });
        return command;
    }

    /// <summary>The exit code; null where nothing answers there.</summary>
    private static async Task<int?> AskAsync(Uri url, bool isLast, CancellationToken stop)
    {
        Uri probe = url.AbsolutePath == "/" ? new Uri(url, "/health/ready") : url;
        using var handler = new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false };
        using var client = new HttpClient(handler) { Timeout = Timeout, MaxResponseContentBufferSize = 64 * 1024 };
        try
        {
            using HttpResponseMessage response = await client.GetAsync(probe, stop);
            await Console.Out.WriteLineAsync(await response.Content.ReadAsStringAsync(stop));
            return (int)(response.IsSuccessStatusCode ? ExitCode.Pass : ExitCode.Violation);
        }
        catch (Exception exception) when (exception is HttpRequestException or TaskCanceledException)
        {
            if (isLast)
                await Console.Error.WriteLineAsync($"{probe} does not answer: {exception.Message}");
            return null;
        }
    }
}
