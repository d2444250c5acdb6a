using System.Net;
using System.Text.Json;

namespace SoakHost.Tests.Service;

public class ServiceTests(SmallService service)
{
    private readonly ProgramProcess _program = service.Program;

    [Fact]
    public void The_fleets_report_is_in_snake_case_with_counters_in_hex()
    {
        JsonElement fleet = service.Fleet;
        Assert.Equal("0x1", fleet.GetProperty("seed").GetString());
        Assert.True(fleet.GetProperty("operations").GetInt64() > 0);
        JsonElement control = fleet.GetProperty("cohorts")[0];
        Assert.Equal("control", control.GetProperty("name").GetString());
        Assert.Equal("hang", control.GetProperty("expect").GetString());
        Assert.True(control.GetProperty("crossings").GetProperty("2^31").GetInt64() > 0);
        Assert.StartsWith("0x8", control.GetProperty("invalidate_seq").GetProperty("min").GetString(), StringComparison.Ordinal);
        JsonElement stall = control.GetProperty("stalled")[0];
        Assert.Equal("hung", stall.GetProperty("state").GetString());
        Assert.StartsWith("0xffffffff8", stall.GetProperty("snapshot").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_running_service_is_live_and_ready()
    {
        Assert.Equal("{\"status\":\"live\"}", await GetAsync("/health/live"));
        Assert.StartsWith("{\"status\":\"ready\",\"reasons\":[],", await GetAsync("/health/ready"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_not_there_is_told_as_a_problem()
    {
        using HttpResponseMessage response = await _program.Http.GetAsync("/nothing", TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType!.MediaType);
    }

    [Fact]
    public void The_log_is_an_object_a_line_with_stable_event_ids()
    {
        string[] events =
        [
            .. _program.Log.Select(line =>
                $"{line.GetProperty("EventId").GetProperty("Id")} {line.GetProperty("EventId").GetProperty("Name")}"),
        ];
        foreach (
            string known in (string[])
                ["1000 Listening", "1001 SoakStarted", "1003 BoundaryCrossed", "1004 VerdictChanged", "2001 VcpuHung"])
            Assert.Contains(known, events);

        JsonElement hung = _program.Log.First(line => line.GetProperty("EventId").GetProperty("Id").GetInt32() == 2001);
        Assert.Equal(("control", "linux-6.1"), (hung.GetProperty("Cohort").GetString(), hung.GetProperty("Kernel").GetString()));
        Assert.StartsWith("0x8", hung.GetProperty("InvalidateSeq").GetString(), StringComparison.Ordinal);
        Assert.StartsWith("0xffffffff8", hung.GetProperty("Snapshot").GetString(), StringComparison.Ordinal);
        foreach (string number in (string[])["Vm", "Vcpu", "Page"])
            Assert.Equal(JsonValueKind.Number, hung.GetProperty(number).ValueKind);
    }

    private Task<string> GetAsync(string path) => _program.Http.GetStringAsync(path, TestContext.Current.CancellationToken);
}
