using System.CommandLine;
using SoakHost.Model.Kernels;
using SoakHost.Reports;

namespace SoakHost.Commands;

/// <summary><c>soakhost kernels</c>: what there is to soak, and what each is expected to do.</summary>
internal static class KernelsCommand
{
    public static Command Create()
    {
        var json = new Option<bool>("--json") { Description = "One JSON document on standard output." };
        var command = new Command("kernels", "Lists the kernels, with what each is expected to do and where that was taken from.") { json };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(json))
                KernelList.WriteJson(Console.Out, Kernel.All);
            else
                KernelList.WriteTable(Terminal.Output, Kernel.All);
            return (int)ExitCode.Pass;
        });
        return command;
    }
}
