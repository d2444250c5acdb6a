using System.Diagnostics;
using SoakHost.Engine.Checks;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Watchdogs;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using static SoakHost.HostKernel.Tests.HostKernelHere;

namespace SoakHost.HostKernel.Tests;

/// <summary>Real VMs as a cohort of a fleet, beside simulated ones.</summary>
[Collection(OneAtATime)]
public sealed class HostCohortSourceTests
{
    private static readonly SimulatedCohort Control = new()
    {
        Name = "control",
        Kernel = Kernel.Of<Linux61>(),
        Vms = 2,
        Expected = Defect.Hang,
        Vm = new VmParameters { InvalidateSeqStart = (1UL << 31) - 100 },
    };

    private static readonly HostCohortOptions Short = Small with
    {
        Until = 300_000,
        Boundaries = [200_000],
        BoundaryWindow = 80_000,
    };

    [Fact]
    public void A_kernel_that_refuses_makes_the_cohort_unsupported_and_leaves_the_others_alone()
    {
        SoakResult result = Check(Short with { DevicePath = "/dev/null" });

        Assert.Equal(Verdict.Unsupported, result.Verdict);
        Assert.Equal([Verdict.Pass, Verdict.Unsupported], result.Cohorts.Select(cohort => cohort.Verdict));
        Assert.StartsWith("The VMs could not be created: ", result.Cohorts[1].Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_to_its_end_behind_a_control_that_ends_below_2_to_31_misses_that_alone()
    {
        SkipUnlessItWorks();
        SoakResult result = Check(Short);

        Assert.Equal([$"here (host): {HostEvidence.EndsBelow.TrimEnd('.')}"], result.Reasons);
        CohortReport host = result.Cohorts[1];
        Assert.Equal(Verdict.Inconclusive, host.Verdict);
        Assert.Empty(host.Snapshot.Failures);
        Assert.Equal(["200000: 1"], host.Totals.Crossings.Select(crossing => $"{crossing.Boundary}: {crossing.Vms}"));
        Assert.True(host.Totals is { Fixed: > 0, GuestAccesses: > 0 });
        Assert.Equal(Short.Until, ((HostSnapshot)host.Snapshot).Until);
    }

    [Fact]
    public void A_check_whose_time_is_up_says_how_far_it_came_and_that_nothing_resumes_it()
    {
        SkipUnlessItWorks();
        SoakResult result = Check(Short with { Until = 1L << 40 }, TimeSpan.FromSeconds(1));

        Assert.Equal(Verdict.Inconclusive, result.Verdict);
        Assert.Matches(
            @"^here \(host\): .*cannot be resumed.* VM 0 made \d+ of 1099511627776 invalidations",
            result.Reasons[0]);
        Assert.Empty(result.Cohorts[1].Snapshot.Failures);
    }

    [Fact]
    public void A_hang_imitated_on_a_real_VM_goes_the_way_of_every_hang()
    {
        SkipUnlessItWorks();
        SoakResult result = Check(Short with { Program = Guest.GuestProgram.ImitateHang, WithoutStatistics = true });

        Assert.Equal(Verdict.Violation, result.Verdict);
        CohortReport host = result.Cohorts[1];
        Assert.True(host is { Hung: >= 1, Incidents.Hangs: >= 1 } && host.Stalls.Length == host.Hung);
        Assert.Matches("^hang:here/0/[01]@[0-9]+ms$", result.FirstIncidents["here"].Id.ToString());
    }

    [Fact]
    public void A_fleet_that_is_started_and_stopped_again_and_again_holds_neither_memory_nor_handles()
    {
        SkipUnlessItWorks();
        TimeSpan longest = TimeSpan.Zero;
        Cycle(); // whatever is loaded once is loaded now
        Cycle();
        (int handles, int threads, long bytes) = (Handles(), Threads(), Resident());
        for (int cycle = 0; cycle < 10; cycle++)
            Cycle();

        Assert.InRange(Handles(), 0, handles);
        Assert.InRange(Threads(), 0, threads + 2);
        Assert.InRange(Resident() - bytes, long.MinValue, 16 << 20);
        Assert.True(longest < TimeSpan.FromSeconds(5), $"a stop took {longest}");

        void Cycle()
        {
            using var fleet = new Fleet(
                new FleetOptions { Cohorts = [Control, new HostCohort("here", Small with { Until = 1L << 40 })], Workers = 1 },
                TimeProvider.System);
            fleet.Start();
            ICohortSource host = fleet.Cohorts[1];
            Assert.True(SpinWait.SpinUntil(() => host.Take()!.Totals.Invalidations > 1000, Patience));
            long asked = Stopwatch.GetTimestamp();
            Assert.True(fleet.Stop(TimeSpan.FromSeconds(5)));
            TimeSpan took = Stopwatch.GetElapsedTime(asked);
            longest = took > longest ? took : longest;
        }

        static int Handles() =>
            Directory
                .GetFiles("/proc/self/fd")
                .Select(link => new FileInfo(link).LinkTarget ?? "")
                .Count(target =>
                    target.Contains("kvm", StringComparison.Ordinal) || target.Contains("schedstat", StringComparison.Ordinal));

        static int Threads() => Directory.GetDirectories("/proc/self/task").Length;

        static long Resident()
        {
            GC.Collect();
            return Environment.WorkingSet;
        }
    }

    private static SoakResult Check(HostCohortOptions options, TimeSpan? time = null) => new BoundedSoak(
        new FleetOptions { Cohorts = [Control, new HostCohort("here", options)], Workers = 1 },
        new SoakBounds { ExternalTime = time },
        TimeProvider.System).Run(progress: null, TestContext.Current.CancellationToken);
}
