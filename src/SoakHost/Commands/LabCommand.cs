using System.CommandLine;
using SoakHost.HostKernel.Lab;

namespace SoakHost.Commands;

/// <summary><c>soakhost lab</c>: other kernels than this machine's, across every boundary of the counter.</summary>
internal static class LabCommand
{
    public static Command Create()
    {
        var images = new Argument<string[]>("image") { Arity = ArgumentArity.OneOrMore };
        var modules = new Option<DirectoryInfo?>("--modules");
        var command = new Command("lab", "x") { images, modules };
        command.SetAction(async (parsed, stop) =>
        {
            foreach (string image in parsed.GetValue(images)!)
            {
                long t = TimeProvider.System.GetTimestamp();
                var session = new LabSession(new LabOptions { Modules = parsed.GetValue(modules)?.FullName }, TimeProvider.System,
                    s => Console.Error.WriteLine($"{TimeProvider.System.GetElapsedTime(t).TotalSeconds:0.0} {s}"));
                LabRun run = await session.RunAsync(image, stop);
                LabJudgement j = LabJudgement.Of(run);
                Console.WriteLine(j.Verdict);
                foreach (string x in j.Reasons) Console.WriteLine("R " + x);
                foreach (string x in j.Seen) Console.WriteLine("S " + x);
                foreach (string x in j.NotCovered) Console.WriteLine("N " + x);
                Console.WriteLine(run.Counter + " boot " + run.Boot + " elapsed " + run.Elapsed);
            }
            return 0;
        });
        return command;
    }
}
