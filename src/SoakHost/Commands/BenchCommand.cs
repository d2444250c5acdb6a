using System.CommandLine;
using SoakHost.Configuration;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Reports;

namespace SoakHost.Commands;

/// <summary><c>soakhost bench</c>: how fast this machine soaks.</summary>
internal static class BenchCommand
{
    private static readonly int[] Widths = [32, 128, 256, 512];

    public static Command Create()
    {
        ValueOption<IReadOnlyList<Kernel>> kernels = CommonOptions.Kernels("kernels", [Kernel.Of<Linux61Stable>()]);
        ValueOption<IReadOnlyList<int>> vcpus = CommonOptions.Numbers("--vcpus", "vCPUs of each VM", [4], 1,
            VmParameters.VcpusMax);
        ValueOption<IReadOnlyList<int>> invalidators =
            CommonOptions.Numbers("--invalidators", "concurrent invalidators of each VM", [1], 1, VmParameters.InvalidatorsMax);
        ValueOption<int> pages = CommonOptions.Number("--pages", "guest pages of each VM", 32, 1, VmParameters.PagesMax);
        ValueOption<IReadOnlyList<int>> vms = CommonOptions.Numbers("--vms", "VMs", [1024], 1, SoakOptions.VmsMax);
        ValueOption<IReadOnlyList<int>> workers = new(
            "--workers", "worker threads", new Several<int>(new WorkerCount(min: 1)),
            [.. new[] { 1, Environment.ProcessorCount }.Distinct()], "1 and one for each processor");
        ValueOption<IReadOnlyList<int>> bits = new(
            "--vector-bits", "width of the vectors",
            new Several<int>(new Choice<int>(null, [.. Widths.Select(width => ($"{width}", width))])),
            [ShardOptions.WidestVectorBits], "the widest of this machine");
        ValueOption<int> seconds = CommonOptions.Number("--seconds", "seconds for each line, after one of warm-up", 3, 1, 3600);
        Option<bool> json = CommonOptions.Json();
        var command = new Command(
            "bench",
            "Measures operations per second on this machine, one line for each combination. An operation is one ended "
            + "invalidation or one completed "
            + "fault attempt.")
        {
            kernels, vcpus, invalidators, pages, vms, workers, bits, seconds, json,
        };
        command.SetAction((parsed, stop) =>
        {
            IEnumerable<BenchCase> cases =
                from kernel in kernels.Of(parsed)
                from v in vcpus.Of(parsed)
                from i in invalidators.Of(parsed)
                from n in vms.Of(parsed)
                from w in workers.Of(parsed)
                from b in bits.Of(parsed)
                select new BenchCase(kernel, v, i, pages.Of(parsed), n, w, b);
            List<BenchResult> results = [];
            foreach (BenchCase @case in cases)
            {
                if (stop.IsCancellationRequested)
                    break;
                results.Add(Bench.Run(@case, TimeSpan.FromSeconds(seconds.Of(parsed)), TimeProvider.System, stop));
            }

            if (parsed.GetValue(json))
                BenchReport.WriteJson(Console.Out, results);
            else
                BenchReport.WriteText(Terminal.Output, results);
            return Task.FromResult((int)(stop.IsCancellationRequested ? ExitCode.Interrupted : ExitCode.Pass));
        });
        return command;
    }
}
