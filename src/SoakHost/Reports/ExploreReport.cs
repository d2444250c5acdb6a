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
                ])),
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
