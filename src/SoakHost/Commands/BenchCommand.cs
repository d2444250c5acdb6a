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
        Option<Kernel[]> kernels = CommonOptions.Kernels("Kernels. Default: linux-6.1.y.", () => [Kernel.Of<Linux61Stable>()]);
        Option<int[]> vcpus = CommonOptions.Numbers("--vcpus", "vCPUs of each VM.", [4], 1, VmParameters.VcpusMax);
        Option<int[]> invalidators =
            CommonOptions.Numbers("--invalidators", "Concurrent invalidators of each VM.", [1], 1, VmParameters.InvalidatorsMax);
        Option<int> pages = CommonOptions.Number("--pages", "Guest pages of each VM.", 32, 1, VmParameters.PagesMax);
        Option<int[]> vms = CommonOptions.Numbers("--vms", "VMs.", [1024], 1, SoakOptions.VmsMax);
        Option<int[]> workers = CommonOptions.Numbers(
            "--workers", "Worker threads. Default: 1 and one per processor.", [.. new[] { 1, Environment.ProcessorCount }.Distinct()], 1, 1024);
        Option<int[]> bits = CommonOptions.Numbers(
            "--vector-bits", "Width of the vectors: 32, 128, 256 or 512. Default: the widest here.", [ShardOptions.WidestVectorBits], 32, 512);
        Option<int> seconds = CommonOptions.Number("--seconds", "Seconds for each line, after a warm-up of one.", 3, 1, 3600);
        Option<bool> json = CommonOptions.Json();
        var command = new Command(
            "bench",
            "Operations a second on this machine, a line for each combination. An operation is one ended invalidation or one completed fault.")
        {
            kernels, vcpus, invalidators, pages, vms, workers, bits, seconds, json,
        };
        command.SetAction((parsed, stop) =>
        {
            if (parsed.GetValue(bits)!.Except(Widths).ToArray() is [var wrong, ..])
                throw new ConfigurationException($"--vector-bits is \"{wrong}\"; allowed is one of {string.Join(", ", Widths)}");
            var cases =
                from kernel in parsed.GetValue(kernels)!
                from v in parsed.GetValue(vcpus)!
                from i in parsed.GetValue(invalidators)!
                from n in parsed.GetValue(vms)!
                from w in parsed.GetValue(workers)!
                from b in parsed.GetValue(bits)!
                select new BenchCase(kernel, v, i, parsed.GetValue(pages), n, w, b);
            List<BenchResult> results = [];
            foreach (BenchCase @case in cases)
            {
                if (stop.IsCancellationRequested)
                    break;
                results.Add(Bench.Run(@case, TimeSpan.FromSeconds(parsed.GetValue(seconds)), TimeProvider.System, stop));
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
