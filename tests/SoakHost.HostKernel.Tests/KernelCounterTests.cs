using SoakHost.Engine.Cohorts;

namespace SoakHost.HostKernel.Tests;

public sealed class KernelCounterTests
{
    private const ulong TwoTo31 = 1ul << 31;
    private static readonly Boundary[] Boundaries = [new(1_000), Boundary.AtPower(31)];

    [Fact]
    public void A_VM_whose_faults_nobody_saw_has_no_counter()
    {
        var log = new CounterLog(Boundaries, 1, hasSnapshots: true);
        log.Add(0, default, 500, 0, 100);

        Assert.Null(log.Seen);
    }

    [Fact]
    public void With_snapshots_the_kernel_itself_counts_the_faults_past_2_to_the_31()
    {
        var log = new CounterLog(Boundaries, 2, hasSnapshots: true);
        log.Add(0, new CounterReading(10, 900, 8, 890, 0), 7, 0, 1_000);
        log.Add(1, new CounterReading(20, TwoTo31 + 5, 15, TwoTo31 + 3, 4), 12, 0, (long)TwoTo31 + 5);
        log.Add(0, new CounterReading(30, TwoTo31 + 90, 28, TwoTo31 + 80, 6), 20, 0, (long)TwoTo31 + 100);

        KernelCounter seen = log.Seen!;

        Assert.Equal("kvm_mmu_spte_requested", seen.Source);
        Assert.Equal((900ul, TwoTo31 + 90, 28ul + 15), (seen.First, seen.Last, seen.Fixes));
        Assert.Equal(new BoundaryFixes(Boundary.AtPower(31), 10, TwoTo31 + 3, TwoTo31 + 80), seen.Past[1]);
        Assert.Equal((0ul, false), (seen.Ahead, seen.IsBelow));
    }

    [Fact]
    public void Past_another_boundary_those_count_that_were_fixed_between_two_looks_there()
    {
        var log = new CounterLog(Boundaries, 1, hasSnapshots: false);
        log.Add(0, new CounterReading(10, 999, 0, 0, 0), 100, 0, 2_000);
        log.Add(0, new CounterReading(20, 1_000, 0, 0, 0), 130, 0, 2_000);
        log.Add(0, new CounterReading(30, 1_500, 0, 0, 0), 170, 0, 2_000);
        log.Add(0, new CounterReading(40, 1_800, 0, 0, 0), 200, 0, 2_000);

        KernelCounter seen = log.Seen!;

        Assert.Equal("kvm_page_fault", seen.Source);
        Assert.Equal(new BoundaryFixes(new Boundary(1_000), 30, 1_000, 1_800), seen.Past[0]);
        Assert.Equal(new BoundaryFixes(Boundary.AtPower(31), 0, null, null), seen.Past[1]);
        Assert.Equal((999ul, 1_800ul, 200ul), (seen.First, seen.Last, seen.Fixes));
    }

    [Theory]
    [InlineData(500, 500, 0, false)]
    [InlineData(499, 500, 0, true)]
    [InlineData(700, 500, 100, false)]
    public void The_counter_is_compared_with_what_was_counted(ulong seq, long endedBefore, ulong ahead, bool isBelow)
    {
        var log = new CounterLog([], 1, hasSnapshots: false);
        log.Add(0, new CounterReading(10, 400, 0, 0, 0), null, 0, 600);
        log.Add(0, new CounterReading(11, seq, 0, 0, 0), null, endedBefore, 600);
        log.Add(0, new CounterReading(12, seq, 0, 0, 0), null, endedBefore, 600);

        Assert.Equal((ahead, isBelow, 0ul), (log.Seen!.Ahead, log.Seen.IsBelow, log.Seen.Fixes));
    }

    [Fact]
    public void A_mapping_that_is_seen_a_look_after_its_fault_says_nothing_new_of_the_counter()
    {
        var log = new CounterLog(Boundaries, 1, hasSnapshots: true);
        log.Add(0, new CounterReading(1, 100, 0, 0, 0), 0, 0, 200);
        log.Add(0, new CounterReading(1, 100, 1, 100, 0), 1, 150, 300);
        log.Add(0, new CounterReading(2, 100, 1, 100, 0), 1, 250, 400);

        Assert.False(log.Seen!.IsBelow);
    }

    [Fact]
    public void One_look_that_finds_the_counter_below_the_count_may_have_come_in_the_middle_of_a_fault()
    {
        var log = new CounterLog([], 1, hasSnapshots: false);
        log.Add(0, new CounterReading(10, 400, 0, 0, 0), null, 0, 600);
        log.Add(0, new CounterReading(11, 400, 0, 0, 0), null, 500, 600);
        log.Add(0, new CounterReading(12, 550, 0, 0, 0), null, 500, 600);
        log.Add(0, new CounterReading(13, 550, 0, 0, 0), null, 560, 600);

        Assert.False(log.Seen!.IsBelow);
    }

    [Fact]
    public void A_reading_of_an_old_fault_is_not_compared_with_the_count_of_today()
    {
        var log = new CounterLog([], 1, hasSnapshots: false);
        log.Add(0, new CounterReading(10, 400, 0, 0, 0), null, 0, 600);
        log.Add(0, new CounterReading(10, 400, 0, 0, 0), null, 500, 600);

        Assert.False(log.Seen!.IsBelow);
    }

    [Fact]
    public void Where_only_mappings_are_shown_their_snapshots_are_the_counter()
    {
        var log = new CounterLog([Boundary.AtPower(31)], 1, hasSnapshots: true);
        log.Add(0, new CounterReading(0, 0, 5, 400, 0), null, 0, 600);
        log.Add(0, new CounterReading(0, 0, 9, 450, 0), null, 500, 600);

        Assert.Equal((400ul, 450ul, 9ul, false), (log.Seen!.First, log.Seen.Last, log.Seen.Fixes, log.Seen.IsBelow));
    }

    [Fact]
    public void The_counters_of_several_VMs_make_one()
    {
        var first = new KernelCounter(true, 5, 100, 10, [new(Boundary.AtPower(31), 3, 50, 60)], 2, IsBelow: false);
        var second = new KernelCounter(true, 3, 90, 20, [new(Boundary.AtPower(31), 4, null, 70)], 1, IsBelow: true);

        KernelCounter sum = KernelCounter.Sum([null, first, second])!;

        Assert.Null(KernelCounter.Sum([null]));
        Assert.Equal((3ul, 100ul, 30ul, 2ul, true), (sum.First, sum.Last, sum.Fixes, sum.Ahead, sum.IsBelow));
        Assert.Equal([new BoundaryFixes(Boundary.AtPower(31), 7, 50, 70)], sum.Past);
    }
}
