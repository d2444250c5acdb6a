using System.Globalization;
using System.Text.Json;
using SoakHost.Engine.Explore;
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
    ExploreDefectDocument[] Defects);

/// <summary>The first defect of a kind.</summary>
internal sealed record ExploreDefectDocument(string Kind, int Depth, TimelineDocument Story);

/// <summary>The results of explorations.</summary>
internal static class ExploreReport
{
    public static void WriteText(IAnsiConsole console, ExploreResult result)
    {
        ExploreOptions bound = result.Options;
        string where = $"{result.Kernel.Name} from {Hex64.Of(bound.Start)}";
        string effort = string.Create(
            CultureInfo.InvariantCulture, $"{result.States:N0} states, depth {result.Depth}, {result.Elapsed.TotalSeconds:N1} s");
        (string verdict, Color color) = result.Verdict switch
        {
            ExploreVerdict.Proven => (
                $"proven within the bound ({bound.Vcpus} vCPUs, {bound.Invalidators} invalidators, {bound.Pages} pages, "
                + $"{bound.Invalidations} invalidations, {bound.MemslotUpdates} memslot updates)",
                Color.Green),
            ExploreVerdict.LimitReached => ("no defect found, but the limit of states was reached: not proven", Color.Yellow),
            ExploreVerdict.Stopped => ("no defect found before it was interrupted: not proven", Color.Yellow),
            _ => (string.Join(", ", result.Defects.Select(defect => Words(defect.Kind))), Color.Red),
        };
        console.Write(new Text($"{where}: {verdict}", new Style(color)));
        console.WriteLine($"; {effort}");
        foreach (ExploreDefect defect in result.Defects)
        {
            if (result.Defects.Length > 1)
                console.Write(new Text($"{where}: {Words(defect.Kind)}\n", new Style(Color.Red)));
            TimelineReport.Write(console, defect.Story);
        }
    }

    public static void WriteJson(TextWriter output, IEnumerable<ExploreResult> results)
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
                ])),
        ];
        output.WriteLine(JsonSerializer.Serialize(documents, ReportJson.Default.ExploreDocumentArray));
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

    private static string Words(ExploreVerdict verdict) => Name(verdict).Replace('_', ' ');

    private sealed class StatusLine(string what, StatusContext status) : IProgress<ExploreProgress>
    {
        public void Report(ExploreProgress value) => status.Status(string.Create(
            CultureInfo.InvariantCulture, $"{what}: {value.States:N0} states, depth {value.Depth}, {value.Pending:N0} pending"));
    }
}
