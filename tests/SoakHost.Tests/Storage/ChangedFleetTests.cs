using System.Text;
using System.Text.Json;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Storage;

namespace SoakHost.Tests.Storage;

/// <summary>A fleet whose cohorts are added, resized and removed over the API, by a service that is killed in between.</summary>
public sealed class ChangedFleetTests
{
    private const long TicksMax = 1024 * 400;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Changed_and_killed_it_goes_on_as_it_was_changed_to_and_ends_as_one_to_which_nothing_else_happened()
    {
        using var folder = new DataFolder();
        Dictionary<string, string> settings = Settings(folder);
        await using (ProgramProcess program = await ProgramProcess.ServeAsync(settings))
        {
            await program.UntilAsync(
                fleet => Cohort(fleet, "control") is { } control && control.GetProperty("vcpus_hung").GetInt32() == 264,
                Patience);
            await PostAsync(
                program,
                "",
                """{ "name": "late", "kernel": "linux-6.1", "vms": 65, "vcpus": 2, """
                    + """ "invalidate_seq_start": "2^31-500", "expect": "hang" }""");
            await PostAsync(program, "/control/resize", """{ "vms": 10 }""");
            await PostAsync(program, "/healthy/remove", "{}");
            await PostAsync(program, "/control/resize", """{ "vms": 100 }""");

            // Of a VM with the number of one that the first shard had; that shard is not to mind, though it may come to it after
            // a kill.
            await PostAsync(program, "/control/migrate", """{ "vm": 30 }""");
            JsonElement changed = await program.UntilAsync(
                fleet =>
                    Cohort(fleet, "late") is { } late
                    && late.GetProperty("vcpus_hung").GetInt32() == 130
                    && Cohort(fleet, "control")!.Value is var control
                    && control.GetProperty("vms").GetInt32() == 100,
                Patience);
            Assert.Equal(
                "healthy",
                Assert.Single(changed.GetProperty("removed").EnumerateArray()).GetProperty("name").GetString());
            string metrics = await program.Http.GetStringAsync("/metrics", TestContext.Current.CancellationToken);
            Assert.Contains(
                "soakhost_interventions_total{cohort=\"healthy\",kind=\"remove\"} 1",
                metrics,
                StringComparison.Ordinal);
            Assert.Contains("soakhost_interventions_total{cohort=\"late\",kind=\"add\"} 1", metrics, StringComparison.Ordinal);
            Assert.Contains(
                "soakhost_vms{cohort=\"control\",kernel=\"linux-6.1\",expect=\"hang\",kind=\"simulated\"} 100",
                metrics,
                StringComparison.Ordinal);
            Assert.DoesNotContain("soakhost_vms{cohort=\"healthy\"", metrics, StringComparison.Ordinal);
            Assert.Equal(5, DataDirectoryTests.Events(program, 1012).Count());
            program.Kill();
            await program.EndAsync();
        }

        for (int kill = 0; kill < 4; kill++)
        {
            await using ProgramProcess program = await ProgramProcess.ServeAsync(settings);
            JsonElement fleet = await program.UntilAsync(fleet => fleet.GetProperty("cohorts").GetArrayLength() == 2, Patience);
            Assert.Equal(
                ["control", "late"],
                fleet.GetProperty("cohorts").EnumerateArray().Select(cohort => cohort.GetProperty("name").GetString()));
            await folder.NextCommitAsync(Patience);
            program.Kill();
            await program.EndAsync();
        }

        await using (ProgramProcess program = await ProgramProcess.ServeAsync(settings))
        {
            await program.UntilAsync(
                fleet => fleet.GetProperty("is_done").GetBoolean(), Patience);
            JsonElement interventions = JsonDocument.Parse(
                await program.Http.GetStringAsync("/api/v1/interventions", TestContext.Current.CancellationToken)).RootElement;
            Assert.Equal(
                ["migrate", "resize", "remove", "resize", "add"],
                interventions
                    .GetProperty("interventions")
                    .EnumerateArray()
                    .Select(intervention => intervention.GetProperty("kind").GetString()));
            program.Terminate();
            Assert.Equal(0, (await program.EndAsync()).ExitCode);
        }

        (IReadOnlyList<string> states, IReadOnlyList<string> incidents) = Straight(folder);
        Assert.Equal(states, folder.FinalStates());
        Assert.Equal(
            incidents,
            folder.Rows("SELECT cohort, vm, vcpu, tick FROM incidents WHERE kind = 'VcpuHung'").Order(StringComparer.Ordinal));

        // The vCPUs of VMs that went were hung to the end, and are no more.
        Assert.Equal(
            [$"{(66 - 10) * 4}"],
            folder.Rows("SELECT count(*) FROM incidents WHERE cohort = 'control' AND recovered_by LIKE 'resize at tick %'"));

        // Incidents of a cohort that was added, and of a VM that has another one's number, are told again by their ids alone.
        foreach (
            string incident in folder.Rows(
                "SELECT 'hang:' || cohort || '/' || vm || '/' || vcpu || '@' || tick FROM incidents WHERE (cohort = 'late' AND "
                    + "vm = 64) OR (cohort = 'control' AND vm = 20)"
            ))
        {
            ProgramResult replayed = await ProgramProcess.RunAsync(["replay", incident, "--json"], settings);
            Assert.True(replayed.ExitCode == 0, $"{incident}: {replayed.Error}");
            Assert.Contains("was kept as an int", replayed.Output, StringComparison.Ordinal);
        }
    }

    /// <summary>
    /// The final states and hangs of the run in a folder, by a fleet that knows its interventions from the start and is never
    /// stopped.
    /// </summary>
    private static (IReadOnlyList<string> States, IReadOnlyList<string> Incidents) Straight(DataFolder folder)
    {
        using SoakDatabase database = SoakDatabase.OpenForReading(folder.Path)!;
        RunRecord run = database.Runs.Latest()!;
        var resume = new ResumeState(
            new Dictionary<ShardKey, Shard>(),
            database.Interventions.Of(run.Id).ToLookup(record => record.Cohort, record => record.Intervention));
        var options = new FleetOptions
        {
            Cohorts = [.. run.Identity.Fleet.Select(cohort => cohort.ToCohort()!)],
            Workers = 2,
            TicksMax = TicksMax,
            Shards = new ShardOptions { Seed = run.Identity.Seed, StallRetries = run.Identity.StallRetries },
        };
        using var fleet = new Fleet(options, TimeProvider.System, resume);
        fleet.KeepFindings();
        fleet.Start();
        Assert.True(SpinWait.SpinUntil(() => fleet.IsDone, Patience));
        Assert.True(fleet.Stop(Patience));
        List<string> states = [], incidents = [];
        fleet.Checkpoint(shard =>
        {
            states.Add($"{shard.Cohort}|{shard.FirstVm}|{shard.StartTick}|{shard.Tick}|{Convert.ToHexString(shard.State)}");
            incidents.AddRange(shard.Findings.Where(finding => IncidentId.IsIncident(finding.Kind))
                .Select(finding => $"{shard.Cohort}|{finding.Vm}|{finding.Vcpu}|{finding.Time.Tick}"));
        });
        return ([.. states.OrderBy(Key)], [.. incidents.Order(StringComparer.Ordinal)]);

        static (string, int, long) Key(string state) =>
            state.Split('|') is var parts ? (parts[0], int.Parse(parts[1]), long.Parse(parts[2])) : default;
    }

    private static Dictionary<string, string> Settings(DataFolder folder) => Fleets.Small(
        ("Soak__Fleet__0__Vms", "66"),
        ("Soak__Fleet__1__Vms", "66"),
        ("Soak__DataDirectory", folder.Path),
        ("Soak__CheckpointInterval", "50ms"),
        ("Soak__OnMismatch", "refuse"),
        ("Soak__DutyCycle", "0.3"),
        ("Soak__TicksMax", $"{TicksMax}"));

    private static JsonElement? Cohort(JsonElement fleet, string name) =>
        fleet
            .GetProperty("cohorts")
            .EnumerateArray()
            .Where(cohort => cohort.GetProperty("name").GetString() == name)
            .Cast<JsonElement?>()
            .FirstOrDefault();

    // Not by "soakhost ctl": on a busy machine five processes take longer to start than the run to end.
    private static async Task PostAsync(ProgramProcess program, string path, string body)
    {
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await program.Http.PostAsync(
            $"/api/v1/cohorts{path}",
            content,
            TestContext.Current.CancellationToken);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
    }
}
