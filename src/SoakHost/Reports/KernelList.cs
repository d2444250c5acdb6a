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
        HostCohort.KindName, HostCohort.KindName, false, "unknown", 0,
        "this machine's own kernel, through /dev/kvm: real VMs, whose counters start at 0", "this machine");

    private static readonly KernelInfo[] Kernels = [.. Kernel.All.Select(kernel => kernel.Info).Where(info => !info.IsMutant)];
    private static readonly KernelInfo[] Mutants = [.. Kernel.All.Select(kernel => kernel.Info).Where(info => info.IsMutant)];

    /// <summary>One document for each: kernels, then this machine's own, then mutants.</summary>
    public static KernelDocument[] Documents { get; } = [.. Kernels.Select(Of), Host, .. Mutants.Select(Of)];

    public static void WriteTable(IAnsiConsole console)
    {
        Table table = new Table().Border(TableBorder.Simple).AddColumns("kernel", "expected", "difference", "source");
        table.Columns[0].NoWrap();
        foreach (KernelInfo info in Kernels)
            Add(info);
        table.AddRow(new Text(Host.Name), new Text("unknown: that is the question"), new Text(Host.Description), new Text(Host.Source));
        table.AddEmptyRow().AddRow("mutants:");
        foreach (KernelInfo info in Mutants)
            Add(info);
        console.Write(table);

        void Add(KernelInfo info) =>
            table.AddRow(new Text(info.Name), new Text(Describe(info)), new Text(info.Description), new Text(info.Source));
    }

    public static void WriteJson(TextWriter output) =>
        output.WriteLine(JsonSerializer.Serialize(Documents, ReportJson.Default.KernelDocumentArray));

    private static KernelDocument Of(KernelInfo info) => new(
        info.Name, "simulated", info.IsMutant, info.Expected.Label(), info.ExpectedFrom, info.Description, info.Source);

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
    string Name, string Kind, bool IsMutant, string Expected, ulong ExpectedFrom, string Description, string Source);
