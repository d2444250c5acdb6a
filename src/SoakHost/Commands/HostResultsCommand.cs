using System.CommandLine;
using SoakHost.HostKernel.Results;
using SoakHost.Reports;

namespace SoakHost.Commands;

/// <summary><c>soakhost host-results</c>: the kept results of checks of this host's kernels, side by side.</summary>
internal static class HostResultsCommand
{
    public static Command Create()
    {
        Option<string?> directory = DataOptions.Directory();
        Option<bool> json = CommonOptions.Json();
        var command = new Command(
            "host-results",
            "Compares the results of \"soakhost check --kernel host\" that were kept, kernel by kernel. A file that cannot be "
            + "read is named and left out.")
        {
            directory, json,
        };
        command.SetAction(parsed =>
        {
            var store = HostResultStore.Of(parsed.OfExisting(directory));
            KeptResults kept = store.Read();
            string running = KernelBuild.Read().Key;
            if (parsed.GetValue(json))
                HostResultsReport.WriteJson(Console.Out, kept, running);
            else
                HostResultsReport.WriteText(Terminal.Output, Console.Error, kept, store.Folder, running);
            return (int)ExitCode.Pass;
        });
        return command;
    }
}
