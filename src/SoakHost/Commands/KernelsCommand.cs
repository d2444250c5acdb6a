using System.CommandLine;
using SoakHost.Configuration;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Prove;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;
using SoakHost.Reports;
using Spectre.Console;

namespace SoakHost.Commands;

/// <summary><c>soakhost kernels</c>: the kernels that can be soaked, and what each is expected to do.</summary>
internal static class KernelsCommand
{
    public static Command Create()
    {
        Option<bool> json = CommonOptions.Json();
        ValueOption<FleetPart> part = CommonOptions.ListPart("kernels");
        Option<FileInfo?> report = CommonOptions.Report();
        var verify = new Option<bool>("--verify")
        {
            Description = "Explore, soak and, where there is a solver, prove each kernel, and compare the defects found with the "
                + "expected ones. Exit code 1: one differs.",
        };
        ValueOption<IReadOnlyList<Kernel>> kernels = CommonOptions.Kernels("kernels", [.. Kernel.All], "every kernel");
        var command = new Command("kernels", "Lists the kernels and mutants: what each is expected to do, and its source.")
        {
            kernels, verify, part, json, report,
        };
        command.SetAction(async (parsed, stop) =>
        {
            if (parsed.GetValue(verify))
            {
                using ReportFile? file = ReportFile.Open(parsed.GetValue(report), "--report");
                return await VerifyAsync(kernels.Of(parsed), part.Of(parsed), parsed.GetValue(json), file, stop);
            }

            foreach (Option option in (Option[])[part, report])
            {
                if (parsed.IsGiven(option))
                    throw new ConfigurationException($"{option.Name} needs --verify");
            }

            KernelDocument[] documents = parsed.IsGiven(kernels)
                ? [.. kernels.Of(parsed).Select(KernelList.Of)] : KernelList.Documents;
            if (parsed.GetValue(json))
                KernelList.WriteJson(Console.Out, documents);
            else
                KernelList.WriteTable(Terminal.Output, documents);
            return (int)ExitCode.Pass;
        });
        return command;
    }

    private static async Task<int> VerifyAsync(
        IReadOnlyList<Kernel> kernels, FleetPart part, bool json, ReportFile? file, CancellationToken stop)
    {
        List<KillMatrixRow> rows = [];
        using Prover? prover = Solver.Find(null, TimeProvider.System) is { } solver
            ? new Prover(new ProveOptions(), solver, Environment.ProcessorCount, TimeProvider.System) : null;
        var output = new ListOutput(
            "kernels", part, [prover is null ? "without a proof" : "with a proof"],
            [.. kernels.Select(kernel => kernel.Info.Name)], json, file);
        foreach (Kernel kernel in PartList.Of(kernels, part))
        {
            if (stop.IsCancellationRequested)
                return (int)ExitCode.Interrupted;
            rows.Add(prover is null
                ? KillMatrix.Verify(kernel, TimeProvider.System, stop)
                : await KillMatrix.VerifyAsync(kernel, prover, TimeProvider.System, stop));
        }

        output.Write(KillMatrixReport.Json(rows));
        if (!json)
        {
            KillMatrixReport.WriteText(Terminal.Output, rows);
            if (prover is null)
                Terminal.Output.WriteLine($"Nothing was proven: there is no solver on the path. {Solver.InstallAdvice}");
            Terminal.Output.WriteLine("This machine's own kernel was not verified. To test it: soakhost check --kernel host");
        }

        return (int)(rows.TrueForAll(row => row.IsAsExpected) ? ExitCode.Pass : ExitCode.Violation);
    }
}
