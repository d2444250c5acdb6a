using System.Globalization;
using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Soak;
using SoakHost.Model.Kernels;
using SoakHost.Model.Tests.Scalar;

namespace SoakHost.Engine.Tests.Soak;

/// <summary>
/// A shard that was written down and read again goes on exactly as if nothing had happened, on whatever vectors.
/// </summary>
public sealed class ShardStateTests
{
    private const int FirstVm = 130;
    private const int Vms = 21;
    private static readonly int[] Widths = [32, 128, 256, 512];

    // One kernel for each way in which what a state means differs.
    public static TheoryData<string, int, bool> Cases => new()
    {
        { "linux-6.1", 32, false },
        { "linux-6.9", 64, true },
        { "linux-5.15", 32, true },
        { "linux-5.12-i386", 48, false },
        { "check-before-lock", 20, true },
        { "snapshot-once", 32, false },
        { "snapshot-after-resolve", 32, false },
        { "unbalanced-end", 32, false },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_resumed_shard_is_bit_for_bit_the_one_that_never_stopped(string kernel, int pages, bool memslotUpdates)
    {
        SimulatedCohort cohort = CohortOf(kernel, pages, memslotUpdates);
        Shard straight = Create(cohort, 256);
        Shard stopped = Create(cohort, 128);
        foreach (int width in Widths)
        {
            straight.Advance(2 * Shard.ObservationTicks);
            stopped.Advance(2 * Shard.ObservationTicks);
            byte[] written = ShardState.Write(stopped);
            stopped = ShardState.Read(written, cohort, FirstVm, Vms, Options(width));
            Assert.Equal(written, ShardState.Write(stopped));
        }

        AssertSame(straight, stopped, kernel);
    }

    [Fact]
    public void What_is_compared_has_every_kind_of_finding_and_condition_in_it()
    {
        HashSet<FindingKind> kinds = [];
        HashSet<VcpuCondition> conditions = [];
        foreach (string kernel in (string[])["linux-6.1", "linux-5.15", "linux-5.12-i386", "linux-6.1.y"])
        {
            Shard shard = Create(CohortOf(kernel, 32, memslotUpdates: true), 256);
            shard.Advance(8 * Shard.ObservationTicks);
            ShardSnapshot snapshot = shard.TakeSnapshot();
            kinds.UnionWith(snapshot.Findings.Select(finding => finding.Kind));
            conditions.UnionWith(snapshot.Conditions);
        }

        Assert.Superset(
            new HashSet<FindingKind>
            {
                FindingKind.BoundaryCrossed, FindingKind.VcpuHung, FindingKind.UnsafeInstall, FindingKind.AccountingError,
            },
            kinds);
        Assert.Contains(VcpuCondition.Hung, conditions);
    }

    [Fact]
    public void A_finding_that_nobody_took_is_found_once_after_the_restart_and_one_that_was_taken_is_not()
    {
        SimulatedCohort cohort = CohortOf("linux-6.1", 32, memslotUpdates: false);
        Shard shard = Create(cohort, 256);
        shard.Advance(16 * Shard.ObservationTicks);
        Shard untold = ShardState.Read(ShardState.Write(shard), cohort, FirstVm, Vms, Options(256));
        ShardSnapshot told = shard.TakeSnapshot();
        Assert.NotEmpty(told.Findings);
        Assert.Equal(
            told.Findings.OrderBy(finding => finding.Time.Tick).ThenBy(finding => finding.Vm), untold.TakeSnapshot().Findings);
        Assert.Equal(ShardState.Write(shard), ShardState.Write(untold));
        Assert.Empty(ShardState.Read(ShardState.Write(shard), cohort, FirstVm, Vms, Options(256)).TakeSnapshot().Findings);
    }

    [Fact]
    public void A_patched_and_paused_shard_is_still_patched_and_paused()
    {
        SimulatedCohort cohort = CohortOf("linux-6.1", 32, memslotUpdates: false);
        Shard shard = Create(cohort, 256);
        shard.Advance(Shard.ObservationTicks);
        shard.PatchKernel(Kernel.Of<Linux63>());
        shard.MayInvalidate = false;
        Shard read = ShardState.Read(ShardState.Write(shard), cohort, FirstVm, Vms, Options(512));
        Assert.Equal("linux-6.3", read.Kernel.Info.Name);
        Assert.Same(cohort, read.Cohort);
        Assert.False(read.MayInvalidate);
        Assert.Equal(shard.Tick, read.Tick);
    }

    [Fact]
    public void Not_one_flipped_bit_and_not_one_missing_byte_goes_unnoticed()
    {
        SimulatedCohort cohort = CohortOf("linux-6.1", 32, memslotUpdates: false);
        Shard shard = Create(cohort, 256);
        shard.Advance(16 * Shard.ObservationTicks);
        byte[] written = ShardState.Write(shard);
        for (int at = 0; at < written.Length; at += 7)
        {
            byte[] damaged = [.. written];
            damaged[at] ^= (byte)(1 << (at % 8));
            Assert.Throws<ShardStateException>(() => ShardState.Read(damaged, cohort, FirstVm, Vms, Options(256)));
            Assert.Throws<ShardStateException>(() => ShardState.Read(written[..at], cohort, FirstVm, Vms, Options(256)));
        }
    }

    [Fact]
    public void A_state_of_another_shard_is_refused_and_the_message_says_why()
    {
        SimulatedCohort cohort = CohortOf("linux-6.1", 32, memslotUpdates: false);
        byte[] written = ShardState.Write(Create(cohort, 256));
        Assert.Contains("first VM is 130, not 0", Refusal(cohort, 0, Vms, Options(256)));
        Assert.Contains("number of VMs is 21; it can have up to 20", Refusal(cohort, FirstVm, Vms - 1, Options(256)));
        Assert.Contains("seed is 5, not 6", Refusal(cohort, FirstVm, Vms, Options(256) with { Seed = 6 }));
        Assert.Contains("stall threshold is 50, not 51", Refusal(cohort, FirstVm, Vms, Options(256) with { StallRetries = 51 }));
        Assert.Contains(
            "number of pages is 32, not 33",
            Refusal(cohort with { Vm = cohort.Vm with { Pages = 33 } }, FirstVm, Vms, Options(256)));

        string Refusal(SimulatedCohort its, int firstVm, int vms, ShardOptions options) =>
            Assert.Throws<ShardStateException>(() => ShardState.Read(written, its, firstVm, vms, options)).Message;
    }

    internal static void AssertSame(Shard expected, Shard actual, string run)
    {
        Assert.Equal(expected.Tick, actual.Tick);
        for (int vm = expected.FirstVm; vm < expected.FirstVm + expected.Vms; vm++)
        {
            string which = string.Create(CultureInfo.InvariantCulture, $"{run}, VM {vm}: ");
            Assert.Equal(
                which + string.Join("; ", StateComparison.Fields(expected.Read(vm))),
                which + string.Join("; ", StateComparison.Fields(actual.Read(vm))));
            Assert.Equal(expected.ReadRandom(vm), actual.ReadRandom(vm));
        }

        Assert.Equal(ShardState.Write(expected), ShardState.Write(actual));
        (ShardSnapshot a, ShardSnapshot b) = (expected.TakeSnapshot(), actual.TakeSnapshot());
        Assert.Equal(a.Totals, b.Totals);
        Assert.Equal(a.Conditions, b.Conditions);
        Assert.Equal(a.Stalled, b.Stalled);

        // Within one observation the order of VMs is that of the groups, which are as wide as the vectors.
        Assert.Equal(Ordered(a), Ordered(b));

        static IEnumerable<Finding> Ordered(ShardSnapshot snapshot) =>
            snapshot
                .Findings.OrderBy(finding => finding.Vm)
                .ThenBy(finding => finding.Time.Tick)
                .ThenBy(finding => finding.ToString(), StringComparer.Ordinal);
    }

    internal static ShardOptions Options(int vectorBits) => new() { Seed = 5, StallRetries = 50, VectorBits = vectorBits };

    private static Shard Create(SimulatedCohort cohort, int vectorBits) =>
        Shard.Create(cohort, FirstVm, Vms, Options(vectorBits));

    private static SimulatedCohort CohortOf(string kernel, int pages, bool memslotUpdates) =>
        SoakRun.CohortOf(
            kernel,
            FirstVm + Vms,
            new()
            {
                Vcpus = 3,
                Invalidators = 2,
                Pages = pages,
                RangePages = pages / 2,
                MemslotUpdates = memslotUpdates,
                InvalidateSeqStart = (1UL << 31) - 700,
            });
}
