using System.CommandLine;
using Microsoft.AspNetCore.Connections;
using SoakHost.Api;
using SoakHost.Configuration;
using SoakHost.Engine.Watchdogs;
using SoakHost.Health;
using SoakHost.Logging;
using SoakHost.Metrics;
using SoakHost.Reports;
using SoakHost.Service;

namespace SoakHost.Commands;

/// <summary><c>soakhost serve</c>: soaks the configured fleet until stopped, and answers questions about it over HTTP.</summary>
internal static class ServeCommand
{
    private const string Settings = """
        Settings come from appsettings.json, the environment (Soak__Workers=4) and the command line (--Soak:Workers=4,
        --urls=http://127.0.0.1:9000); the README lists them. Stop it with SIGTERM or Ctrl+C: the exit code is 1 when the fleet
        showed a violation, else 0.
        """;

    public static Command Create()
    {
        var command = new Command("serve", $"Runs the service until stopped. This is what soakhost does without a command.\n\n{Settings}");
        MakeDefault(command);
        return command;
    }

    /// <summary>Gives a command the action of <c>serve</c>.</summary>
    public static void MakeDefault(Command command)
    {
        command.TreatUnmatchedTokensAsErrors = false;
        command.SetAction((parsed, stop) => HostSettings.FindUnknown(parsed.UnmatchedTokens) is { } unknown
            ? Task.FromResult(CommandLine.Fail($"there is no command or setting \"{unknown}\"", command))
            : RunAsync(parsed.UnmatchedTokens, stop));
    }

    private static async Task<int> RunAsync(IReadOnlyList<string> settings, CancellationToken stop)
    {
        WebApplicationBuilder builder = HostSettings.CreateBuilder(settings);
        SoakOptions options = SoakConfiguration.Read(builder.Configuration);
        LogFormat format = LogSetup.Configure(builder, options.LogFormat);
        builder.AddSoak(options);
        builder.AddHttpLimits();

        await using WebApplication app = builder.Build();
        app.UseProblemDetails();
        app.MapIndex();
        app.MapMetrics();
        app.MapHealth();
        app.MapFleet();
        app.MapAlerts();

        try
        {
            await app.StartAsync(stop);
        }
        catch (Exception exception) when (exception is IOException or InvalidOperationException or FormatException)
        {
            string reason = exception.InnerException is AddressInUseException ? "another process has that port" : exception.Message;
            throw new ConfigurationException($"cannot listen on {HostSettings.DescribeUrls(builder.Configuration)}: {reason}");
        }

        await app.WaitForShutdownAsync(stop);
        FleetReport report = app.Services.GetRequiredService<SoakRun>().Latest;
        SummaryTable.Write(format == LogFormat.Text ? Terminal.Output : Terminal.Error, report, options.Seed);
        return (int)(report.Verdict == Verdict.Violation ? ExitCode.Violation : ExitCode.Pass);
    }
}
