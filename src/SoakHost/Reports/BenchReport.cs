using System.Globalization;
using System.Text.Json;
using SoakHost.Engine.Checks;
using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>One line of <c>soakhost bench --json</c>.</summary>
internal sealed record BenchDocument(
    string Kernel,
    int Vcpus,
    int Invalidators,
    int Pages,
    int Vms,
    int Workers,
    int VectorBits,
    long Operations,
    double Seconds,
    double OperationsPerSecond,
    double NsPerOperation);

/// <summary>The results of a benchmark.</summary>
internal static class BenchReport
{
    private static readonly string[] Columns =
        ["kernel", "vCPUs", "invalidators", "pages", "VMs", "workers", "vector bits", "million operations/s", "ns/operation"];

    public static void WriteText(IAnsiConsole console, IEnumerable<BenchResult> results)
    {
        Table table = new Table().Border(TableBorder.Simple).AddColumns(Columns);
        for (int number = 1; number < Columns.Length; number++)
            table.Columns[number].RightAligned();
        foreach (BenchDocument line in results.Select(Describe))
        {
            table.AddRow(
                line.Kernel,
                Whole(line.Vcpus),
                Whole(line.Invalidators),
                Whole(line.Pages),
                Whole(line.Vms),
                Whole(line.Workers),
                Whole(line.VectorBits),
                (line.OperationsPerSecond / 1e6).ToString("F1", CultureInfo.InvariantCulture),
                line.NsPerOperation.ToString("F2", CultureInfo.InvariantCulture));
        }

        console.Write(table);
    }

    public static void WriteJson(TextWriter output, IEnumerable<BenchResult> results) =>
        output.WriteLine(JsonSerializer.Serialize([.. results.Select(Describe)], ReportJson.Default.BenchDocumentArray));

    private static string Whole(int number) => number.ToString(CultureInfo.InvariantCulture);

    private static BenchDocument Describe(BenchResult result) => new(
        result.Case.Kernel.Info.Name,
        result.Case.Vcpus,
        result.Case.Invalidators,
        result.Case.Pages,
        result.Case.Vms,
        result.Case.Workers,
        result.Case.VectorBits,
        result.Operations,
        result.Seconds,
        result.OperationsPerSecond,
        result.NanosecondsPerOperation);
}
