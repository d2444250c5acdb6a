using System.Security.Cryptography;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;
using SoakHost.Api;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;
using SoakHost.Storage;

namespace SoakHost.Tests.Storage;

/// <summary>
/// One value of one record is changed, as a bad disk or a careless hand would: the record is refused by name, and nothing ends
/// without a sentence.
/// </summary>
public sealed class DamagedRecordTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    public static TheoryData<string, string> NeededByTheRun() =>
        new()
        {
            { "UPDATE runs SET fleet = replace(fleet, '\"vms\":3', '\"vms\":900000000')", "record 1 of the table runs" },
            { "UPDATE runs SET fleet = replace(fleet, 'linux-6.1.y', 'linux-6.9')", "record 1 of the table runs" },
            { "UPDATE runs SET fleet = substr(fleet, 2)", "record 1 of the table runs" },
            { "UPDATE runs SET fleet = 'null'", "record 1 of the table runs" },
            { "UPDATE runs SET fleet = x'00'", "record 1 of the table runs" },
            { "UPDATE runs SET seed = 2", "record 1 of the table runs" },
            { "UPDATE runs SET stall_retries = -1", "record 1 of the table runs" },
            { "UPDATE runs SET model_version = 1 << 40", "record 1 of the table runs" },
            { "UPDATE runs SET started_ms = 1 << 62", "record 1 of the table runs" },
            { "UPDATE runs SET started_ms = 'x'", "record 1 of the table runs" },
            { "UPDATE runs SET checkpointed_ms = -(1 << 62)", "record 1 of the table runs" },
            { "UPDATE interventions SET kind = 'kernal' WHERE id = 1", "record 1 of the table interventions" },
            { "UPDATE interventions SET tick = tick + 1024 WHERE id = 1", "record 1 of the table interventions" },
            { "UPDATE interventions SET tick = -1 WHERE id = 1", "record 1 of the table interventions" },
            { "UPDATE interventions SET vm = 1 << 40 WHERE id = 2", "record 2 of the table interventions" },
            { "UPDATE interventions SET kernel = 'linux-6.9' WHERE id = 1", "record 1 of the table interventions" },
            { "UPDATE interventions SET kernel = NULL WHERE id = 1", "record 1 of the table interventions" },
            { "UPDATE interventions SET cohort = 'contrxl' WHERE id = 1", "record 1 of the table interventions" },
            { "UPDATE interventions SET invalidate_seq = 7 WHERE id = 2", "record 2 of the table interventions" },
            { "UPDATE interventions SET vms = 1 << 40 WHERE id = 3", "record 3 of the table interventions" },
            {
                "UPDATE interventions SET added = replace(added, '\"vms\":2', '\"vms\":800000000') WHERE id = 4",
                "record 4 of the table interventions"
            },
            { "UPDATE interventions SET added = '{}' WHERE id = 4", "record 4 of the table interventions" },
            { "UPDATE interventions SET requested_ms = 1 << 62 WHERE id = 1", "record 1 of the table interventions" },
            { "UPDATE interventions SET id = 9 WHERE id = 1", "record 9 of the table interventions" },
        };

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(int.MaxValue)]
    public void A_creation_that_was_interrupted_is_done_anew(int pagesWritten)
    {
        using var folder = new DataFolder();
        Interrupt(folder, Schema.ApplicationId, pagesWritten);
        ConfigurationException reader = Assert.Throws<ConfigurationException>(() =>
        {
            using SoakDatabase? unread = SoakDatabase.OpenForReading(folder.Path);
            return unread!.Runs.Latest();
        });
        Assert.Contains("The next start of the service undoes it", reader.Message, StringComparison.Ordinal);
        using SoakDatabase database = SoakDatabase.Open(folder.Path);
        database.AddRun();
        Assert.Empty(database.Refusals());
    }

    [Fact]
    public void An_interrupted_write_of_somebody_elses_database_is_left_to_its_owner()
    {
        using var folder = new DataFolder();
        Interrupt(folder, applicationId: 1, pagesWritten: 1);
        byte[] before = File.ReadAllBytes(folder.Database);
        ConfigurationException refusal = Assert.Throws<ConfigurationException>(() => SoakDatabase.Open(folder.Path));
        Assert.Contains("is not a SoakHost database", refusal.Message, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllBytes(folder.Database));
        Assert.True(File.Exists(folder.Database + "-journal"));
    }

    [Fact]
    public async Task A_database_that_its_log_is_being_written_into_can_be_read()
    {
        using var folder = new DataFolder();
        using SoakDatabase writer = SoakDatabase.Open(folder.Path);
        long run = writer.AddRun();
        writer.AddCheckpoints(run, [new("control", 0, 0, 1024, new byte[100_000], [])], [], incidentsMax: 100, Sample.Time);

        // The header is written before the pages that it counts, at byte 28. Bytes 24 and 92 are the same: the number is valid.
        // Not from this process: closing the file would release SQLite's locks on it.
        ProgramResult written = await Shell.RunAsync(
            $"""
            dd if={folder.Database} of={folder.Database} bs=1 skip=24 seek=92 count=4 conv=notrunc status=none
            printf '\0\0\3\350' | dd of={folder.Database} bs=1 seek=28 conv=notrunc status=none
            """);
        Assert.Equal((0, ""), (written.ExitCode, written.Error));
        using SoakDatabase? reader = SoakDatabase.OpenForReading(folder.Path);
        Assert.NotNull(reader);
        Assert.Empty(reader.Refusals());
    }

    [Theory]
    [MemberData(nameof(NeededByTheRun))]
    public void A_record_that_the_run_depends_on_is_refused_by_name_and_nothing_is_changed(string change, string named)
    {
        using DataFolder folder = Intervened();
        folder.Execute(change);
        string before = Hash(folder);
        ConfigurationException refused = Assert.Throws<ConfigurationException>(() => Resume(folder));
        Assert.Contains(
            $"{named} does not match its checksum, and the run depends on it",
            refused.Message,
            StringComparison.Ordinal);
        Assert.Equal(before, Hash(folder));
    }

    /// <summary>A checksum proves that a record is as it was written, not that it was written by this program.</summary>
    [Theory]
    [InlineData(
        "runs",
        "fleet = replace(fleet, '\"vms\":3', '\"vms\":900000000')",
        "Vms is \"900_000_000\"; it must be"
    )]
    [InlineData(
        "runs",
        "fleet = replace(fleet, '\"name\":\"healthy\"', '\"name\":\"control\"')",
        "two cohorts of the fleet have the same name"
    )]
    [InlineData("runs", "fleet = '[null]'", "a cohort is missing")]
    [InlineData("runs", "fleet = '[{}]'", "is not allowed")]
    [InlineData("runs", "stall_retries = 0", "stall_retries is 0; it must be")]
    [InlineData("interventions", "tick = -1", "tick is -1; it must be")]
    [InlineData("interventions", "vm = 1 << 40", "vm is 1099511627776; it must be 0 to 999999")]
    [InlineData("interventions", "kind = 'kernal'", "there is no intervention \"kernal\"")]
    public void A_value_out_of_its_range_is_refused_even_where_the_checksum_matches(string table, string change, string refusal)
    {
        using DataFolder folder = Intervened();
        StoredTable stored = StoredTable.All.Single(each => each.Name == table);
        folder.Execute($"UPDATE {table} SET {change} WHERE {stored.Key} = 1");
        using (var connection = DatabaseConnection.Open(folder.Database, Microsoft.Data.Sqlite.SqliteOpenMode.ReadWrite))
            stored.Seal(connection, 1);
        ConfigurationException refused = Assert.Throws<ConfigurationException>(() => Resume(folder));
        Assert.Contains($"record 1 of the table {table}", refused.Message, StringComparison.Ordinal);
        Assert.Contains(refusal, refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("UPDATE incidents SET kind = 'VcpuHang' WHERE number = 1", "incidents")]
    [InlineData("UPDATE incidents SET vm = 1 << 40 WHERE number = 1", "incidents")]
    [InlineData("UPDATE incidents SET first_seen_ms = 1 << 62 WHERE number = 1", "incidents")]
    [InlineData("UPDATE incidents SET cohort = x'ff' WHERE number = 1", "incidents")]
    [InlineData("UPDATE incidents SET page = 9 WHERE number = 1", "incidents")]
    [InlineData("UPDATE crossings SET boundary = '2^30' WHERE number = 1", "crossings")]
    [InlineData("UPDATE crossings SET vm = -1 WHERE number = 1", "crossings")]
    public void A_damaged_incident_or_crossing_is_left_out_by_name_and_the_run_goes_on(string change, string table)
    {
        using DataFolder folder = Intervened();
        folder.Execute(change);
        Resume(folder);
        string named = $"record 1 of the table {table} does not match its checksum";
        using SoakDatabase database = SoakDatabase.OpenForReading(folder.Path)!;
        Assert.Equal([named], database.Refusals());
        IncidentPage page = IncidentPage.Read(folder.Path, long.MaxValue, 100, new IncidentFilter());
        Assert.Equal(table == "incidents" ? [named] : [], page.Refused);
        Assert.Equal(table == "incidents" ? 1 : 2, page.Incidents.Count);
    }

    [Fact]
    public void A_damaged_record_is_not_made_sound_by_what_is_written_later()
    {
        using DataFolder folder = Intervened();
        folder.Execute("UPDATE incidents SET page = page + 1 WHERE number = 1");
        using SoakDatabase database = SoakDatabase.Open(folder.Path);
        Assert.Single(database.Refusals());
        Finding[] recoveries =
        [
            .. Enumerable.Range(1, 2).Select(vm => Sample.Hung(vm, tick: 4096, kind: FindingKind.VcpuRecovered)),
        ];
        database.AddCheckpoints(1, [], [.. recoveries.Select(recovery => ("control", recovery))], 100, Sample.Time);
        Assert.Equal(["record 1 of the table incidents does not match its checksum"], database.Refusals());
        Assert.Equal(["2"], folder.Rows("SELECT number FROM incidents WHERE recovered_ms IS NOT NULL"));
    }

    [Fact]
    public async Task Data_check_names_what_is_damaged_and_a_backup_of_a_sound_database_is_sound()
    {
        using DataFolder folder = Intervened();
        string copy = Path.Combine(folder.Path, "copy", "soakhost.db");
        Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
        using (SoakDatabase running = SoakDatabase.Open(folder.Path))
            Assert.Equal(0, (await ProgramProcess.RunAsync(["backup", copy, "--data-directory", folder.Path])).ExitCode);
        ProgramResult again = await ProgramProcess.RunAsync(["backup", copy, "--data-directory", folder.Path]);
        Assert.Equal(64, again.ExitCode);
        Assert.Contains("exists already", again.Error, StringComparison.Ordinal);
        folder.Execute("UPDATE incidents SET page = 9 WHERE number = 2");
        ProgramResult damaged = await ProgramProcess.RunAsync(["data", "check", "--data-directory", folder.Path]);
        Assert.Equal(1, damaged.ExitCode);
        Assert.Contains("record 2 of the table incidents does not match its checksum", damaged.Output, StringComparison.Ordinal);
        ProgramResult sound = await ProgramProcess.RunAsync(["data", "check", "--data-directory", Path.GetDirectoryName(copy)!]);
        Assert.Equal(0, sound.ExitCode);
        Assert.Contains("Sound: 8 records.", sound.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_service_ends_with_64_and_the_name_of_the_record()
    {
        using var folder = new DataFolder();
        await using (ProgramProcess program = await ProgramProcess.ServeAsync(Settings(folder)))
        {
            await folder.NextCommitAsync(Patience);
            program.Terminate();
            await program.EndAsync();
        }

        folder.Execute("UPDATE runs SET fleet = replace(fleet, '3', '4')");
        ProgramResult served = await ProgramProcess.RunAsync(["serve", "--urls=http://127.0.0.1:0"], Settings(folder));
        Assert.Equal(64, served.ExitCode);
        Assert.Contains("record 1 of the table runs does not match its checksum", served.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("removed")]
    [InlineData("damaged")]
    public async Task A_write_ahead_log_that_is_lost_is_told_with_the_number_of_commits(string how)
    {
        using var folder = new DataFolder();
        await using (ProgramProcess program = await ProgramProcess.ServeAsync(Settings(folder)))
        {
            await program.UntilAsync(fleet => fleet.GetProperty("verdict").GetString() == "pass", Patience);
            await InterveneAsync(program, "pause", "control");
            program.Kill();
            await program.EndAsync();
        }

        string log = folder.Database + "-wal";
        Assert.NotEqual(0, new FileInfo(log).Length);
        if (how == "removed")
        {
            File.Delete(log);
        }
        else
        {
            byte[] bytes = await File.ReadAllBytesAsync(log, TestContext.Current.CancellationToken);
            bytes[32 + 24 + 100] ^= 1;
            await File.WriteAllBytesAsync(log, bytes, TestContext.Current.CancellationToken);
        }

        await using ProgramProcess again = await ProgramProcess.ServeAsync(Settings(folder));
        string commits = Assert.Single(DataDirectoryTests.Events(again, 3015)).GetProperty("Commits").GetString()!;
        Assert.True(int.Parse(commits, System.Globalization.CultureInfo.InvariantCulture) > 0, commits);
    }

    [Fact]
    public async Task After_a_kill_with_its_log_in_place_nothing_is_missing()
    {
        using var folder = new DataFolder();
        await using (ProgramProcess program = await ProgramProcess.ServeAsync(Settings(folder)))
        {
            await InterveneAsync(program, "pause", "control");
            program.Kill();
            await program.EndAsync();
        }

        await using ProgramProcess again = await ProgramProcess.ServeAsync(Settings(folder));
        Assert.Empty(DataDirectoryTests.Events(again, 3015));
        Assert.Equal(["1"], folder.Rows("SELECT count(*) FROM interventions"));
    }

    /// <summary>Leaves a database whose creation was interrupted when some of its pages were written.</summary>
    private static void Interrupt(DataFolder folder, int applicationId, int pagesWritten)
    {
        const int PageBytes = 4096;
        using (var connection = new SqliteConnection($"Data Source={folder.Database};Pooling=False"))
        {
            connection.Open();
            using SqliteCommand create = connection.CreateCommand();
            create.CommandText =
                $"PRAGMA application_id={applicationId}; PRAGMA user_version={Schema.Version}; "
                    + "CREATE TABLE commits (x); CREATE TABLE runs (x)";
            create.ExecuteNonQuery();
        }

        using (FileStream file = File.OpenWrite(folder.Database))
            file.SetLength(Math.Min(file.Length, pagesWritten * (long)PageBytes));

        // SQLite's rollback journal of a transaction before which the database had no pages: magic, no records, nonce, no pages,
        // sectors of 512 bytes, pages of 4096.
        byte[] journal = new byte[512];
        Convert.FromHexString("D9D505F920A163D7" + "00000000" + "54B6B045" + "00000000" + "00000200" + "00001000")
            .CopyTo(journal, 0);
        File.WriteAllBytes(folder.Database + "-journal", journal);
    }

    /// <summary>A run with interventions of each shape, two incidents and a crossing.</summary>
    private static DataFolder Intervened()
    {
        var folder = new DataFolder();
        using SoakDatabase database = SoakDatabase.Open(folder.Path);
        long run = database.AddRun(SmallFleet.Control, SmallFleet.Healthy);
        ShardIntervention[] interventions =
        [
            new()
            {
                Kind = InterventionKind.PatchKernel,
                Tick = 1024,
                Kernel = Kernel.Of<Linux63>(),
            },
            new()
            {
                Kind = InterventionKind.Migrate,
                Tick = 2048,
                Vm = 1,
            },
            new()
            {
                Kind = InterventionKind.ResizeCohort,
                Tick = 3072,
                Vms = 4,
            },
            new()
            {
                Kind = InterventionKind.AddCohort,
                Cohort = new SimulatedCohort
                {
                    Name = "late",
                    Kernel = Kernel.Of<Linux63>(),
                    Vms = 2,
                },
            },
        ];
        foreach (ShardIntervention intervention in interventions)
            database.AddIntervention(run, intervention.Cohort?.Name ?? "control", intervention, Sample.Time);
        Finding crossed = new(
            FindingKind.BoundaryCrossed,
            1,
            vcpu: null,
            new Sighting(FindingTime.AtTick(40), page: null, CounterRange.Exactly(1UL << 31), snapshot: null),
            Boundary.AtPower(31));
        database.AddCheckpoints(
            run,
            [],
            [("control", Sample.Hung(1)), ("control", Sample.Hung(2)), ("control", crossed)],
            incidentsMax: 100,
            Sample.Time);
        return folder;
    }

    private static void Resume(DataFolder folder)
    {
        using var storage = new SoakStorage(Options(folder), TimeProvider.System, NullLogger<SoakStorage>.Instance);
        Assert.NotNull(storage.ResumeState);
    }

    private static SoakOptions Options(DataFolder folder) =>
        SmallFleet.Options(folder.Path, SmallFleet.Control, SmallFleet.Healthy);

    private static async Task InterveneAsync(ProgramProcess program, string kind, string cohort, string body = "{}")
    {
        using HttpResponseMessage done = await program.Http.PostAsync(
            $"/api/v1/cohorts/{cohort}/{kind}", Json(body), TestContext.Current.CancellationToken);
        Assert.True(done.IsSuccessStatusCode, await done.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
    }

    private static string Hash(DataFolder folder) => Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(folder.Database)));

    private static StringContent Json(string text) => new(text, System.Text.Encoding.UTF8, "application/json");

    private static Dictionary<string, string> Settings(DataFolder folder) =>
        Fleets.Small(("Soak__DataDirectory", folder.Path), ("Soak__CheckpointInterval", "50ms"));
}
