using SoakHost.Engine.Cohorts;
using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>A merged list for people.</summary>
internal static class ListReport
{
    public static void WriteText(IAnsiConsole console, MergedList list)
    {
        Table table = new Table().Border(TableBorder.Simple).AddColumns(list.Command, "result");
        foreach (ListedResult entry in list.Entries)
            table.AddRow(new Text(entry.Name), new Text(entry.Word?.Replace('_', ' ') ?? "no result", StyleOf(entry.Verdict)));
        console.Write(table);
        console.Write("Verdict: ");
        console.Write(new Text(list.Verdict.ToString().ToLowerInvariant(), StyleOf(list.Verdict)));
        console.WriteLine();
        foreach (string reason in list.Reasons)
            console.WriteLine($"  {reason}");
    }

    private static Style StyleOf(Verdict verdict) => verdict switch
    {
        Verdict.Pass => Color.Green,
        Verdict.Violation => Color.Red,
        _ => Color.Yellow,
    };
}
