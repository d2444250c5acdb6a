using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model.Kernels;

namespace SoakHost.Tests;

/// <summary>Reports as the watchdog makes them, without a fleet.</summary>
internal static class Sample
{
    public static DateTimeOffset Time { get; } = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public static Finding Hung(int vm) => new(FindingKind.VcpuHung, vm, 1, 42, 7, 0x80000000, 0xffffffff80000000, 0);

    public static CohortReport Cohort(string name, Defect expected, ImmutableArray<Finding> findings = default) => new()
    {
        Cohort = new SimulatedCohort { Name = name, Kernel = Kernel.Of<Linux61>(), Vms = 64, Expected = expected },
        Snapshot = new CohortSnapshot
        {
            Kernel = Kernel.Of<Linux61>(),
            Vms = 64,
            Tick = 1024,
            Totals = default,
            InvalidateSeqMin = 1,
            InvalidateSeqMedian = 2,
            InvalidateSeqMax = 3,
            Conditions = [],
            Stalled = [],
            Findings = findings.IsDefault ? [] : findings,
        },
        Running = 256,
        Starved = 0,
        Hung = 0,
        Incidents = default,
        Stalls = [],
        Verdict = Verdict.Pass,
        Reason = "",
    };

    public static HostFigures Host(TimeSpan elapsed) => new()
    {
        KernelRelease = "6.18.0",
        Mmu = "npt, tdp_mmu=Y",
        Cpu = "a CPU",
        At = Time + elapsed,
        Elapsed = elapsed,
        InvalidationsPerSecond = 1_000_000,
        Until = (1L << 31) + 1,
        Share = 0.5,
        ExpectedEnd = null,
        IsOver = false,
        Boundaries = [new HostBoundary("2^31", 1L << 31, 0, Time.AddSeconds(2000)), new HostBoundary("2^32", 1L << 32, 0, null)],
        Verdict = Verdict.Inconclusive,
        Reasons = ["It is not over."],
        NotCovered = ["a gap"],
    };

    public static FleetReport Report(params CohortReport[] cohorts) => new()
    {
        Time = Time,
        Started = Time,
        Cohorts = [.. cohorts],
        Workers = [new WorkerReport(0, Time, TimeSpan.Zero, 1, TimeSpan.Zero, TimeSpan.Zero, false, "cohort c, VMs 0 to 63")],
        SilentWorkers = [],
        Verdict = Verdict.Pass,
        Reasons = [],
    };
}
