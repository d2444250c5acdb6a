using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using SoakHost.Configuration;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Results;
using SoakHost.Model;
using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>The document of <c>soakhost check --json</c>, and of <c>soakhost merge --json</c>.</summary>
/// <param name="Verdict">The verdict.</param>
/// <param name="Reasons">Why the verdict is not a pass, and the commands that reproduce the incidents.</param>
/// <param name="Seed">The seed.</param>
/// <param name="ModelVersion">The version of the model.</param>
/// <param name="StallRetries">Retries in a row from which on a vCPU is stalled.</param>
/// <param name="Part">The part of the fleet, such as "2/8"; "0/1" is all of it.</param>
/// <param name="Ticks">
/// The tick to which every VM ran; null where there was no last tick, or not every VM came to it. Only what ran to the same tick
/// can be merged.
/// </param>
/// <param name="ElapsedSeconds">Time it took.</param>
/// <param name="Operations">Operations of all cohorts.</param>
/// <param name="OperationsPerSecond">On average.</param>
/// <param name="Evidence">What was seen, in one line.</param>
/// <param name="Cohorts">Every cohort that ran.</param>
internal sealed record CheckDocument(
    Verdict Verdict,
    ImmutableArray<string> Reasons,
    ulong Seed,
    int ModelVersion,
    uint StallRetries,
    string Part,
    long? Ticks,
    double ElapsedSeconds,
    long Operations,
    double OperationsPerSecond,
    string Evidence,
    ImmutableArray<CheckCohortDocument> Cohorts);

/// <summary>One cohort of it.</summary>
internal sealed record CheckCohortDocument(
    string Name,
    string Kind,
    string Kernel,
    string Expect,
    int Vms,
    int Vcpus,
    long Operations,
    long? Invalidations,
    long? FaultsFixed,
    long? FaultsRetried,
    long? GuestAccesses,
    long? LivesStarted,
    long? HangsCaught,
    long? HangsMissed,
    long? DetectionTicks,
    long? LastHangTick,
    long? LastRecoveryTick,
    IReadOnlyDictionary<string, long> Crossings,
    int VcpusHung,
    int VcpusDeadlocked,
    int VcpusStarved,
    long VcpuRecoveries,
    IReadOnlyDictionary<string, long> Incidents,
    string? FirstIncident,
    string? FirstIncidentLife,
    string? Reproduce,
    long? UnjustifiedRetries,
    long? OvercautiousRetries,
    long? UnsafeInstalls,
    long? StaleMappings,
    long? AccountingErrors,
    Verdict Verdict)
{
    /// <summary>Time that it ran for.</summary>
    public double ElapsedSeconds { get; init; }

    /// <summary>
    /// The highest boundary that the cohort crosses, where that is below 2^31: its result says nothing about a real kernel. Null
    /// for every other cohort.
    /// </summary>
    public string? ToyBoundary { get; init; }

    /// <summary>What the histories of simulated VMs depend on besides kernel and seed; absent for real VMs.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public CohortShapeDocument? Shape { get; init; }

    /// <summary>The interleavings in which simulated VMs crossed boundaries; absent for real VMs.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public CoverageDocument? Interleavings { get; init; }

    /// <summary>
    /// vCPUs that were stuck after invalidations had stopped. Absent where not all shards answered, and for a control, whose
    /// invalidations do not stop.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? VcpusStuck { get; init; }

    /// <summary>Shards that were taken out of service, in sentences; absent where there are none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ImmutableArray<string>? Failures { get; init; }

    /// <summary>This and the keys below are those of real VMs alone.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? KernelRelease { get; init; }

    /// <summary>The verdict with its bounds, such as "pass for 2^31".</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? VerdictName { get; init; }

    /// <summary>When it ended.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DateTimeOffset? CheckedAt { get; init; }

    /// <summary>Which build of the kernel it is about.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public KernelBuild? KernelBuild { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? CommandLine { get; init; }

    /// <summary>The evidence of each vCPU that is, or was, hung.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ImmutableArray<HangDocument>? Hangs { get; init; }

    /// <summary>The evidence of stale mappings, the first of each VM.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ImmutableArray<StaleMappingDocument>? StaleMappingsSeen { get; init; }

    /// <summary>What each workload did.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ImmutableArray<WorkloadCoverage>? Coverage { get; init; }

    /// <summary>The short runs of other boundaries; left out where none was asked for.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ImmutableArray<OtherBoundaryDocument>? OtherBoundaries { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Mmu { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Cpu { get; init; }

    /// <summary>On average over the run.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? InvalidationsPerSecond { get; init; }

    /// <summary>Sentences that justify the verdict, a pass too.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ImmutableArray<string>? Reasons { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ImmutableArray<string>? NotCovered { get; init; }

    /// <summary>The kernel's own counter, a <see cref="KernelCounterDocument"/>: JSON's null where it was not read.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public JsonElement? KernelCounter { get; init; }
}

/// <summary>The parameters of a cohort of simulated VMs.</summary>
/// <param name="Vms">VMs of the cohort in all parts of the fleet.</param>
/// <param name="Vcpus">vCPUs of each VM.</param>
/// <param name="Invalidators">Concurrent invalidators of each VM.</param>
/// <param name="MemslotUpdates">Whether memslots are updated now and then.</param>
/// <param name="Pages">Guest pages of each VM.</param>
/// <param name="RangePages">Longest range of one invalidation in pages.</param>
/// <param name="PagesMin">Fewest guest pages of a life; 0 where every life has all.</param>
/// <param name="RangePagesMin">Least longest range of a life in pages; 0 where it is the same for every life.</param>
/// <param name="InvalidateSeqStarts">Where the counters start, in hex.</param>
/// <param name="LifeAfterBoundary">Invalidations after a boundary at which a life ends; 0 for none.</param>
/// <param name="LifeAfterHang">Ticks of a hang after which a life ends; 0 for none.</param>
internal sealed record CohortShapeDocument(
    int Vms, int Vcpus, int Invalidators, bool MemslotUpdates, int Pages, int RangePages, int PagesMin,
    int RangePagesMin, ImmutableArray<string> InvalidateSeqStarts, long LifeAfterBoundary, long LifeAfterHang)
{
    /// <summary>Whether two parts are of one cohort.</summary>
    public static bool AreSame(CohortShapeDocument? one, CohortShapeDocument? other) => one is null || other is null
        ? one is null && other is null
        : one.InvalidateSeqStarts.SequenceEqual(other.InvalidateSeqStarts)
            && one with { InvalidateSeqStarts = [] } == other with { InvalidateSeqStarts = [] };

    public static CohortShapeDocument? Of(Cohort cohort) => cohort is not SimulatedCohort { Vm: var vm } simulated ? null
        : new(
            simulated.Vms, vm.Vcpus, vm.Invalidators, vm.MemslotUpdates, vm.Pages, vm.RangePages,
            simulated.PagesMin, simulated.RangePagesMin,
            [.. simulated.Starts.Select(Hex64.Of)], simulated.LifeAfterBoundary, simulated.LifeAfterHang);
}

/// <summary>The result of a bounded soak.</summary>
internal static class CheckReport
{
    public static void WriteText(IAnsiConsole console, SoakResult result, ShardOptions run)
    {
        SummaryTable.Write(console, result.Cohorts, result.Verdict, result.Reasons, result.Elapsed, run.Seed);

        foreach (CohortReport cohort in result.Cohorts)
        {
            if (cohort.Snapshot is HostSnapshot host)
            {
                string name = HostVerdictName.Of(cohort.Verdict, host, result.HasProvenControl);
                console.WriteLine($"{cohort.Cohort.Name}: {name}");
                WriteCoverage(console, host);
                foreach (BoundaryResult boundary in host.OtherBoundaries)
                    console.Profile.Out.Writer.WriteLine($"  {boundary}");

                // A pass says it among its reasons.
                if (cohort.Verdict != Verdict.Pass && host.KernelCounter is { } counter)
                    console.Profile.Out.Writer.WriteLine($"  {cohort.Cohort.Name}: {counter.Describe()}");
            }
        }

        // People copy commands: a command is on a line of its own that nothing wraps.
        foreach (string line in Replays(result, result.Cohorts, run))
            console.Profile.Out.Writer.WriteLine($"  {line}");
    }

    /// <summary>What was done to the guests' memory, and the faults fixed meanwhile on both sides of the boundary.</summary>
    private static void WriteCoverage(IAnsiConsole console, HostSnapshot host)
    {
        if (host.Coverage.IsEmpty)
            return;
        string boundary = host.Crossed.Length > 0 ? host.Crossed.Max().Name : "the boundary";
        Table table = new Table().Border(TableBorder.Simple).AddColumn("workload");
        foreach (string name in (string[])["events", $"faults fixed before {boundary}", "after it"])
            table.AddColumn(name, column => column.RightAligned());
        foreach (TableColumn column in table.Columns)
            column.NoWrap().Padding(0, 0, 1, 0);
        foreach (WorkloadCoverage each in host.Coverage)
        {
            table.AddRow(
                each.Workload,
                each.Offered ? each.Events.ToString("N0", CultureInfo.InvariantCulture) : "not offered",
                Number(each.Offered, each.FaultsFixedBefore),
                Number(each.Offered, each.FaultsFixedAfter));
        }

        console.Write(table);

        static string Number(bool isOffered, ulong? number) =>
            isOffered && number is { } known ? known.ToString("N0", CultureInfo.InvariantCulture) : "-";
    }

    public static void WriteJson(TextWriter output, SoakResult result, ShardOptions run) =>
        output.WriteLine(Json(result, run));

    /// <summary>The JSON document.</summary>
    public static string Json(SoakResult result, ShardOptions run)
    {
        double seconds = result.Elapsed.TotalSeconds;
        IEnumerable<CohortReport> violations = result.Cohorts.Where(cohort => cohort.Verdict == Verdict.Violation);
        var document = new CheckDocument(
            result.Verdict,
            [.. result.Reasons, .. Replays(result, violations, run)],
            run.Seed,
            ModelVersion.Current,
            run.StallRetries,
            run.Part.ToString(),
            result.Ticks,
            seconds,
            result.Operations,
            seconds > 0 ? result.Operations / seconds : 0,
            Verdicts.Evidence(result.Cohorts),
            [.. result.Cohorts.Select(cohort => Describe(cohort, result, run))]);
        return JsonSerializer.Serialize(document, ReportJson.Default.CheckDocument);
    }

    /// <summary>How to reproduce the first incident of each cohort.</summary>
    private static IEnumerable<string> Replays(SoakResult result, IEnumerable<CohortReport> cohorts, ShardOptions run) =>
        from cohort in cohorts
        where result.FirstIncidents.ContainsKey(cohort.Cohort.Name)
        let incident = result.FirstIncidents[cohort.Cohort.Name]
        select ReplayCommandLine.Of(cohort.WholeCohort, run, incident.Id, incident.Origin) is { } command
            ? $"{cohort.Cohort.Name}: reproduce with: {command}"
            : $"{cohort.Cohort.Name}: {incident.Id} cannot be replayed: its VM was a real one";

    /// <summary>Incidents by the names of their kinds.</summary>
    internal static Dictionary<string, long> IncidentsByKind(IncidentCounts counts) => new()
    {
        ["hang"] = counts.Hangs,
        ["deadlock"] = counts.Deadlocks,
        ["unsafe_install"] = counts.UnsafeInstalls,
        ["stale_mapping"] = counts.StaleMappings,
        ["accounting_error"] = counts.AccountingErrors,
    };

    /// <summary>What <see cref="IncidentsByKind"/> returned.</summary>
    internal static IncidentCounts CountsOf(IReadOnlyDictionary<string, long> kinds) =>
        new(kinds["hang"], kinds["unsafe_install"], kinds["accounting_error"], kinds["stale_mapping"], kinds["deadlock"]);

    private static CheckCohortDocument Describe(CohortReport cohort, SoakResult result, ShardOptions run)
    {
        CohortTotals totals = cohort.Totals;
        FirstIncident? first = result.FirstIncidents.GetValueOrDefault(cohort.Cohort.Name);
        var simulated = cohort.Snapshot as SimulatedSnapshot;
        var document = new CheckCohortDocument(
            cohort.Cohort.Name,
            cohort.Cohort.Kind,
            cohort.KernelName,
            cohort.Cohort.Expected.Label(),
            cohort.Cohort.Vms,
            cohort.Vcpus,
            totals.Operations,
            totals.Invalidations,
            totals.Fixed,
            totals.Retried,
            totals.GuestAccesses,
            totals.LivesStarted,
            totals.HangsCaught,
            totals.HangsMissed,
            totals.DetectionTicks,
            simulated?.LastHangTick,
            simulated?.LastRecoveryTick,
            totals.ByBoundary(),
            cohort.Hung,
            cohort.Deadlocked,
            cohort.Starved,
            totals.Recoveries,
            IncidentsByKind(cohort.Incidents),
            first?.Id.ToString(),
            first?.Origin is { LifeTick: > 0 } origin ? LifeSyntax.ArgumentOf(origin) : null,
            first is null ? null : ReplayCommandLine.Of(cohort.WholeCohort, run, first.Id, first.Origin),
            totals.UnjustifiedRetries,
            totals.OvercautiousRetries,
            totals.UnsafeInstalls,
            totals.StaleMappings,
            totals.AccountingErrors,
            cohort.Verdict)
        {
            ElapsedSeconds = result.Times.GetValueOrDefault(cohort.Cohort.Name).TotalSeconds,
            ToyBoundary = Reports.ToyBoundary.Of(cohort)?.Name,
            Shape = CohortShapeDocument.Of(cohort.WholeCohort),
            VcpusStuck = result.Stuck.GetValueOrDefault(cohort.Cohort.Name),
            Failures = cohort.Snapshot.Failures is { Length: > 0 } failures ? failures : null,
        };
        return KindDocuments.Complete(document, cohort.Snapshot, cohort.Reasons, result.HasProvenControl);
    }
}

/// <summary>The progress of a bounded soak on standard error: a bar on a terminal, else a line every ten seconds.</summary>
internal static class CheckProgress
{
    private static readonly TimeSpan LineInterval = TimeSpan.FromSeconds(10);

    public static SoakResult Run(Func<IProgress<SoakProgress>, SoakResult> soak)
    {
        if (Console.IsErrorRedirected)
            return soak(new Lines(TimeProvider.System));
        SoakResult? result = null;
        Terminal.Error.Progress()
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(context => result = soak(new Bars(context)));
        return result!;
    }

    private static string Describe(SoakProgress progress)
    {
        FleetReport report = progress.Report;
        if (report.Cohorts.Any(cohort => cohort.Snapshot is ExternalSnapshot))
            return string.Join("; ", report.Cohorts.Select(Describe));
        long operations = report.Cohorts.Sum(cohort => cohort.Totals.Operations);
        double seconds = Math.Max((report.Time - report.Started).TotalSeconds, 0.001);
        int hung = report.Cohorts.Sum(cohort => cohort.Hung);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{progress.Stage}: {operations / 1e6:N0} million operations, {operations / seconds / 1e6:N0} million per second, "
                + $"{hung} vCPUs hung"
        );
    }

    private static string Describe(CohortReport cohort) =>
        $"{cohort.Cohort.Name}: {(cohort.Snapshot as ExternalSnapshot)?.Progress}, {cohort.Hung} vCPUs hung";

    private sealed class Bars(ProgressContext context) : IProgress<SoakProgress>
    {
        private readonly Dictionary<string, ProgressTask> _tasks = [];

        public void Report(SoakProgress value)
        {
            if (!_tasks.TryGetValue(value.Stage, out ProgressTask? task))
                _tasks[value.Stage] = task = context.AddTask(value.Stage, maxValue: 1);
            task.Value = value.Share;
            task.Description = Markup.Escape(Describe(value));
        }
    }

    private sealed class Lines(TimeProvider time) : IProgress<SoakProgress>
    {
        private DateTimeOffset _next = DateTimeOffset.MinValue;
        private string? _stage;

        public void Report(SoakProgress value)
        {
            DateTimeOffset now = time.GetUtcNow();
            if (value.Report.Cohorts.IsEmpty || (now < _next && value.Stage == _stage))
                return;
            (_next, _stage) = (now + LineInterval, value.Stage);
            Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{Describe(value)}, {value.Share:P0} done"));
        }
    }
}
