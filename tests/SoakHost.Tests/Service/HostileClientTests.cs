using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace SoakHost.Tests.Service;

/// <summary>Clients that ask for too much, and too slowly.</summary>
public sealed class HostileClientTests(SmallService service)
{
    private const int Connections = 400;

    [Fact]
    public async Task Hundreds_of_connections_and_a_reader_of_a_byte_at_a_time_do_not_keep_a_probe_or_the_soak_waiting()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small());
        Uri address = program.Http.BaseAddress!;
        CancellationToken stop = TestContext.Current.CancellationToken;

        // Keeps a connection of its own, as a scraper does, before the others come.
        await program.Http.GetStringAsync("/health/live", stop);
        using var slow = new TcpClient { ReceiveBufferSize = 1024 };
        await slow.ConnectAsync(address.Host, address.Port, stop);
        NetworkStream stream = slow.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"), stop);
        List<TcpClient> idle = [];
        try
        {
            byte[] one = new byte[1];
            for (int i = 0; i < Connections; i++)
            {
                var client = new TcpClient();
                idle.Add(client);
                await client.ConnectAsync(address.Host, address.Port, stop);
                await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes("GET /metrics HTTP/1.1\r\nHost:"), stop);
                Assert.Equal(1, await stream.ReadAsync(one, stop));
            }

            long before = (await program.UntilAsync(_ => true, TimeSpan.FromSeconds(10))).GetProperty("operations").GetInt64();
            await program.UntilAsync(fleet => fleet.GetProperty("operations").GetInt64() > before, TimeSpan.FromSeconds(10));
            Assert.Contains(
                "soakhost_invalidations_total",
                await program.Http.GetStringAsync("/metrics", stop),
                StringComparison.Ordinal);
        }
        finally
        {
            idle.ForEach(client => client.Dispose());
        }
    }

    [Fact]
    public async Task Silent_connections_that_are_renewed_do_not_keep_the_second_address_from_answering_and_close_within_seconds()
    {
        const int PlacesOfAnAddress = 256;
        await using ProgramProcess program = await ProgramProcess.ServeAsync(
            Fleets.Small(),
            "http://127.0.0.1:0;http://127.0.0.1:0");
        CancellationToken stop = TestContext.Current.CancellationToken;
        Uri first = program.Http.BaseAddress!;
        string listed = program.Log.First(line => line.TryGetProperty("Addresses", out _)).GetProperty("Addresses").GetString()!;
        var second = new Uri(listed.Split(", ")[1]);
        List<TcpClient> silent = [];
        try
        {
            for (int i = 0; i < PlacesOfAnAddress; i++)
            {
                silent.Add(new TcpClient());
                await silent[^1].ConnectAsync(first.Host, first.Port, stop);
            }

            // The attacker renews each connection as soon as it is closed.
            int closed = await silent[0]
                .GetStream()
                .ReadAsync(new byte[1], stop)
                .AsTask()
                .WaitAsync(TimeSpan.FromSeconds(15), stop);
            Assert.Equal(0, closed);
            using var renewed = new TcpClient();
            await renewed.ConnectAsync(first.Host, first.Port, stop);
            using HttpResponseMessage live = await program.Http.GetAsync(new Uri(second, "/health/live"), stop);
            Assert.Equal(200, (int)live.StatusCode);
            Assert.Equal("nosniff", Assert.Single(live.Headers.GetValues("X-Content-Type-Options")));
        }
        finally
        {
            silent.ForEach(client => client.Dispose());
        }
    }

    [Theory]
    [InlineData("fffffffff")]
    [InlineData("80000000")]
    [InlineData("ffffffffffffffffffff")]
    [InlineData("-1")]
    [InlineData("zz")]
    public async Task A_chunk_of_a_size_that_cannot_be_is_a_bad_request(string size)
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        Uri address = service.Program.Http.BaseAddress!;
        foreach (string path in (string[])["/api/v1/cohorts/control/resume", "/api/v1/alerts"])
        {
            using var client = new TcpClient();
            await client.ConnectAsync(address.Host, address.Port, stop);
            await client.GetStream().WriteAsync(
                Encoding.ASCII.GetBytes(
                    $"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    + $"Transfer-Encoding: chunked\r\n\r\n{size}\r\n{{}}\r\n"),
                stop);
            byte[] start = new byte["HTTP/1.1 400".Length];
            await client.GetStream().ReadExactlyAsync(start, stop);
            Assert.Equal("HTTP/1.1 400", Encoding.ASCII.GetString(start));
        }

        Assert.DoesNotContain(
            service.Program.Log, line => line.TryGetProperty("@l", out JsonElement level) && level.GetString() == "Error");
    }
}
