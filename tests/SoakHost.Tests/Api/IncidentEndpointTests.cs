using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Storage;
using SoakHost.Tests.Service;
using SoakHost.Tests.Storage;

namespace SoakHost.Tests.Api;

public sealed class IncidentEndpointTests(SmallService small)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Incidents_are_told_apart_by_run_vm_vcpu_and_whether_they_are_hung_still()
    {
        using var folder = new DataFolder();
        using (SoakDatabase database = SoakDatabase.Open(folder.Path))
        {
            long run = database.AddRun(RunIdentity.Of(new SoakOptions { Fleet = [], Seed = 99 }.ToFleetOptions()), Sample.Time);
            Finding unsafeInstall = new(
                FindingKind.UnsafeInstall,
                4,
                vcpu: null,
                new Sighting(FindingTime.AtTick(3072), page: 7, CounterRange.Exactly(1), snapshot: 1));
            database.AddCheckpoints(
                run,
                [],
                [
                    .. Hang(3, 0),
                    .. Hang(3, 1),
                    .. Hang(4, 0),
                    .. Hang(6, 0, recovers: true),
                    ("control", unsafeInstall),
                    .. Hang(3, 0, cohort: "lost"),
                ],
                100,
                Sample.Time);
        }

        // Another fleet, and so another run, the second one.
        await using ProgramProcess program = await ProgramProcess.ServeAsync(
            Fleets.Small(("Soak__DataDirectory", folder.Path), ("Soak__CheckpointInterval", "50ms")));
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        using var patience = new CancellationTokenSource(Patience);
        while ((await IdsAsync(program, "run=2&cohort=control")).Length < 8)
            await pace.WaitForNextTickAsync(patience.Token);

        Assert.Equal(
            [
                "hang:lost/3/0@1024",
                "unsafe-install:control/4/-@3072",
                "hang:control/6/0@1024",
                "hang:control/4/0@1024",
                "hang:control/3/1@1024",
                "hang:control/3/0@1024",
            ],
            await IdsAsync(program, "run=1"));
        Assert.Equal(["hang:control/3/1@1024", "hang:control/3/0@1024"], await IdsAsync(program, "run=1&cohort=control&vm=3"));
        Assert.Equal(["hang:control/3/1@1024"], await IdsAsync(program, "run=1&cohort=control&vm=3&vcpu=1"));
        Assert.Equal(["hang:control/3/1@1024"], await IdsAsync(program, "run=1&vcpu=1"));
        Assert.Equal(
            ["unsafe-install:control/4/-@3072", "hang:control/4/0@1024", "hang:control/3/1@1024", "hang:control/3/0@1024"],
            await IdsAsync(program, "run=1&cohort=control&vm=2&vms=0x4"));
        Assert.Equal(
            ["hang:control/4/0@1024", "hang:control/3/1@1024", "hang:control/3/0@1024"],
            await IdsAsync(program, "run=1&cohort=control&hung=true"));
        Assert.Equal(
            ["unsafe-install:control/4/-@3072", "hang:control/6/0@1024"],
            await IdsAsync(program, "run=1&cohort=control&hung=false"));
        Assert.Equal(
            ["hang:control/4/0@1024"],
            await IdsAsync(program, "run=1&cohort=control&hung=true&vm=4&vms=1000000&limit=1"));
        Assert.Empty(await IdsAsync(program, "run=3"));
        Assert.Empty(await IdsAsync(program, "run=2&hung=true&vm=2"));
        Assert.Single(await IdsAsync(program, "run=2&hung=true&cohort=control&vm=1&vcpu=3"));
    }

    [Theory]
    [InlineData("run=0", "run is \"0\"; it must be a whole number from 1 to 2^63-1")]
    [InlineData("run=one", "run is \"one\"; it must be a whole number from 1 to 2^63-1")]
    [InlineData("vm=-1", "vm is \"-1\"; it must be a whole number from 0 to 999_999")]
    [InlineData("vm=1000000", "vm is \"1000000\"; it must be a whole number from 0 to 999_999")]
    [InlineData("vm=", "vm is \"\"; it must be a whole number from 0 to 999_999")]
    [InlineData("vm=99999999999999999999", "vm is \"99999999999999999999\"; it must be a whole number from 0 to 999_999")]
    [InlineData("vm=0&vms=0", "vms is \"0\"; it must be a whole number from 1 to 1_000_000")]
    [InlineData("vm=0&vms=1000001", "vms is \"1000001\"; it must be a whole number from 1 to 1_000_000")]
    [InlineData("vms=2", "vms is \"2\"; it needs vm, the first of them")]
    [InlineData("vcpu=64", "vcpu is \"64\"; it must be a whole number from 0 to 63")]
    [InlineData("hung=yes", "hung is \"yes\"; it must be true or false")]
    [InlineData("hung=0123456789012345678901234567890123456789012345678901234567890123x",
        "hung is \"0123456789012345678901234567890123456789012345678901234567890123...\"; it must be true or false")]
    [InlineData("before=first", "before is \"first\"; it must be a whole number from 1 to 2^63-1")]
    [InlineData("limit=1e30", "limit is \"1e30\"; it must be a whole number from 1 to 1_000")]
    [InlineData("chort=control", "\"chort\" is no parameter of this path; did you mean \"cohort\"?")]
    [InlineData(
        "since=1",
        "\"since\" is no parameter of this path; known here are cohort, run, vm, vms, vcpu, kind, hung, before, limit")]
    [InlineData("limit=1001", "limit is \"1001\"; it must be a whole number from 1 to 1_000")]
    public async Task What_is_not_allowed_is_told_by_name_with_what_is(string query, string detail)
    {
        using HttpResponseMessage response = await small.Program.Http.GetAsync($"/api/v1/incidents?{query}", Stop);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        Assert.Equal(detail, (await response.Content.ReadFromJsonAsync<JsonElement>(Stop)).GetProperty("detail").GetString());
    }

    [Theory]
    [InlineData("fleet?x=2", "\"x\" is no parameter of this path; it has none")]
    [InlineData("fleet/stream?cohort=control", "\"cohort\" is no parameter of this path; it has none")]
    [InlineData("kernels?x=1", "\"x\" is no parameter of this path; it has none")]
    [InlineData("access?x=1", "\"x\" is no parameter of this path; it has none")]
    [InlineData("incidents/groups?limit=1", "\"limit\" is no parameter of this path; known here are cohort")]
    public async Task A_parameter_that_a_path_does_not_have_is_refused(string request, string detail)
    {
        using HttpResponseMessage response = await small.Program.Http.GetAsync($"/api/v1/{request}", Stop);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal(detail, (await response.Content.ReadFromJsonAsync<JsonElement>(Stop)).GetProperty("detail").GetString());
    }

    [Theory]
    [InlineData("/api/v1/incidnts", "there is no such path; did you mean \"/api/v1/incidents\"?")]
    [InlineData("/api/v1/fleets", "there is no such path; did you mean \"/api/v1/fleet\"?")]
    [InlineData("/api/v9", "there is no such path; /openapi/v1.json describes the API")]
    [InlineData("/nothing", null)]
    public async Task A_path_that_is_not_there_is_told_with_the_one_that_was_probably_meant(string path, string? detail)
    {
        using HttpResponseMessage response = await small.Program.Http.GetAsync(path, Stop);
        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        JsonElement problem = await response.Content.ReadFromJsonAsync<JsonElement>(Stop);
        Assert.Equal(detail, problem.TryGetProperty("detail", out JsonElement found) ? found.GetString() : null);
    }

    [Fact]
    public async Task A_cohort_without_incidents_has_none_and_one_that_is_misspelled_is_an_error()
    {
        using var folder = new DataFolder();
        using (SoakDatabase database = SoakDatabase.Open(folder.Path))
            database.AddRun(RunIdentity.Of(new SoakOptions { Fleet = [] }.ToFleetOptions()), Sample.Time);
        string[] list = ["incidents", "--data-directory", folder.Path, "--cohort"];
        ProgramResult none = await ProgramProcess.RunAsync([.. list, "control"]);
        Assert.Equal((0, "No incidents.\n"), (none.ExitCode, none.Output));
        ProgramResult wrong = await ProgramProcess.RunAsync([.. list, "contrl"]);
        Assert.Equal(
            (64, "", "--cohort is \"contrl\"; there is no such cohort; did you mean \"control\"?\n"),
            (wrong.ExitCode, wrong.Output, wrong.Error));
    }

    private static IEnumerable<(string Cohort, Finding Finding)> Hang(
        int vm,
        int vcpu,
        bool recovers = false,
        string cohort = "control")
    {
        yield return (cohort, Sample.Hung(vm, vcpu, tick: 1024));
        if (recovers)
            yield return (cohort, Sample.Hung(vm, vcpu, tick: 2048, FindingKind.VcpuRecovered));
    }

    private static async Task<string[]> IdsAsync(ProgramProcess program, string query)
    {
        JsonElement page = await program.Http.GetFromJsonAsync<JsonElement>($"/api/v1/incidents?{query}", Stop);
        return [.. page.GetProperty("incidents").EnumerateArray().Select(incident => incident.GetProperty("id").GetString()!)];
    }
}
