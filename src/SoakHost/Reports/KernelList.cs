using System.Globalization;
using System.Numerics;
using System.Text.Json;
using SoakHost.Configuration;
using SoakHost.HostKernel;
using SoakHost.Model.Kernels;
using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>The kernels, as a table or as JSON.</summary>
internal static class KernelList
{
    // This machine's own kernel, which no model describes.
    private static readonly KernelDocument Host = new(
        HostCohort.KindName, HostCohort.KindName, KernelGroup.Release, "unknown", Hex64.Of(0),
        "this machine's own kernel, through /dev/kvm: real VMs, whose counters start at 0", "this machine", null, null);

    /// <summary>One document for each: releases and this machine's own, then historical defects, then mutants.</summary>
    public static KernelDocument[] Documents { get; } =
        [.. Kernel.All.Select(Of).Append(Host).OrderBy(document => document.Group)];

    public static void WriteTable(IAnsiConsole console, IEnumerable<KernelDocument> documents)
    {
        Table table = new Table().Border(TableBorder.Simple).AddColumns("kernel", "expected", "difference", "source");
        table.Columns[0].NoWrap();
        foreach (IGrouping<KernelGroup, KernelDocument> group in documents.GroupBy(document => document.Group))
        {
            if (group.Key != KernelGroup.Release)
                table.AddEmptyRow().AddRow(group.Key == KernelGroup.Mutant ? "mutants:" : "historical defects:");
            foreach (KernelDocument kernel in group)
            {
                string expected = Kernel.Find(kernel.Name) is { } known ? Describe(known.Info) : "unknown: that is the question";
                table.AddRow(new Text(kernel.Name), new Text(expected), new Text(kernel.Description), new Text(kernel.Source));
            }
        }

        console.Write(table);
    }

    public static void WriteJson(TextWriter output, KernelDocument[] documents) =>
        output.WriteLine(JsonSerializer.Serialize(documents, ReportJson.Default.KernelDocumentArray));

    /// <summary>One kernel's document.</summary>
    public static KernelDocument Of(Kernel kernel) => Of(kernel.Info);

    private static KernelDocument Of(KernelInfo info) => new(
        info.Name, "simulated", info.Group, info.Expected.Label(), Hex64.Of(info.ExpectedFrom), info.Description, info.Source,
        info.Fix?.Since, info.Fix?.Until);

    private static string Describe(KernelInfo info)
    {
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
    string Name,
    string Kind,
    KernelGroup Group,
    string Expected,
    string ExpectedFrom,
    string Description,
    string Source,
    string? Since,
    string? Until);
