using System.Text.Json;

namespace SoakHost.Tests.Service;

/// <summary>What appsettings.json brings: the first thing that a new user sees.</summary>
public class DefaultFleetTests
{
    // Well within 60 s on two cores of its own; other tests may run beside this one.
    private static readonly TimeSpan CrossedWithin = TimeSpan.FromSeconds(120);

    [Fact]
    public async Task The_control_hangs_and_every_other_cohort_crosses_the_boundary_unharmed()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync();

        JsonElement fleet = await program.UntilAsync(
            fleet => fleet.GetProperty("verdict").GetString() != "inconclusive",
            CrossedWithin);

        Assert.Equal("pass", fleet.GetProperty("verdict").GetString());
        foreach (JsonElement cohort in fleet.GetProperty("cohorts").EnumerateArray())
        {
            string series = $"cohort=\"{cohort.GetProperty("name")}\",kernel=\"{cohort.GetProperty("kernel")}\"";
            bool isControl = cohort.GetProperty("name").GetString() == "control";
            string expect = isControl ? "hang" : "progress";
            Assert.True(await program.MetricAsync($"soakhost_boundary_crossings_total{{{series},boundary=\"2^31\"}}") > 0);
            Assert.Equal(
                isControl,
                await program.MetricAsync($"soakhost_vcpus{{{series},expect=\"{expect}\",state=\"hung\"}}") > 0);
            Assert.Equal(isControl, await program.MetricAsync($"soakhost_unjustified_retries_total{{{series}}}") > 0);
            Assert.Equal(0, await program.MetricAsync($"soakhost_unsafe_installs_total{{{series}}}"));
        }

        Assert.Equal(["control", "stable", "fault-snapshot", "lockless", "lts"], Names(fleet));
    }

    [Fact]
    public async Task One_key_of_one_entry_can_be_set_from_the_environment()
    {
        await using ProgramProcess program = await ProgramProcess.ServeAsync(
            new Dictionary<string, string> { ["Soak__Fleet__1__Kernel"] = "linux-6.1" });

        JsonElement fleet = await program.UntilAsync(
            fleet => fleet.GetProperty("verdict").GetString() == "violation"
                && fleet.GetProperty("cohorts").GetArrayLength() == 5,
            CrossedWithin);

        Assert.Equal(["control", "stable", "fault-snapshot", "lockless", "lts"], Names(fleet));
        JsonElement stable = fleet.GetProperty("cohorts")[1];
        Assert.Equal(
            ("linux-6.1", "progress", "violation"),
            (Text(stable, "kernel"), Text(stable, "expect"), Text(stable, "verdict")));
        Assert.Equal(256, stable.GetProperty("vms").GetInt32());
    }

    private static IEnumerable<string?> Names(JsonElement fleet) =>
        fleet.GetProperty("cohorts").EnumerateArray().Select(cohort => Text(cohort, "name"));

    private static string? Text(JsonElement element, string key) => element.GetProperty(key).GetString();
}
