using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Tests.Soak;

/// <summary>
/// The detector is proven before it is believed: each defect is found as what it is, and nothing where there is none.
/// </summary>
public sealed class DetectionTests
{
    public static TheoryData<string> Kernels => [.. Kernel.All.Select(kernel => kernel.Info.Name)];

    [Theory]
    [MemberData(nameof(Kernels))]
    public void A_short_soak_finds_in_a_kernel_what_it_is_expected_to_show(string name)
    {
        KernelInfo info = Kernel.Find(name)!.Info;
        var parameters = new VmParameters
        {
            Invalidators = Math.Max(2, info.InvalidatorsMin),
            MemslotUpdates = true,
            InvalidateSeqStart = unchecked(info.ExpectedFrom - 500),
        };
        var shard = Shard.Create(SoakRun.CohortOf(name, 32, parameters), 0, 32, new ShardOptions { StallRetries = 1000 });
        shard.Advance((info.NeedsMemslotUpdates ? 192 : 4) * Shard.ObservationTicks);

        // A leak shows as a hang only when nothing warrants the retries any more.
        shard.MayInvalidate = false;
        shard.Advance(8 * Shard.ObservationTicks);
        ShardSnapshot snapshot = shard.TakeSnapshot();
        HashSet<FindingKind> found = [.. snapshot.Findings.Select(finding => finding.Kind)];
        Assert.Equal(info.Expected == Defect.Deadlock, found.Contains(FindingKind.Deadlock));

        // The prefault of this kernel hangs too, where its root becomes obsolete.
        if (name != "prefault-6.17")
            Assert.Equal(info.Expected == Defect.Hang, found.Contains(FindingKind.VcpuHung));
        Assert.Equal(info.Expected == Defect.AccountingError, found.Contains(FindingKind.AccountingError));

        // A fault must be overtaken by the zap between two of its steps: too rare for a short soak, and found by that of the kill
        // matrix.
        if (name != "no-srcu-wait")
            Assert.Equal(info.Expected == Defect.UnsafeInstall, found.Contains(FindingKind.UnsafeInstall));
        if (info.Expected is Defect.None or Defect.AccountingError)
            Assert.Equal((0, 0), (snapshot.Totals.UnjustifiedRetries, snapshot.Totals.UnsafeInstalls));

        // What is unsafely installed before the primary MMU changes it becomes a stale mapping.
        Assert.True(info.Expected != Defect.StaleMapping || found.Contains(FindingKind.StaleMapping));
        if (info.Expected is not (Defect.StaleMapping or Defect.UnsafeInstall))
            Assert.DoesNotContain(FindingKind.StaleMapping, found);
    }

    [Fact]
    public void A_coarse_kernel_in_a_storm_starves_and_never_hangs()
    {
        var storm = new VmParameters { Vcpus = 4, Invalidators = 4, InvalidateSeqStart = (1UL << 31) - 500 };
        Shard shard = Shard.Create(SoakRun.CohortOf("linux-5.11", 32, storm), 0, 32, new ShardOptions { StallRetries = 100 });
        for (int slice = 0; slice < 16; slice++)
            shard.Advance(4 * Shard.ObservationTicks);
        ShardSnapshot snapshot = shard.TakeSnapshot();
        Assert.Contains(snapshot.Findings, finding => finding.Kind == FindingKind.VcpuStarved);
        Assert.DoesNotContain(snapshot.Findings, finding => finding.Kind == FindingKind.VcpuHung);
        Assert.Equal(0, snapshot.Totals.UnjustifiedRetries);
        Assert.True(snapshot.Totals.OvercautiousRetries > 0);
    }

    [Fact]
    public void A_kernel_with_the_defect_hangs_in_the_same_storm()
    {
        var storm = new VmParameters { Vcpus = 4, Invalidators = 4, InvalidateSeqStart = (1UL << 31) - 500 };
        Shard shard = Shard.Create(SoakRun.CohortOf("linux-6.1", 32, storm), 0, 32, new ShardOptions { StallRetries = 100 });
        for (int slice = 0; slice < 16; slice++)
            shard.Advance(4 * Shard.ObservationTicks);
        Assert.All(shard.TakeSnapshot().Conditions, condition => Assert.Equal(VcpuCondition.Hung, condition));
    }

    [Theory]
    [InlineData("linux-5.15")]
    [InlineData("no-root-check")]
    [InlineData("root-never-reloaded")]
    public void Defects_about_roots_stay_unseen_while_memslots_stay_as_they_are(string name)
    {
        Assert.True(Kernel.Find(name)!.Info.NeedsMemslotUpdates);
        AssertFindsNothing(name, new VmParameters { Invalidators = 2, InvalidateSeqStart = 0 });
    }

    [Theory]
    [InlineData("range-not-hulled")]
    [InlineData("range-cleared-at-end")]
    public void Defects_about_two_ranges_stay_unseen_with_one_invalidator(string name)
    {
        Assert.Equal(2, Kernel.Find(name)!.Info.InvalidatorsMin);
        AssertFindsNothing(name, new VmParameters { Invalidators = 1, MemslotUpdates = true, InvalidateSeqStart = 0 });
    }

    private static void AssertFindsNothing(string name, VmParameters parameters)
    {
        var shard = Shard.Create(SoakRun.CohortOf(name, 32, parameters), 0, 32, new ShardOptions());
        shard.Advance(8 * Shard.ObservationTicks);
        ShardSnapshot snapshot = shard.TakeSnapshot();
        Assert.Empty(snapshot.Findings);
        Assert.Equal((0, 0), (snapshot.Totals.UnjustifiedRetries, snapshot.Totals.UnsafeInstalls));
    }
}
