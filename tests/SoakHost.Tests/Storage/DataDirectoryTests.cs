using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using SoakHost.Configuration;
using SoakHost.Storage;

namespace SoakHost.Tests.Storage;

/// <summary>What a service does about a data directory that is not as it left it.</summary>
public sealed class DataDirectoryTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task A_damaged_checkpoint_is_reported_and_the_one_before_it_is_used()
    {
        using var folder = new DataFolder();
        await SoakAsync(folder);
        folder.Execute(
            "UPDATE checkpoints SET state = substr(state, 1, 50) || x'ff' || substr(state, 52) WHERE cohort = 'control' "
            + "AND tick = (SELECT max(tick) FROM checkpoints WHERE cohort = 'control')");
        folder.Execute(
            "UPDATE checkpoints SET state = substr(state, 1, 99) WHERE cohort = 'healthy' AND tick = (SELECT max(tick) FROM "
                + "checkpoints WHERE cohort = 'healthy')"
        );

        await using ProgramProcess program = await ServeAsync(folder);
        JsonElement[] reports = [.. Events(program, 3010)];
        Assert.Equal(["control", "healthy"], reports.Select(report => report.GetProperty("Cohort").GetString()!).Order());
        Assert.Contains("checksum", reports[0].GetProperty("Reason").GetString(), StringComparison.Ordinal);
        JsonElement resumed = Assert.Single(Events(program, 1010));
        Assert.Equal(2, resumed.GetProperty("Shards").GetInt32());
        Assert.True(resumed.GetProperty("FirstTick").GetInt64() > 0);
        Assert.Empty(Events(program, 3011));
    }

    [Fact]
    public async Task A_shard_without_a_usable_checkpoint_starts_over_and_finds_the_same_again()
    {
        using var folder = new DataFolder();
        await SoakAsync(folder);
        IReadOnlyList<string> incidents = folder.Incidents();
        folder.Execute("UPDATE checkpoints SET state = substr(state, 1, 99) WHERE cohort = 'control'");

        await using ProgramProcess program = await ServeAsync(folder);
        Assert.Equal("control", Assert.Single(Events(program, 3011)).GetProperty("Cohort").GetString());
        await program.UntilAsync(
            fleet =>
                fleet.GetProperty("cohorts").EnumerateArray().Any(cohort => cohort.GetProperty("vcpus_hung").GetInt32() == 8),
            Patience);
        program.Terminate();
        Assert.Equal(0, (await program.EndAsync()).ExitCode);
        Assert.Equal(8, incidents.Count);
        Assert.Equal(incidents, folder.Incidents());
    }

    [Fact]
    public async Task A_run_that_is_resumed_has_its_figures_from_the_first_report_on()
    {
        using var folder = new DataFolder();
        long operations = await SoakAsync(folder);
        await using ProgramProcess program = await ServeAsync(folder);
        JsonElement fleet = await program.UntilAsync(fleet => fleet.GetProperty("cohorts").GetArrayLength() == 2, Patience);
        Assert.True(fleet.GetProperty("operations").GetInt64() >= operations);
        Assert.Equal("pass", fleet.GetProperty("verdict").GetString());
        Assert.True(
            await program.MetricAsync("soakhost_incidents_total{cohort=\"control\",kernel=\"linux-6.1\",kind=\"hang\"}") >= 8);
        Assert.Equal(["1"], folder.Rows("SELECT count(*) FROM runs"));
    }

    [Fact]
    public async Task Another_fleet_starts_another_run_and_says_what_differs_or_is_refused()
    {
        using var folder = new DataFolder();
        await SoakAsync(folder);
        ProgramResult refused = await ProgramProcess.RunAsync(
            ["serve", "--urls=http://127.0.0.1:0"],
            Settings(folder, ("Soak__Seed", "2"), ("Soak__Fleet__1__Vms", "5"), ("Soak__OnMismatch", "refuse")));
        Assert.Equal(64, refused.ExitCode);
        Assert.Contains("seed was 1 and is 2; Vms of cohort healthy was 3 and is 5", refused.Error, StringComparison.Ordinal);
        Assert.Equal(["1"], folder.Rows("SELECT count(*) FROM runs"));

        await using ProgramProcess program = await ServeAsync(folder, ("Soak__Seed", "2"));
        Assert.Equal("seed was 1 and is 2", Assert.Single(Events(program, 1011)).GetProperty("Differences").GetString());
        Assert.Equal(["2"], folder.Rows("SELECT count(*) FROM runs"));
    }

    [Fact]
    public async Task A_second_service_on_the_same_directory_is_refused_and_the_first_does_not_notice()
    {
        using var folder = new DataFolder();
        await using ProgramProcess first = await ServeAsync(folder);
        ProgramResult second = await ProgramProcess.RunAsync(["serve", "--urls=http://127.0.0.1:0"], Settings(folder));
        Assert.Equal(64, second.ExitCode);
        Assert.Contains($"another process uses {folder.Path}", second.Error, StringComparison.Ordinal);
        await folder.NextCommitAsync(Patience);
    }

    [Fact]
    public void A_damaged_database_is_refused_and_left_as_it_is()
    {
        using var folder = new DataFolder();
        SoakDatabase.Open(folder.Path).Dispose();
        byte[] damaged = File.ReadAllBytes(folder.Database);
        Encoding.ASCII.GetBytes("not a page of any tree").CopyTo(damaged, 4096);
        File.WriteAllBytes(folder.Database, damaged);
        Assert.Contains(
            "is damaged",
            Assert.Throws<ConfigurationException>(() => SoakDatabase.Open(folder.Path)).Message,
            StringComparison.Ordinal);
        Assert.Equal(damaged, File.ReadAllBytes(folder.Database));
    }

    [Theory]
    [InlineData("PRAGMA user_version = 7", "is from a newer version of SoakHost: it has schema 7, and this version reads 6")]
    [InlineData("PRAGMA user_version = 0", "is from an older version of SoakHost: it has schema 0, and this version reads 6")]
    [InlineData("PRAGMA application_id = 0", "is not a SoakHost database, or one from before the first release")]
    [InlineData("PRAGMA application_id = 0x0f055112", "(application_id 0x0f055112)")]
    public async Task A_database_of_another_version_or_another_program_is_refused_and_not_one_byte_is_changed(
        string change,
        string refusal)
    {
        using var folder = new DataFolder();
        SoakDatabase.Open(folder.Path).Dispose();
        folder.Execute(change);
        await AssertRefusedAsync(folder, refusal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Another_programs_database_keeps_its_log_and_a_file_that_is_none_stays_too(bool isDatabase)
    {
        using var folder = new DataFolder();
        using var other = new Microsoft.Data.Sqlite.SqliteConnection($"Data Source={folder.Database};Pooling=False");
        if (isDatabase)
        {
            // Not closed before the service looks: its log is not in the database yet.
            other.Open();
            using Microsoft.Data.Sqlite.SqliteCommand command = other.CreateCommand();
            command.CommandText = "PRAGMA journal_mode=WAL; CREATE TABLE letters (text TEXT); INSERT INTO letters VALUES ('a')";
            command.ExecuteNonQuery();
        }
        else
        {
            await File.WriteAllTextAsync(folder.Database, "Dear Sir or Madam", TestContext.Current.CancellationToken);
        }

        await AssertRefusedAsync(folder, isDatabase ? "is not a SoakHost database" : "is not a database");
    }

    [Fact]
    public async Task Incidents_that_a_bad_disk_took_are_said_to_be_unreadable_and_the_soak_goes_on()
    {
        using var folder = new DataFolder();
        await using ProgramProcess program = await ProgramProcess.ServeAsync(Fleets.Small(
            ("Soak__DataDirectory", folder.Path), ("Soak__CheckpointInterval", "50ms"), ("Soak__TicksMax", "65536")));
        await program.UntilAsync(fleet => fleet.GetProperty("is_done").GetBoolean(), Patience);
        await folder.NextCommitAsync(Patience);
        folder.Execute("PRAGMA writable_schema=ON; UPDATE sqlite_schema SET rootpage = 999999 WHERE name = 'incidents'");
        using HttpResponseMessage response = await program.Http.GetAsync(
            "/api/v1/incidents",
            TestContext.Current.CancellationToken);
        Assert.Equal(
            (503, "application/problem+json"),
            ((int)response.StatusCode, response.Content.Headers.ContentType?.MediaType));
        string problem = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.Contains("soakhost.db cannot be read: SQLite Error 11", problem, StringComparison.Ordinal);
        Assert.Equal(200, (int)(await program.Http.GetAsync("/health/live", TestContext.Current.CancellationToken)).StatusCode);
        ProgramResult listed = await ProgramProcess.RunAsync(
            ["incidents", "--data-directory", folder.Path],
            new Dictionary<string, string>());
        Assert.Equal(64, listed.ExitCode);
        Assert.Contains("cannot be read", listed.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Where_nothing_can_be_written_the_soak_goes_on_degraded_and_refuses_interventions()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs a folder in which nobody may make one");
        await using ProgramProcess program = await ProgramProcess.ServeAsync(
            Fleets.Small(("Soak__DataDirectory", "/sys/soakhost"), ("Soak__CheckpointInterval", "50ms")));
        await program.UntilAsync(fleet => fleet.GetProperty("verdict").GetString() == "pass", Patience);
        using JsonDocument ready = JsonDocument.Parse(
            await program.Http.GetStringAsync("/health/ready", TestContext.Current.CancellationToken));
        Assert.Equal("degraded", ready.RootElement.GetProperty("status").GetString());
        Assert.Contains(
            "/sys/soakhost cannot be written to",
            ready.RootElement.GetProperty("reasons")[0].GetString(),
            StringComparison.Ordinal);
        Assert.Single(Events(program, 3012));
        using HttpResponseMessage refused = await program.Http.PostAsync(
            "/api/v1/cohorts/control/pause",
            null,
            TestContext.Current.CancellationToken);
        Assert.Equal(503, (int)refused.StatusCode);
    }

    [Fact]
    public async Task On_a_full_disk_the_soak_goes_on_and_once_there_is_space_every_incident_is_there()
    {
        string disk = Directory.CreateTempSubdirectory("soakhost-disk-").FullName;
        Assert.SkipUnless(
            await RunAsync("mount", "-t", "tmpfs", "-o", "size=400k", "soakhost-test", disk) == 0,
            "mounting is not permitted here");
        try
        {
            await using ProgramProcess program = await ProgramProcess.ServeAsync(
                Fleets.Small(
                    ("Soak__DataDirectory", disk),
                    ("Soak__CheckpointInterval", "50ms"),
                    ("Soak__Fleet__0__Vms", "200"),
                    ("Soak__Fleet__1__Vms", "2000")));
            await program.UntilAsync(fleet => fleet.GetProperty("verdict").GetString() == "pass", Patience);
            await UntilAsync(program, "degraded");
            Assert.NotEmpty(Events(program, 3012));

            Assert.Equal(0, await RunAsync("mount", "-o", "remount,size=64m", disk));
            await UntilAsync(program, "ready");
            Assert.Equal(0, Assert.Single(Events(program, 3013)).GetProperty("Dropped").GetInt64());
            JsonElement fleet = await program.UntilAsync(_ => true, Patience);
            program.Terminate();
            await program.EndAsync();
            using SoakDatabase database = SoakDatabase.OpenForReading(disk)!;
            Assert.Equal(
                800,
                database
                    .Incidents.Page(long.MaxValue, 10_000, new() { Cohort = "control" })
                    .Records.Count(incident => incident.Recovery is null));
        }
        finally
        {
            Assert.Equal(0, await RunAsync("umount", disk));
            Directory.Delete(disk);
        }
    }

    [Fact]
    public async Task Stopped_during_a_checkpoint_it_still_writes_the_last_one()
    {
        using var folder = new DataFolder();
        await using ProgramProcess program = await ServeAsync(
            folder,
            ("Soak__Fleet__1__Vms", "3000"),
            ("Soak__CheckpointInterval", "20ms"));
        await folder.NextCommitAsync(Patience);
        program.Terminate();
        Assert.Equal(0, (await program.EndAsync()).ExitCode);

        // Every shard has a checkpoint that was written after the workers had stopped.
        Assert.Equal([$"{1 + (3000 / 64) + 1}"], folder.Rows("SELECT count(DISTINCT cohort || first_vm) FROM checkpoints"));
        await using ProgramProcess again = await ServeAsync(folder, ("Soak__Fleet__1__Vms", "3000"));
        Assert.Empty(Events(again, 3010));
        Assert.Equal(48, Assert.Single(Events(again, 1010)).GetProperty("Shards").GetInt32());
    }

    internal static IEnumerable<JsonElement> Events(ProgramProcess program, int id) =>
        program.Log.Where(line => line.GetProperty("EventId").GetProperty("Id").GetInt32() == id);

    /// <summary>A service and a reader refuse the database with exit code 64, and every file stays as it is.</summary>
    private static async Task AssertRefusedAsync(DataFolder folder, string refusal)
    {
        Dictionary<string, string> before = Hashes(folder);
        ProgramResult served = await ProgramProcess.RunAsync(["serve", "--urls=http://127.0.0.1:0"], Settings(folder));
        Assert.Equal(64, served.ExitCode);
        Assert.Contains(refusal, served.Error, StringComparison.Ordinal);
        ProgramResult listed = await ProgramProcess.RunAsync(
            ["incidents", "--data-directory", folder.Path],
            new Dictionary<string, string>());
        Assert.Equal(64, listed.ExitCode);
        Assert.Contains(refusal, listed.Error, StringComparison.Ordinal);
        Assert.Equal(before, Hashes(folder));
    }

    private static Dictionary<string, string> Hashes(DataFolder folder) =>
        Directory
            .GetFiles(folder.Path, "soakhost.db*")
            .ToDictionary(file => file, file => Convert.ToHexString(SHA256.HashData(ReadShared(file))));

    private static byte[] ReadShared(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using var bytes = new MemoryStream();
        file.CopyTo(bytes);
        return bytes.ToArray();
    }

    private static async Task UntilAsync(ProgramProcess program, string status)
    {
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        long waited = Stopwatch.GetTimestamp();
        while (true)
        {
            using HttpResponseMessage response = await program.Http.GetAsync(
                "/health/ready",
                TestContext.Current.CancellationToken);
            string text = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
            if (text.Contains($"\"{status}\"", StringComparison.Ordinal))
                return;
            if (Stopwatch.GetElapsedTime(waited) > Patience)
                throw new TimeoutException($"not {status}: {text}");
            await pace.WaitForNextTickAsync(TestContext.Current.CancellationToken);
        }
    }

    private static async Task<long> SoakAsync(DataFolder folder)
    {
        await using ProgramProcess program = await ServeAsync(folder);
        JsonElement fleet = await program.UntilAsync(fleet => fleet.GetProperty("verdict").GetString() == "pass", Patience);
        await folder.NextCommitAsync(Patience);
        await folder.NextCommitAsync(Patience);
        program.Terminate();
        Assert.Equal(0, (await program.EndAsync()).ExitCode);
        return fleet.GetProperty("operations").GetInt64();
    }

    private static Task<ProgramProcess> ServeAsync(DataFolder folder, params (string Key, string Value)[] more) =>
        ProgramProcess.ServeAsync(Settings(folder, more));

    private static Dictionary<string, string> Settings(DataFolder folder, params (string Key, string Value)[] more) =>
        Fleets.Small([("Soak__DataDirectory", folder.Path), ("Soak__CheckpointInterval", "50ms"), .. more]);

    private static async Task<int> RunAsync(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return process.ExitCode;
    }
}
