using System.Globalization;
using SoakHost.HostKernel.Guest;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Watch;
using SoakHost.HostKernel.Workloads;
using static SoakHost.HostKernel.Tests.HostKernelHere;

namespace SoakHost.HostKernel.Tests;

/// <summary>Real VMs on this machine's own kernel; skipped where there is no KVM.</summary>
[Collection(OneAtATime)]
public sealed class HostSoakTests
{
    public HostSoakTests() => SkipUnlessItWorks();

    [Fact]
    public async Task A_run_to_its_end_crosses_its_boundaries_with_faults_fixed_and_misses_only_2_to_31()
    {
        using HostSoak soak = Start(Small with { Until = 200_000, Boundaries = [100_000], BoundaryWindow = 80_000 });
        HostSoakSnapshot end = await soak.End();

        Assert.True(end is { IsOver: true, Violations.IsEmpty: true }, string.Join(" ", end.Missing));
        Assert.Equal([HostEvidence.EndsBelow], end.Missing);
        HostVmSnapshot vm = Assert.Single(end.Vms);
        Assert.Equal(HostVmPhase.Finished, vm.Phase);
        Assert.True(Assert.Single(vm.Crossings).IsSeen);
        Assert.True(vm.Crossings[0].FaultsFixedAfter > 0);
        Assert.True(
            end.FaultsTaken >= end.FaultsFixed && end.FaultsFixed > 0,
            $"{end.FaultsTaken} taken, {end.FaultsFixed} fixed");
    }

    [Fact]
    public async Task Invalidations_are_counted_exactly_a_call_at_a_time_and_stop_at_the_end()
    {
        using HostSoak soak = Start(Small with { Until = 1000, InvalidatorThreads = 2, MemoryBytes = 64 * 4096 });
        HostSoakSnapshot end = await soak.End();
        HostVmSnapshot vm = Assert.Single(end.Vms);
        // 32 a call, and each of two threads may have been in a call when the end was reached.
        Assert.Equal(0, vm.InvalidationsEnded % 32);
        Assert.InRange(vm.InvalidationsEnded, 1000, 1000 + (2 * 32));
        Assert.Equal(vm.InvalidationsEnded, vm.InvalidationsBegun);
    }

    [Fact]
    public async Task Workloads_run_on_both_sides_of_a_boundary_and_find_nothing_wrong()
    {
        using HostSoak soak = Start(
            Small with
            {
                Until = 200_000,
                Boundaries = [100_000],
                BoundaryWindow = 80_000,
                Workloads = WorkloadNames.Usual,
                Watch = new VcpuWatchOptions(),
            });
        HostSoakSnapshot end = await soak.End();

        Assert.Empty(end.Violations);
        Assert.Equal([HostEvidence.EndsBelow], end.Missing);
        Assert.All(
            end.Vms[0].Workloads.Where(each => each.WhyNot is null && each.Name != "ksm"),
            each => Assert.True(
                each is { Events: >= 16, Failure: null, FixedBefore: not 0, FixedAfter: not 0 }, $"{each}"));
        Assert.Equal(VcpuRole.Workload, end.Vms[0].Vcpus[^1].Role);
    }

    [Fact]
    public async Task A_guest_that_gets_other_memory_than_its_host_works_on_is_a_stale_mapping()
    {
        using HostSoak soak = Start(Small with { Workloads = ["hole-punching"], StaleWorkload = "hole-punching" });
        HostSoakSnapshot end = await soak.End();

        Assert.Contains("stale mapping in hole-punching, event 1", Assert.Single(end.Violations), StringComparison.Ordinal);
        Assert.Equal(HostVmPhase.Lost, end.Vms[0].Phase);
    }

    [Fact]
    public async Task A_run_stopped_early_is_inconclusive_and_says_how_far_it_came()
    {
        using HostSoak soak = Start(Small with { Until = 1L << 40 });
        await soak.Until(snapshot => snapshot.FaultsFixed > 0 && snapshot.Vcpus.All(vcpu => vcpu.Rounds > 0));
        Assert.False(soak.Snapshot.IsOver);
        soak.Stop();
        HostSoakSnapshot end = soak.Snapshot;
        Assert.True(end.IsOver);
        Assert.Empty(end.Violations);
        Assert.Contains("cannot be resumed", end.Missing[0]);
        Assert.Contains(
            end.Missing,
            each => each.Contains($"made {end.Invalidations} of {1L << 40} invalidations", StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_expected_crossing_lies_in_the_future_of_the_injected_clock()
    {
        using HostSoak soak = Start(Small with { Boundaries = [1L << 31] });
        HostSoakSnapshot snapshot = await soak.Until(each => each.Vms[0].ExpectedCrossing is not null);
        Assert.Equal(1L << 31, snapshot.Vms[0].NextBoundary);
        Assert.True(snapshot.Vms[0].ExpectedCrossing > snapshot.At);
    }

    [Fact]
    public async Task A_guest_that_loops_without_a_heartbeat_is_named_so_and_stopped_in_time()
    {
        using HostSoak soak = Start(Small with { Program = GuestProgram.LoopWithoutHeartbeat });
        HostSoakSnapshot snapshot = await soak.Until(each => each.Vcpus.All(vcpu => vcpu.State == VcpuState.LoopingInGuest));
        Assert.DoesNotContain(snapshot.Vcpus, vcpu => vcpu.Evidence is not null);
        StopsInTime(soak);
    }

    [Fact]
    public async Task A_guest_that_halts_is_named_so_and_is_no_hang()
    {
        using HostSoak soak = Start(Small with { Program = GuestProgram.Halt });
        HostSoakSnapshot end = await soak.End();
        Assert.Contains(
            end.Vcpus,
            vcpu => vcpu.State == VcpuState.Halted && vcpu.StopReason == "KVM_RUN ended with KVM_EXIT_HLT");
        Assert.Empty(end.Violations);
        Assert.NotEmpty(end.Missing);
    }

    [Fact]
    public async Task Memory_made_inaccessible_makes_KVM_RUN_fail_and_is_no_hang()
    {
        using HostSoak soak = Start(Small);
        await soak.Until(each => each.FaultsFixed > 0);
        ((HostVm)soak.Vms[0]).Memory.MakeInaccessible();
        HostSoakSnapshot end = await soak.End();
        HostVcpuSnapshot soaked = end.Vcpus.First(vcpu => vcpu.Role == VcpuRole.Soaked);
        Assert.Equal(VcpuState.RunFailed, soaked.State);
        Assert.Contains("errno 14", soaked.StopReason);
        Assert.Empty(end.Violations);
        Assert.NotEmpty(end.Missing);
    }

    [Fact]
    public async Task A_vCPU_whose_thread_is_not_scheduled_is_named_so_and_goes_on_when_it_is()
    {
        using var gate = new ManualResetEventSlim();
        using HostSoak soak = Start(Small with { VcpuGate = gate });
        await soak.Until(each => each.Vcpus.All(vcpu => vcpu.State == VcpuState.NotScheduled));
        gate.Set();
        HostSoakSnapshot snapshot = await soak.Until(each =>
            each.Vcpus.All(vcpu => vcpu.Rounds > 0 && vcpu.State is VcpuState.Resting or VcpuState.Running));
        Assert.All(snapshot.Vcpus, vcpu => Assert.Null(vcpu.Evidence));
    }

    [Fact]
    public async Task Without_statistics_a_guest_that_loops_is_told_from_a_hang_by_quiescing_and_the_soak_goes_on()
    {
        using HostSoak soak = Start(Small with { Program = GuestProgram.LoopWithoutHeartbeat, WithoutStatistics = true });
        HostSoakSnapshot snapshot = await soak.Until(each => each.Vcpus.All(vcpu => vcpu.State == VcpuState.LoopingInGuest));
        // More often than once where the machine is too busy to run the loop while it is looked at.
        Assert.True(snapshot.Vms[0].Quiesces >= 1);
        Assert.All(snapshot.Vcpus, vcpu => Assert.True(vcpu is { Suspicions: >= 1, Evidence: null }, $"{vcpu}"));
        Assert.Contains(snapshot.NotCovered, each => each.Contains("heartbeats and quiescing alone", StringComparison.Ordinal));
        await soak.Until(each => each.Invalidations > snapshot.Invalidations + 10_000);
    }

    [Fact]
    public async Task A_vCPU_that_stays_at_its_access_in_quiet_is_called_hung_with_its_address_and_the_run_ends_as_a_violation()
    {
        using HostSoak soak = Start(Small with { Program = GuestProgram.ImitateHang, WithoutStatistics = true });
        HostSoakSnapshot end = await soak.End();
        Assert.NotEmpty(end.Violations);
        Assert.Equal(HostVmPhase.Lost, end.Vms[0].Phase);
        HostVcpuSnapshot soaked = end.Vcpus.First(vcpu => vcpu.Role == VcpuRole.Soaked);
        Assert.Equal(VcpuState.Hung, soaked.State);
        Assert.Equal(HangProof.HeartbeatAlone, soaked.Evidence!.Proof);
        Assert.InRange(soaked.Evidence.FaultingAddress!.Value, 1ul << 30, (1ul << 30) + (31 * 4096));
        // Nothing was being invalidated, so both bounds of the counter are one.
        Assert.Equal(soaked.Evidence.InvalidationsEnded, soaked.Evidence.InvalidationsBegun);
        Assert.Equal(soaked.Evidence.InvalidationsEnded, end.Invalidations + end.Vms[0].Start);
    }

    [Fact]
    public async Task Several_VMs_of_several_vCPUs_run_with_siblings_in_each()
    {
        using HostSoak soak = Start(Small with { Vms = 2, Vcpus = 5 });
        HostSoakSnapshot snapshot = await soak.Until(each => each.Vcpus.All(vcpu => vcpu.Rounds > 0));
        Assert.All(
            snapshot.Vms,
            vm =>
                Assert.Equal(
                    [VcpuRole.Soaked, VcpuRole.Soaked, VcpuRole.Soaked, VcpuRole.Sibling, VcpuRole.Sibling],
                    vm.Vcpus.Select(vcpu => vcpu.Role)));
    }

    [Fact]
    public async Task As_many_vCPUs_as_are_allowed_all_answer()
    {
        int vcpus = Math.Min(HostCohortOptions.VcpusMax, HostKernelSupport.Probe().Limits!.VcpusMax);
        using HostSoak soak = Start(Small with { Vcpus = vcpus, DutyCycle = 0.05, ProbePages = 1 });
        HostSoakSnapshot snapshot = await soak.Until(each => each.Vcpus.All(vcpu => vcpu.Rounds > 0));
        Assert.Equal(vcpus, snapshot.Vcpus.Count());
    }

    [Fact]
    public async Task Memory_of_many_gibibytes_high_above_4_GiB_in_many_memslots_is_soaked_alike()
    {
        KvmLimits limits = HostKernelSupport.Probe().Limits!;
        long bytes = 8L << 30;
        // The highest place there is, and for the lowest addresses the lowest.
        long highest = (1L << Math.Min(limits.PhysicalAddressBits, 47)) - bytes;
        foreach (long place in new[] { highest, 32L << 20 })
        {
            using HostSoak soak = Start(Small with { MemoryBytes = bytes, GuestPhysicalBase = place, Memslots = 16 });
            await soak.Until(each => each.FaultsFixed > 0 && each.Vcpus.All(vcpu => vcpu.Rounds > 1));
        }
    }

    [Fact]
    public async Task Threads_are_tied_to_the_CPUs_named_or_the_report_says_that_they_are_not()
    {
        int absent = CpuPinning.CpusMax - 1;
        using HostSoak soak = Start(Small with { InvalidatorCpus = [0], VcpuCpus = [absent] });
        HostSoakSnapshot snapshot = await soak.Until(each => each.FaultsFixed > 0);
        string gap = Assert.Single(snapshot.NotCovered, each => each.Contains("could not be tied", StringComparison.Ordinal));
        Assert.Contains($"CPU {absent}", gap);
    }

    [Fact]
    public void Options_that_cannot_be_used_are_refused_with_every_error()
    {
        ArgumentException refusal = Assert.Throws<ArgumentException>(() => Start(Small with { Vms = 0, Until = 0 }));
        Assert.Contains("Vms is 0", refusal.Message);
        Assert.Contains("Until is 0", refusal.Message);
    }

    [Fact]
    public async Task File_handles_and_mappings_are_the_same_after_many_cohorts()
    {
        await Cycle(); // whatever is loaded once is loaded now
        (int handles, int mappings) = (Handles(), KvmMappings());
        for (int cycle = 0; cycle < 5; cycle++)
            await Cycle();
        Assert.Equal((handles, mappings), (Handles(), KvmMappings()));

        static async Task Cycle()
        {
            using HostSoak soak = Start(Small with { Until = 1000 });
            await soak.End();
        }

        static int Handles() => Directory.GetFiles("/proc/self/fd").Select(Target).Count(IsOurs);

        static bool IsOurs(string target) =>
            target.Contains("kvm", StringComparison.Ordinal) || target.Contains("schedstat", StringComparison.Ordinal);

        static string Target(string link) => new FileInfo(link).LinkTarget ?? "";

        static int KvmMappings() =>
            File.ReadLines("/proc/self/maps").Count(line => line.Contains("kvm", StringComparison.Ordinal));
    }

    [Fact]
    public void Creating_a_cohort_that_the_kernel_refuses_leaves_nothing_behind()
    {
        int before = Handles();
        Assert.Throws<KvmException>(() => Start(Small with { DevicePath = "/dev/null" }));
        Assert.Equal(before, Handles());

        static int Handles() => Directory.GetFiles("/proc/self/fd").Count(each => new FileInfo(each).LinkTarget == "/dev/null");
    }

    [Fact]
    public async Task The_invalidation_loop_allocates_nothing()
    {
        using HostSoak soak = Start(Small with { DutyCycle = 1 });
        await soak.Until(each => each.Invalidations > 100_000);
        soak.Stop();
        Assert.Equal(0, ((HostVm)soak.Vms[0]).Invalidators.BytesAllocated);
    }

    private static void StopsInTime(HostSoak soak)
    {
        long start = TimeProvider.System.GetTimestamp();
        soak.Stop();
        TimeSpan took = TimeProvider.System.GetElapsedTime(start);
        Assert.True(took < HostSoak.StopWithin, string.Create(CultureInfo.InvariantCulture, $"stopping took {took}"));
        Assert.True(soak.Snapshot.IsOver);
    }
}
