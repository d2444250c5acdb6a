using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using SoakHost.Configuration;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model;
using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>The document of <c>soakhost check --json</c>.</summary>
internal sealed record CheckDocument(
    Verdict Verdict,
    ImmutableArray<string> Reasons,
    ulong Seed,
    int ModelVersion,
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
    long? LivesStarted,
    long? HangsCaught,
    long? HangsMissed,
    IReadOnlyDictionary<string, long> Crossings,
    int VcpusHung,
    int VcpusStarved,
    long? UnjustifiedRetries,
    long? OvercautiousRetries,
    long? UnsafeInstalls,
    long? StaleMappings,
    long? AccountingErrors,
    Verdict Verdict)
{
    /// <summary>This and the keys below are those of real VMs alone.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? KernelRelease { get; init; }

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
}

/// <summary>The result of a bounded soak.</summary>
internal static class CheckReport
{
    public static void WriteText(IAnsiConsole console, SoakResult result, ShardOptions run)
    {
        SummaryTable.Write(console, result.Cohorts, result.Verdict, result.Reasons, result.Elapsed, run.Seed);

        // People copy commands: a command is on a line of its own that nothing wraps.
        foreach (string line in Replays(result, result.Cohorts, run))
            console.Profile.Out.Writer.WriteLine($"  {line}");
    }

    public static void WriteJson(TextWriter output, SoakResult result, ShardOptions run)
    {
        double seconds = result.Elapsed.TotalSeconds;
        IEnumerable<CohortReport> violations = result.Cohorts.Where(cohort => cohort.Verdict == Verdict.Violation);
        var document = new CheckDocument(
            result.Verdict,
            [.. result.Reasons, .. Replays(result, violations, run)],
            run.Seed,
            ModelVersion.Current,
            seconds,
            result.Operations,
            seconds > 0 ? result.Operations / seconds : 0,
            Verdicts.Evidence(result.Cohorts),
            [.. result.Cohorts.Select(Describe)]);
        output.WriteLine(JsonSerializer.Serialize(document, ReportJson.Default.CheckDocument));
    }

    /// <summary>How to reproduce the first incident of each cohort.</summary>
    private static IEnumerable<string> Replays(SoakResult result, IEnumerable<CohortReport> cohorts, ShardOptions run) =>
        from cohort in cohorts
        where result.FirstIncidents.ContainsKey(cohort.Cohort.Name)
        let incident = result.FirstIncidents[cohort.Cohort.Name]
        select ReplayCommandLine.Of(cohort.Cohort, run, incident.Id, incident.Found.Origin) is { } command
            ? $"{cohort.Cohort.Name}: reproduce with: {command}"
            : $"{cohort.Cohort.Name}: {incident.Id} cannot be replayed: its VM was a real one";

    private static CheckCohortDocument Describe(CohortReport cohort)
    {
        CohortTotals totals = cohort.Totals;
        var document = new CheckCohortDocument(
            cohort.Cohort.Name,
            cohort.Cohort.Kind,
            cohort.KernelName,
            cohort.Cohort.Expected.Label(),
            cohort.Cohort.Vms,
            cohort.Vcpus,
            totals.Operations,
            totals.Invalidations,
            totals.LivesStarted,
            totals.HangsCaught,
            totals.HangsMissed,
            totals.ByBoundary(),
            cohort.Hung,
            cohort.Starved,
            totals.UnjustifiedRetries,
            totals.OvercautiousRetries,
            totals.UnsafeInstalls,
            totals.StaleMappings,
            totals.AccountingErrors,
            cohort.Verdict);
        return KindDocuments.Complete(document, cohort.Snapshot, cohort.Reasons);
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
