using System.CommandLine;
using SoakHost.Commands;

var soakhost = new RootCommand("Soak-tests KVM's page-fault retry protocol across counter boundaries, and says how it went.")
{
    ServeCommand.Create(),
    ExploreCommand.Create(),
    KernelsCommand.Create(),
    HealthcheckCommand.Create(),
};
ServeCommand.MakeDefault(soakhost);
return await CommandLine.RunAsync(soakhost, args);
