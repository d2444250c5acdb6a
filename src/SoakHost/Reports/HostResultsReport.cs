using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Results;
using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>The document of <c>soakhost host-results --json</c>.</summary>
/// <param name="Results">Every kept result, by kernel, the newest of each first.</param>
/// <param name="Refused">Files that are left out and why, a sentence each.</param>
internal sealed record HostResultsDocument(ImmutableArray<HostResultDocument> Results, ImmutableArray<string> Refused);

/// <summary>One of them.</summary>
/// <param name="Kernel">The build of the kernel that was checked.</param>
/// <param name="IsRunning">Whether this machine runs it now.</param>
/// <param name="Result">The result.</param>
internal sealed record HostResultDocument(KernelBuild Kernel, bool IsRunning, HostResult Result);

/// <summary>Kept results of checks of the host's kernels, as a table or as JSON.</summary>
internal static class HostResultsReport
{
    /// <summary>The table, and on standard error what is left out.</summary>
    /// <param name="console">Where the table is drawn.</param>
    /// <param name="error">Standard error.</param>
    /// <param name="kept">What is kept.</param>
    /// <param name="folder">Where it was looked for.</param>
    /// <param name="running">The key of the kernel that runs.</param>
    public static void WriteText(IAnsiConsole console, TextWriter error, KeptResults kept, string folder, string running)
    {
        foreach (string refused in kept.Refused)
            error.WriteLine(WatchReport.Printable(refused));
        if (kept.Kernels.All(kernel => kernel.Results.IsEmpty))
        {
            console.Profile.Out.Writer.WriteLine($"No results in {folder}. \"soakhost check --kernel host\" keeps one.");
            return;
        }

        Table table = new Table().Border(TableBorder.Simple).AddColumns(
            "kernel", "build", "MMU", "CPU", "checked", "verdict", "invalidations", "counter", "runs now");
        foreach (KernelResults kernel in kept.Kernels)
        {
            foreach (HostResult result in kernel.Results)
            {
                table.AddRow(Row(kernel.Kernel, result, kernel.Kernel.Key == running).Select((cell, column) => new Text(
                    WatchReport.Printable(cell), column == 5 ? Color(result.Verdict) : Spectre.Console.Color.Default)));
            }
        }

        console.Write(table);
    }

    /// <summary>The JSON document.</summary>
    public static void WriteJson(TextWriter output, KeptResults kept, string running) =>
        output.WriteLine(JsonSerializer.Serialize(
            new HostResultsDocument(
                [
                    .. kept.Kernels.SelectMany(kernel => kernel.Results.Select(
                        result => new HostResultDocument(kernel.Kernel, kernel.Kernel.Key == running, result))),
                ],
                kept.Refused),
            ReportJson.Default.HostResultsDocument));

    private static string[] Row(KernelBuild kernel, HostResult result, bool isRunning) =>
    [
        kernel.Release, Build(kernel), result.Mmu, result.Cpu,
        result.CheckedAt.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture),
        string.Join("; ", [result.VerdictName, .. result.OtherBoundaries]),
        result.Invalidations.ToString("N0", CultureInfo.InvariantCulture),
        result.CounterLast is { } last ? $"read up to {last}" : "not read", isRunning ? "yes" : "",
    ];

    private static string Build(KernelBuild kernel) => string.Concat(
        kernel.BuildId is { } id ? id[..Math.Min(id.Length, 12)] : kernel.Key[..12],
        kernel.LivePatches.Count > 0 ? $" + {string.Join(", ", kernel.LivePatches)}" : "");

    private static Color Color(string verdict) =>
        verdict == HostVerdictName.Word(Verdict.Pass) ? Spectre.Console.Color.Green
        : verdict == HostVerdictName.Word(Verdict.Violation) ? Spectre.Console.Color.Red
        : Spectre.Console.Color.Yellow;
}
