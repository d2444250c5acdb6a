using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using SoakHost.Service;
using SoakHost.Tests.Service;
using SoakHost.Tests.Storage;

namespace SoakHost.Tests.Api;

public sealed class TimelineEndpointTests(SmallService small)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_hang_that_is_not_recorded_yet_is_told_as_its_command_tells_it()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small(("Soak__CheckpointInterval", "1h")));
        JsonElement stall = await FirstStallAsync(program);
        (_, JsonElement told) = await ReplayAsync(program, stall.GetProperty("incident").GetString()!);
        Assert.Equal(
            0,
            (await program.Http.GetFromJsonAsync<JsonElement>("/api/v1/incidents", Stop))
                .GetProperty("incidents")
                .GetArrayLength());

        Assert.Equal(stall.GetProperty("incident").GetString(), told.GetProperty("incident").GetString());
        Assert.Equal(1, told.GetProperty("run").GetInt64());
        string command = told.GetProperty("command").GetString()!;
        Assert.Equal(stall.GetProperty("replay").GetString(), command);
        ProgramResult replayed = await ProgramProcess.RunAsync([.. command.Split(' ').Skip(1), "--json"]);
        JsonElement again = JsonDocument.Parse(replayed.Output).RootElement;
        foreach (string same in (string[])["kernel", "conclusion", "steps"])
            Assert.True(JsonElement.DeepEquals(again.GetProperty(same), told.GetProperty(same)), same);
    }

    [Fact]
    public async Task A_hang_after_operations_is_told_with_them_while_it_lasts_and_from_the_record_afterwards_and_in_the_next_process()
    {
        using var folder = new DataFolder();
        Dictionary<string, string> settings = Fleets.Small(
            ("Soak__DataDirectory", folder.Path),
            ("Soak__CheckpointInterval", "50ms"));
        string incident;
        JsonElement told;
        await using (ProgramProcess program = await ProgramProcess.ServeAsync(settings))
        {
            string before = (await FirstStallAsync(program)).GetProperty("incident").GetString()!;
            await InterveneAsync(program, "kernel", new { kernel = "linux-6.1.y" });
            await InterveneAsync(program, "kernel", new { kernel = "linux-6.1" });
            JsonElement stall = await FirstStallAsync(program, unlike: before);
            incident = stall.GetProperty("incident").GetString()!;
            (_, told) = await ReplayAsync(program, incident);
            Assert.Contains("was kept as an int", told.GetProperty("conclusion").GetString(), StringComparison.Ordinal);

            await InterveneAsync(program, "kernel", new { kernel = "linux-6.1.y" });
            await program.UntilAsync(fleet => Control(fleet).GetProperty("vcpus_hung").GetInt32() == 0, Patience);
            program.Terminate();
            await program.EndAsync();
        }

        await using ProgramProcess next = await ProgramProcess.ServeAsync(settings);
        (_, JsonElement again) = await ReplayAsync(next, incident);
        Assert.True(JsonElement.DeepEquals(told, again));
        (_, JsonElement ofRun) = await ReplayAsync(next, incident, run: 1);
        Assert.True(JsonElement.DeepEquals(told, ofRun));
        Assert.Equal(HttpStatusCode.NotFound, (await ReplayAsync(next, incident, run: 2)).Status);
    }

    [Fact]
    public async Task A_hang_of_a_vm_that_came_later_of_a_cohort_that_came_later_is_told()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small());
        await PostAsync(
            program,
            "cohorts",
            new
            {
                name = "canary",
                kernel = "linux-6.1",
                vms = 2,
                invalidate_seq_start = "2^31-100",
                expect = "hang",
            });
        await UntilHungAsync(8);
        await PostAsync(program, "cohorts/canary/resize", new { vms = 3 });
        JsonElement fleet = await UntilHungAsync(12);

        JsonElement stall = Cohort(fleet, "canary")
            .GetProperty("stalled")
            .EnumerateArray()
            .First(stall => stall.GetProperty("vm").GetInt32() == 2);
        (HttpStatusCode status, JsonElement told) = await ReplayAsync(program, stall.GetProperty("incident").GetString()!);
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains("was kept as an int", told.GetProperty("conclusion").GetString(), StringComparison.Ordinal);

        Task<JsonElement> UntilHungAsync(int count) =>
            program.UntilAsync(
                fleet =>
                    Cohort(fleet, "canary") is { ValueKind: JsonValueKind.Object } canary
                    && canary.GetProperty("vcpus_hung").GetInt32() == count,
                Patience);
    }

    [Theory]
    [InlineData("", 400)]
    [InlineData("hang", 400)]
    [InlineData("hang:control/0/0@-1", 400)]
    [InlineData("hang:control/0/0@1024", 404)]
    [InlineData("hang:nobody/0/0@1024", 404)]
    [InlineData("unsafe-install:control/0/0@1024", 404)]
    public async Task What_makes_no_sense_is_told_as_problem_details(string incident, int status)
    {
        (HttpStatusCode given, JsonElement problem) = await ReplayAsync(small.Program, incident);
        Assert.Equal(status, (int)given);
        Assert.NotEqual("", problem.GetProperty("detail").GetString());
    }

    [Fact]
    public async Task What_happened_to_a_real_vm_is_not_told_again()
    {
        using var folder = new DataFolder();
        await using ProgramProcess program = await ProgramProcess.ServeAsync(
            Fleets.Small(("Soak__DataDirectory", folder.Path), ("Soak__CheckpointInterval", "50ms")));
        await folder.NextCommitAsync(Patience);
        folder.Execute("UPDATE runs SET fleet = replace(fleet, 'linux-6.1.y', 'host')");
        folder.Execute(
            "INSERT INTO incidents (run_id, cohort, vm, vcpu, tick, kind, page, invalidate_seq, snapshot, first_seen_ms) "
            + "VALUES (1, 'healthy', 0, 0, 4242, 'VcpuHung', 0, 0, 0, 0)");
        (HttpStatusCode status, JsonElement problem) = await ReplayAsync(program, "hang:healthy/0/0@4242");
        Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
        Assert.Contains("real one", problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Too_many_who_ask_at_once_are_sent_away_and_nothing_is_told_that_nobody_waits_for()
    {
        using var folder = new DataFolder();
        await using ProgramProcess program = await ProgramProcess.ServeAsync(
            Fleets.Small(("Soak__DataDirectory", folder.Path), ("Soak__CheckpointInterval", "50ms")));
        await folder.NextCommitAsync(Patience);

        // Neither happened: one takes for ever to be found out, and the other no time.
        const string Endless = "hang:control/0/0@1125899906842624", Brief = "hang:control/0/0@1024";
        folder.Execute(
            "INSERT INTO incidents (run_id, cohort, vm, vcpu, tick, kind, page, invalidate_seq, snapshot, first_seen_ms) "
                + "VALUES (1, 'control', 0, 0, 1125899906842624, 'VcpuHung', 0, 0, 0, 0), (1, 'control', 0, 0, 1024, "
                    + "'VcpuHung', 0, 0, 0, 0)"
        );
        using var gone = new CancellationTokenSource();
        Task<HttpResponseMessage>[] all =
        [
            .. Enumerable
                .Range(0, ReplayService.WaitingMax + 2)
                .Select(_ => program.Http.GetAsync($"/api/v1/timeline?incident={Endless}", gone.Token)),
        ];
        Task<HttpResponseMessage> first = await Task.WhenAny(all);
        using HttpResponseMessage busy = await first;
        Assert.Equal(
            (HttpStatusCode.ServiceUnavailable, TimeSpan.FromSeconds(1)),
            (busy.StatusCode, busy.Headers.RetryAfter?.Delta));
        await gone.CancelAsync();
        foreach (Task<HttpResponseMessage> request in all.Where(request => request != first))
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => request);
        using HttpResponseMessage free = await UntilStatusAsync(program, Brief, HttpStatusCode.NotFound);
        Assert.Contains("did not come to this incident", await free.Content.ReadAsStringAsync(Stop), StringComparison.Ordinal);
    }

    private static async Task<HttpResponseMessage> UntilStatusAsync(
        ProgramProcess program,
        string incident,
        HttpStatusCode wanted)
    {
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        using var patience = new CancellationTokenSource(Patience);
        while (true)
        {
            HttpResponseMessage response = await program.Http.GetAsync($"/api/v1/timeline?incident={incident}", Stop);
            if (response.StatusCode == wanted)
                return response;
            response.Dispose();
            await pace.WaitForNextTickAsync(patience.Token);
        }
    }

    private static async Task<(HttpStatusCode Status, JsonElement Body)> ReplayAsync(
        ProgramProcess program,
        string incident,
        long? run = null)
    {
        using HttpResponseMessage response = await program.Http.GetAsync(
            $"/api/v1/timeline?incident={incident}{(run is null ? "" : $"&run={run}")}",
            Stop);
        return (response.StatusCode, JsonDocument.Parse(await response.Content.ReadAsStringAsync(Stop)).RootElement);
    }

    private static async Task<JsonElement> FirstStallAsync(ProgramProcess program, string? unlike = null)
    {
        JsonElement fleet = await program.UntilAsync(
            fleet => Stalls(fleet).Any(stall => stall.GetProperty("incident").GetString() is { } id && id != unlike), Patience);
        return Stalls(fleet).First(stall => stall.GetProperty("incident").GetString() is { } id && id != unlike);
    }

    private static JsonElement Control(JsonElement fleet) => Cohort(fleet, "control");

    private static JsonElement Cohort(JsonElement fleet, string name) =>
        fleet.GetProperty("cohorts").EnumerateArray().FirstOrDefault(cohort => cohort.GetProperty("name").GetString() == name);

    private static JsonElement.ArrayEnumerator Stalls(JsonElement fleet) =>
        Control(fleet) is { ValueKind: JsonValueKind.Object } control ? control.GetProperty("stalled").EnumerateArray() : default;

    private static Task InterveneAsync(ProgramProcess program, string kind, object body) =>
        PostAsync(program, $"cohorts/control/{kind}", body);

    private static async Task PostAsync(ProgramProcess program, string path, object body)
    {
        using HttpResponseMessage response = await program.Http.PostAsJsonAsync($"/api/v1/{path}", body, Stop);
        Assert.True(response.IsSuccessStatusCode, await response.Content.ReadAsStringAsync(Stop));
    }
}
