using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Logging;
using SoakHost.Model;

namespace SoakHost.Service;

/// <summary>
/// The soak as a part of the host. It starts after the server listens: a port in use is reported before anything is soaked. It
/// stops before the server does: the last figures can still be read.
/// </summary>
internal sealed class SoakService(SoakRun run, ReportLog reports, IServer server, ILogger<SoakService> log)
    : IHostedLifecycleService
{
    private static readonly TimeSpan WorkerStopTimeout = TimeSpan.FromSeconds(2);

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
        FleetPart part = fleet.Shards.Part;
        if (!part.IsWhole)
        {
            log.PartStarted(
                part.ToString(),
                run.Cohorts.Sum(cohort => (long)part.VmsOf(cohort.Vms)),
                run.Cohorts.Sum(cohort => (long)cohort.Vms));
        }

        run.Start();
        return Task.CompletedTask;
    }

    public Task StoppingAsync(CancellationToken cancellationToken)
    {
        FleetReport report = run.Stop(WorkerStopTimeout, out bool isComplete, out bool isStored);
        if (!isComplete)
            log.StopTimedOut(WorkerStopTimeout.TotalSeconds);
        if (!isStored)
            log.StorageStopTimedOut();
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
