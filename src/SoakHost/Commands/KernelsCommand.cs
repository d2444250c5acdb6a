using System.CommandLine;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Prove;
using SoakHost.Model.Kernels;
using SoakHost.Reports;
using Spectre.Console;

namespace SoakHost.Commands;

/// <summary><c>soakhost kernels</c>: what there is to soak, and what each is expected to do.</summary>
internal static class KernelsCommand
{
    public static Command Create()
    {
        var json = new Option<bool>("--json") { Description = "One JSON document on standard output." };
        var verify = new Option<bool>("--verify")
        {
            Description = "Run each through exploration, through the soak and, with a solver on the path, through a proof, and compare what they found "
                + "with what is expected. Exit code 1 when any differs.",
        };
        var command = new Command("kernels", "Lists the kernels and mutants, with what each is expected to do and where that was taken from.")
        {
            verify, json,
        };
        command.SetAction((parsed, stop) =>
        {
            if (parsed.GetValue(verify))
                return VerifyAsync(parsed.GetValue(json), stop);
            if (parsed.GetValue(json))
                KernelList.WriteJson(Console.Out);
            else
                KernelList.WriteTable(Terminal.Output);
            return Task.FromResult((int)ExitCode.Pass);
        });
        return command;
    }

    private static async Task<int> VerifyAsync(bool json, CancellationToken stop)
    {
        List<KillMatrixRow> rows = [];
        using Prover? prover = Solver.Find(null, TimeProvider.System) is { } solver
            ? new Prover(new ProveOptions(), solver, Environment.ProcessorCount, TimeProvider.System) : null;
        foreach (Kernel kernel in Kernel.All)
        {
            if (stop.IsCancellationRequested)
                return (int)ExitCode.Interrupted;
            rows.Add(prover is null
                ? KillMatrix.Verify(kernel, TimeProvider.System, stop)
                : await KillMatrix.VerifyAsync(kernel, prover, TimeProvider.System, stop));
        }

        if (json)
        {
            KillMatrixReport.WriteJson(Console.Out, rows);
        }
        else
        {
            KillMatrixReport.WriteText(Terminal.Output, rows);
            if (prover is null)
                Terminal.Output.WriteLine($"Nothing was proven: there is no solver on the path. {Solver.InstallAdvice}");
            Terminal.Output.WriteLine("host was left out: what this machine's own kernel does is the question; soakhost check --kernel host asks it.");
        }

        return (int)(rows.TrueForAll(row => row.IsAsExpected) ? ExitCode.Pass : ExitCode.Violation);
    }
}
