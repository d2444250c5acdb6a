using SoakHost.Api;
using SoakHost.Configuration;
using SoakHost.Interventions;
using SoakHost.Logging;
using SoakHost.Metrics;
using SoakHost.Service;
using SoakHost.Storage;

namespace SoakHost.Commands;

/// <summary>Registers the soak and everything that reads its reports.</summary>
internal static class SoakServices
{
    // The workers get two seconds and the disk at least one of the five that a stop may take.
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
            .AddSingleton(services => new SoakStorage(
                options,
                services.GetRequiredService<TimeProvider>(),
                services.GetRequiredService<ILogger<SoakStorage>>(),
                services.GetRequiredService<CommitMetrics>().Observe))
            .AddSingleton<StorageReads>()
            .AddSingleton<OperatorAccess>()
            .AddSingleton<RefusedRequests>()
            .AddSingleton<OperatorFilter>()
            .AddSingleton<IdempotencyKeys<object?>>()
            .AddSingleton<IdempotencyFilter>()
            .AddSingleton<AlertFilter>()
            .AddSingleton<ReplayService>()
            .AddMetrics()
            .AddHostedService<SoakService>();
        if (options.Watch)
        {
            builder.Services.AddWatch(new WatchOptions
            {
                Evidence = options.WatchEvidence.Length > 0 ? options.WatchEvidence : null,
                DataDirectory = options.DataDirectory,
            });
        }
    }

    private static IServiceCollection AddMetrics(this IServiceCollection services) => services
        .AddSingleton<MetricRegistry>()
        .AddSingleton(services =>
        {
            SoakRun run = services.GetRequiredService<SoakRun>();
            return new FleetMetrics(
                services.GetRequiredService<MetricRegistry>(),
                () => run.Cohorts, run.FleetOptions.Shards.Part, run.FleetOptions.Shards.VectorBits, () => run.Latest);
        })
        .AddSingleton(services => new InterventionMetrics(
            services.GetRequiredService<MetricRegistry>(),
            () => [.. services.GetRequiredService<SoakRun>().Cohorts.Select(cohort => cohort.Name)]))
        .AddSingleton<CommitMetrics>()
        .AddSingleton<StorageMetrics>()
        .AddSingleton<ProcessMetrics>()
        .AddSingleton<AlertMetrics>()
        .AddSingleton<RefusalMetrics>();
}
