using System.Globalization;
using System.Text.Json;
using SoakHost.Configuration;
using SoakHost.Engine.Checks;
using SoakHost.Model.Kernels;
using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>One kernel of <c>soakhost kernels --verify --json</c>.</summary>
internal sealed record KillMatrixDocument(
    string Name,
    KernelGroup Group,
    string Expected,
    string FoundByExplore,
    string FoundBySoak,
    string? FoundByProof,
    string? LowestCounter,
    bool Ok);

/// <summary>Which detector caught which kernel, and how fast.</summary>
internal static class KillMatrixReport
{
    private static readonly string[] Columns =
        ["kernel", "expected", "found by explore", "states", "s", "found by soak", "ticks", "s", "expected from", "proof", "s",
            "as expected"];

    public static void WriteText(IAnsiConsole console, IReadOnlyCollection<KillMatrixRow> rows)
    {
        Table table = new Table().Border(TableBorder.Simple).AddColumns(Columns);
        foreach (int number in (int[])[3, 4, 6, 7, 8, 10])
            table.Columns[number].RightAligned();
        table.Columns[0].NoWrap();
        foreach (KillMatrixRow row in rows)
        {
            KillMatrixDocument line = Describe(row);
            table.AddRow(
                new Text(line.Name),
                new Text(Words(line.Expected)),
                new Text(Words(line.FoundByExplore)),
                new Text(row.ExploredStates.ToString("N0", CultureInfo.InvariantCulture)),
                new Text(row.ExploreTime.TotalSeconds.ToString("F2", CultureInfo.InvariantCulture)),
                new Text(Words(line.FoundBySoak)),
                new Text(row.SoakTicks.ToString("N0", CultureInfo.InvariantCulture)),
                new Text(row.SoakTime.TotalSeconds.ToString("F2", CultureInfo.InvariantCulture)),
                new Text(line.Expected == "none" ? "" : Hex64.Of(row.Kernel.ExpectedFrom)),
                new Text(Proof(line)),
                new Text(row.Proved?.Elapsed.TotalSeconds.ToString("F2", CultureInfo.InvariantCulture) ?? ""),
                new Text(line.Ok ? "yes" : "NO", new Style(line.Ok ? Color.Green : Color.Red)));
        }

        console.Write(table);
        foreach (KernelInfo survivor in rows.Select(row => row.Kernel).Where(kernel => kernel.SurvivesBecause is not null))
        {
            string fate = survivor.IsRefutedByProofAlone ? "is caught by proof alone" : "has no defect to catch";
            console.WriteLine($"{survivor.Name} {fate}: {survivor.SurvivesBecause}");
        }

        int caught = rows.Count(row => row.IsAsExpected);
        console.WriteLine($"{caught} of {rows.Count} as expected");
    }

    /// <summary>The JSON document: an array.</summary>
    public static string Json(IEnumerable<KillMatrixRow> rows) =>
        JsonSerializer.Serialize([.. rows.Select(Describe)], ReportJson.Default.KillMatrixDocumentArray);

    private static string Proof(KillMatrixDocument line) => line.FoundByProof is not { } verdict ? "no solver"
        : Words(verdict) + (line.LowestCounter is { } lowest ? $" from {lowest}" : "");

    private static string Words(string label) => label.Replace('_', ' ');

    private static string Name(Defect defect) => defect == Defect.None ? "none" : defect.Label();

    private static KillMatrixDocument Describe(KillMatrixRow row) => new(
        row.Kernel.Name,
        row.Kernel.Group,
        Name(row.Kernel.Expected),
        row.ExploredDefect is { } defect ? Name(defect) : ExploreReport.Name(row.Explored),
        Name(row.Soaked),
        row.Proved is { } proved ? ProveReport.Name(proved.Verdict) : null,
        row.Proved?.Breakage is { } breakage ? Hex64.Of(breakage.LowestCounter) : null,
        row.IsAsExpected);
}
