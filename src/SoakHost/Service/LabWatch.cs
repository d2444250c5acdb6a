using System.Runtime.CompilerServices;
using SoakHost.HostKernel.Lab;
using SoakHost.Watch.Samples;
using SoakHost.Watch.Sources;
using SoakHost.Watch.Verdicts;

namespace SoakHost.Service;

/// <summary>
/// The watch inside a kernel in the lab: the sampler and the verdict of <c>soakhost watch</c>, once with all sources and once
/// without eBPF. It looks at this very process, which is the only one that holds a VM there.
/// </summary>
internal sealed class LabWatch : ILabWatcher
{
    // An emulated machine on a busy one is slow.
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(20);

    private readonly (string Name, HostSampler Sampler, HostHistory History)[] _watches =
    [
        ("ebpf", Sampler(tracesFaults: true), new HostHistory()),
        ("statistics", Sampler(tracesFaults: false), new HostHistory()),
    ];

    private LabWatch()
    {
    }

    /// <summary>The watcher. Apart, so that nobody else loads its assemblies.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static ILabWatcher Create() => new LabWatch();

    /// <inheritdoc/>
    public IReadOnlyList<(string Key, string State)> Look() => [.. _watches.SelectMany(Look)];

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach ((_, HostSampler sampler, _) in _watches)
            sampler.Dispose();
    }

    private static IEnumerable<(string Key, string State)> Look((string Name, HostSampler Sampler, HostHistory History) watch)
    {
        HostSampling sampling = watch.Sampler.Sample(CancellationToken.None);
        foreach (VcpuSample sample in sampling.Samples)
        {
            VcpuVerdict verdict = watch.History.Add(sample);
            string proof = verdict.Proof is { } proven ? $"/{proven.Name()}" : "";
            yield return ($"{watch.Name}.{sample.Vcpu}", $"{verdict.State.Name()}{proof}");
            yield return ($"{watch.Name}.{sample.Vcpu}.why", string.Join(' ', verdict.Reasons));
        }

        foreach ((int index, string unread) in sampling.Unread.Index())
            yield return ($"{watch.Name}.unread.{index}", unread);
        if (watch.Sampler.NotTraced is { } why)
            yield return ($"{watch.Name}.not_traced", why);
    }

    private static HostSampler Sampler(bool tracesFaults) => new(
        new SamplerOptions { Processes = [Environment.ProcessId], TracesFaults = tracesFaults, Timeout = Timeout },
        TimeProvider.System);
}
