using System.Net;
using System.Text;
using System.Text.Json;
using SoakHost.Tests.Service;

namespace SoakHost.Tests.Api;

/// <summary>Which pages may operate the fleet, and what they are told before they try.</summary>
public sealed class OperatorAccessTests(OperatedService service) : IClassFixture<OperatedService>
{
    private const string Token = "correct-horse-battery";

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("127.0.0.1", null, true)]
    [InlineData("127.0.0.1", "same-origin", true)]
    [InlineData("localhost", "same-origin", true)]
    [InlineData("LOCALHOST", "same-origin", true)]
    [InlineData("[::1]", "same-origin", true)]
    [InlineData("127.0.0.1", "cross-site", false)]
    [InlineData("127.0.0.1", "same-site", false)]
    [InlineData("evil.example", "same-origin", false)]
    [InlineData("localhost.evil.example", null, false)]
    [InlineData("127.0.0.1.evil.example", null, false)]
    public async Task The_services_own_page_may_operate_unless_it_was_opened_under_somebody_elses_name(
        string host,
        string? site,
        bool isAllowed)
    {
        string authority = $"{host}:{service.Program.Http.BaseAddress!.Port}";
        Assert.Equal(
            isAllowed ? HttpStatusCode.OK : HttpStatusCode.Forbidden,
            await InterveneAsync(service.Program, authority, $"http://{authority}", site));
    }

    [Theory]
    [InlineData("http://127.0.0.1")]
    [InlineData("http://127.0.0.1:1")]
    [InlineData("https://127.0.0.1:{0}")]
    [InlineData("http://localhost:{0}")]
    [InlineData("http://evil.example:{0}")]
    [InlineData("http://127.0.0.1:{0}.evil.example")]
    [InlineData("null")]
    [InlineData("")]
    public async Task Another_page_in_the_same_browser_may_not_even_without_a_body(string origin)
    {
        int port = service.Program.Http.BaseAddress!.Port;
        string given = origin.Replace("{0}", $"{port}", StringComparison.Ordinal);
        foreach (string? body in (string?[])[null, "", "{}"])
            Assert.Equal(
                HttpStatusCode.Forbidden,
                await InterveneAsync(service.Program, $"127.0.0.1:{port}", given, "same-origin", body));
    }

    [Fact]
    public async Task A_browser_that_leaves_the_origin_out_is_no_program() =>
        Assert.Equal(
            HttpStatusCode.Forbidden,
            await InterveneAsync(
                service.Program,
                $"127.0.0.1:{service.Program.Http.BaseAddress!.Port}",
                origin: null,
                "cross-site"));

    [Theory]
    [InlineData("text/plain")]
    [InlineData("application/x-www-form-urlencoded")]
    [InlineData("multipart/form-data")]
    public async Task A_body_is_to_be_json_from_the_services_own_page_too(string type)
    {
        string authority = $"127.0.0.1:{service.Program.Http.BaseAddress!.Port}";
        Assert.Equal(
            HttpStatusCode.UnsupportedMediaType,
            await InterveneAsync(service.Program, authority, $"http://{authority}", "same-origin", "{}", type));
    }

    [Fact]
    public async Task The_page_is_told_what_it_may_do()
    {
        Assert.Equal(("open", null), await AccessAsync(service.Program, "localhost"));
        (string? interventions, string? reason) = await AccessAsync(service.Program, "localhost", "X-Forwarded-For");
        Assert.Equal("refused", interventions);
        Assert.Contains("X-Forwarded-For", reason, StringComparison.Ordinal);

        await using (ProgramProcess guarded = await ProgramProcess.ServeAsync(Fleets.Small(("Soak__ApiToken", Token))))
        {
            (interventions, reason) = await AccessAsync(guarded, "localhost");
            Assert.Equal("token", interventions);
            Assert.Contains("Soak:ApiToken", reason, StringComparison.Ordinal);

            // Whoever has the token may be any program; the page sends it like any other.
            string authority = $"127.0.0.1:{guarded.Http.BaseAddress!.Port}";
            Assert.Equal(
                HttpStatusCode.Unauthorized,
                await InterveneAsync(guarded, authority, $"http://{authority}", "same-origin"));
            Assert.Equal(
                HttpStatusCode.OK,
                await InterveneAsync(guarded, authority, $"http://{authority}", "same-origin", token: Token));
        }

        await using ProgramProcess open = await ProgramProcess.ServeAsync(
            Fleets.Small(),
            urls: "http://127.0.0.1:0;http://0.0.0.0:0");
        (interventions, reason) = await AccessAsync(open, "localhost");
        Assert.Equal("refused", interventions);
        Assert.Contains("beyond loopback", reason, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/api/v1/fleet")]
    [InlineData("/api/v1/incidents")]
    [InlineData("/metrics")]
    [InlineData("/")]
    public async Task Where_only_loopback_listens_nothing_is_read_under_a_name_that_is_not_this_machines(string path)
    {
        int port = service.Program.Http.BaseAddress!.Port;
        Assert.Equal(HttpStatusCode.Forbidden, await GetAsync(service.Program, path, $"evil.example:{port}"));
        Assert.Equal(HttpStatusCode.Forbidden, await GetAsync(service.Program, path, "127.0.0.1.evil.example"));
        foreach (string host in (string[])["localhost", "127.0.0.1", "[::1]", "127.0.0.2"])
            Assert.Equal(HttpStatusCode.OK, await GetAsync(service.Program, path, $"{host}:{port}"));
        Assert.Equal(HttpStatusCode.OK, await GetAsync(service.Program, "/health/live", "evil.example"));
    }

    [Fact]
    public async Task Names_of_a_proxy_can_be_allowed_and_beyond_loopback_any_name_may_be()
    {
        await using (ProgramProcess proxied = await ProgramProcess.ServeAsync(
            Fleets.Small(("Soak__HostNames__0", "soak.example.org"))))
        {
            Assert.Equal(HttpStatusCode.OK, await GetAsync(proxied, "/api/v1/fleet", "soak.example.org"));
            Assert.Equal(HttpStatusCode.Forbidden, await GetAsync(proxied, "/api/v1/fleet", "evil.example"));
        }

        await using ProgramProcess open = await ProgramProcess.ServeAsync(
            Fleets.Small(), urls: "http://127.0.0.1:0;http://0.0.0.0:0");
        Assert.Equal(HttpStatusCode.OK, await GetAsync(open, "/api/v1/fleet", "any.example"));
    }

    [Theory]
    [InlineData("Forwarded", "for=192.0.2.1")]
    [InlineData("X-Forwarded-For", "127.0.0.1")]
    [InlineData("X-Real-IP", "192.0.2.1")]
    [InlineData("Via", "1.1 proxy")]
    public async Task A_request_that_a_proxy_forwarded_is_not_local(string header, string value)
    {
        string authority = $"127.0.0.1:{service.Program.Http.BaseAddress!.Port}";
        Assert.Equal(
            HttpStatusCode.Forbidden,
            await InterveneAsync(service.Program, authority, origin: null, site: null, header: (header, value)));
    }

    [Fact]
    public async Task An_intervention_is_recorded_and_logged_with_who_asked_for_it()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small(
            ("Soak__ApiToken", Token), ("Soak__ApiTokens__0", "alice:alices-own-secret-1"),
            ("Soak__ApiTokens__1", "ci:secret-of-the-ci-1")));
        string authority = $"127.0.0.1:{program.Http.BaseAddress!.Port}";
        foreach (string token in (string[])[Token, "alices-own-secret-1", "secret-of-the-ci-1"])
        {
            Assert.Equal(
                HttpStatusCode.OK,
                await InterveneAsync(
                    program, authority, null, null, token: token, header: ("User-Agent", new string('a', 500))));
        }

        using JsonDocument page = JsonDocument.Parse(await program.Http.GetStringAsync("/api/v1/interventions", Stop));
        JsonElement[] by = [.. page.RootElement.GetProperty("interventions").EnumerateArray()
            .Select(each => each.GetProperty("requested_by"))];
        Assert.Equal(["ci", "alice", "default"], by.Select(each => each.GetProperty("name").GetString()));
        Assert.All(by, each => Assert.Equal("127.0.0.1", each.GetProperty("address").GetString()));
        Assert.All(by, each => Assert.InRange(each.GetProperty("user_agent").GetString()!.Length, 100, 140));
        Assert.Contains(
            program.Log, line => line.TryGetProperty("Requester", out JsonElement requester) && requester.GetString() == "alice");
        Assert.DoesNotContain(program.Log, line => line.ToString().Contains("secret", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Refusals_are_logged_counted_and_slowed_down_and_whoever_has_a_token_is_not()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small(("Soak__ApiToken", Token)));
        string authority = $"127.0.0.1:{program.Http.BaseAddress!.Port}";
        List<HttpStatusCode> statuses = [];
        for (int i = 0; i < 130; i++)
            statuses.Add(await InterveneAsync(program, authority, null, null, token: $"wrong-token-number-{i}"));
        Assert.Equal(HttpStatusCode.Unauthorized, statuses[0]);
        Assert.Contains(HttpStatusCode.TooManyRequests, statuses);
        Assert.Equal(HttpStatusCode.OK, await InterveneAsync(program, authority, null, null, token: Token));

        double? refused = await program.MetricAsync("soakhost_requests_refused_total{status=\"401\"}");
        Assert.Equal(statuses.Count(status => status == HttpStatusCode.Unauthorized), refused);
        Assert.Equal(130 - refused, await program.MetricAsync("soakhost_requests_refused_total{status=\"429\"}"));
        JsonElement[] lines = [.. program.Log.Where(line => line.GetProperty("EventId").GetProperty("Id").GetInt32() == 3030)];
        Assert.InRange(lines.Length, 1, 20);
        Assert.Equal("127.0.0.1", lines[0].GetProperty("Address").GetString());
        Assert.DoesNotContain(program.Log, line => line.ToString().Contains("wrong-token", StringComparison.Ordinal));
    }

    private static async Task<HttpStatusCode> GetAsync(ProgramProcess program, string path, string host)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.Host = host;
        using HttpResponseMessage response = await program.Http.SendAsync(request, Stop);
        return response.StatusCode;
    }

    private static async Task<HttpStatusCode> InterveneAsync(
        ProgramProcess program,
        string host,
        string? origin,
        string? site,
        string? body = null,
        string type = "application/json",
        string? token = null,
        (string Name, string Value)? header = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/api/v1/cohorts/control/resume");
        request.Headers.Host = host;
        if (origin is not null)
            request.Headers.TryAddWithoutValidation("Origin", origin);
        if (site is not null)
            request.Headers.Add("Sec-Fetch-Site", site);
        if (header is { } more)
            request.Headers.TryAddWithoutValidation(more.Name, more.Value);
        if (token is not null)
            request.Headers.Add("Authorization", $"Bearer {token}");
        if (body is not null)
            request.Content = new StringContent(body, Encoding.UTF8, type);
        using HttpResponseMessage response = await program.Http.SendAsync(request, Stop);
        return response.StatusCode;
    }

    private static async Task<(string? Interventions, string? Reason)> AccessAsync(
        ProgramProcess program, string host, string? forwarded = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/api/v1/access");
        request.Headers.Host = $"{host}:{program.Http.BaseAddress!.Port}";
        if (forwarded is not null)
            request.Headers.Add(forwarded, "192.0.2.1");
        using HttpResponseMessage response = await program.Http.SendAsync(request, Stop);
        JsonElement access = JsonDocument.Parse(await response.Content.ReadAsStringAsync(Stop)).RootElement;
        return (access.GetProperty("interventions").GetString(), access.GetProperty("reason").GetString());
    }
}
