using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.HostKernel;
using SoakHost.Model.Kernels;

namespace SoakHost.Tests;

/// <summary>Reports as the watchdog makes them, without a fleet.</summary>
internal static class Sample
{
    public static DateTimeOffset Time { get; } = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public static Finding Hung(int vm, int vcpu = 1, long tick = 42, FindingKind kind = FindingKind.VcpuHung) =>
        new(
            kind,
            vm,
            vcpu,
            new Sighting(FindingTime.AtTick(tick), page: 7, CounterRange.Exactly(0x80000000), snapshot: 0xffffffff80000000));

    public static CohortReport Cohort(string name, Defect expected, ImmutableArray<Finding> findings = default) => new()
    {
        Cohort = new SimulatedCohort { Name = name, Kernel = Kernel.Of<Linux61>(), Vms = 64, Expected = expected },
        Snapshot = Simulated(findings),
        Running = 256,
        Starved = 0,
        Hung = 0,
        Incidents = default,
        Stalls = [],
        Verdict = Verdict.Pass,
        Reasons = [],
    };

    public static SimulatedSnapshot Simulated(ImmutableArray<Finding> findings = default) => new()
    {
        Kernel = Kernel.Of<Linux61>(),
        Vms = 64,
        VmsInFleet = 64,
        Tick = 1024,
        Totals = Totals(),
        InvalidateSeq = new CounterSpread(CounterRange.Exactly(1), CounterRange.Exactly(2), CounterRange.Exactly(3)),
        Conditions = [],
        Stalled = [],
        Findings = findings.IsDefault ? [] : findings,
        Coverage = CrossingCoverage.None(Interleavings.Of(Kernel.Of<Linux61>(), new())),
    };

    public static CohortTotals Totals(long invalidations = 0) =>
        new()
        {
            Invalidations = invalidations,
            GuestAccesses = 0,
            Fixed = 0,
            Retried = 0,
            UnjustifiedRetries = 0,
            UnsafeInstalls = 0,
            StaleMappings = 0,
            AccountingErrors = 0,
            Crossings =
            [
                new(Boundary.AtPower(31), 0),
                new(Boundary.AtPower(32), 0),
                new(Boundary.AtPower(63), 0),
                new(Boundary.AtPower(64), 0),
            ],
        };

    /// <summary>A cohort of real VMs some time after its start, which is expected to cross 2^31 at 2,000 seconds.</summary>
    public static CohortReport Host(string name, TimeSpan elapsed, ImmutableArray<Finding> findings = default)
    {
        var cohort = new HostCohort(name, new HostCohortOptions());
        return Cohort(name, Defect.None) with
        {
            Cohort = cohort,
            Snapshot = new HostSnapshot
            {
                KernelRelease = "6.18.0",
                Mmu = "npt, tdp_mmu=Y",
                Cpu = "a CPU",
                Elapsed = elapsed,
                Until = (1L << 31) + 1,
                ExpectedEnd = null,
                NotCovered = ["a gap"],
                IsOver = false,
                Share = 0.5,
                Progress = "",
                Vms = 1,
                Totals = cohort.NoTotals,
                InvalidateSeq = null,
                Conditions = [],
                Stalled = [],
                Findings = findings.IsDefault ? [] : findings,
                Forecast = new CounterForecast(
                    1_000_000, elapsed, [new BoundaryForecast(Boundary.AtPower(31), Time.AddSeconds(2000))]),
            },
        };
    }

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
