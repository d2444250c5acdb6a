using System.Diagnostics;
using System.Text.Json;
using SoakHost.Tests.Commands;

namespace SoakHost.Tests.Service;

/// <summary>Real VMs in the service, beside simulated ones; skipped where there is no KVM.</summary>
public class HostCohortServiceTests
{
    private const string Labels = "cohort=\"here\",kernel=\"host\"";

    [Fact]
    public async Task Real_VMs_cross_their_boundary_beside_simulated_ones_through_the_same_metrics_and_verdicts()
    {
        HostKernelCommandTests.SkipUnlessItWorks();
        await using ProgramProcess program = await ServeAsync(until: "600_000");
        JsonElement fleet = await program.UntilAsync(
            fleet => fleet.GetProperty("reasons").EnumerateArray().Any(
                reason => reason.GetProperty("sentence").GetString()!.Contains("ends below 2^31", StringComparison.Ordinal)),
            TimeSpan.FromMinutes(5));

        JsonElement here = fleet.GetProperty("cohorts")[2];
        Assert.Equal(
            ("host", 2, "inconclusive"),
            (
                here.GetProperty("kernel").GetString(),
                here.GetProperty("vcpus").GetInt32(),
                here.GetProperty("verdict").GetString()));
        Assert.NotEqual("", here.GetProperty("host").GetProperty("kernel_release").GetString());
        Assert.False(fleet.GetProperty("cohorts")[0].TryGetProperty("host", out _));
        Assert.Equal(1, await program.MetricAsync($"soakhost_boundary_crossings_total{{{Labels},boundary=\"400000\"}}"));
        Assert.Equal(0, await program.MetricAsync($"soakhost_boundary_crossings_total{{{Labels},boundary=\"2^31\"}}"));
        Assert.Equal(1, await program.MetricAsync($"soakhost_verdict{{{Labels},expect=\"progress\",verdict=\"inconclusive\"}}"));
        Assert.Equal(2, await program.MetricAsync($"soakhost_vcpus{{{Labels},expect=\"progress\",state=\"running\"}}"));
        Assert.True(await program.MetricAsync($"soakhost_invalidate_seq{{{Labels},stat=\"min\"}}") >= 600_000);
        Assert.True(await program.MetricAsync($"soakhost_faults_total{{{Labels},outcome=\"fixed\"}}") > 0);
        Assert.True(await program.MetricAsync($"soakhost_guest_accesses_total{{{Labels}}}") > 0);
        Assert.Contains(program.Log, line =>
            line.GetProperty("EventId").GetProperty("Id").GetInt32() == 1003 && line.GetProperty("Cohort").GetString() == "here"
            && line.GetProperty("Boundary").GetString() == "400000");
        Assert.StartsWith(
            "{\"status\":\"ready\"",
            await program.Http.GetStringAsync("/health/ready", TestContext.Current.CancellationToken),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_crossing_that_is_still_to_come_has_its_time_and_a_stop_before_it_is_quick_and_told()
    {
        HostKernelCommandTests.SkipUnlessItWorks();
        await using ProgramProcess program = await ServeAsync(until: "2^40");
        await program.UntilAsync(Expected, TimeSpan.FromMinutes(5));
        double now = (TimeProvider.System.GetUtcNow() - DateTimeOffset.UnixEpoch).TotalSeconds;
        string series = $"soakhost_boundary_expected_crossing_timestamp_seconds{{{Labels},boundary=\"2^31\"}}";

        Assert.True(await program.MetricAsync(series) > now);
        Assert.Null(await program.MetricAsync(series.Replace("2^31", "400000", StringComparison.Ordinal)));
        long asked = Stopwatch.GetTimestamp();
        program.Terminate();
        ProgramResult result = await program.EndAsync();
        Assert.True(Stopwatch.GetElapsedTime(asked) < TimeSpan.FromSeconds(5));
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("a VM cannot be resumed", result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain(program.Log, line => line.GetProperty("EventId").GetProperty("Id").GetInt32() == 3003);

        static bool Expected(JsonElement fleet) =>
            fleet.GetProperty("cohorts") is var cohorts && cohorts.GetArrayLength() == 3
            && cohorts[2].GetProperty("invalidations").GetInt64() > 400_000
            && cohorts[2].GetProperty("host").GetProperty("expected_crossings") is var expected
            && expected.TryGetProperty("2^31", out _) && !expected.TryGetProperty("400000", out _);
    }

    internal static Task<ProgramProcess> ServeAsync(string until) => ProgramProcess.ServeAsync(Fleets.Small(
        ("Soak__DutyCycle", "0.5"),
        ("Soak__Fleet__2__Name", "here"),
        ("Soak__Fleet__2__Kernel", "host"),
        ("Soak__Fleet__2__Host__Until", until),
        ("Soak__Fleet__2__Host__Boundaries__0", "400_000"),
        ("Soak__Fleet__2__Host__Boundaries__1", "2^31"),
        ("Soak__Fleet__2__Host__BoundaryWindow", "150_000")));
}
