using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using SoakHost.Configuration;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Fleets;
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
    ImmutableArray<CheckCohortDocument> Cohorts);

/// <summary>One cohort of it.</summary>
internal sealed record CheckCohortDocument(
    string Name,
    string Kernel,
    string Expect,
    int Vms,
    int Vcpus,
    long Operations,
    long Invalidations,
    IReadOnlyDictionary<string, long> Crossings,
    int VcpusHung,
    int VcpusStarved,
    long UnjustifiedRetries,
    long OvercautiousRetries,
    long UnsafeInstalls,
    long StaleMappings,
    long AccountingErrors,
    Verdict Verdict)
{
    /// <summary>What only real VMs have; simulated ones do not have these keys at all.</summary>
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
            [.. result.Cohorts.Select(Describe)]);
        output.WriteLine(JsonSerializer.Serialize(document, ReportJson.Default.CheckDocument));
    }

    /// <summary>How to reproduce the first incident of each cohort.</summary>
    private static IEnumerable<string> Replays(SoakResult result, IEnumerable<CohortReport> cohorts, ShardOptions run) =>
        from cohort in cohorts
        where result.FirstIncidents.ContainsKey(cohort.Cohort.Name)
        let incident = result.FirstIncidents[cohort.Cohort.Name]
        select ReplayCommandLine.Of(cohort.Cohort, run, incident) is { } command
            ? $"{cohort.Cohort.Name}: reproduce with: {command}"
            : $"{cohort.Cohort.Name}: {incident} cannot be replayed: its VM was a real one";

    private static CheckCohortDocument Describe(CohortReport cohort)
    {
        Totals totals = cohort.Totals;
        HostFigures? host = cohort.Snapshot.Host;
        return new CheckCohortDocument(
            cohort.Cohort.Name,
            cohort.Kernel.Info.Name,
            cohort.Cohort.Expected.Label(),
            cohort.Cohort.Vms,
            cohort.Cohort.Vms * cohort.Cohort.Vm.Vcpus,
            totals.Operations,
            totals.Invalidations,
            Crossings.ByBoundary(totals, host),
            cohort.Hung,
            cohort.Starved,
            totals.UnjustifiedRetries,
            totals.OvercautiousRetries,
            totals.UnsafeInstalls,
            totals.StaleMappings,
            totals.AccountingErrors,
            cohort.Verdict)
        {
            KernelRelease = host?.KernelRelease,
            Mmu = host?.Mmu,
            Cpu = host?.Cpu,
            InvalidationsPerSecond = host is null ? null : host.Average(totals.Invalidations),
            Reasons = host?.Reasons,
            NotCovered = host?.NotCovered,
        };
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
        if (progress.Stage == "host" && !report.Cohorts.IsEmpty)
            return string.Join("; ", report.Cohorts.Select(Describe));
        long operations = report.Cohorts.Sum(cohort => cohort.Totals.Operations);
        double seconds = Math.Max((report.Time - report.Started).TotalSeconds, 0.001);
        int hung = report.Cohorts.Sum(cohort => cohort.Hung);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{progress.Stage}: {operations / 1e6:N0} million operations, {operations / seconds / 1e6:N0} million per second, {hung} vCPUs hung");
    }

    /// <summary>
    /// Real VMs estimate their own time left from the present rate; the bar would not know that the last seconds before a boundary are slow.
    /// </summary>
    private static string Describe(CohortReport cohort)
    {
        HostFigures host = cohort.Snapshot.Host!;
        HostBoundary? next = host.Boundaries.FirstOrDefault(boundary => boundary.Expected is not null);
        string left = host.ExpectedEnd is { } end && end > host.At ? string.Create(CultureInfo.InvariantCulture, $", {end - host.At:hh\\:mm\\:ss} left") : "";
        string expected = next is null ? "" : string.Create(CultureInfo.InvariantCulture, $", {next.Name} expected at {next.Expected:u}");
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{cohort.Cohort.Name}: {cohort.Totals.Invalidations / 1e6:N1} million invalidations of {host.Until * cohort.Cohort.Vms / 1e6:N1}, "
            + $"{host.InvalidationsPerSecond / 1e6:N2} million a second{left}{expected}, {cohort.Hung} vCPUs hung");
    }

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
