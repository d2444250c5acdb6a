using System.Diagnostics;
using System.Globalization;

namespace SoakHost.Metrics;

/// <summary>The process itself: memory, processor time, files, garbage collector.</summary>
internal sealed class ProcessMetrics
{
    private const string OpenFiles = "/proc/self/fd";

    // The kernel makes an entry for each file as they are listed: that takes longer than all the rest of a scrape.
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
        _startTime = registry.Gauge("process_start_time_seconds", "When the process started, in seconds since 1970.");
        _residentMemory = registry.Gauge("process_resident_memory_bytes", "Resident memory in bytes.");
        _cpu = registry.Counter("process_cpu_seconds_total", "Processor time in user and kernel mode, in seconds.");
        _openFds = registry.Gauge("process_open_fds", "Open file descriptors, counted at most every 15 s. On Linux alone.");
        _collections = registry.Counter(
            "dotnet_gc_collections_total", "Garbage collections by generation; one of a generation collects the younger ones too.", "generation");
        _heap = registry.Gauge("dotnet_gc_heap_bytes", "Managed heap in use, in bytes.");
        _pause = registry.Counter("dotnet_gc_pause_seconds_total", "Time for which garbage collection stopped every thread, in seconds.");
        _allocated = registry.Counter("dotnet_gc_allocated_bytes_total", "Bytes allocated on the managed heap.");
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
            (_fds, _fdsCounted) = (Directory.EnumerateFileSystemEntries(OpenFiles).Count(), _time.GetTimestamp());
        return _fds.Value;
    }
}
