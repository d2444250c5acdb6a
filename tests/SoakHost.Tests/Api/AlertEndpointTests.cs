using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using SoakHost.Tests.Service;

namespace SoakHost.Tests.Api;

public class AlertEndpointTests(SmallService service)
{
    private const string OneFiring = """
        {
          "version": "4", "groupKey": "{}", "status": "firing", "receiver": "critical", "truncatedAlerts": 0,
          "alerts": [
            {
              "status": "firing",
              "labels": { "alertname": "VcpuHung", "cohort": "stable", "vm": "17", "vcpu": "2" },
              "annotations": { "summary": "vCPU 2 of VM 17 is hung\nforged line" },
              "startsAt": "2026-01-01T00:00:00Z"
            }
          ]
        }
        """;

    private readonly ProgramProcess _program = service.Program;

    [Fact]
    public async Task An_alert_is_logged_and_counted()
    {
        double? before = await _program.MetricAsync("soakhost_alerts_received_total{status=\"firing\"}");

        using HttpResponseMessage response = await PostAsync(OneFiring);

        Assert.Equal(HttpStatusCode.NoContent, response.StatusCode);
        Assert.True(await _program.MetricAsync("soakhost_alerts_received_total{status=\"firing\"}") > before);
        JsonElement line = _program.Log.First(line => line.GetProperty("EventId").GetProperty("Id").GetInt32() == 4001);
        Assert.Equal(
            ["firing", "VcpuHung", "stable", "17", "2", "vCPU 2 of VM 17 is hung\\u000aforged line"],
            ((string[])["Status", "AlertName", "Cohort", "Vm", "Vcpu", "Summary"]).Select(key =>
                line.GetProperty(key).GetString()));
    }

    [Fact]
    public async Task Where_a_token_is_set_a_notification_needs_it_and_too_many_are_refused_for_a_while()
    {
        const string Token = "token-of-alertmanager";
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small(("Soak__AlertToken", Token)));
        Assert.Equal(HttpStatusCode.Unauthorized, await StatusAsync(null));
        Assert.Equal(HttpStatusCode.Unauthorized, await StatusAsync("another-token-of-somebody"));
        List<HttpStatusCode> statuses = [];
        for (int i = 0; i < 100; i++)
            statuses.Add(await StatusAsync(Token));
        Assert.Equal(HttpStatusCode.NoContent, statuses[0]);
        Assert.Contains(HttpStatusCode.TooManyRequests, statuses);

        async Task<HttpStatusCode> StatusAsync(string? token)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/api/v1/alerts")
            {
                Content = new StringContent(OneFiring, Encoding.UTF8, "application/json"),
            };
            if (token is not null)
                request.Headers.Add("Authorization", $"Bearer {token}");
            using HttpResponseMessage response = await program.Http.SendAsync(request, TestContext.Current.CancellationToken);
            return response.StatusCode;
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("{\"version\":\"3\",\"alerts\":[]}")]
    [InlineData("{\"version\":4,\"alerts\":[]}")]
    [InlineData("{\"version\":\"4\",\"alerts\":[null]}")]
    [InlineData("{\"version\":\"4\",\"alerts\":[{\"status\":\"melting\"}]}")]
    [InlineData("{\"version\":\"4\",\"alerts\":[{\"status\":\"firing\",\"labels\":{\"vm\":3}}]}")]
    public async Task What_is_no_notification_is_a_problem(string body)
    {
        using HttpResponseMessage response = await PostAsync(body);
        await AssertProblemAsync(HttpStatusCode.BadRequest, response);
    }

    [Fact]
    public async Task A_body_that_is_too_long_is_a_problem()
    {
        using HttpResponseMessage response = await PostAsync(
            $"{{\"version\":\"4\",\"status\":\"{new string('x', 256 * 1024)}\"}}");
        await AssertProblemAsync(HttpStatusCode.RequestEntityTooLarge, response);
    }

    [Fact]
    public async Task Too_many_alerts_at_once_are_a_problem()
    {
        string alerts = string.Join(',', Enumerable.Repeat("{\"status\":\"firing\"}", 1001));
        using HttpResponseMessage response = await PostAsync($"{{\"version\":\"4\",\"alerts\":[{alerts}]}}");
        await AssertProblemAsync(HttpStatusCode.BadRequest, response);
    }

    [Fact]
    public async Task Deeply_nested_json_is_a_problem()
    {
        using HttpResponseMessage response = await PostAsync($"{{\"x\":{new string('[', 100_000)}");
        await AssertProblemAsync(HttpStatusCode.BadRequest, response);
    }

    [Fact]
    public async Task Text_that_a_browser_would_send_for_anyone_is_a_problem()
    {
        using HttpResponseMessage response = await PostAsync(OneFiring, "text/plain");
        await AssertProblemAsync(HttpStatusCode.UnsupportedMediaType, response);
    }

    private async Task<HttpResponseMessage> PostAsync(string body, string type = "application/json")
    {
        using var content = new StringContent(body, Encoding.UTF8, type);
        return await _program.Http.PostAsync("/api/v1/alerts", content, TestContext.Current.CancellationToken);
    }

    private static async Task AssertProblemAsync(HttpStatusCode status, HttpResponseMessage response)
    {
        string body = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.Equal(
            (status, "application/problem+json"),
            (response.StatusCode, response.Content.Headers.ContentType?.MediaType));
        Assert.Contains($"\"status\":{((int)status).ToString(CultureInfo.InvariantCulture)}", body, StringComparison.Ordinal);
    }
}
