using System.CommandLine;
using SoakHost.Commands;

var soakhost = new RootCommand("Soak-tests KVM's page-fault retry protocol across counter boundaries.")
{
    ServeCommand.Create(),
    CheckCommand.Create(),
    WatchCommand.Create(),
    ExploreCommand.Create(),
    ProveCommand.Create(),
    ReplayCommand.Create(),
    IncidentsCommand.Create(),
    CtlCommand.Create(),
    BackupCommand.Create(),
    DataCommand.Create(),
    KernelsCommand.Create(),
    BenchCommand.Create(),
    HealthcheckCommand.Create(),
};
ServeCommand.MakeDefault(soakhost);
return await CommandLine.RunAsync(soakhost, args);
