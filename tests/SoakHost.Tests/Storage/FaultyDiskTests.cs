using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using SoakHost.Tests.Faults;

namespace SoakHost.Tests.Storage;

/// <summary>What clients of a running service see while its disk fails, hangs or is read-only.</summary>
public sealed class FaultyDiskTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    // The limit is a second shorter, which is for a busy machine.
    private static readonly TimeSpan AnswerMax = TimeSpan.FromSeconds(7);
    private static readonly TimeSpan StopMax = TimeSpan.FromSeconds(5);

    private readonly DataFolder _folder = new();
    private readonly DiskFaults _disk;

    public FaultyDiskTests()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "disk-faults.c is for Linux");
        _disk = new DiskFaults(_folder.Path);
    }

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _disk?.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task A_data_directory_made_read_only_is_noticed_interventions_are_refused_and_it_recovers()
    {
        await using ProgramProcess program = await ServeAsync();
        await InterveneAsync(program);
        using (_folder.MakeReadOnly())
        {
            (HttpStatusCode status, JsonElement problem) = await PostAsync(program);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
            Assert.Contains("was made read-only while the service was using it", Detail(problem), StringComparison.Ordinal);
            Assert.EndsWith("nothing was done", Detail(problem), StringComparison.Ordinal);
            Assert.False(problem.GetProperty("may_still_be_applied").GetBoolean());
            await UntilReadinessAsync(program, "degraded", "was made read-only while the service was using it");
            Assert.NotEmpty(DataDirectoryTests.Events(program, 3012));
        }

        await UntilReadinessAsync(program, "ready");
        await InterveneAsync(program);
        Assert.Equal(["2"], _folder.Rows("SELECT count(*) FROM interventions"));
    }

    [Theory]
    [InlineData(DiskFaults.ReadOnlyFileSystem)]
    [InlineData(DiskFaults.NoSpace)]
    [InlineData(DiskFaults.InputOutputError)]
    public async Task While_writes_fail_interventions_are_refused_with_a_time_to_try_again_and_then_done(int error)
    {
        await using ProgramProcess program = await ServeAsync();
        await InterveneAsync(program);
        _disk.Fail(DiskCalls.Write, error);
        (HttpStatusCode status, JsonElement problem) = await PostAsync(program);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
        Assert.Contains("cannot be recorded", Detail(problem), StringComparison.Ordinal);
        await UntilReadinessAsync(program, "degraded", "SQLite Error");
        Assert.True(
            await program.MetricAsync("soakhost_storage_last_failure_timestamp_seconds")
                > (DateTimeOffset.UtcNow - DateTimeOffset.UnixEpoch).TotalSeconds - 60);
        _disk.Heal();
        await UntilReadinessAsync(program, "ready");
        await InterveneAsync(program);
        Assert.Equal(["2"], _folder.Rows("SELECT count(*) FROM interventions"));
    }

    [Fact]
    public async Task While_the_disk_hangs_every_read_answers_in_time_and_a_stop_takes_at_most_5_s()
    {
        await using ProgramProcess program = await ServeAsync();
        await InterveneAsync(program);
        _disk.Hang(DiskCalls.All);
        await UntilReadinessAsync(program, "degraded", "has not answered for");

        // More than there are threads for reads.
        string[] reads = ["incidents", "interventions", "timeline?incident=hang:control/0/0@1024"];
        (HttpStatusCode Status, TimeSpan Took)[] answers = await Task.WhenAll(
            reads.SelectMany(read => Enumerable.Repeat(read, 4)).Select(read => TimedAsync(program, $"/api/v1/{read}")));
        Assert.All(answers, answer => Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.Status));
        (HttpStatusCode Status, TimeSpan Took)[] others = await Task.WhenAll(
            ((string[])["/health/live", "/api/v1/fleet", "/metrics"]).Select(path => TimedAsync(program, path)));
        Assert.All(others, answer => Assert.Equal(HttpStatusCode.OK, answer.Status));
        Assert.All(answers.Concat(others), answer => Assert.InRange(answer.Took, TimeSpan.Zero, AnswerMax));

        long asked = Stopwatch.GetTimestamp();
        program.Terminate();
        await program.EndAsync();
        Assert.InRange(Stopwatch.GetElapsedTime(asked), TimeSpan.Zero, StopMax);
    }

    [Fact]
    public async Task A_service_stops_though_the_disk_hangs_as_the_database_is_closed()
    {
        await using ProgramProcess program = await ServeAsync();
        await InterveneAsync(program);

        // The last checkpoint is written without a sync; the close makes one.
        _disk.Hang(DiskCalls.Sync);
        program.Terminate();
        ProgramResult result = await program.EndAsync();
        Assert.True(_disk.Struck > 0, "no sync was asked for");
        Assert.Equal((int)ExitCode.Pass, result.ExitCode);
    }

    [Fact]
    public async Task While_only_syncs_hang_what_is_recorded_can_be_read()
    {
        await using ProgramProcess program = await ServeAsync();
        await InterveneAsync(program);
        _disk.Hang(DiskCalls.Sync);
        (HttpStatusCode status, TimeSpan took) = await TimedAsync(program, "/api/v1/interventions");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.InRange(took, TimeSpan.Zero, AnswerMax);
    }

    [Fact]
    public async Task An_intervention_that_the_disk_does_not_end_is_answered_in_time_and_applied_when_it_does()
    {
        await using ProgramProcess program = await ServeAsync();
        _disk.Hang(DiskCalls.Sync);
        long asked = Stopwatch.GetTimestamp();
        (HttpStatusCode status, JsonElement problem) = await PostAsync(program, key: "once");
        Assert.InRange(Stopwatch.GetElapsedTime(asked), TimeSpan.Zero, TimeSpan.FromSeconds(20));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
        Assert.Contains("It may still be applied", Detail(problem), StringComparison.Ordinal);
        Assert.True(problem.GetProperty("may_still_be_applied").GetBoolean());
        Assert.Empty(DataDirectoryTests.Events(program, 1012));

        // A client that asks again with its key is told the same, and has nothing done twice.
        (_, problem) = await PostAsync(program, key: "once");
        Assert.True(problem.GetProperty("may_still_be_applied").GetBoolean());

        // Others are refused at once, and are told that nothing was done.
        (status, problem) = await PostAsync(program, "healthy");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
        Assert.False(problem.GetProperty("may_still_be_applied").GetBoolean());

        _disk.Heal();
        await UntilReadinessAsync(program, "ready");
        await program.UntilAsync(_ => DataDirectoryTests.Events(program, 1012).Any(), Patience);
        Assert.Equal("control", Assert.Single(DataDirectoryTests.Events(program, 1012)).GetProperty("Cohort").GetString());
        (status, JsonElement done) = await PostAsync(program, key: "once");
        Assert.Equal((HttpStatusCode.OK, 1), (status, done.GetProperty("id").GetInt64()));
        Assert.Equal(["control|pause"], _folder.Rows("SELECT cohort, kind FROM interventions"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_intervention_whose_sync_fails_is_not_found_after_a_kill_unless_it_was_said_that_it_may(bool keepsFailing)
    {
        await using (ProgramProcess program = await ServeAsync("1h"))
        {
            if (keepsFailing)
                _disk.Fail(DiskCalls.Sync, DiskFaults.InputOutputError);
            else
                _disk.StrikeOnce(DiskCalls.Sync, DiskFaults.InputOutputError, _disk.Calls + 1);
            (HttpStatusCode status, JsonElement problem) = await PostAsync(program);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
            Assert.Equal(keepsFailing, problem.GetProperty("may_still_be_applied").GetBoolean());
            Assert.True(_disk.Struck > 0);
            program.Kill();
            await program.EndAsync();
        }

        _disk.Heal();
        await using ProgramProcess again = await ServeAsync();
        if (!keepsFailing)
            Assert.Equal(["0"], _folder.Rows("SELECT count(*) FROM interventions"));
    }

    private Task<ProgramProcess> ServeAsync(string checkpointInterval = "50ms") => ProgramProcess.ServeAsync(
        Fleets.Small(
            [
                ("Soak__DataDirectory", _folder.Path), ("Soak__CheckpointInterval", checkpointInterval), .. _disk.Environment,
            ]));

    private static async Task InterveneAsync(ProgramProcess program) =>
        Assert.Equal(HttpStatusCode.OK, (await PostAsync(program)).Status);

    private static async Task<(HttpStatusCode Status, JsonElement Answer)> PostAsync(
        ProgramProcess program, string cohort = "control", string? key = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/api/v1/cohorts/{cohort}/pause");
        if (key is not null)
            request.Headers.Add("Idempotency-Key", key);
        using HttpResponseMessage response = await program.Http.SendAsync(request, Stop);
        if (response.StatusCode == HttpStatusCode.ServiceUnavailable)
            Assert.InRange(response.Headers.RetryAfter!.Delta!.Value, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(60));
        return (response.StatusCode, await response.Content.ReadFromJsonAsync<JsonElement>(Stop));
    }

    private static string Detail(JsonElement problem) => problem.GetProperty("detail").GetString()!;

    private static async Task<(HttpStatusCode Status, TimeSpan Took)> TimedAsync(ProgramProcess program, string path)
    {
        long asked = Stopwatch.GetTimestamp();
        using HttpResponseMessage response = await program.Http.GetAsync(path, Stop);
        return (response.StatusCode, Stopwatch.GetElapsedTime(asked));
    }

    private static async Task UntilReadinessAsync(ProgramProcess program, string status, string reason = "")
    {
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        long waited = Stopwatch.GetTimestamp();
        while (true)
        {
            // A service that has just started may not be ready, which is 503.
            using HttpResponseMessage response = await program.Http.GetAsync("/health/ready", Stop);
            JsonElement ready = await response.Content.ReadFromJsonAsync<JsonElement>(Stop);
            if (ready.GetProperty("status").GetString() == status
                && ready.GetProperty("reasons").ToString().Contains(reason, StringComparison.Ordinal))
                return;
            Assert.True(Stopwatch.GetElapsedTime(waited) < Patience, $"{ready}, not {status}: {reason}");
            await pace.WaitForNextTickAsync(Stop);
        }
    }
}
