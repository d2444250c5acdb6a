using System.Diagnostics;
using System.Globalization;
using SoakHost.Watch.Discovery;

namespace SoakHost.Metrics;

/// <summary>The process itself: memory, processor time, files, garbage collector.</summary>
internal sealed class ProcessMetrics
{
    private const string OpenFiles = "/proc/self/fd";

    // Before Linux 6.2 they must be listed. The kernel creates an entry for each: that takes longer than the rest of a scrape.
    private static readonly TimeSpan FdsAgeMax = TimeSpan.FromSeconds(15);

    private readonly MetricFamily _startTime, _residentMemory, _cpu, _openFds, _collections, _heap, _pause, _allocated;
    private readonly TimeProvider _time;
    private readonly double _started;
    private readonly bool _hasOpenFiles = Directory.Exists(OpenFiles);
    private int? _fds;
    private long _fdsCounted;

    public ProcessMetrics(MetricRegistry registry, TimeProvider time)
    {
        _time = time;
        _startTime = registry.Add(DeclaredMetrics.StartTime);
        _residentMemory = registry.Add(DeclaredMetrics.ResidentMemory);
        _cpu = registry.Add(DeclaredMetrics.Cpu);
        _openFds = registry.Add(DeclaredMetrics.OpenFds);
        _collections = registry.Add(DeclaredMetrics.Collections);
        _heap = registry.Add(DeclaredMetrics.Heap);
        _pause = registry.Add(DeclaredMetrics.Pause);
        _allocated = registry.Add(DeclaredMetrics.Allocated);
        using var process = Process.GetCurrentProcess();
        _started = (process.StartTime.ToUniversalTime() - DateTime.UnixEpoch).TotalSeconds;
        registry.BeforeScrape(Fill);
    }

    private void Fill()
    {
        // Not Process, which looks at every thread.
        _startTime.Set(_started);
        _residentMemory.Set(Environment.WorkingSet);
        _cpu.Set(Environment.CpuUsage.TotalTime.TotalSeconds);
        if (_hasOpenFiles)
            _openFds.Set(OpenFds());
        for (int generation = 0; generation <= GC.MaxGeneration; generation++)
            _collections.Set(GC.CollectionCount(generation), generation.ToString(CultureInfo.InvariantCulture));
        _heap.Set(GC.GetTotalMemory(forceFullCollection: false));
        _pause.Set(GC.GetTotalPauseDuration().TotalSeconds);
        _allocated.Set(GC.GetTotalAllocatedBytes());
    }

    private int OpenFds()
    {
        if (_fds is null || _time.GetElapsedTime(_fdsCounted) > FdsAgeMax)
            (_fds, _fdsCounted) = (Count(), _time.GetTimestamp());
        return _fds.Value;
    }

    private static int Count() => new ProcFiles().FilesOpen(Environment.ProcessId) is > 0 and var told
        ? (int)told : Directory.EnumerateFileSystemEntries(OpenFiles).Count();
}
