using System.Globalization;
using System.Numerics;
using System.Text.Json;
using SoakHost.Configuration;
using SoakHost.Model.Kernels;
using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>The kernels, as a table or as JSON.</summary>
internal static class KernelList
{
    /// <summary>Releases and this machine's own, then historical defects, then mutants.</summary>
    private static readonly KernelInfo[] All =
        [.. Kernel.All.Append(Kernel.Host).Select(kernel => kernel.Info).OrderBy(info => info.Group)];

    /// <summary>One document for each.</summary>
    public static KernelDocument[] Documents { get; } =
    [
        .. All.Select(info => new KernelDocument(
            info.Name, info.Group, info.IsSimulated ? info.Expected.Label() : "unknown", Hex64.Of(info.ExpectedFrom), info.Description,
            info.Source, info.Fix?.Since, info.Fix?.Until)),
    ];

    public static void WriteTable(IAnsiConsole console)
    {
        Table table = new Table().Border(TableBorder.Simple).AddColumns("kernel", "expected", "difference", "source");
        table.Columns[0].NoWrap();
        KernelGroup group = KernelGroup.Release;
        foreach (KernelInfo info in All)
        {
            if (info.Group != group)
                table.AddEmptyRow().AddRow(info.Group == KernelGroup.Mutant ? "mutants:" : "historical defects:");
            group = info.Group;
            table.AddRow(new Text(info.Name), new Text(Describe(info)), new Text(info.Description), new Text(info.Source));
        }

        console.Write(table);
    }

    public static void WriteJson(TextWriter output) =>
        output.WriteLine(JsonSerializer.Serialize(Documents, ReportJson.Default.KernelDocumentArray));

    private static string Describe(KernelInfo info)
    {
        if (!info.IsSimulated)
            return "unknown";
        string what = info.Expected.Label().Replace('_', ' ');
        string from = info.ExpectedFrom == 0 ? ""
            : BitOperations.IsPow2(info.ExpectedFrom) ? $" from 2^{BitOperations.Log2(info.ExpectedFrom)}"
            : string.Create(CultureInfo.InvariantCulture, $" from 0x{info.ExpectedFrom:x}");
        string needs = info.NeedsMemslotUpdates ? ", with memslot updates"
            : info.InvalidatorsMin > 1 ? $", with {info.InvalidatorsMin} invalidators" : "";
        return what + from + needs;
    }
}

/// <summary>One kernel of <c>soakhost kernels --json</c>.</summary>
internal sealed record KernelDocument(
    string Name, KernelGroup Group, string Expected, string ExpectedFrom, string Description, string Source, string? Since, string? Until);
