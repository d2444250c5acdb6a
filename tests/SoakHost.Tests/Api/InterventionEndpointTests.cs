using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using SoakHost.Api;
using SoakHost.Configuration;
using SoakHost.Engine.Soak;
using SoakHost.Interventions;
using SoakHost.Storage;
using SoakHost.Tests.Service;
using SoakHost.Tests.Storage;

namespace SoakHost.Tests.Api;

public sealed class InterventionEndpointTests(SmallService small)
{
    private const string Token = "correct-horse-battery";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_live_patch_revives_every_hung_vcpu_within_a_second_and_the_old_kernel_hangs_them_again()
    {
        using var folder = new DataFolder();
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small(
            ("Soak__DataDirectory", folder.Path), ("Soak__CheckpointInterval", "50ms"), ("Soak__Fleet__0__Vms", "64")));
        await program.UntilAsync(fleet => Hung(fleet) == 256, Patience);

        JsonElement patched = await PostAsync(program, "kernel", new { kernel = "linux-6.1.y" });
        Assert.Equal(0, patched.GetProperty("tick").GetInt64() % 1024);
        await program.UntilAsync(fleet => Hung(fleet) == 0 && Control(fleet).GetProperty("kernel").GetString() == "linux-6.1.y",
            TimeSpan.FromSeconds(1));
        Assert.Equal(256, await program.MetricAsync("soakhost_vcpu_recoveries_total{cohort=\"control\",kernel=\"linux-6.1.y\"}"));

        await PostAsync(program, "kernel", new { kernel = "linux-6.1" });
        await program.UntilAsync(fleet => Hung(fleet) == 256, Patience);
        Assert.Equal(2, await program.MetricAsync("soakhost_interventions_total{cohort=\"control\",kind=\"kernel\"}"));
        Assert.Equal(2, DataDirectoryTests.Events(program, 1012).Count());

        // The first hang of each vCPU is over, and it is known why.
        JsonElement oldest = await UntilIncidentsAsync(program, incidents => incidents.Length == 512);
        JsonElement newest = (await program.Http.GetFromJsonAsync<JsonElement>("/api/v1/incidents?limit=1", Stop))
            .GetProperty("incidents")[0];
        ProgramResult replayed = await ProgramProcess.RunAsync(
            ["replay", newest.GetProperty("id").GetString()!, "--json"],
            new Dictionary<string, string> { ["Soak__DataDirectory"] = folder.Path });
        Assert.Equal((0, "linux-6.1"),
            (replayed.ExitCode, JsonDocument.Parse(replayed.Output).RootElement.GetProperty("kernel").GetString()));
        Assert.Equal($"kernel linux-6.1.y at tick {patched.GetProperty("tick")}", oldest.GetProperty("recovered_by").GetString());
    }

    [Fact]
    public async Task Migrating_one_vm_and_setting_a_counter_revive_and_hang_as_the_counter_says()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small());
        await program.UntilAsync(fleet => Hung(fleet) == 8, Patience);
        await PostAsync(program, "migrate", new { vm = 1 });
        await program.UntilAsync(fleet => Hung(fleet) == 4, Patience);
        await PostAsync(program, "counter", new { vm = 1, invalidate_seq = "2^31-100" });
        await program.UntilAsync(fleet => Hung(fleet) == 8, Patience);
        await PostAsync(program, "memslots", new { vm = 0 });
        await PostAsync(program, "pause", null);
        await PostAsync(program, "resume", null);
    }

    [Theory]
    [InlineData("control/kernel", """{"kernel":"linux-9"}""", 400, "kernel is \"linux-9\"; it must be one of linux-5.11, ")]
    [InlineData("control/kernel", """{"kernel":"linux-6.1.x"}""", 400, "did you mean \"linux-6.1.y\"?")]
    [InlineData("control/kernel", """{"kernel":"host"}""", 400, "kernel is \"host\"; it must be one of ")]
    [InlineData("control/kernel", "{}", 400, "kernel is missing")]
    [InlineData("control/kernel", """{"kernel":{}}""", 400, "kernel is an object; it must be one of ")]
    [InlineData("control/migrat", "{}", 404, "did you mean \"/api/v1/cohorts/control/migrate\"?")]
    [InlineData("control/kernel", "{", 400, "the body is not valid JSON: line 1, position 2")]
    [InlineData("control/pause", """{"vm":0}""", 400, "vm is unknown; known here are tick")]
    [InlineData("control/pause", """{"what":0}""", 400, "what is unknown")]
    [InlineData("control/migrate", """{"vm":2}""", 400, "has VMs 0 to 1")]
    [InlineData("control/migrate", """{"vm":"one"}""", 400, "vm is \"one\"; it must be a whole number from 0 to 999_999")]
    [InlineData("control/migrate", """{"vm":4294967296}""", 400, "vm is \"4294967296\"; it must be a whole number")]
    [InlineData("control/migrate", """{"vm":[1]}""", 400, "vm is a list; it must be a whole number")]
    [InlineData("control/migrate", """{"invalidate_sec":1}""", 400, "did you mean \"invalidate_seq\"?")]
    [InlineData("control/counter", """{"invalidate_seq":"2^65"}""", 400, "invalidate_seq is \"2^65\"; it must be ")]
    [InlineData("nobody/pause", "{}", 404, "there is no cohort \"nobody\"")]
    [InlineData("contrl/pause", "{}", 404, "did you mean \"control\"?")]
    [InlineData("control/resize", "{}", 400, "vms is missing")]
    [InlineData("control/resize", """{"vms":0}""", 400, "from 1 to 1_000_000")]
    [InlineData("control/resize", """{"vms":"2^20"}""", 400, "from 1 to 1_000_000")]
    [InlineData("control/resize", """{"vms":2}""", 400, "has 2 VMs already")]
    [InlineData("control/resize", """{"vms":1000000}""", 409, "too many")]
    [InlineData("", """{"kernel":"linux-6.1"}""", 400, "name is missing")]
    [InlineData("", """{"name":"A","kernel":"linux-9","vms":"many"}""", 400, "3 errors in the request")]
    [InlineData("", """{"name":"new","kernel":"host"}""", 400, "kernel is \"host\"; it must be one of ")]
    [InlineData("", """{"name":"new","kernel":"linux-6.1","cpus":4}""", 400, "cpus is unknown; did you mean \"vcpus\"?")]
    [InlineData("", """{"name":"new","kernel":"linux-6.1","pages":2,"range_pages":3}""", 400, "range_pages is 3; ")]
    [InlineData("", """{"name":"new","kernel":"linux-6.1","memslot_updates":"perhaps"}""", 400, "it must be true or false")]
    [InlineData("", """{"name":"control","kernel":"linux-6.1"}""", 409, "has, or had, a cohort")]
    [InlineData(
        "control/kernel", """{"kernel":"linux-6.9","kernel":"linux-6.1"}""", 400, "\"kernel\" is given twice in the body")]
    [InlineData("", "[]", 400, "the body must be a JSON object")]
    [InlineData("", "null", 400, "the body must be a JSON object")]
    [InlineData("control/destroy", "{}", 404, null)]
    public async Task What_cannot_be_done_is_a_problem_that_speaks_of_the_apis_fields(string path, string body, int status,
        string? detail)
    {
        using HttpResponseMessage response = await PostPatientlyAsync($"/api/v1/cohorts/{path}", body);
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        if (detail is null)
            return;
        string told = (await response.Content.ReadFromJsonAsync<JsonElement>(Stop)).GetProperty("detail").GetString()!;
        Assert.Contains(detail, told, StringComparison.Ordinal);
        Assert.DoesNotMatch(@"System\.|SoakHost\.|Int32|UInt64|\.NET|Path: \$", told);
    }

    [Fact]
    public async Task A_body_of_unknown_length_is_read_and_one_that_is_not_json_is_not_taken_for_none()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small());
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, await PostChunkedAsync("text/plain", """{"vm":1}"""));
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, await PostChunkedAsync(type: null, """{"vm":1}"""));
        Assert.Equal(HttpStatusCode.BadRequest, await PostChunkedAsync("application/json", """{"vm":99}"""));
        Assert.Equal(HttpStatusCode.OK, await PostChunkedAsync("application/json", """{"vm":1}"""));

        async Task<HttpStatusCode> PostChunkedAsync(string? type, string body)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/api/v1/cohorts/control/migrate");
            request.Content = new StringContent(body);
            request.Content.Headers.ContentType = type is null ? null : new(type);
            request.Headers.TransferEncodingChunked = true;
            using HttpResponseMessage response = await program.Http.SendAsync(request, Stop);
            return response.StatusCode;
        }
    }

    [Fact]
    public void Only_the_exceptions_of_interventions_have_a_status_and_every_other_is_a_defect()
    {
        Assert.Equal(400, InterventionEndpoints.StatusOf(new InvalidInterventionException("")));
        Assert.Equal(404, InterventionEndpoints.StatusOf(new NoSuchCohortException("x")));
        Assert.Equal(409, InterventionEndpoints.StatusOf(new InterventionConflictException("")));
        Assert.Equal(503, InterventionEndpoints.StatusOf(new StorageUnavailableException("")));
        Assert.Equal(503, InterventionEndpoints.StatusOf(new InterventionQueueException("")));
        Assert.Null(InterventionEndpoints.StatusOf(new InvalidOperationException()));
        Assert.Null(InterventionEndpoints.StatusOf(new ArgumentException("")));
        Assert.Null(InterventionEndpoints.StatusOf(new FormatException()));
    }

    [Fact]
    public async Task A_body_that_is_too_long_is_refused()
    {
        using HttpResponseMessage response = await PostPatientlyAsync("/api/v1/cohorts/control/pause",
            new string(' ', 300 * 1024));
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
    }

    [Fact]
    public async Task With_a_token_nobody_gets_in_without_it()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small(("Soak__ApiToken", Token)));
        Assert.Equal(HttpStatusCode.Unauthorized, await StatusAsync(program, token: null));
        Assert.Equal(HttpStatusCode.Unauthorized, await StatusAsync(program, Token[..^1]));
        Assert.Equal(HttpStatusCode.Unauthorized, await StatusAsync(program, Token + "x"));
        Assert.Equal(HttpStatusCode.OK, await StatusAsync(program, Token));
        Assert.Equal(HttpStatusCode.OK, (await program.Http.GetAsync("/api/v1/incidents", Stop)).StatusCode);
        Assert.DoesNotContain(program.Log, line => line.ToString().Contains(Token, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Without_a_token_pages_of_another_origin_are_refused_and_so_are_all_once_it_listens_beyond_loopback()
    {
        await using (ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small()))
        {
            Assert.Equal(HttpStatusCode.OK, await StatusAsync(program, token: null));
            Assert.Equal(HttpStatusCode.Forbidden, await StatusAsync(program, token: null, origin: "http://127.0.0.1"));
        }

        await using ProgramProcess open = await ProgramProcess.ServeAsync(Fleets.Small(),
            urls: "http://127.0.0.1:0;http://0.0.0.0:0");
        Assert.Equal(HttpStatusCode.Forbidden, await StatusAsync(open, token: null));
    }

    [Fact]
    public async Task More_interventions_than_a_person_requests_are_refused_for_a_while()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small(("Soak__TicksMax", "1024")));
        var statuses = new List<HttpStatusCode>();
        for (int i = 0; i < 40; i++)
            statuses.Add(await StatusAsync(program, token: null));
        Assert.Contains(HttpStatusCode.TooManyRequests, statuses);
        Assert.Contains(HttpStatusCode.Conflict, statuses);
    }

    [Fact]
    public async Task The_api_describes_itself_and_ctl_and_incidents_speak_it()
    {
        using var folder = new DataFolder();
        Dictionary<string, string> settings = Fleets.Small(
            ("Soak__ApiToken", Token), ("Soak__DataDirectory", folder.Path), ("Soak__CheckpointInterval", "50ms"));
        await using ProgramProcess program = await ProgramProcess.ServeAsync(settings);
        await program.UntilAsync(fleet => Hung(fleet) == 8, Patience);
        JsonElement description = await program.Http.GetFromJsonAsync<JsonElement>("/openapi/v1.json", Stop);
        JsonElement paths = description.GetProperty("paths");
        foreach (string kind in (string[])["kernel", "migrate", "pause", "resume", "memslots", "counter", "resize", "remove"])
            Assert.True(paths.GetProperty($"/api/v1/cohorts/{{name}}/{kind}").TryGetProperty("post", out _), kind);
        JsonElement added = paths.GetProperty("/api/v1/cohorts").GetProperty("post").GetProperty("requestBody")
            .GetProperty("content")
            .GetProperty("application/json").GetProperty("schema").GetProperty("properties");
        Assert.Equal(SimulatedCohortSettings.Table.Settings.Select(setting => setting.Field), added.EnumerateObject()
            .Select(field => field.Name));
        Assert.Equal("vCPUs of each VM (1 to 8)", added.GetProperty("vcpus").GetProperty("description").GetString());
        Assert.Equal("4", added.GetProperty("vcpus").GetProperty("default").GetString());
        JsonElement cohort = description.GetProperty("components").GetProperty("schemas").GetProperty("CohortDocument")
            .GetProperty("properties");
        Assert.Superset(
            Control(await program.Http.GetFromJsonAsync<JsonElement>("/api/v1/fleet", Stop)).EnumerateObject()
                .Select(property => property.Name).ToHashSet(),
            cohort.EnumerateObject().Select(property => property.Name).ToHashSet());
        foreach (string read in (string[])["incidents", "interventions", "fleet", "fleet/stream", "kernels", "timeline",
            "access"])
            Assert.NotEqual("", paths.GetProperty($"/api/v1/{read}").GetProperty("get").GetProperty("summary").GetString());

        string url = program.Http.BaseAddress!.ToString();
        ProgramResult told = await ProgramProcess.RunAsync(["ctl", "memslots", "control", "--vm", "1", "--url", url], settings);
        Assert.Equal((0, ""), (told.ExitCode, told.Error));
        Assert.Matches("^VM 1 of control: a memslot update began at tick [0-9]+\\.\n$", told.Output);
        ProgramResult done = await ProgramProcess.RunAsync(
            ["ctl", "kernel", "control", "linux-6.3", "--json", "--url", url], settings);
        Assert.Equal((0, ""), (done.ExitCode, done.Error));
        Assert.Equal("linux-6.3", JsonDocument.Parse(done.Output).RootElement.GetProperty("kernel").GetString());
        ProgramResult wrong = await ProgramProcess.RunAsync(["ctl", "kernel", "control", "linux-9", "--url", url], settings);
        Assert.Equal(64, wrong.ExitCode);
        Assert.Contains("kernel is \"linux-9\"; it must be one of ", wrong.Error, StringComparison.Ordinal);

        await UntilIncidentsAsync(program, incidents => incidents.Length == 8
            && incidents.All(incident => incident.GetProperty("recovered").ValueKind != JsonValueKind.Null));
        ProgramResult first = await ProgramProcess.RunAsync(
            ["incidents", "--json", "--limit", "5", "--data-directory", folder.Path]);
        JsonElement page = JsonDocument.Parse(first.Output).RootElement;
        Assert.Equal(5, page.GetProperty("incidents").GetArrayLength());
        ProgramResult second = await ProgramProcess.RunAsync(
            ["incidents", "--json", "--limit", "5", "--data-directory", folder.Path, "--before", page.GetProperty("next")
                .ToString()]);
        ProgramResult table = await ProgramProcess.RunAsync(["incidents", "--data-directory", folder.Path]);
        Assert.Matches(@"hang:control/[01]/[0-3]@[0-9]+ +control +linux-6\.1 +as expected ", table.Output);
        JsonElement rest = JsonDocument.Parse(second.Output).RootElement;
        Assert.Equal(3, rest.GetProperty("incidents").GetArrayLength());
        Assert.Equal(JsonValueKind.Null, rest.GetProperty("next").ValueKind);
    }

    private static JsonElement Control(JsonElement fleet) => fleet.GetProperty("cohorts").EnumerateArray()
        .FirstOrDefault(cohort => cohort.GetProperty("name").GetString() == "control");

    private static int Hung(JsonElement fleet) =>
        Control(fleet) is { ValueKind: JsonValueKind.Object } control ? control.GetProperty("vcpus_hung").GetInt32() : -1;

    private static async Task<JsonElement> PostAsync(ProgramProcess program, string kind, object? body)
    {
        using HttpResponseMessage response = await program.Http.PostAsJsonAsync($"/api/v1/cohorts/control/{kind}", body
            ?? new { }, Stop);
        string text = await response.Content.ReadAsStringAsync(Stop);
        Assert.True(response.IsSuccessStatusCode, text);
        return JsonDocument.Parse(text).RootElement;
    }

    /// <summary>These tests come faster one after the other than the service takes interventions.</summary>
    private async Task<HttpResponseMessage> PostPatientlyAsync(string path, string body)
    {
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(200));
        while (true)
        {
            using var content = new StringContent(body, null, "application/json");
            HttpResponseMessage response = await small.Program.Http.PostAsync(path, content, Stop);
            if (response.StatusCode != HttpStatusCode.TooManyRequests)
                return response;
            response.Dispose();
            await pace.WaitForNextTickAsync(Stop);
        }
    }

    private static async Task<HttpStatusCode> StatusAsync(ProgramProcess program, string? token, string? origin = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/api/v1/cohorts/control/pause");
        if (token is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        if (origin is not null)
            request.Headers.Add("Origin", origin);
        using HttpResponseMessage response = await program.Http.SendAsync(request, Stop);
        return response.StatusCode;
    }

    /// <summary>Asks for incidents until they are as wanted; returns the oldest.</summary>
    private static async Task<JsonElement> UntilIncidentsAsync(ProgramProcess program, Func<JsonElement[], bool> areWanted)
    {
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        using var patience = new CancellationTokenSource(Patience);
        while (true)
        {
            JsonElement page = await program.Http.GetFromJsonAsync<JsonElement>("/api/v1/incidents?limit=1000", Stop);
            JsonElement[] incidents = [.. page.GetProperty("incidents").EnumerateArray()];
            if (areWanted(incidents))
                return incidents[^1];
            await pace.WaitForNextTickAsync(patience.Token);
        }
    }
}
