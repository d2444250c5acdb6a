using System.CommandLine;
using System.Runtime.CompilerServices;
using SoakHost;
using SoakHost.Commands;
using SoakHost.HostKernel.Lab;
using SoakHost.HostKernel.Lab.Images;
using SoakHost.Service;

/// <summary>The entry point.</summary>
internal static class Program
{
    // Before this check the program must not load any assembly: for that the commands are in a method of their own.
    private static int Main(string[] arguments) =>
        arguments is [Initramfs.GuestCommand, .. var told] ? RunInside(told)
        : OpenFiles.AreEnough(arguments) ? RunAsync(arguments).GetAwaiter().GetResult() : (int)ExitCode.Usage;

    /// <summary>
    /// The first program of a kernel in the lab. Only a few of the program's assemblies are there, and the watch's where it is
    /// asked for.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int RunInside(string[] told) =>
        (int)(LabGuest.TryRun(TimeProvider.System, told, () => LabWatch.Create()) ? ExitCode.Pass : ExitCode.Usage);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Task<int> RunAsync(string[] arguments)
    {
        var soakhost = new RootCommand("Soak-tests KVM's page-fault retry protocol across counter boundaries.")
        {
            ServeCommand.Create(),
            CheckCommand.Create(),
            LabCommand.Create(),
            MergeCommand.Create(),
            ExploreCommand.Create(),
            ProveCommand.Create(),
            ReplayCommand.Create(),
            IncidentsCommand.Create(),
            CtlCommand.Create(),
            WatchCommand.Create(),
            HostResultsCommand.Create(),
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
