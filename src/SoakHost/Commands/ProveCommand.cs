using System.CommandLine;
using SoakHost.Configuration;
using SoakHost.Engine.Prove;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Reports;
using Spectre.Console;

namespace SoakHost.Commands;

/// <summary><c>soakhost prove</c>: every counter, any number of invalidations.</summary>
internal static class ProveCommand
{
    private const int SecondsMax = 24 * 3600;

    private static readonly ProveOptions Defaults = new();

    private enum Memslots
    {
        Updated,
        Fixed,
    }

    public static Command Create()
    {
        ValueOption<IReadOnlyList<Kernel>> kernels = CommonOptions.Kernels(
            "kernels to prove", [.. Kernel.All], "every kernel");
        ValueOption<int> invalidators = CommonOptions.Number(
            "--invalidators", "most concurrent invalidators", Defaults.Invalidators, 1, VmParameters.InvalidatorsMax);
        ValueOption<int> pages = CommonOptions.Number(
            "--pages", "most guest pages; 33 and more are proven as 64, others as 32", Defaults.Pages, 1, VmParameters.PagesMax);
        // Not a bool: the parser takes nothing but "true" and "false" as the value of one.
        var memslots = new ValueOption<Memslots>(
            "--memslots", "whether memslots are updated; a proof with updates covers VMs without",
            new Choice<Memslots>(null, ("updated", Memslots.Updated), ("fixed", Memslots.Fixed)), Memslots.Updated);
        ValueOption<ulong> span = CommonOptions.Number(
            "--fault-span", "assumption: fewer invalidations than these end during one fault attempt", Defaults.FaultSpan,
            1UL, 1UL << 63);
        var solver = new Option<string?>("--solver")
        {
            Description = "An SMT-LIB 2 solver: a program on the path, or a path, with its arguments if need be. "
                + "Default: cvc5, or else z3.",
            HelpName = "program",
        };
        ValueOption<int> timeout = CommonOptions.Number(
            "--timeout", "seconds for one question to the solver", (int)Defaults.Timeout.TotalSeconds, 1, SecondsMax);
        var smt2 = new Option<DirectoryInfo?>("--smt2")
        {
            Description = "Write each question to a file in this folder, in a folder for each kernel. Needs no solver.",
            HelpName = "folder",
        };
        ValueOption<FleetPart> part = CommonOptions.ListPart("kernels");
        Option<bool> json = CommonOptions.Json();
        Option<FileInfo?> report = CommonOptions.Report();
        var command = new Command(
            "prove",
            "Proves kernels for every counter and any number of invalidations, by induction over the model's own steps. Each "
            + "is proven, refuted with the story of how it breaks and the counters at which it does, or not proven. Exit code "
            + "0: all are proven; 1: one is refuted; 2: one is not proven; 3: there is no solver.")
        {
            kernels, invalidators, pages, memslots, span, solver, timeout, smt2, part, json, report,
        };
        command.SetAction(async (parsed, stop) =>
        {
            var options = new ProveOptions
            {
                Invalidators = invalidators.Of(parsed),
                Pages = pages.Of(parsed) <= 32 ? 32 : 64,
                MemslotUpdates = memslots.Of(parsed) == Memslots.Updated,
                FaultSpan = span.Of(parsed),
                Timeout = TimeSpan.FromSeconds(timeout.Of(parsed)),
            };
            if (parsed.GetValue(smt2) is { } folder)
                WriteScripts(folder, PartList.Of(kernels.Of(parsed), part.Of(parsed)), options);
            Solver found = FindSolver(parsed.GetValue(solver));
            using var prover = new Prover(options, found, Environment.ProcessorCount, TimeProvider.System);
            using ReportFile? file = ReportFile.Open(parsed.GetValue(report), "--report");
            var output = new ListOutput(
                "prove",
                part.Of(parsed),
                [
                    $"--invalidators={options.Invalidators}", $"--pages={options.Pages}",
                    $"--memslots={(options.MemslotUpdates ? "updated" : "fixed")}", $"--fault-span={options.FaultSpan}",
                ],
                [.. kernels.Of(parsed).Select(kernel => kernel.Info.Name)],
                parsed.GetValue(json),
                file);
            return (int)await RunAsync(prover, PartList.Of(kernels.Of(parsed), part.Of(parsed)), output, stop);
        });
        return command;
    }

    /// <summary>The solver of that name, or the first of those that are known.</summary>
    /// <exception cref="UnsupportedException">There is none.</exception>
    public static Solver FindSolver(string? name) => Solver.Find(name, TimeProvider.System) ?? throw new UnsupportedException(
        name is null ? $"There is no SMT-LIB solver on the path. {Solver.InstallAdvice}"
            : $"--solver is \"{name}\", and there is no such program on the path. {Solver.InstallAdvice}");

    private static async Task<ExitCode> RunAsync(
        Prover prover, IReadOnlyList<Kernel> kernels, ListOutput output, CancellationToken stop)
    {
        List<ProveResult> results = [];
        try
        {
            foreach (Kernel kernel in kernels)
            {
                ProveResult result = await ProveReport.WithProgressAsync(
                    kernel.Info.Name, progress => prover.ProveAsync(kernel, progress, stop));
                results.Add(result);
                if (!output.IsJson)
                    ProveReport.WriteText(Terminal.Output, result);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            output.Write(ProveReport.Json(results));
            return ExitCode.Interrupted;
        }

        output.Write(ProveReport.Json(results));
        if (!output.IsJson && results.Count > 1)
            Terminal.Output.WriteLine(ProveReport.Summary(results));
        return results.Exists(result => result.Verdict == ProofVerdict.Refuted) ? ExitCode.Violation
            : results.TrueForAll(result => result.Verdict == ProofVerdict.Proven) ? ExitCode.Pass : ExitCode.Inconclusive;
    }

    private static void WriteScripts(DirectoryInfo folder, IReadOnlyList<Kernel> kernels, ProveOptions options)
    {
        try
        {
            foreach (Kernel kernel in kernels)
            {
                DirectoryInfo own = folder.CreateSubdirectory(kernel.Info.Name);
                foreach ((string name, string script) in Prover.Scripts(kernel, options))
                    File.WriteAllText(Path.Combine(own.FullName, name + ".smt2"), script);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"--smt2 is \"{folder}\", which cannot be written: {exception.Message}");
        }
    }
}
