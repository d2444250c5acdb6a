using System.Globalization;
using System.Numerics;
using System.Text.Json;
using SoakHost.Engine.Prove;
using Spectre.Console;

namespace SoakHost.Reports;

/// <summary>One proof of <c>soakhost prove --json</c>.</summary>
internal sealed record ProveDocument(
    string Kernel,
    string Verdict,
    string Solver,
    double ElapsedSeconds,
    ulong? FaultSpan,
    string? LowestCounter,
    string? HighestCounter,
    ObligationDocument[] Obligations,
    TimelineDocument? Counterexample);

/// <summary>One obligation of it.</summary>
internal sealed record ObligationDocument(string Name, string Result, double ElapsedSeconds);

/// <summary>What proofs came to.</summary>
internal static class ProveReport
{
    private const int IntervalsShown = 4;

    public static void WriteText(IAnsiConsole console, ProveResult result)
    {
        ProveOptions options = result.Options;
        (string verdict, Color color) = result.Verdict switch
        {
            ProofVerdict.Proven => (
                $"proven for every counter (1 to 8 vCPUs, 1 to {options.Invalidators} invalidators, up to "
                    + $"{options.Pages} pages, memslots {(options.MemslotUpdates ? "fixed or updated" : "fixed")}; assumes "
                        + "that a fault spans fewer "
                    + $"than {Power(options.FaultSpan)} invalidations)",
                Color.Green),
            ProofVerdict.Refuted => ($"refuted: {Describe(result.Breakage!)}", Color.Red),
            _ => ($"not proven: {result.Reason}", Color.Yellow),
        };
        console.Write(new Text($"{result.Kernel.Name}: {verdict}", new Style(color)));
        console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"; {result.Obligations.Count} obligations, {result.Solver}, {result.Elapsed.TotalSeconds:N1} s"));
        if (result.Verdict == ProofVerdict.NotProven)
        {
            foreach (ObligationResult failing in result.Obligations
                .Where(obligation => obligation.Outcome != ObligationOutcome.Holds))
                console.WriteLine($"  {failing.Name}: {failing.Question} {string.Join(", ", failing.Failed)} {failing.Detail}");
        }

        if (result.Breakage is { } breakage)
            TimelineReport.Write(console, breakage.Story);
    }

    /// <summary>The JSON document: an array.</summary>
    public static string Json(IEnumerable<ProveResult> results)
    {
        ProveDocument[] documents =
        [
            .. results.Select(result => new ProveDocument(
                result.Kernel.Name,
                Name(result.Verdict),
                result.Solver,
                result.Elapsed.TotalSeconds,
                result.Breakage?.FaultSpan,
                result.Breakage is { } lowest ? Hex64.Of(lowest.LowestCounter) : null,
                result.Breakage is { } highest ? Hex64.Of(highest.HighestCounter) : null,
                [.. result.Obligations.Select(obligation => new ObligationDocument(
                    obligation.Name, Name(obligation.Outcome), obligation.Elapsed.TotalSeconds))],
                result.Breakage is { } breakage ? TimelineDocument.Of(breakage.Story) : null)),
        ];
        return JsonSerializer.Serialize(documents, ReportJson.Default.ProveDocumentArray);
    }

    /// <summary>How many came to what.</summary>
    public static string Summary(IReadOnlyCollection<ProveResult> results) => string.Join(
        ", ", results.CountBy(result => result.Verdict).OrderBy(count => count.Key)
            .Select(count => $"{count.Value} {Name(count.Key).Replace('_', ' ')}"));

    /// <summary>Runs a proof, and shows on a terminal how far it is.</summary>
    public static async Task<ProveResult> WithProgressAsync(
        string kernel, Func<IProgress<ProveProgress>?, Task<ProveResult>> prove)
    {
        if (Console.IsErrorRedirected)
            return await prove(null);
        return await Terminal.Error.Status().StartAsync(kernel, status => prove(new StatusLine(status)));
    }

    public static string Name<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString());

    private static string Describe(Breakage breakage)
    {
        string ends = breakage.FaultSpan == 1 ? "invalidation ends" : "invalidations end";
        string span = breakage.FaultSpan == 0 ? ""
            : $" once {Power(breakage.FaultSpan)} {ends} in one fault{(breakage.IsShortest ? "" : ", or fewer")}";
        string takes = breakage.Takes.Length == 0 ? "" : $"; it takes {breakage.Takes}";
        string exact = breakage.IsExact ? "" : "; there may be more";
        return $"{breakage.Defect}{span}, {Where(breakage)}{exact}{takes}";
    }

    private static string Where(Breakage breakage)
    {
        if (breakage.AreAllIntervals && breakage.Intervals is [{ Lowest: 0, Highest: ulong.MaxValue }])
            return "at every counter";
        IEnumerable<string> shown = breakage.Intervals.Take(IntervalsShown).Select(interval => interval.Lowest == interval.Highest
            ? Hex64.Of(interval.Lowest)
            : $"{Hex64.Of(interval.Lowest)} to {Hex64.Of(interval.Highest)}");
        bool isCut = !breakage.AreAllIntervals || breakage.Intervals.Count > IntervalsShown;
        string rest = isCut ? $", ... {Hex64.Of(breakage.HighestCounter)}" : "";
        return $"at counters {string.Join(", ", shown)}{rest}";
    }

    private static string Power(ulong value) => value > 4 && BitOperations.IsPow2(value)
        ? $"2^{BitOperations.Log2(value)}" : value.ToString("N0", CultureInfo.InvariantCulture);

    private sealed class StatusLine(StatusContext status) : IProgress<ProveProgress>
    {
        public void Report(ProveProgress value) =>
            status.Status($"{value.Kernel}: {value.Stage}, {value.Done} of {value.Total} obligations");
    }
}
