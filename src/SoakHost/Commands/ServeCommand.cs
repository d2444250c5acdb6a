using System.CommandLine;
using System.Runtime.InteropServices;
using SoakHost.Api;
using SoakHost.Configuration;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Watchdogs;
using SoakHost.Health;
using SoakHost.Logging;
using SoakHost.Metrics;
using SoakHost.Page;
using SoakHost.Reports;
using SoakHost.Service;

namespace SoakHost.Commands;

/// <summary>
/// <c>soakhost serve</c>: soaks the configured fleet until it is stopped, and serves the page, the API and metrics.
/// </summary>
internal static class ServeCommand
{
    public static Command Create()
    {
        var command = new Command("serve", "Runs the service until it is stopped. \"soakhost\" without a command does the same.");
        MakeDefault(command);
        return command;
    }

    /// <summary>Makes a command do what <c>serve</c> does.</summary>
    public static void MakeDefault(Command command)
    {
        Argument<string[]> settings = HostSettings.CreateArgument();
        command.Add(settings);
        command.SetAction((parsed, stop) => RunAsync(parsed.GetValue(settings) ?? [], stop));
    }

    private static async Task<int> RunAsync(string[] settings, CancellationToken stop)
    {
        WebApplicationBuilder builder = HostSettings.CreateBuilder(settings);
        bool hasNewToken = TokenFile.CreateIfMissing(builder.Configuration);
        SoakOptions options = SoakConfiguration.Read(builder.Configuration);
        UnknownKeys.CheckKestrel(builder.Configuration);
        Listening.Check(builder.Configuration);
        if (SoakOptions.WhyUnsupported(options.Fleet) is { } reason)
            throw new UnsupportedException(reason);
        LogFormat format = LogSetup.Configure(builder, options.LogFormat);
        builder.AddSoak(options);
        builder.AddHttpLimits();
        string[] asked = [.. HostSettings.Urls(builder.Configuration)];
        bool hasHealth = builder.AddHealthListener(options);
        builder.Services.AddListening(asked);

        await using WebApplication app = builder.Build();
        if (hasNewToken)
            app.Logger.TokenCreated(options.ApiTokenFile);
        if (!hasHealth && options.HealthUrl == HostSettings.AutoHealthUrl)
            app.Logger.HealthListenerLeftOut();
        app.UseNoSniff();
        app.UseProblemDetails();
        app.UseHealthListener();
        app.UseHostCheck();
        app.UsePage();
        app.MapMetrics();
        app.MapHealth();
        app.MapFleet();
        app.MapKernels();
        app.MapWatch();
        app.MapAlerts();
        app.MapIncidents();
        app.MapTimeline();
        app.MapAccess();
        app.MapInterventions();
        app.MapOpenApi();

        // A terminal that closes stops the service as SIGTERM does; left to itself, the signal would end the process at once.
        using PosixSignalRegistration hangup = PosixSignalRegistration.Create(PosixSignal.SIGHUP, signal =>
        {
            signal.Cancel = true;
            app.Lifetime.StopApplication();
        });
        await app.StartAsync(stop);
        await app.WaitForShutdownAsync(stop);
        FleetReport report = app.Services.GetRequiredService<SoakRun>().Latest;
        SummaryTable.Write(format == LogFormat.Text ? Terminal.Output : Terminal.Error, report, options.Seed);
        return (int)(report.Verdict == Verdict.Violation ? ExitCode.Violation : ExitCode.Pass);
    }
}
