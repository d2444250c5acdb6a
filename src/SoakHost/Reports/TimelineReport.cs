using System.Collections.Immutable;
using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Timelines;
using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>A timeline as JSON.</summary>
internal sealed record TimelineDocument(string Kernel, string Conclusion, ImmutableArray<TimelineStepDocument> Steps)
{
    public static TimelineDocument Of(Timeline timeline) =>
        new(timeline.Kernel, timeline.Conclusion, [.. timeline.Steps.Select(TimelineStepDocument.Of)]);
}

/// <summary>One step of it.</summary>
internal sealed record TimelineStepDocument(
    long Tick,
    string Actor,
    string Action,
    string Function,
    string InvalidateSeq,
    string? Snapshot,
    uint InProgress,
    int[] Range,
    string Mapped,
    StepVerdict Verdict,
    string Truth,
    string Explanation)
{
    public static TimelineStepDocument Of(TimelineStep step) => new(
        step.Tick,
        step.Actor,
        step.Action,
        step.Function,
        Hex64.Of(step.InvalidateSeq),
        step.Snapshot is { } snapshot ? Hex64.Of(snapshot) : null,
        step.InProgress,
        [step.Range.Start, step.Range.End],
        Hex64.Of(step.Mapped),
        step.Verdict,
        step.Truth,
        step.Explanation);
}

/// <summary>An incident's timeline: a <see cref="TimelineDocument"/>, and where it comes from.</summary>
internal sealed record IncidentTimelineDocument(
    string Incident, long Run, string Kernel, string Conclusion, string Command, ImmutableArray<TimelineStepDocument> Steps)
{
    public static IncidentTimelineDocument Of(IncidentId incident, long run, string command, Timeline timeline)
    {
        TimelineDocument told = TimelineDocument.Of(timeline);
        return new(incident.ToString(), run, told.Kernel, told.Conclusion, command, told.Steps);
    }
}

/// <summary>A timeline for people.</summary>
internal static class TimelineReport
{
    private static readonly string[] Columns =
        ["", "tick", "actor", "what it does", "mmu_invalidate_seq", "snapshot", "in progress", "range", "mapped"];

    public static void Write(IAnsiConsole console, Timeline timeline)
    {
        Table table = new Table().Border(TableBorder.Simple).AddColumns(Columns);
        foreach (int number in (int[])[1, 4, 5, 6])
            table.Columns[number].RightAligned();
        foreach (int whole in (int[])[2, 4, 5, 7, 8])
            table.Columns[whole].NoWrap();
        foreach (TimelineStep step in timeline.Steps)
        {
            Style style = step.IsDefect ? new Style(Color.Red, decoration: Decoration.Bold)
                : step.Verdict == StepVerdict.JustifiedRetry ? new Style(Color.Yellow) : Style.Plain;
            string judged = step.Truth.Length == 0 ? step.Action : $"{step.Action}; {step.Truth}";
            string[] cells =
            [
                step.IsDefect ? ">>" : "",
                step.Tick.ToString(CultureInfo.InvariantCulture),
                step.Actor,
                judged,
                Hex64.Of(step.InvalidateSeq),
                step.Snapshot is { } snapshot ? Hex64.Of(snapshot) : "",
                step.InProgress.ToString(CultureInfo.InvariantCulture),
                $"[{step.Range.Start}, {step.Range.End})",
                Timeline.DescribePages(step.Mapped),
            ];
            table.AddRow(cells.Select(cell => new Text(cell, style)));
        }

        console.Write(table);
        console.Write(new Text(timeline.Conclusion, new Style(decoration: Decoration.Bold)));
        console.WriteLine();
    }
}
