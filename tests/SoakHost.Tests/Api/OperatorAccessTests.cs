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
        (string? interventions, string? reason) = await AccessAsync(service.Program, "evil.example");
        Assert.Equal("refused", interventions);
        Assert.Contains("localhost", reason, StringComparison.Ordinal);

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

    private static async Task<HttpStatusCode> InterveneAsync(
        ProgramProcess program,
        string host,
        string? origin,
        string? site,
        string? body = null,
        string type = "application/json",
        string? token = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/api/v1/cohorts/control/resume");
        request.Headers.Host = host;
        if (origin is not null)
            request.Headers.TryAddWithoutValidation("Origin", origin);
        if (site is not null)
            request.Headers.Add("Sec-Fetch-Site", site);
        if (token is not null)
            request.Headers.Add("Authorization", $"Bearer {token}");
        if (body is not null)
            request.Content = new StringContent(body, Encoding.UTF8, type);
        using HttpResponseMessage response = await program.Http.SendAsync(request, Stop);
        return response.StatusCode;
    }

    private static async Task<(string? Interventions, string? Reason)> AccessAsync(ProgramProcess program, string host)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/api/v1/access");
        request.Headers.Host = $"{host}:{program.Http.BaseAddress!.Port}";
        using HttpResponseMessage response = await program.Http.SendAsync(request, Stop);
        JsonElement access = JsonDocument.Parse(await response.Content.ReadAsStringAsync(Stop)).RootElement;
        return (access.GetProperty("interventions").GetString(), access.GetProperty("reason").GetString());
    }
}
