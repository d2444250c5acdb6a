using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using SoakHost.Logging;
using SoakHost.Watch.Samples;
using SoakHost.Watch.Sources;
using SoakHost.Watch.Verdicts;

namespace SoakHost.Service;

/// <summary>What the watch last saw of this host.</summary>
/// <param name="At">When it looked.</param>
/// <param name="Vms">The VMs.</param>
/// <param name="Vcpus">Their vCPUs.</param>
/// <param name="Unread">What could not be read, a sentence each.</param>
internal sealed record WatchedHost(
    DateTimeOffset At, IReadOnlyList<VmReport> Vms, IReadOnlyList<VcpuReport> Vcpus, IReadOnlyList<string> Unread)
{
    /// <summary>Whether this host's kernel has the defect; null where nobody asked.</summary>
    public KernelVerdict? Kernel { get; init; }
}

/// <summary>
/// Looks at this host's VMs again and again. It logs what changes, keeps evidence of every hang, and publishes what it saw last.
/// </summary>
/// <param name="sampler">Reads the host.</param>
/// <param name="kernel">Whether this host's kernel has the defect.</param>
/// <param name="evidence">Keeps evidence; null where nobody asked for it.</param>
/// <param name="interval">The time between two looks.</param>
/// <param name="time">The clock.</param>
/// <param name="server">The server, for the address to log.</param>
/// <param name="log">Where changes are logged.</param>
internal sealed class WatchService(
    HostSampler sampler, RunningKernel kernel, HangEvidence? evidence, TimeSpan interval, TimeProvider time, IServer server,
    ILogger<WatchService> log)
    : BackgroundService, IHostedLifecycleService
{
    private readonly HostHistory _history = new();
    private readonly Dictionary<(string Vm, int? Vcpu), WatchState> _states = [];
    private HashSet<string> _unread = [];
    private string? _kernel;

    /// <summary>What was seen last; null before the first look.</summary>
    public WatchedHost? Latest { get; private set; }

    /// <summary>Looks once, and publishes.</summary>
    internal void Look(CancellationToken stop)
    {
        HostSampling sampling = sampler.Sample(stop);
        _history.Renamed += Rename;
        foreach (VcpuSample sample in sampling.Samples)
            Take(sample);
        _history.Renamed -= Rename;
        foreach (string gone in _history.KeepOnly(sampling.Samples))
            evidence?.Forget(gone);
        IReadOnlyList<VcpuReport> vcpus = _history.Vcpus;
        HashSet<(string, int?)> here = [.. vcpus.Select(vcpu => (vcpu.Last.Vm, vcpu.Last.Vcpu))];
        foreach ((string, int?) gone in _states.Keys.Where(key => !here.Contains(key)).ToList())
            _states.Remove(gone);
        string[] unread = [.. sampling.Unread, .. kernel.Refused is { } refused ? [refused] : Array.Empty<string>()];
        foreach (string reason in unread.Where(reason => !_unread.Contains(reason)))
            log.WatchUnread(reason);
        _unread = [.. unread];
        KernelVerdict verdict = kernel.Verdict;
        if (verdict.Sentence != _kernel)
            log.WatchKernel(_kernel = verdict.Sentence);
        Latest = new WatchedHost(time.GetUtcNow(), _history.Vms, vcpus, unread) { Kernel = verdict };
    }

    /// <summary>Tells where the server listens, once it does.</summary>
    public Task StartedAsync(CancellationToken cancellationToken)
    {
        log.WatchStarted(
            interval.TotalSeconds, string.Join(", ", server.Features.Get<IServerAddressesFeature>()?.Addresses ?? []));
        if (sampler.NotTraced is { } why)
            log.WatchNotTraced(why);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    /// <remarks>
    /// On a thread of its own: between two looks a timer and the pool's threads would cost more processor time than most looks.
    /// </remarks>
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.Factory.StartNew(
        () => Run(stoppingToken), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private void Run(CancellationToken stop)
    {
        long begun = time.GetTimestamp();
        TimeSpan next = TimeSpan.Zero;
        try
        {
            do
            {
                Look(stop);

                // A look that took longer than the interval leaves out those that it missed.
                TimeSpan now = time.GetElapsedTime(begun);
                next += interval * Math.Max(1, Math.Ceiling((now - next) / interval));
            }
            while (!stop.WaitHandle.WaitOne(next - time.GetElapsedTime(begun) is { Ticks: > 0 } left ? left : TimeSpan.Zero));
        }
        catch (OperationCanceledException)
        {
            // The host stops.
        }
    }

    private void Take(VcpuSample sample)
    {
        VcpuVerdict verdict;
        try
        {
            verdict = _history.Add(sample);
        }
        catch (FormatException)
        {
            // A VM that was still being read gives the sample that it gave before; a clock that was set back, an older one.
            return;
        }

        evidence?.Add(sample);
        (string Vm, int? Vcpu) key = (sample.Vm, sample.Vcpu);
        bool wasHung = _states.GetValueOrDefault(key) == WatchState.Hung;
        _states[key] = verdict.State;
        string vcpu = sample.Vcpu is { } number ? $"{number}" : "all";
        if (verdict.State == WatchState.Hung && !wasHung)
        {
            log.ProductionVcpuHung(
                sample.Vm, vcpu, verdict.Proof!.Value.Name(), string.Join(' ', verdict.Reasons), Keep(sample));
        }
        else if (wasHung && verdict.State is WatchState.Running or WatchState.Starved)
        {
            log.ProductionVcpuRecovered(sample.Vm, vcpu);
        }
    }

    private string Keep(VcpuSample sample)
    {
        try
        {
            return evidence?.Keep(sample) is { } folder ? $"Evidence: {folder}" : "No evidence was kept: give --evidence.";
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return $"Evidence could not be kept: {error.Message}";
        }
    }

    private void Rename(string before, string now)
    {
        evidence?.Rename(before, now);
        foreach ((string Vm, int? Vcpu) key in _states.Keys.Where(key => key.Vm == before).ToList())
        {
            _states[(now, key.Vcpu)] = _states[key];
            _states.Remove(key);
        }

        log.WatchRenamed(before, now);
    }
}
