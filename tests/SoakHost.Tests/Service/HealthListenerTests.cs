using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using SoakHost.Shared;

namespace SoakHost.Tests.Service;

/// <summary>Probes and scrapes have an address of their own, which nobody can take from them.</summary>
public sealed class HealthListenerTests
{
    // More than the places of an address.
    private const int Attackers = 300;

    private static readonly TimeSpan AttackTime = TimeSpan.FromSeconds(12);
    private static readonly TimeSpan ProbeMax = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RenewAfter = TimeSpan.FromMilliseconds(500);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Hundreds_of_silent_connections_that_are_renewed_keep_no_probe_and_no_scrape_waiting()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small());
        await program.UntilReadyAsync(TimeSpan.FromSeconds(60));
        Uri health = HealthOf(program);
        using var attack = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        int renewed = 0;
        Task[] attackers = [.. Enumerable.Range(0, Attackers).Select(_ => HoldAsync(program.Http.BaseAddress!, attack.Token))];

        // Longer than the server bears a silent connection: each attacker is closed and comes again.
        long began = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(began) < AttackTime)
        {
            foreach (string path in (string[])["/health/live", "/health/ready", "/metrics"])
            {
                // A probe has a connection of its own, as those of containers do.
                using HttpClient client = LoopbackClient.Create(ProbeMax);
                using HttpResponseMessage response = await client.GetAsync(new Uri(health, path), Stop);
                Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            }

            await Task.Delay(TimeSpan.FromMilliseconds(200), Stop);
        }

        await attack.CancelAsync();
        await Task.WhenAll(attackers);
        Assert.True(renewed > Attackers, $"the attackers came {renewed} times");

        // Nor do they fill the log.
        Assert.InRange(program.Log.Count, 1, Attackers / 2);

        async Task HoldAsync(Uri address, CancellationToken end)
        {
            while (!end.IsCancellationRequested)
            {
                using var client = new TcpClient();
                try
                {
                    await client.ConnectAsync(address.Host, address.Port, end);
                    Interlocked.Increment(ref renewed);
                    await client.GetStream().ReadAtLeastAsync(new byte[1], 1, throwOnEndOfStream: false, end);
                }
                catch (Exception exception) when (exception is OperationCanceledException or IOException or SocketException)
                {
                    // Refused, closed, or the end of the attack.
                }

                await Task.Delay(RenewAfter, CancellationToken.None);
            }
        }
    }

    [Fact]
    public async Task It_has_probes_and_metrics_and_nothing_else()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small());
        Uri health = HealthOf(program);
        foreach ((string path, HttpStatusCode status) in ((string, HttpStatusCode)[])
            [("/health/live", HttpStatusCode.OK), ("/metrics", HttpStatusCode.OK), ("/", HttpStatusCode.NotFound),
                ("/api/v1/fleet", HttpStatusCode.NotFound), ("/openapi/v1.json", HttpStatusCode.NotFound)])
        {
            using HttpResponseMessage response = await program.Http.GetAsync(new Uri(health, path), Stop);
            Assert.True(status == response.StatusCode, path);
        }

        using HttpResponseMessage intervention = await program.Http.PostAsync(
            new Uri(health, "/api/v1/cohorts/control/pause"), null, Stop);
        Assert.Equal(HttpStatusCode.NotFound, intervention.StatusCode);
    }

    [Fact]
    public async Task By_default_it_has_a_port_10000_above_the_first_and_is_left_out_where_that_is_taken()
    {
        int port = FreePort();
        Dictionary<string, string> settings = Fleets.Small(("ASPNETCORE_URLS", $"http://127.0.0.1:{port}"));
        using var other = new TcpListener(IPAddress.Loopback, port + 10_000);
        await using (ProgramProcess first = await ProgramProcess.ServeAsync(settings, $"http://127.0.0.1:{port}"))
        {
            Assert.Equal(port + 10_000, HealthOf(first).Port);
            Assert.Equal(0, (await ProgramProcess.RunAsync(["healthcheck"], settings)).ExitCode);
        }

        other.Start();
        await using ProgramProcess second = await ProgramProcess.ServeAsync(settings, $"http://127.0.0.1:{port}");
        Assert.Contains(second.Log, line => line.GetProperty("EventId").GetProperty("Id").GetInt32() == 3031);
        using HttpResponseMessage ready = await second.Http.GetAsync("/health/live", Stop);
        Assert.Equal(HttpStatusCode.OK, ready.StatusCode);
    }

    [Theory]
    [InlineData("none", 1)]
    [InlineData("http://127.0.0.1:0", 2)]
    public async Task It_can_be_configured(string url, int addresses)
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(
            Fleets.Small(("Soak__HealthUrl", url), ("Kestrel__Endpoints__Http__Url", "http://127.0.0.1:0")));
        Assert.Equal(addresses, AddressesOf(program).Length);
    }

    [Fact]
    public async Task An_address_that_cannot_be_had_is_an_error_of_the_configuration()
    {
        ProgramResult result = await ProgramProcess.RunAsync(
            ["serve", "--urls=http://127.0.0.1:0", "--Soak:HealthUrl=127.0.0.1:99"]);
        Assert.Equal(64, result.ExitCode);
        Assert.Contains("Soak:HealthUrl: cannot listen on \"127.0.0.1:99\"", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_configured_address_that_is_taken_is_named()
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        string url = $"http://127.0.0.1:{((IPEndPoint)other.LocalEndpoint).Port}";
        ProgramResult result = await ProgramProcess.RunAsync(
            ["serve", "--urls=http://127.0.0.1:0", $"--Soak:HealthUrl={url}"], Fleets.Small());
        Assert.Equal((64, $"cannot listen on {url}: another process uses the port\n"), (result.ExitCode, result.Error));
    }

    private static Uri HealthOf(ProgramProcess program) => new(AddressesOf(program)[^1]);

    private static string[] AddressesOf(ProgramProcess program) =>
        program.Log.First(line => line.TryGetProperty("Addresses", out _)).GetProperty("Addresses").GetString()!.Split(", ");

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        int port = ((IPEndPoint)listener.LocalEndpoint).Port;
        return port > 55_000 ? port - 20_000 : port;
    }
}
