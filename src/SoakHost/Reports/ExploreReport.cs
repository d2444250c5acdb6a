using System.Globalization;
using System.Text.Json;
using SoakHost.Configuration;
using SoakHost.Engine.Explore;
using SoakHost.Model.Kernels;
using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>One exploration of <c>soakhost explore --json</c>.</summary>
internal sealed record ExploreDocument(
    string Kernel,
    string Start,
    string Verdict,
    int States,
    int Depth,
    double ElapsedSeconds,
    TimelineDocument? Counterexample,
    ExploreDefectDocument[] Defects,
    string Expected);

/// <summary>The first defect of a kind.</summary>
internal sealed record ExploreDefectDocument(string Kind, int Depth, TimelineDocument Story);

/// <summary>The results of explorations.</summary>
internal static class ExploreReport
{
    private const int TableWidthMin = 160;

    public static void WriteText(IAnsiConsole console, ExploreResult result)
    {
        ExploreOptions bound = result.Options;
        string where = $"{result.Kernel.Name} from {Hex64.Of(bound.Start)}";
        string effort = string.Create(
            CultureInfo.InvariantCulture, $"{result.States:N0} states, depth {result.Depth}, {result.Elapsed.TotalSeconds:N1} s");
        (string verdict, Color color) = result.Verdict switch
        {
            ExploreVerdict.Proven => ($"{Claim(bound)} within the bound ({Bound(bound)})", Color.Green),
            ExploreVerdict.LimitReached => ("no defect found, but the limit of states was reached: not proven", Color.Yellow),
            ExploreVerdict.Stopped => ("no defect found before it was interrupted: not proven", Color.Yellow),
            _ => (string.Join(", ", result.Defects.Select(defect => Words(defect.Kind))), Color.Red),
        };
        console.Write(new Text($"{where}: {verdict}", new Style(color)));
        console.WriteLine($"; {effort}");
        if (result is { Verdict: ExploreVerdict.Proven, Kernel.NeedsMemslotUpdates: true, Options.MemslotUpdates: 0 })
            console.WriteLine($"The defect of {result.Kernel.Name} needs memslot updates: explore it with --memslot-updates 1.");
        foreach (ExploreDefect defect in result.Defects)
        {
            if (result.Defects.Length > 1)
                console.Write(new Text($"{where}: {Words(defect.Kind)}\n", new Style(Color.Red)));
            TimelineReport.Write(console, defect.Story);
        }
    }

    /// <summary>One line a kernel: what was found beside what is expected.</summary>
    public static void WriteTable(IAnsiConsole console, IReadOnlyList<ExploreOutcome> outcomes)
    {
        console.Profile.Width = Math.Max(console.Profile.Width, TableWidthMin);
        Table table = new Table().Border(TableBorder.Simple)
            .AddColumns("kernel", "starts", "states", "found", "expected", "as expected");
        foreach (TableColumn column in table.Columns)
            column.NoWrap().Padding(0, 0, 1, 0);
        foreach (ExploreOutcome outcome in outcomes)
        {
            (string word, Color color) = outcome.Expectation switch
            {
                ExploreExpectation.AsExpected => ("yes", Color.Green),
                ExploreExpectation.NotShown => ("not shown within the bound", Color.Yellow),
                ExploreExpectation.NotProven => ("not proven: not all states were seen", Color.Yellow),
                _ => ("no", Color.Red),
            };
            table.AddRow(
                new Text(outcome.Kernel.Name),
                new Text(outcome.Starts.ToString(CultureInfo.InvariantCulture)),
                new Text(outcome.States.ToString("N0", CultureInfo.InvariantCulture)),
                new Text(outcome.Found.IsEmpty ? "none" : string.Join(", ", outcome.Found.Select(Words))),
                new Text(outcome.Kernel.Expected == Defect.None ? "none" : outcome.Kernel.Expected.Label().Replace('_', ' ')),
                new Text(word, color));
        }

        console.Write(table);
    }

    /// <summary>The JSON document: an array.</summary>
    public static string Json(IEnumerable<ExploreResult> results)
    {
        ExploreDocument[] documents =
        [
            .. results.Select(result => new ExploreDocument(
                result.Kernel.Name,
                Hex64.Of(result.Options.Start),
                Name(result.Verdict),
                result.States,
                result.Depth,
                result.Elapsed.TotalSeconds,
                result.Counterexample is { } story ? TimelineDocument.Of(story) : null,
                [
                    .. result.Defects.Select(defect => new ExploreDefectDocument(
                        Name(defect.Kind),
                        defect.Depth,
                        TimelineDocument.Of(defect.Story))),
                ],
                result.Kernel.Expected.Label())),
        ];
        return JsonSerializer.Serialize(documents, ReportJson.Default.ExploreDocumentArray);
    }

    /// <summary>Runs an exploration, with its progress on a terminal.</summary>
    public static ExploreResult WithProgress(string what, Func<IProgress<ExploreProgress>?, ExploreResult> explore)
    {
        if (Console.IsErrorRedirected)
            return explore(null);
        ExploreResult? result = null;
        Terminal.Error.Status().Start(what, status => result = explore(new StatusLine(what, status)));
        return result!;
    }

    public static string Name(ExploreVerdict verdict) => JsonNamingPolicy.SnakeCaseLower.ConvertName(verdict.ToString());

    /// <summary>Where one kind of defect alone was looked for, others may be there.</summary>
    private static string Claim(ExploreOptions bound) => bound.Target is { } target ? $"no {Words(target)}" : "proven";

    private static string Bound(ExploreOptions bound) => string.Join(
        ", ",
        Number(bound.Vcpus, "vCPU"),
        Number(bound.Invalidators, "invalidator"),
        Number(bound.Pages, "page"),
        Number(bound.Invalidations, "invalidation"),
        Number(bound.MemslotUpdates, "memslot update"));

    private static string Number(int count, string what) =>
        string.Create(CultureInfo.InvariantCulture, $"{count} {what}{(count == 1 ? "" : "s")}");

    private static string Words(ExploreVerdict verdict) => Name(verdict).Replace('_', ' ');

    private sealed class StatusLine(string what, StatusContext status) : IProgress<ExploreProgress>
    {
        public void Report(ExploreProgress value) => status.Status(string.Create(
            CultureInfo.InvariantCulture, $"{what}: {value.States:N0} states, depth {value.Depth}, {value.Pending:N0} pending"));
    }
}
