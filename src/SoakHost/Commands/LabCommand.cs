using System.CommandLine;
using System.Runtime.InteropServices;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel;
using SoakHost.HostKernel.Boundaries;
using SoakHost.HostKernel.Lab;
using SoakHost.HostKernel.Lab.Images;
using SoakHost.HostKernel.Lab.Machines;
using SoakHost.Reports;

namespace SoakHost.Commands;

/// <summary><c>soakhost lab</c>: any kernel, not only this machine's, across every boundary of the counter.</summary>
internal static class LabCommand
{
    private static readonly ValueRange<TimeSpan> Timeouts = new(TimeSpan.FromSeconds(1), TimeSpan.FromHours(1));

    public static Command Create()
    {
        var images = new Argument<string[]>("image")
        {
            Description = "Kernel images, vmlinuz or bzImage, tried one after another.",
            Arity = ArgumentArity.OneOrMore,
        };
        var modules = new Option<DirectoryInfo?>("--modules")
        {
            Description = "The folder of the kernel's modules, such as lib/modules/6.1.0. Default: beside the image, as its "
                + "package unpacks, else /lib/modules. A kernel with KVM built in needs none.",
            HelpName = "folder",
        };
        var timeout = new ValueOption<TimeSpan>(
            "--timeout", "the longest that one kernel takes", new Duration(Timeouts), new LabOptions().Timeout);
        var counters = new ValueOption<IReadOnlyList<string>>(
            "--boundaries", "counters whose boundaries are crossed", new Subset(BoundaryNames.All, BoundaryNames.All),
            new LabOptions().Counters);
        var append = new Option<string>("--append")
        {
            Description = "Added to the kernel's command line; parameters of modules too, such as kvm.tdp_mmu=0.",
            HelpName = "words",
            DefaultValueFactory = _ => "",
        };
        var qemu = new Option<string>("--qemu")
        {
            Description = $"The emulator. Default: {MachineOptions.DefaultEmulator}.",
            HelpName = "program",
            DefaultValueFactory = _ => MachineOptions.DefaultEmulator,
        };
        var emulate = new Option<bool>("--emulate") { Description = "Emulate the processor, also where this machine has KVM." };
        Option<bool> json = CommonOptions.Json();
        Option<FileInfo?> report = CommonOptions.Report();
        var junit = new Option<FileInfo?>("--junit") { Description = "Write a JUnit report to this file.", HelpName = "file" };
        var command = new Command(
            "lab",
            "Boots stock kernels with QEMU and tests KVM's page-fault retry protocol in each, across 2^31, 2^32, 2^63 and 2^64, "
            + "and on request the wraps of other counters (--boundaries), "
            + "in about a minute. The kernel's counter is written to just below each boundary while vCPUs fault. A control comes "
            + "first, on that very kernel: an invalidation that never ends must be called a hang. "
            + "Exit code 0: every kernel passes; 1: one fails at a boundary; 2: too little was seen; 3: one cannot be tried.")
        {
            images, modules, timeout, counters, append, qemu, emulate, json, report, junit,
        };
        command.SetAction((parsed, stop) =>
        {
            if (WhyUnsupported(RuntimeInformation.ProcessArchitecture) is { } why)
                throw new UnsupportedException(why);
            var options = new LabOptions
            {
                Modules = parsed.GetValue(modules)?.FullName,
                Timeout = timeout.Of(parsed),
                Counters = counters.Of(parsed),
                Machine = new MachineOptions
                {
                    Emulator = parsed.GetValue(qemu)!,
                    KernelArguments = parsed.GetValue(append)!,
                    IsAccelerated = !parsed.GetValue(emulate) && MachineOptions.CanAccelerate(),
                },
            };
            string[] paths = parsed.GetValue(images)!;
            Check(paths, options);
            var outputs = new Outputs(parsed.GetValue(json), parsed.GetValue(report), parsed.GetValue(junit));
            return RunAsync(paths, options, outputs, stop);
        });
        return command;
    }

    /// <summary>Why no kernel can be tried on a processor; null where one can.</summary>
    internal static string? WhyUnsupported(Architecture architecture) => architecture == Architecture.X64 ? null
        : $"The lab boots kernels for x86-64 with this very program inside, and this machine is {architecture}.";

    private static async Task<int> RunAsync(string[] paths, LabOptions options, Outputs outputs, CancellationToken stop)
    {
        // Fail before the kernels, not after them, where the report cannot be written.
        using FileStream? junit = CheckCommand.Open(outputs.JUnit);
        using ReportFile? report = ReportFile.Open(outputs.Report, "--report");
        List<LabRun> runs = [];
        foreach (string path in paths)
        {
            var session = new LabSession(
                options, TimeProvider.System, step => Console.Error.WriteLine($"{Path.GetFileName(path)}: {step}"));
            runs.Add(await session.RunAsync(path, stop));
            if (stop.IsCancellationRequested)
                break;
        }

        LabReport.WriteText(outputs.Json ? Terminal.Error : Terminal.Output, runs);
        if (outputs.Json)
            await Console.Out.WriteLineAsync(LabReport.Json(runs));
        report?.Write(LabReport.Json(runs));
        CheckCommand.WriteJUnit(junit, output => JUnitReport.Write(output, runs));
        Verdict verdict = LabReport.Worst(runs.Select(run => LabJudgement.Of(run).Verdict));
        bool wasInterrupted = runs.Exists(run => run.WasInterrupted) || runs.Count < paths.Length;
        return (int)(wasInterrupted && verdict != Verdict.Violation
            ? ExitCode.Interrupted : CheckCommand.ExitCodeOf(verdict));
    }

    /// <summary>What is wrong with the arguments is said before any kernel is booted.</summary>
    private static void Check(string[] paths, LabOptions options)
    {
        if (options.Counters.Count == 0)
            throw new ConfigurationException("--boundaries leaves nothing to cross");
        if (options.Modules is { } folder && !Directory.Exists(folder))
            throw new ConfigurationException($"--modules is \"{folder}\"; there is no such folder");
        foreach (string path in paths)
        {
            try
            {
                _ = KernelImage.Read(path);
            }
            catch (LabException error)
            {
                throw new ConfigurationException(error.Message);
            }
        }
    }

    /// <summary>Where the result goes, besides the exit code.</summary>
    /// <param name="Json">Whether standard output is the JSON document, and nothing else.</param>
    /// <param name="Report">A file for the JSON document.</param>
    /// <param name="JUnit">A file for a JUnit report.</param>
    private sealed record Outputs(bool Json, FileInfo? Report, FileInfo? JUnit);
}
