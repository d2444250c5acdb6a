using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Lab;
using SoakHost.HostKernel.Lab.Images;
using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>The document of <c>soakhost lab --json</c>.</summary>
/// <param name="Verdict">The worst verdict of all kernels.</param>
/// <param name="ElapsedSeconds">Time that they took.</param>
/// <param name="Kernels">Each kernel, in the order of the arguments.</param>
internal sealed record LabDocument(Verdict Verdict, double ElapsedSeconds, ImmutableArray<LabKernelDocument> Kernels);

/// <summary>One kernel of it.</summary>
/// <param name="Image">The image's path, as it was given.</param>
/// <param name="Sha256">The image's hash.</param>
/// <param name="Modules">The modules that it was given: KVM is one on most kernels.</param>
/// <param name="KernelRelease">As <c>uname -r</c> gives it inside; null where the kernel did not come so far.</param>
/// <param name="Mmu">The MMU mode; null where the kernel did not come so far.</param>
/// <param name="Cpu">The processor's model name inside; null where the kernel did not come so far.</param>
/// <param name="Accelerator">How the machine was run.</param>
/// <param name="Verdict">The verdict.</param>
/// <param name="Reasons">Why it is no pass.</param>
/// <param name="Seen">What was seen, a sentence each.</param>
/// <param name="NotCovered">What the run cannot say, a sentence each.</param>
/// <param name="BootSeconds">From power-on to the program's first word; null where it said none.</param>
/// <param name="ElapsedSeconds">Time that it took.</param>
/// <param name="Control">The hang that was provoked first; null where none was seen.</param>
/// <param name="Boundaries">Each boundary that was tried.</param>
/// <param name="OtherBoundaries">The short runs of other boundaries.</param>
/// <param name="KernelCounter">The kernel's own counter; null where it was not read.</param>
internal sealed record LabKernelDocument(
    string Image,
    string? Sha256,
    ImmutableArray<LabModuleDocument> Modules,
    string? KernelRelease,
    string? Mmu,
    string? Cpu,
    string Accelerator,
    Verdict Verdict,
    ImmutableArray<string> Reasons,
    ImmutableArray<string> Seen,
    ImmutableArray<string> NotCovered,
    double? BootSeconds,
    double ElapsedSeconds,
    LabHangDocument? Control,
    ImmutableArray<LabBoundaryDocument> Boundaries,
    ImmutableArray<OtherBoundaryDocument> OtherBoundaries,
    KernelCounterDocument? KernelCounter);

/// <summary>A module that a kernel was given.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Path">The file.</param>
/// <param name="Sha256">The hash of what was loaded.</param>
internal sealed record LabModuleDocument(string Name, string Path, string Sha256);

/// <summary>vCPUs that hung.</summary>
/// <param name="VcpusHung">How many.</param>
/// <param name="Vcpus">Of how many.</param>
/// <param name="InvalidateSeq">The counter when invalidations were stopped, in hex.</param>
/// <param name="FaultsTaken">Faults that they took without any invalidation; null where the kernel counts none.</param>
/// <param name="QuietSeconds">How long that was.</param>
/// <param name="Recovered">Whether they went on once the kernel's words were put back.</param>
internal sealed record LabHangDocument(
    int VcpusHung, int Vcpus, string InvalidateSeq, ulong? FaultsTaken, double QuietSeconds, bool Recovered)
{
    public static LabHangDocument? Of(LabHang? hang) => hang is null ? null : new(
        hang.Vcpus, hang.VcpusAll, Hex64.Of(hang.InvalidateSeq), hang.TakenInQuiet, hang.QuietSeconds, hang.HasRecovered);
}

/// <summary>A boundary that was tried.</summary>
/// <param name="Boundary">Its name.</param>
/// <param name="Verdict">Its verdict.</param>
/// <param name="SetTo">The value written into the counter, in hex.</param>
/// <param name="IsCrossed">Whether the kernel's own invalidations moved the counter across.</param>
/// <param name="Before">Below the boundary.</param>
/// <param name="After">From the boundary on.</param>
internal sealed record LabBoundaryDocument(
    string Boundary, Verdict Verdict, string SetTo, bool IsCrossed, LabSideDocument Before, LabSideDocument After);

/// <summary>One side of it.</summary>
/// <param name="FaultsFixed">Faults fixed there.</param>
/// <param name="First">The counter at the first fault seen there, in hex; null where there was none.</param>
/// <param name="Last">The counter at the last.</param>
/// <param name="Hang">The hang there; null where there was none.</param>
internal sealed record LabSideDocument(ulong FaultsFixed, string? First, string? Last, LabHangDocument? Hang)
{
    public static LabSideDocument Of(LabSide side) => new(
        side.FixedInAll,
        side.First is { } first ? Hex64.Of(first) : null,
        side.Last is { } last ? Hex64.Of(last) : null,
        LabHangDocument.Of(side.Hang));
}

/// <summary>Kernels that were tried in the lab, for people and as JSON.</summary>
internal static class LabReport
{
    /// <summary>The worst verdict: a violation is one whatever the others are.</summary>
    public static Verdict Worst(IEnumerable<Verdict> verdicts)
    {
        ImmutableHashSet<Verdict> all = [.. verdicts];
        return all.Contains(Verdict.Violation) ? Verdict.Violation
            : all.Contains(Verdict.Inconclusive) || all.IsEmpty ? Verdict.Inconclusive
            : all.Contains(Verdict.Unsupported) ? Verdict.Unsupported
            : Verdict.Pass;
    }

    /// <summary>A table of all kernels, and what was seen of each.</summary>
    public static void WriteText(IAnsiConsole console, IReadOnlyList<LabRun> runs)
    {
        Table table = new Table().Border(TableBorder.Simple).AddColumns("image", "kernel", "control");
        ImmutableArray<Boundary> boundaries = runs[0].Boundaries;
        foreach (Boundary boundary in boundaries)
            table.AddColumn(boundary.Name);
        foreach (string name in runs[0].Others)
            table.AddColumn(name);
        table.AddColumns("s", "verdict");
        foreach (TableColumn column in table.Columns)
            column.NoWrap();
        foreach (LabRun run in runs)
        {
            table.AddRow(
            [
                new Text(Path.GetFileName(run.Path)),
                new Text(run.Machine?.KernelRelease ?? run.Image?.Release ?? "unknown"),
                new Text(run.Control is { } control ? control.HasRecovered ? "hung, recovered" : "hung" : "none"),
                .. boundaries.Select(boundary => Cell(run, boundary)),
                .. run.Others.Select(name => Cell(run, name)),
                new Text(run.Elapsed.TotalSeconds.ToString("F0", CultureInfo.InvariantCulture)),
                Styled(LabJudgement.Of(run).Verdict),
            ]);
        }

        console.Write(table);
        foreach (LabRun run in runs)
            Write(console.Profile.Out.Writer, run);
    }

    /// <summary>The JSON document.</summary>
    public static string Json(IReadOnlyList<LabRun> runs)
    {
        LabKernelDocument[] kernels = [.. runs.Select(Describe)];
        var document = new LabDocument(
            Worst(kernels.Select(kernel => kernel.Verdict)), kernels.Sum(kernel => kernel.ElapsedSeconds), [.. kernels]);
        return JsonSerializer.Serialize(document, ReportJson.Default.LabDocument);
    }

    private static void Write(TextWriter output, LabRun run)
    {
        LabJudgement judgement = LabJudgement.Of(run);
        output.WriteLine();
        output.WriteLine($"{run.Path}: {judgement.Verdict.ToString().ToLowerInvariant()}");
        if (run.Image is { } image)
            output.WriteLine($"  sha256 {image.Sha256}");
        foreach (LabModule module in run.Modules)
            output.WriteLine($"  module {module.Name}: {module.Path}, sha256 {module.Sha256}");
        foreach (string line in judgement.Reasons.Concat(judgement.Seen))
            output.WriteLine($"  {line}");
        foreach (string gap in judgement.NotCovered)
            output.WriteLine($"  not covered: {gap}");
    }

    private static Text Cell(LabRun run, Boundary boundary) =>
        run.Crossings.FirstOrDefault(each => each.Boundary == boundary) is not { } crossing ? new Text("not tried")
        : crossing.Before.Hang is not null ? new Text("hung below", Color.Red)
        : crossing.After.Hang is not null ? new Text("hung past it", Color.Red)
        : Styled(LabJudgement.Of(crossing));

    private static Text Cell(LabRun run, string other) =>
        run.OtherResults.FirstOrDefault(each => each.Name == other) is { } result ? Styled(result.Verdict)
            : new Text("not tried");

    private static LabKernelDocument Describe(LabRun run)
    {
        LabJudgement judgement = LabJudgement.Of(run);
        return new LabKernelDocument(
            run.Path,
            run.Image?.Sha256,
            [.. run.Modules.Select(module => new LabModuleDocument(module.Name, module.Path, module.Sha256))],
            run.Machine?.KernelRelease,
            run.Machine?.MmuMode,
            run.Machine?.CpuModel,
            run.Accelerator,
            judgement.Verdict,
            judgement.Reasons,
            judgement.Seen,
            judgement.NotCovered,
            run.Boot?.TotalSeconds,
            run.Elapsed.TotalSeconds,
            LabHangDocument.Of(run.Control),
            [
                .. run.Crossings.Select(crossing => new LabBoundaryDocument(
                    crossing.Boundary.Name, LabJudgement.Of(crossing), Hex64.Of(crossing.SetTo), crossing.IsCrossed,
                    LabSideDocument.Of(crossing.Before), LabSideDocument.Of(crossing.After))),
            ],
            [.. run.OtherResults.Select(OtherBoundaryDocument.Of)],
            KernelCounterDocument.Of(run));
    }

    private static Text Styled(Verdict verdict) => new(verdict.ToString().ToLowerInvariant(), verdict switch
    {
        Verdict.Pass => Color.Green,
        Verdict.Violation => Color.Red,
        _ => Color.Yellow,
    });
}
