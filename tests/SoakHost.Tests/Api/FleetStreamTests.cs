using System.Diagnostics;
using System.Net;
using System.Net.ServerSentEvents;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Time.Testing;
using SoakHost.Api;
using SoakHost.Configuration;
using SoakHost.Model.Kernels;
using SoakHost.Tests.Service;

namespace SoakHost.Tests.Api;

public sealed class FleetStreamTests(SmallService small)
{
    private static readonly TimeSpan StopMax = TimeSpan.FromSeconds(5);

    private readonly FakeTimeProvider _time = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Whoever_follows_is_told_the_latest_report_at_once_and_each_one_after_it()
    {
        var stream = new FleetStream(new SoakOptions { Fleet = [] }, _time);
        stream.Publish(Sample.Report());
        stream.Publish(Sample.Report(Sample.Cohort("first", Defect.None)));
        await using IAsyncEnumerator<SseItem<string>> one = stream.FollowAsync(Stop).GetAsyncEnumerator(Stop);
        await using IAsyncEnumerator<SseItem<string>> other = stream.FollowAsync(Stop).GetAsyncEnumerator(Stop);

        Assert.True(await one.MoveNextAsync());
        Assert.Equal(
            ("fleet", "first", TimeSpan.FromSeconds(1)),
            (one.Current.EventType, Name(one.Current), one.Current.ReconnectionInterval));
        Assert.True(await other.MoveNextAsync());
        Assert.Same(one.Current.Data, other.Current.Data);

        ValueTask<bool> next = one.MoveNextAsync();
        _time.Advance(FleetStream.IntervalMin);
        Assert.False(next.IsCompleted);
        stream.Publish(Sample.Report(Sample.Cohort("second", Defect.None)));
        Assert.True(await next);
        Assert.Equal("second", Name(one.Current));
        Assert.Null(one.Current.ReconnectionInterval);

        // The other one was slow meanwhile.
        stream.Publish(Sample.Report(Sample.Cohort("third", Defect.None)));
        Assert.True(await other.MoveNextAsync());
        Assert.Equal("third", Name(other.Current));
    }

    [Fact]
    public async Task Nobody_is_told_more_than_about_one_report_a_second_however_many_there_are()
    {
        var stream = new FleetStream(new SoakOptions { Fleet = [] }, _time);
        stream.Publish(Sample.Report(Sample.Cohort("first", Defect.None)));
        await using IAsyncEnumerator<SseItem<string>> follower = stream.FollowAsync(Stop).GetAsyncEnumerator(Stop);
        Assert.True(await follower.MoveNextAsync());
        Task<bool> next = follower.MoveNextAsync().AsTask();
        stream.Publish(Sample.Report(Sample.Cohort("second", Defect.None)));
        _time.Advance(FleetStream.IntervalMin - TimeSpan.FromMilliseconds(1));

        // Whoever does not wait is told on another thread, and needs a moment for it.
        await Task.WhenAny(next, Task.Delay(TimeSpan.FromMilliseconds(300), Stop));
        Assert.False(next.IsCompleted);
        stream.Publish(Sample.Report(Sample.Cohort("third", Defect.None)));
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.True(await next);
        Assert.Equal("third", Name(follower.Current));
    }

    [Fact]
    public async Task Whoever_is_to_stop_following_does_so_without_an_exception()
    {
        var stream = new FleetStream(new SoakOptions { Fleet = [] }, _time);
        using var stop = new CancellationTokenSource();
        await using IAsyncEnumerator<SseItem<string>> follower = stream.FollowAsync(stop.Token).GetAsyncEnumerator(Stop);
        ValueTask<bool> next = follower.MoveNextAsync();
        await stop.CancelAsync();
        Assert.False(await next);
    }

    [Fact]
    public void A_place_that_was_left_can_be_taken_again()
    {
        var stream = new FleetStream(new SoakOptions { Fleet = [] }, _time);
        IDisposable?[] places = [.. Enumerable.Range(0, FleetStream.FollowersMax).Select(_ => stream.TryEnter())];
        Assert.DoesNotContain(null, places);
        Assert.Null(stream.TryEnter());
        places[0]!.Dispose();
        places[0]!.Dispose();
        Assert.NotNull(stream.TryEnter());
        Assert.Null(stream.TryEnter());
    }

    [Fact]
    public async Task The_stream_has_what_the_report_has_and_version_run_interval_and_cells_besides()
    {
        using HttpResponseMessage response = await OpenAsync(small.Program);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType?.MediaType);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(Stop));
        Assert.Equal("event: fleet", await reader.ReadLineAsync(Stop));
        string data = (await reader.ReadLineAsync(Stop))!;
        Assert.Equal("retry: 1000", await reader.ReadLineAsync(Stop));
        JsonElement told = JsonDocument.Parse(data["data: ".Length..]).RootElement;

        Assert.Equal(ProgramVersion.Current, told.GetProperty("version").GetString());
        Assert.Equal(
            small.Fleet.EnumerateObject().Select(property => property.Name).Concat(["version", "run", "interval_seconds"]),
            told.EnumerateObject().Select(property => property.Name));
        Assert.Equal((1, 0.1), (told.GetProperty("run").GetInt64(), told.GetProperty("interval_seconds").GetDouble()));
        JsonElement control = told.GetProperty("cohorts")[0], cells = control.GetProperty("vcpu_cells");
        Assert.Equal(1, cells.GetProperty("vcpus_per_cell").GetInt32());
        Assert.Equal(Enumerable.Repeat(1, 8), cells.GetProperty("hung").EnumerateArray().Select(cell => cell.GetInt32()));
        Assert.Equal(Enumerable.Repeat(0, 8), cells.GetProperty("starved").EnumerateArray().Select(cell => cell.GetInt32()));
        Assert.False(small.Fleet.GetProperty("cohorts")[0].TryGetProperty("vcpu_cells", out _));
        JsonElement stall = control.GetProperty("stalled")[0];
        Assert.StartsWith("hang:control/0/0@", stall.GetProperty("incident").GetString(), StringComparison.Ordinal);
        Assert.Contains(
            $"soakhost replay {stall.GetProperty("incident")}",
            stall.GetProperty("replay").GetString(),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Only_so_many_can_follow_and_a_service_that_is_followed_still_stops_in_time()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small());
        List<HttpResponseMessage> open = [];
        using TcpClient idle = await OpenAndNeverReadAsync(program);
        try
        {
            for (int i = 1; i < FleetStream.FollowersMax; i++)
                open.Add(await OpenAsync(program));
            using HttpResponseMessage refused = await OpenAsync(program);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
            Assert.Equal("application/problem+json", refused.Content.Headers.ContentType?.MediaType);
            Assert.All(open, response => Assert.Equal(HttpStatusCode.OK, response.StatusCode));

            long asked = Stopwatch.GetTimestamp();
            program.Terminate();
            foreach (HttpResponseMessage response in open)
                Assert.EndsWith("\n\n", await response.Content.ReadAsStringAsync(Stop), StringComparison.Ordinal);
            ProgramResult result = await program.EndAsync();
            Assert.True(Stopwatch.GetElapsedTime(asked) < StopMax);
            Assert.Equal(0, result.ExitCode);
        }
        finally
        {
            open.ForEach(response => response.Dispose());
        }
    }

    [Fact]
    public async Task Paused_invalidations_are_told()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small());
        await program.UntilAsync(fleet => IsPaused(fleet) == false, StopMax);
        using HttpResponseMessage paused = await program.Http.PostAsync("/api/v1/cohorts/healthy/pause", null, Stop);
        Assert.Equal(HttpStatusCode.OK, paused.StatusCode);
        await program.UntilAsync(fleet => IsPaused(fleet) == true, StopMax);
        using HttpResponseMessage resumed = await program.Http.PostAsync("/api/v1/cohorts/healthy/resume", null, Stop);
        await program.UntilAsync(fleet => IsPaused(fleet) == false, StopMax);
    }

    private static bool? IsPaused(JsonElement fleet) =>
        fleet
            .GetProperty("cohorts")
            .EnumerateArray()
            .Where(cohort => cohort.GetProperty("name").GetString() == "healthy")
            .Select(cohort => (bool?)cohort.GetProperty("invalidations_paused").GetBoolean())
            .FirstOrDefault();

    private static string? Name(SseItem<string> told) =>
        JsonDocument.Parse(told.Data).RootElement.GetProperty("cohorts")[0].GetProperty("name").GetString();

    private static Task<HttpResponseMessage> OpenAsync(ProgramProcess program) =>
        program.Http.GetAsync("/api/v1/fleet/stream", HttpCompletionOption.ResponseHeadersRead, Stop);

    /// <summary>A page that somebody left open on a machine that sleeps.</summary>
    private static async Task<TcpClient> OpenAndNeverReadAsync(ProgramProcess program)
    {
        Uri address = program.Http.BaseAddress!;
        var client = new TcpClient { ReceiveBufferSize = 1024 };
        await client.ConnectAsync(address.Host, address.Port, Stop);
        await client
            .GetStream()
            .WriteAsync(Encoding.ASCII.GetBytes("GET /api/v1/fleet/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"), Stop);
        byte[] one = new byte[1];
        Assert.Equal(1, await client.GetStream().ReadAsync(one, Stop));
        return client;
    }
}
