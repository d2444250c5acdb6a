using System.Diagnostics;
using System.Globalization;

namespace SoakHost.Metrics;

/// <summary>The process itself: memory, processor time, files, garbage collector.</summary>
internal sealed class ProcessMetrics
{
    private const string OpenFiles = "/proc/self/fd";

    private readonly MetricFamily _startTime, _residentMemory, _cpu, _openFds, _collections, _heap, _pause, _allocated;

    public ProcessMetrics(MetricRegistry registry)
    {
        _startTime = registry.Gauge("process_start_time_seconds", "When the process started, in seconds since 1970.");
        _residentMemory = registry.Gauge("process_resident_memory_bytes", "Resident memory in bytes.");
        _cpu = registry.Counter("process_cpu_seconds_total", "Processor time in user and kernel mode, in seconds.");
        _openFds = registry.Gauge("process_open_fds", "Open file descriptors. On Linux alone.");
        _collections = registry.Counter(
            "dotnet_gc_collections_total", "Garbage collections by generation; one of a generation collects the younger ones too.", "generation");
        _heap = registry.Gauge("dotnet_gc_heap_bytes", "Managed heap in use, in bytes.");
        _pause = registry.Counter("dotnet_gc_pause_seconds_total", "Time for which garbage collection stopped every thread, in seconds.");
        _allocated = registry.Counter("dotnet_gc_allocated_bytes_total", "Bytes allocated on the managed heap.");
        registry.BeforeScrape(Fill);
    }

    private void Fill()
    {
        using var process = Process.GetCurrentProcess();
        _startTime.Set((process.StartTime.ToUniversalTime() - DateTime.UnixEpoch).TotalSeconds);
        _residentMemory.Set(process.WorkingSet64);
        _cpu.Set(process.TotalProcessorTime.TotalSeconds);
        if (Directory.Exists(OpenFiles))
            _openFds.Set(Directory.EnumerateFileSystemEntries(OpenFiles).Count());
        for (int generation = 0; generation <= GC.MaxGeneration; generation++)
            _collections.Set(GC.CollectionCount(generation), generation.ToString(CultureInfo.InvariantCulture));
        _heap.Set(GC.GetTotalMemory(forceFullCollection: false));
        _pause.Set(GC.GetTotalPauseDuration().TotalSeconds);
        _allocated.Set(GC.GetTotalAllocatedBytes());
    }
}
