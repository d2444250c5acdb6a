using System.Collections.Frozen;
using System.CommandLine;
using SoakHost.Engine.Explore;
using SoakHost.Model.Kernels;
using SoakHost.Reports;

namespace SoakHost.Commands;

/// <summary><c>soakhost explore</c>: every interleaving of a small VM.</summary>
internal static class ExploreCommand
{
    private static readonly ExploreOptions Defaults = new();

    private static readonly FrozenDictionary<string, ExploreVerdict?> Targets = new Dictionary<string, ExploreVerdict?>
    {
        ["hang"] = ExploreVerdict.Hang,
        ["unsafe-install"] = ExploreVerdict.UnsafeInstall,
        ["stale-mapping"] = ExploreVerdict.StaleMapping,
        ["accounting-error"] = ExploreVerdict.AccountingError,
        ["unjustified-retry"] = ExploreVerdict.UnjustifiedRetry,
    }.ToFrozenDictionary();

    public static Command Create()
    {
        Option<Kernel[]> kernels = CommonOptions.Kernels(
            "Kernels to explore. Default: every release.", () => [.. Kernel.All.Where(kernel => kernel.Info.Group == KernelGroup.Release)]);
        Option<ulong[]> starts = CommonOptions.Numbers(
            "--start",
            "Where mmu_invalidate_seq starts. Default: 0, and 1 and 2 below 2^15, 2^16, 2^31, 2^32, 2^63 and 2^64.",
            [.. ExploreOptions.DefaultStarts],
            ulong.MinValue,
            ulong.MaxValue);
        Option<int> vcpus = CommonOptions.Number("--vcpus", "vCPUs.", Defaults.Vcpus, 1, 4);
        Option<int> invalidators = CommonOptions.Number("--invalidators", "Concurrent invalidators.", Defaults.Invalidators, 1, 4);
        Option<int> pages = CommonOptions.Number("--pages", "Guest pages.", Defaults.Pages, 1, 8);
        Option<int> invalidations = CommonOptions.Number(
            "--invalidations", "Invalidations that may begin in all: the bound of the proof.", Defaults.Invalidations, 0, 200);
        Option<int> updates = CommonOptions.Number("--memslot-updates", "Memslot updates in all.", Defaults.MemslotUpdates, 0, 100);
        Option<int> statesMax = CommonOptions.Number(
            "--max-states", "States to hold at the most; up to 150 bytes each.", Defaults.StatesMax, 1_000, 100_000_000);
        Option<ExploreVerdict?> target = CommonOptions.Choice(
            "--target",
            "Look for one kind of defect, and stop at the first. Default: look for all, to the end.",
            Targets,
            default(ExploreVerdict?));
        Option<bool> json = CommonOptions.Json();
        var command = new Command(
            "explore",
            "Explores every interleaving of one small VM, breadth first: each kernel and start is proven within the bound, or the shortest "
            + "story of each kind of defect is shown. Exit code 0 when all are proven, 1 when a defect was found, 2 when the limit of states was reached.")
        {
            kernels, starts, vcpus, invalidators, pages, invalidations, updates, target, statesMax, json,
        };
        command.SetAction((parsed, stop) =>
        {
            var options = new ExploreOptions
            {
                Vcpus = parsed.GetValue(vcpus),
                Invalidators = parsed.GetValue(invalidators),
                Pages = parsed.GetValue(pages),
                Invalidations = parsed.GetValue(invalidations),
                MemslotUpdates = parsed.GetValue(updates),
                StatesMax = parsed.GetValue(statesMax),
                Target = parsed.GetValue(target),
            };
            return Task.FromResult(Run(parsed.GetValue(kernels)!, parsed.GetValue(starts)!, options, parsed.GetValue(json), stop));
        });
        return command;
    }

    private static int Run(Kernel[] kernels, ulong[] starts, ExploreOptions options, bool json, CancellationToken stop)
    {
        List<ExploreResult> results = [];
        foreach (Kernel kernel in kernels)
        {
            foreach (ulong start in starts)
            {
                ExploreResult result = ExploreReport.WithProgress(
                    $"{kernel.Info.Name} from 0x{start:x}",
                    progress => Explorer.Explore(kernel, options with { Start = start }, TimeProvider.System, progress, stop));
                results.Add(result);
                if (!json)
                    ExploreReport.WriteText(Terminal.Output, result);
                if (stop.IsCancellationRequested)
                    return Finish(results, json, ExitCode.Interrupted);
            }
        }

        bool anyDefect = results.Exists(result => result.Counterexample is not null);
        bool anyOpen = results.Exists(result => result.Verdict == ExploreVerdict.LimitReached);
        return Finish(results, json, anyDefect ? ExitCode.Violation : anyOpen ? ExitCode.Inconclusive : ExitCode.Pass);
    }

    private static int Finish(List<ExploreResult> results, bool json, ExitCode code)
    {
        if (json)
            ExploreReport.WriteJson(Console.Out, results);
        return (int)code;
    }
}
