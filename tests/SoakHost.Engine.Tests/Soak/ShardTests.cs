using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Tests.Soak;

public sealed class ShardTests
{
    private const int Vms = 20;

    public static TheoryData<string> HealthyKernels =>
        [.. Kernel.All.Select(kernel => kernel.Info).Where(info => info.Expected == Defect.None).Select(info => info.Name)];

    /// <summary>The counts of 16 bits must not run over before they are folded.</summary>
    [Fact]
    public void Totals_are_folded_before_the_narrowest_count_is_full() =>
        Assert.InRange(Shard.ObservationTicks, 1, TotalsLanes<Lanes32>.MaxTicks);

    [Theory]
    [InlineData("tdp-flush-5.11")]
    [InlineData("tdp-iterator-5.15")]
    [InlineData("gpc-5.18")]
    public void A_live_patch_in_the_midst_of_a_zap_leaves_no_invalidation_behind(string kernel)
    {
        Shard shard = ShardOf(kernel, new VmParameters { Invalidators = 4, InvalidateSeqStart = 0 });
        shard.Advance(Shard.ObservationTicks);
        Assert.Contains(
            Enumerable.Range(0, Vms),
            vm => shard.Read(vm).Invalidators.Any(invalidator => invalidator.Phase == InvalidatorPhase.Zap));
        shard.PatchKernel(Kernel.Of<Linux61Stable>());
        Assert.DoesNotContain(
            Enumerable.Range(0, Vms),
            vm => shard.Read(vm).Invalidators.Any(invalidator => invalidator.Phase == InvalidatorPhase.Zap));
        shard.MayInvalidate = false;
        shard.Advance(Shard.ObservationTicks);
        Assert.All(Enumerable.Range(0, Vms), vm => Assert.Equal(0u, shard.Read(vm).InProgress));
    }

    [Theory]
    [MemberData(nameof(HealthyKernels))]
    public void Once_invalidations_stop_a_healthy_kernel_fixes_every_fault_and_the_counter_stands_still(string kernel)
    {
        foreach (int start in (int[])[-2000, -10, 0])
        {
            Shard shard = ShardOf(kernel, new VmParameters
            {
                Vcpus = 8,
                Invalidators = 4,
                Pages = 6,
                RangePages = 6,
                MemslotUpdates = true,
                InvalidateSeqStart = unchecked((1UL << 31) + (ulong)start),
            });
            shard.Advance(4 * Shard.ObservationTicks);
            Assert.True(shard.TakeSnapshot().Totals.Retried > 0);

            // What is in progress ends within a few ticks, a fault takes at most five steps, and 6 pages are soon all mapped.
            shard.MayInvalidate = false;
            shard.Advance(Shard.ObservationTicks);
            ShardSnapshot quiet = shard.TakeSnapshot();
            Assert.All(Enumerable.Range(0, Vms), vm =>
            {
                VmState state = shard.Read(vm);
                Assert.False(state.HasFaultInFlight);
                Assert.Equal((0u, 0b111111UL), (state.InProgress, state.Mapped));
                Assert.All(state.Vcpus, vcpu => Assert.Equal(0u, vcpu.ConsecutiveRetries));
            });

            shard.Advance(Shard.ObservationTicks);
            ShardSnapshot later = shard.TakeSnapshot();
            Assert.Equal(quiet.InvalidateSeqs, later.InvalidateSeqs);
            Assert.Equal(quiet.Totals.Operations, later.Totals.Operations);
            Assert.True(later.Totals.GuestAccesses > quiet.Totals.GuestAccesses);

            // And it all begins again.
            shard.MayInvalidate = true;
            shard.Advance(Shard.ObservationTicks);
            Assert.All(
                shard.TakeSnapshot().InvalidateSeqs.Zip(later.InvalidateSeqs),
                pair => Assert.NotEqual(pair.First, pair.Second));
        }
    }

    [Fact]
    public void A_hung_vCPU_stays_hung_when_invalidations_stop()
    {
        Shard shard = HungShard(out _);
        shard.MayInvalidate = false;
        shard.Advance(Shard.ObservationTicks);
        ShardSnapshot before = shard.TakeSnapshot();
        shard.Advance(4 * Shard.ObservationTicks);
        ShardSnapshot after = shard.TakeSnapshot();
        Assert.Equal(before.InvalidateSeqs, after.InvalidateSeqs);
        Assert.Equal(before.Totals.Fixed, after.Totals.Fixed);
        Assert.True(after.Totals.UnjustifiedRetries > before.Totals.UnjustifiedRetries);
        Assert.All(after.Conditions, condition => Assert.Equal(VcpuCondition.Hung, condition));
        Assert.Empty(after.Findings);
    }

    [Fact]
    public void A_patched_kernel_revives_hung_vCPUs_and_the_defect_put_back_hangs_them_again()
    {
        Shard shard = HungShard(out ShardSnapshot hung);
        int vcpus = hung.Conditions.Length;
        AssertOneForEachVcpu(FindingKind.VcpuHung, hung);
        Assert.Equal(0, hung.Totals.Recoveries);
        Assert.Equal(
            Vms,
            hung.Findings.Count(finding => finding.Kind is FindingKind.BoundaryCrossed or FindingKind.BoundaryCrossedIdle));

        shard.PatchKernel(Kernel.Of<Linux61Stable>());
        shard.Advance(4 * Shard.ObservationTicks);
        ShardSnapshot patched = shard.TakeSnapshot();
        Assert.Equal("linux-6.1.y", patched.Kernel.Info.Name);
        Assert.All(patched.Conditions, condition => Assert.Equal(VcpuCondition.Running, condition));
        Assert.Equal(vcpus, patched.Totals.Recoveries);
        Assert.Empty(patched.Stalled);
        Assert.Equal(hung.Totals.UnjustifiedRetries, patched.Totals.UnjustifiedRetries);
        AssertOneForEachVcpu(FindingKind.VcpuRecovered, patched);

        shard.PatchKernel(Kernel.Of<Linux61>());
        shard.Advance(8 * Shard.ObservationTicks);
        ShardSnapshot again = shard.TakeSnapshot();
        Assert.All(again.Conditions, condition => Assert.Equal(VcpuCondition.Hung, condition));
        AssertOneForEachVcpu(FindingKind.VcpuHung, again);
        Assert.Equal(vcpus, again.Totals.Recoveries);
    }

    [Fact]
    public void A_small_number_written_into_the_counter_revives_a_hung_VM_and_no_other()
    {
        Shard shard = HungShard(out _);
        VmState state = shard.Read(3);
        state.InvalidateSeq = 1000;
        shard.Write(3, state);
        shard.Advance(Shard.ObservationTicks);
        ShardSnapshot snapshot = shard.TakeSnapshot();
        for (int i = 0; i < snapshot.Conditions.Length; i++)
        {
            bool isRevived = i / shard.Cohort.Vm.Vcpus == 3;
            Assert.Equal(isRevived ? VcpuCondition.Running : VcpuCondition.Hung, snapshot.Conditions[i]);
        }
    }

    [Fact]
    public void A_starved_vCPU_is_not_a_hung_one()
    {
        // Four invalidators over the whole of a small guest: nearly every fault is caught by one of them.
        var storm = new VmParameters { Vcpus = 2, Invalidators = 4, Pages = 2, RangePages = 2, InvalidateSeqStart = 1UL << 31 };
        SimulatedCohort cohort = SoakRun.CohortOf("linux-6.1.y", Vms, storm);
        var shard = Shard.Create(cohort, 0, Vms, new ShardOptions { StallRetries = 10 });
        shard.Advance(16 * Shard.ObservationTicks);
        ShardSnapshot snapshot = shard.TakeSnapshot();
        Assert.Contains(snapshot.Findings, finding => finding.Kind == FindingKind.VcpuStarved);
        Assert.DoesNotContain(snapshot.Findings, finding => finding.Kind is FindingKind.VcpuHung or FindingKind.VcpuRecovered);
        Assert.Equal(0, snapshot.Totals.UnjustifiedRetries);
    }

    [Theory]
    [InlineData("linux-6.1.y")]
    [InlineData("linux-6.1")]
    public void Advancing_does_not_allocate_when_nothing_is_found(string kernel)
    {
        Shard shard = ShardOf(kernel, new VmParameters { InvalidateSeqStart = 1UL << 31 });
        shard.Advance(8 * Shard.ObservationTicks);
        shard.TakeSnapshot();
        long before = GC.GetAllocatedBytesForCurrentThread();
        shard.Advance(64 * Shard.ObservationTicks);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        Assert.Empty(shard.TakeSnapshot().Findings);
    }

    private static Shard ShardOf(string kernel, VmParameters parameters) =>
        Shard.Create(SoakRun.CohortOf(kernel, Vms, parameters), 0, Vms, new ShardOptions { Seed = 3 });

    /// <summary>VMs that crossed 2^31 under linux-6.1 and whose every vCPU hangs.</summary>
    private static Shard HungShard(out ShardSnapshot snapshot)
    {
        var parameters = new VmParameters { InvalidateSeqStart = (1UL << 31) - 500 };
        var shard = Shard.Create(SoakRun.CohortOf("linux-6.1", Vms, parameters), 0, Vms, new ShardOptions { StallRetries = 200 });
        shard.Advance(12 * Shard.ObservationTicks);
        snapshot = shard.TakeSnapshot();
        Assert.All(snapshot.Conditions, condition => Assert.Equal(VcpuCondition.Hung, condition));
        return shard;
    }

    private static void AssertOneForEachVcpu(FindingKind kind, ShardSnapshot snapshot)
    {
        List<string> found =
        [
            .. snapshot.Findings.Where(finding => finding.Kind == kind)
                .Select(finding => string.Create(CultureInfo.InvariantCulture, $"VM {finding.Vm} vCPU {finding.Vcpu}")),
        ];
        Assert.Equal(found.Distinct(), found);
        Assert.Equal(snapshot.Conditions.Length, found.Count);
    }
}
