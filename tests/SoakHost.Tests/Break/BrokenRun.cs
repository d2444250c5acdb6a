using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json;
using Microsoft.Extensions.Configuration;
using SoakHost.Configuration;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Shared;
using SoakHost.Storage;
using SoakHost.Tests.Faults;
using SoakHost.Tests.Storage;

namespace SoakHost.Tests.Break;

/// <summary>
/// A service with a small fleet that a fault strikes, and what its clients were answered. In the end the service is started once
/// more, on a sound disk, and comes to its end. Then everything acknowledged must be recorded, and the fleet must be, bit for
/// bit, where one arrives that was never disturbed and has the recorded interventions.
/// </summary>
internal sealed class BrokenRun : IAsyncDisposable
{
    // Far enough that everything recorded takes effect before the end.
    private const long TicksAfterFault = 16 * 1024;
    private static readonly TimeSpan StartMax = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    // How long a stop may take, whatever the disk does. On a machine that others keep busy everything takes longer: it gets as
    // many times that as the start took times as long as on a machine without other work.
    private static readonly TimeSpan StopMax = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan StartUsual = TimeSpan.FromSeconds(2);

    private static double _slowness = 1;

    private readonly DataFolder _folder = new();
    private readonly HttpClient _client = LoopbackClient.Create(TimeSpan.FromSeconds(20));
    private readonly List<string> _acknowledged = [];
    private readonly List<string> _undecided = [];
    private DataFolder? _database;
    private string? _refusal;
    private bool _mayLackCommits;

    public BrokenRun() => Disk = new DiskFaults(Data);

    /// <summary>The disk that the service is started with, until the fault is over.</summary>
    public DiskFaults Disk { get; }

    /// <summary>The data directory.</summary>
    public string Data => Path.Combine(_folder.Path, "data");

    /// <summary>A folder beside the data directory, where there is none yet.</summary>
    public string Elsewhere => Path.Combine(_folder.Path, "elsewhere");

    /// <summary>The database.</summary>
    public DataFolder Database => _database ??= new DataFolder(Data);

    /// <summary>The service; null before it is started, and after it has ended.</summary>
    public ProgramProcess? Program { get; private set; }

    /// <summary>How many interventions were acknowledged.</summary>
    public int Acknowledged => _acknowledged.Count;

    /// <summary>Starts the service, which may end or hang before it listens.</summary>
    /// <param name="giveUp">Ends when it is not waited for any longer.</param>
    /// <returns>Whether it listens.</returns>
    public async Task<bool> TryStartAsync(Task giveUp)
    {
        (Program, bool listens) = await ProgramProcess.TryServeAsync(
            Settings([("Soak__DutyCycle", "0.05"), ("Soak__SliceTicks", "1024"), .. Disk.Environment]), giveUp);
        return listens;
    }

    /// <summary>Starts the service, and has it answer once: its first answer takes far longer than the others.</summary>
    public async Task StartAsync()
    {
        long began = Stopwatch.GetTimestamp();
        if (!await TryStartAsync(Task.Delay(StartMax)))
            throw new BreakException($"the service does not listen: {await EndAsync()}");
        await InterveneAsync(new Random(0));

        // Of all starts so far; those that a fault keeps from listening do not count.
        double slowness = Stopwatch.GetElapsedTime(began) / StartUsual;
        if (slowness > Volatile.Read(ref _slowness))
            Volatile.Write(ref _slowness, slowness);
    }

    /// <summary>One intervention of any kind on any cohort.</summary>
    /// <param name="random">Decides which.</param>
    /// <param name="timeout">When its client gives up.</param>
    /// <returns>The status of the answer; null where none came.</returns>
    public async Task<HttpStatusCode?> InterveneAsync(Random random, TimeSpan? timeout = null)
    {
        string cohort = random.Next(2) == 0 ? "control" : "healthy";
        (string kind, string body) = random.Next(6) switch
        {
            0 => ("pause", "{}"),
            1 => ("resume", "{}"),
            2 => ("memslots", "{}"),
            3 => ("migrate", """{"vm":1}"""),
            4 => ("counter", """{"vm":0,"invalidate_seq":"2^31-500"}"""),
            _ => ("kernel", $$"""{"kernel":"{{(random.Next(2) == 0 ? "linux-6.1" : "linux-6.1.y")}}"}"""),
        };
        if (Program is not { } program)
            return null;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(timeout ?? Patience);
        try
        {
            var url = new Uri(program.Http.BaseAddress!, $"/api/v1/cohorts/{cohort}/{kind}");
            using var content = new StringContent(body, System.Text.Encoding.UTF8, "application/json");
            using HttpResponseMessage response = await _client.PostAsync(url, content, limit.Token);
            JsonElement answer = JsonDocument.Parse(await response.Content.ReadAsStringAsync(limit.Token)).RootElement;
            Note(response.StatusCode, answer, cohort, kind);
            return response.StatusCode;
        }
        catch (Exception exception) when (exception is HttpRequestException or OperationCanceledException or IOException)
        {
            TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
            lock (_undecided)
                _undecided.Add($"{cohort}|{kind}");
            return null;
        }
    }

    /// <summary>Some interventions, one after another, until the service ends or is done with them.</summary>
    public async Task InterveneOftenAsync(Random random, int count, TimeSpan? timeout = null)
    {
        for (int i = 0; i < count && Program is { HasEnded: false }; i++)
            await InterveneAsync(random, timeout);
    }

    /// <summary>Waits until the service has logged an event.</summary>
    public Task UntilLoggedAsync(int id) => UntilAsync(
        () => Task.FromResult(DataDirectoryTests.Events(Program!, id).Any()), $"event {id} is not logged");

    /// <summary>Waits until the service's readiness is as wanted.</summary>
    public Task UntilReadinessAsync(string status) => UntilAsync(
        async () =>
        {
            using HttpResponseMessage ready = await _client.GetAsync(new Uri(Program!.Http.BaseAddress!, "/health/ready"));
            return (await ready.Content.ReadAsStringAsync()).Contains($"\"{status}\"", StringComparison.Ordinal);
        },
        $"readiness is not {status}");

    /// <summary>Ends the service as a loss of the process does.</summary>
    public async Task KillAsync()
    {
        Program!.Kill();
        await EndAsync();
    }

    /// <summary>Asks the service to stop, and checks that it does in time.</summary>
    public async Task<ProgramResult> TerminateAsync()
    {
        long asked = Stopwatch.GetTimestamp();
        Program!.Terminate();
        ProgramResult result = await EndAsync();
        TimeSpan took = Stopwatch.GetElapsedTime(asked);
        TimeSpan max = StopMax * Volatile.Read(ref _slowness);
        Check(took <= max, $"the stop took {took.TotalSeconds:0.0} s, allowed are {max.TotalSeconds:0.0} s");
        return result;
    }

    /// <summary>Waits for the end of the service.</summary>
    public async Task<ProgramResult> EndAsync()
    {
        ProgramProcess program = Program!;
        Program = null;
        await using (program)
            return await program.EndAsync(TimeSpan.FromSeconds(30));
    }

    /// <summary>From now on a start must be refused with exit code 64 and these words, and nothing may be changed.</summary>
    public void ExpectRefusal(string words) => _refusal = words;

    /// <summary>Acknowledged interventions may be missing, if the service says at its start that commits are.</summary>
    public void ExpectCommitsLost() => _mayLackCommits = true;

    /// <summary>Resumes the run on a sound disk, and checks that it is what it must be.</summary>
    public async Task VerifyAsync()
    {
        Disk.Heal();
        if (_refusal is not null)
        {
            await VerifyRefusedAsync(_refusal);
            return;
        }

        long ticksMax = TicksAfterFault + LastTick();
        await using (ProgramProcess program = await ProgramProcess.ServeAsync(Settings(("Soak__TicksMax", $"{ticksMax}"))))
        {
            bool lacksCommits = DataDirectoryTests.Events(program, 3015).Any();
            Check(!lacksCommits || _mayLackCommits, "commits are missing");
            await program.UntilAsync(fleet => fleet.GetProperty("is_done").GetBoolean(), Patience);
            program.Terminate();
            await program.EndAsync();
            VerifyRecorded(lacksCommits);
        }

        VerifyHistory(ticksMax);
    }

    public async ValueTask DisposeAsync()
    {
        if (Program is not null)
            await Program.DisposeAsync();
        Disk.Dispose();
        _client.Dispose();
        _database?.Dispose();
        _folder.Dispose();
    }

    /// <summary>Throws unless something holds.</summary>
    public static void Check(bool holds, string otherwise)
    {
        if (!holds)
            throw new BreakException(otherwise);
    }

    private void Note(HttpStatusCode status, JsonElement answer, string cohort, string kind)
    {
        bool mayBeApplied = answer.TryGetProperty("may_still_be_applied", out JsonElement may) && may.GetBoolean();
        lock (_undecided)
        {
            if (status == HttpStatusCode.OK)
                _acknowledged.Add($"{answer.GetProperty("id")}|{cohort}|{kind}|{answer.GetProperty("tick")}");
            else if (mayBeApplied)
                _undecided.Add($"{cohort}|{kind}");
        }
    }

    private async Task VerifyRefusedAsync(string refusal)
    {
        byte[] before = await File.ReadAllBytesAsync(Database.Database);
        ProgramResult refused = await ProgramProcess.RunAsync(["serve", "--urls=http://127.0.0.1:0"], Settings());
        Check(refused.ExitCode == (int)ExitCode.Usage, $"exit code {refused.ExitCode}: {refused.Error}");
        Check(refused.Error.Contains(refusal, StringComparison.Ordinal), $"not \"{refusal}\": {refused.Error}");
        byte[] after = await File.ReadAllBytesAsync(Database.Database);
        Check(before.SequenceEqual(after), "the database was changed");
    }

    /// <summary>All that was acknowledged is recorded, and nothing that was refused.</summary>
    private void VerifyRecorded(bool lacksCommits)
    {
        List<string> recorded = [.. Database.Rows("SELECT id, cohort, kind, tick FROM interventions ORDER BY id")];
        string[] missing = [.. _acknowledged.Where(each => !recorded.Remove(each))];
        Check(missing.Length == 0 || lacksCommits, $"acknowledged and not recorded: {string.Join(", ", missing)}");
        List<string> undecided = [.. _undecided];
        string[] refused =
        [
            .. recorded.Where(each => !undecided.Remove(string.Join('|', each.Split('|')[1..3]))),
        ];
        Check(refused.Length == 0, $"refused and recorded: {string.Join(", ", refused)}");
    }

    /// <summary>The fleet and its findings are those of an undisturbed run with the same interventions.</summary>
    private void VerifyHistory(long ticksMax)
    {
        SoakOptions options = Options(ticksMax);
        using SoakDatabase database = SoakDatabase.OpenForReading(Data)!;
        InterventionRecord[] interventions = [.. database.Interventions.Of(database.Runs.Latest()!.Id)];
        List<ShardCheckpoint> expected = Undisturbed(options, interventions);
        using var folder = new DataFolder();
        using (SoakDatabase undisturbed = SoakDatabase.Open(folder.Path))
        {
            long run = undisturbed.AddRun(RunIdentity.Of(options.ToFleetOptions()), Sample.Time);
            foreach (InterventionRecord each in interventions)
                undisturbed.AddIntervention(run, each.Cohort, each.Intervention, Sample.Time);
            undisturbed.AddCheckpoints(
                run,
                expected,
                [.. expected.SelectMany(shard => shard.Findings.Select(finding => (shard.Cohort, finding)))],
                options.IncidentsMax,
                Sample.Time);
        }

        Same(folder.FinalStates(), Database.FinalStates(), "states");
        Same(folder.Crossings(), Database.Crossings(), "crossings");
        Same(folder.Incidents(), Database.Incidents(), "incidents");
    }

    private static void Same(IReadOnlyList<string> expected, IReadOnlyList<string> actual, string what) => Check(
        expected.SequenceEqual(actual),
        $"other {what} than an undisturbed run:\n{string.Join('\n', actual.Except(expected).Select(Short))}\nand not\n"
            + string.Join('\n', expected.Except(actual).Select(Short)));

    private static string Short(string row) => row.Length <= 200 ? row : row[..200];

    private static List<ShardCheckpoint> Undisturbed(SoakOptions options, InterventionRecord[] interventions)
    {
        using var fleet = new Fleet(
            options.ToFleetOptions(),
            TimeProvider.System,
            new ResumeState(
                new Dictionary<ShardKey, Shard>(), interventions.ToLookup(each => each.Cohort, each => each.Intervention)));
        fleet.KeepFindings();
        fleet.Start();
        Check(SpinWait.SpinUntil(() => fleet.IsDone, Patience), "the undisturbed run does not come to its end");
        Check(fleet.Stop(Patience), "the undisturbed run does not stop");
        List<ShardCheckpoint> checkpoints = [];
        fleet.Checkpoint(checkpoints.Add);
        return checkpoints;
    }

    private long LastTick()
    {
        // A start that was interrupted may have left a database without tables, and a journal that must be rolled back.
        if (File.Exists(Database.Database + "-journal"))
            return 0;
        if (Database.Rows("SELECT count(*) FROM sqlite_schema WHERE name = 'interventions'").Single() == "0")
            return 0;
        string last = Database.Rows(
            "SELECT max(coalesce((SELECT max(tick) FROM checkpoints), 0), coalesce((SELECT max(tick) FROM interventions), 0))")
            .Single();
        return long.Parse(last, CultureInfo.InvariantCulture);
    }

    private Dictionary<string, string> Settings(params (string Key, string Value)[] more) => Fleets.Small(
        [
            ("Soak__DataDirectory", Data), ("Soak__CheckpointInterval", "50ms"), ("Soak__OnMismatch", "refuse"), .. more,
        ]);

    private SoakOptions Options(long ticksMax) => SoakConfiguration.Read(
        new ConfigurationBuilder()
            .AddInMemoryCollection(
                Settings(("Soak__TicksMax", $"{ticksMax}"))
                    .Select(setting => KeyValuePair.Create(
                        setting.Key.Replace("__", ":", StringComparison.Ordinal), (string?)setting.Value)))
            .Build());

    private static async Task UntilAsync(Func<Task<bool>> holds, string otherwise)
    {
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        long waited = Stopwatch.GetTimestamp();
        while (!await holds())
        {
            Check(Stopwatch.GetElapsedTime(waited) < Patience, otherwise);
            await pace.WaitForNextTickAsync(TestContext.Current.CancellationToken);
        }
    }
}

/// <summary>A promise was not kept; the message says which.</summary>
internal sealed class BreakException(string message) : Exception(message);
