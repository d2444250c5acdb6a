using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using SoakHost.Api;
using SoakHost.Configuration;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Watchdogs;
using SoakHost.Logging;
using SoakHost.Metrics;
using SoakHost.Model;
using SoakHost.Storage;

namespace SoakHost.Service;

/// <summary>
/// The soak as a part of the host. It starts once the server listens, so that a port in use is told before anything is soaked, and
/// stops before the server does, so that the last figures can still be read.
/// </summary>
internal sealed class SoakService(SoakRun run, ReportLog reports, IServer server, ILogger<SoakService> log) : IHostedLifecycleService
{
    private static readonly TimeSpan WorkerStopTimeout = TimeSpan.FromSeconds(3);

    public Task StartedAsync(CancellationToken cancellationToken)
    {
        log.Listening(string.Join(", ", server.Features.Get<IServerAddressesFeature>()?.Addresses ?? []));
        FleetOptions fleet = run.FleetOptions;
        log.SoakStarted(
            run.Cohorts.Count,
            run.Cohorts.Sum(cohort => (long)cohort.Vms),
            run.Cohorts.Sum(cohort => cohort.Vcpus),
            fleet.Workers,
            fleet.Shards.VectorBits,
            fleet.Shards.Seed,
            ModelVersion.Current);
        run.Start();
        return Task.CompletedTask;
    }

    public Task StoppingAsync(CancellationToken cancellationToken)
    {
        FleetReport report = run.Stop(WorkerStopTimeout, out bool isComplete);
        if (!isComplete)
            log.StopTimedOut(WorkerStopTimeout.TotalSeconds);
        reports.Flush();
        log.SoakStopped(
            (report.Time - report.Started).TotalSeconds,
            report.Operations,
            report.Verdict.ToString().ToLowerInvariant());
        return Task.CompletedTask;
    }

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}

/// <summary>Registration of the soak with everything that reads its reports.</summary>
internal static class SoakServiceExtensions
{
    // The soak takes at most three of the five seconds that a stop may take.
    private static readonly TimeSpan ShutdownTimeout = TimeSpan.FromSeconds(4);

    public static void AddSoak(this WebApplicationBuilder builder, SoakOptions options)
    {
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = ShutdownTimeout);
        builder.Services
            .AddSingleton(TimeProvider.System)
            .AddSingleton(options)
            .AddSingleton<ReportLog>()
            .AddSingleton<FleetStream>()
            .AddSingleton(services => new SoakRun(
                options,
                services.GetRequiredService<TimeProvider>(),
                report =>
                {
                    services.GetRequiredService<ReportLog>().Write(report);
                    services.GetRequiredService<FleetStream>().Publish(report);
                },
                services.GetRequiredService<SoakStorage>()))
            .AddSingleton<SoakStorage>()
            .AddSingleton<StorageMetrics>()
            .AddSingleton<InterventionMetrics>()
            .AddSingleton<OperatorAccess>()
            .AddSingleton<OperatorFilter>()
            .AddSingleton<IncidentReplays>()
            .AddSingleton<MetricRegistry>()
            .AddSingleton(services =>
            {
                SoakRun run = services.GetRequiredService<SoakRun>();
                return new FleetMetrics(
                    services.GetRequiredService<MetricRegistry>(), () => run.Cohorts, run.FleetOptions.Shards.VectorBits, () => run.Latest);
            })
            .AddSingleton<ProcessMetrics>()
            .AddSingleton<AlertMetrics>()
            .AddHostedService<SoakService>();
    }
}
