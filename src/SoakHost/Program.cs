using System.CommandLine;
using System.Runtime.CompilerServices;
using SoakHost;
using SoakHost.Commands;

/// <summary>The entry point.</summary>
internal static class Program
{
    // Before this check the program must not load any assembly: for that the commands are in a method of their own.
    private static int Main(string[] arguments) =>
        OpenFiles.AreEnough(arguments) ? RunAsync(arguments).GetAwaiter().GetResult() : (int)ExitCode.Usage;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Task<int> RunAsync(string[] arguments)
    {
        var soakhost = new RootCommand("Soak-tests KVM's page-fault retry protocol across counter boundaries.")
        {
            ServeCommand.Create(),
            CheckCommand.Create(),
            MergeCommand.Create(),
            ExploreCommand.Create(),
            ProveCommand.Create(),
            ReplayCommand.Create(),
            IncidentsCommand.Create(),
            CtlCommand.Create(),
            WatchCommand.Create(),
            BackupCommand.Create(),
            DataCommand.Create(),
            KernelsCommand.Create(),
            BenchCommand.Create(),
            HealthcheckCommand.Create(),
        };
        ServeCommand.MakeDefault(soakhost);
        return CommandLine.RunAsync(soakhost, arguments);
    }
}
