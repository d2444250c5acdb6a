using System.CommandLine;
using SoakHost.Configuration;
using SoakHost.Engine.Explore;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;
using SoakHost.Reports;

namespace SoakHost.Commands;

/// <summary><c>soakhost explore</c>: every interleaving of a small VM.</summary>
internal static class ExploreCommand
{
    private static readonly ExploreOptions Defaults = new();

    private static readonly Choice<TargetChoice> Targets = new(
        null,
        ("hang", new(ExploreVerdict.Hang)),
        ("unsafe-install", new(ExploreVerdict.UnsafeInstall)),
        ("stale-mapping", new(ExploreVerdict.StaleMapping)),
        ("deadlock", new(ExploreVerdict.Deadlock)),
        ("accounting-error", new(ExploreVerdict.AccountingError)),
        ("unjustified-retry", new(ExploreVerdict.UnjustifiedRetry)));

    public static Command Create()
    {
        ValueOption<IReadOnlyList<Kernel>> kernels = CommonOptions.Kernels(
            "kernels to explore", [.. Kernel.All.Where(kernel => kernel.Info.Group == KernelGroup.Release)], "every release");
        ValueOption<IReadOnlyList<ulong>> starts = AutoStart.Starts(
            "where mmu_invalidate_seq starts", ExploreOptions.DefaultStarts,
            "0, and 1 and 2 below 2^15, 2^16, 2^31, 2^32, 2^63 and 2^64");
        ValueOption<int> vcpus = CommonOptions.Number("--vcpus", "vCPUs", Defaults.Vcpus, 1, 4);
        ValueOption<int> invalidators = CommonOptions.Number("--invalidators", "concurrent invalidators", Defaults.Invalidators,
            1, 4);
        ValueOption<int> pages = CommonOptions.Number("--pages", "guest pages", Defaults.Pages, 1, 8);
        ValueOption<int> invalidations = CommonOptions.Number(
            "--invalidations", "invalidations in all, the bound of the proof", Defaults.Invalidations, 0, 200);
        ValueOption<int> updates = CommonOptions.Number("--memslot-updates", "memslot updates in all", Defaults.MemslotUpdates,
            0, 100);
        ValueOption<int> statesMax = CommonOptions.Number(
            "--max-states", "most states to keep, 15 to 90 bytes each, up to 500 with 4 invalidators", Defaults.StatesMax, 1_000,
            100_000_000);
        var target = new ValueOption<TargetChoice>(
            "--target", "look for one kind of defect, and stop at the first", Targets, new(null), "all kinds, to the end");
        ValueOption<FleetPart> part = CommonOptions.ListPart("kernels and starts");
        var expect = new Option<bool>("--expect")
        {
            Description = "Compare with what is expected of each kernel. Exit code 0: every kernel is as expected; 1: a defect "
                + "is not expected; 2: an expected defect did not show, or not all states were seen.",
        };
        Option<bool> json = CommonOptions.Json();
        Option<FileInfo?> report = CommonOptions.Report();
        var command = new Command(
            "explore",
            "Explores every interleaving of one small VM, breadth first. Proves each kernel and start within the bound, or "
            + "prints the shortest story of each kind of defect. "
            + "Exit code 0: all are proven; 1: a defect was found; 2: the limit of states was reached.")
        {
            kernels, starts, vcpus, invalidators, pages, invalidations, updates, target, statesMax, expect, part, json, report,
        };
        command.SetAction(async (parsed, stop) =>
        {
            var options = new ExploreOptions
            {
                Vcpus = vcpus.Of(parsed),
                Invalidators = invalidators.Of(parsed),
                Pages = pages.Of(parsed),
                Invalidations = invalidations.Of(parsed),
                MemslotUpdates = updates.Of(parsed),
                StatesMax = statesMax.Of(parsed),
                Target = target.Of(parsed).Kind,
            };
            List<(Kernel Kernel, ulong Start)> asked = [];
            foreach (Kernel kernel in kernels.Of(parsed))
            {
                IReadOnlyList<ulong> given = starts.Of(parsed);
                asked.AddRange((given.Count > 0 ? given : await AutoStart.ForExplorationAsync(kernel, options, stop))
                    .Select(start => (kernel, start)));
            }

            using ReportFile? file = ReportFile.Open(parsed.GetValue(report), "--report");
            var output = new ListOutput(
                "explore",
                part.Of(parsed),
                [
                    $"--vcpus={options.Vcpus}", $"--invalidators={options.Invalidators}", $"--pages={options.Pages}",
                    $"--invalidations={options.Invalidations}", $"--memslot-updates={options.MemslotUpdates}",
                    $"--target={options.Target?.ToString() ?? "all"}", $"--max-states={options.StatesMax}",
                ],
                [.. asked.Select(entry => $"{entry.Kernel.Info.Name} from 0x{entry.Start:x}")],
                parsed.GetValue(json),
                file);
            return Run(PartList.Of(asked, part.Of(parsed)), options, parsed.GetValue(expect), output, stop);
        });
        return command;
    }

    private static int Run(
        IEnumerable<(Kernel Kernel, ulong Start)> asked, ExploreOptions options, bool expect, ListOutput output,
        CancellationToken stop)
    {
        List<ExploreResult> results = [];
        foreach ((Kernel kernel, ulong start) in asked)
        {
            ExploreResult result = ExploreReport.WithProgress(
                $"{kernel.Info.Name} from 0x{start:x}",
                progress => Explorer.Explore(kernel, options with { Start = start }, TimeProvider.System, progress, stop));
            results.Add(result);
            if (!output.IsJson)
                ExploreReport.WriteText(Terminal.Output, result);
            if (stop.IsCancellationRequested)
                return Finish(results, output, ExitCode.Interrupted);
        }

        IReadOnlyList<ExploreOutcome> outcomes = ExploreOutcome.Of(results);
        if (!output.IsJson)
            ExploreReport.WriteTable(Terminal.Output, outcomes);
        if (expect)
        {
            ExploreExpectation worst = outcomes.Max(outcome => outcome.Expectation);
            return Finish(results, output, worst switch
            {
                ExploreExpectation.Surprise => ExitCode.Violation,
                ExploreExpectation.AsExpected => ExitCode.Pass,
                _ => ExitCode.Inconclusive,
            });
        }

        bool anyDefect = results.Exists(result => result.Counterexample is not null);
        bool anyOpen = results.Exists(result => result.Verdict == ExploreVerdict.LimitReached);
        return Finish(results, output, anyDefect ? ExitCode.Violation : anyOpen ? ExitCode.Inconclusive : ExitCode.Pass);
    }

    private static int Finish(List<ExploreResult> results, ListOutput output, ExitCode code)
    {
        output.Write(ExploreReport.Json(results));
        return (int)code;
    }

    /// <summary>What to look for; null is every kind of defect.</summary>
    private readonly record struct TargetChoice(ExploreVerdict? Kind);
}
