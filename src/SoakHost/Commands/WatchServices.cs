using Microsoft.AspNetCore.Hosting.Server;
using SoakHost.HostKernel.Results;
using SoakHost.Metrics;
using SoakHost.Service;
using SoakHost.Watch.Discovery;
using SoakHost.Watch.Sources;

namespace SoakHost.Commands;

/// <summary>How a service watches the VMs of this host.</summary>
internal sealed record WatchOptions
{
    // On a host with thousands of processes, looking at each of them costs more than reading the VMs.
    private static readonly TimeSpan DiscoverEvery = TimeSpan.FromSeconds(15);

    // Few processes open a VM after their first minute.
    private static readonly TimeSpan LookIntoEvery = TimeSpan.FromMinutes(1);

    /// <summary>The time between two looks. Default 5 s.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The folder in which evidence of hangs is kept; null, the default, keeps none.</summary>
    public string? Evidence { get; init; }

    /// <summary>The data directory with the results of checks of this host's kernel.</summary>
    public required string DataDirectory { get; init; }

    /// <summary>What is read, and how.</summary>
    public SamplerOptions Sampler { get; init; } = new() { DiscoverEvery = DiscoverEvery, LookIntoEvery = LookIntoEvery };
}

/// <summary>Registers the watch, alone or beside a soak.</summary>
internal static class WatchServices
{
    /// <summary>Adds the watch. The registry of metrics and the clock must be there.</summary>
    public static IServiceCollection AddWatch(this IServiceCollection services, WatchOptions options) => services
        .AddSingleton(provider => new RunningKernel(
            HostResultStore.Of(options.DataDirectory), provider.GetRequiredService<TimeProvider>()))
        .AddSingleton(provider =>
        {
            RunningKernel kernel = provider.GetRequiredService<RunningKernel>();
            return new HostSampler(
                options.Sampler with { Affected = () => kernel.AffectedByCheck }, provider.GetRequiredService<TimeProvider>());
        })
        .AddSingleton(provider =>
        {
            TimeProvider time = provider.GetRequiredService<TimeProvider>();
            return new WatchService(
                provider.GetRequiredService<HostSampler>(),
                provider.GetRequiredService<RunningKernel>(),
                options.Evidence is { } folder ? new HangEvidence(folder, KernelBuild(), time) : null,
                options.Interval,
                time,
                provider.GetRequiredService<IServer>(),
                provider.GetRequiredService<ILogger<WatchService>>());
        })
        .AddSingleton(provider =>
        {
            WatchService watch = provider.GetRequiredService<WatchService>();
            return new WatchMetrics(provider.GetRequiredService<MetricRegistry>(), () => watch.Latest);
        })
        .AddHostedService(provider => provider.GetRequiredService<WatchService>());

    private static string KernelBuild() => new ProcFiles().Text("proc/version") ?? "unknown";
}
