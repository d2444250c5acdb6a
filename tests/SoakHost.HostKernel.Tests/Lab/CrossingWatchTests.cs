using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Lab;
using SoakHost.HostKernel.Watch;

namespace SoakHost.HostKernel.Tests.Lab;

public sealed class CrossingWatchTests
{
    private const ulong Distance = 2_000;
    private const long Ended = 5_000;

    [Theory]
    [InlineData(31)]
    [InlineData(32)]
    [InlineData(63)]
    [InlineData(64)]
    public void Faults_are_counted_on_the_side_where_the_counter_was_before_and_after_them(int power)
    {
        var boundary = Boundary.AtPower(power);
        ulong start = unchecked(boundary.Count - Distance);
        CrossingWatch watch = Watch(boundary);

        // The first look below says where counting begins; the second is the first that counts.
        Look(watch, 100, start + 10, 50);
        Look(watch, 500, start + 400, 60);
        Look(watch, 1_500, start + 1_400, 90);
        Assert.Equal((30ul, false), (watch.Before.Fixed[0], watch.IsPast));

        // What was fixed between the last look below and the first one past it counts nowhere.
        Look(watch, 2_500, start + 2_400, 200);
        Look(watch, 2_600, start + 2_500, 210);
        Look(watch, 2_700, start + 2_600, 227);

        Assert.Equal([30ul, 30ul], watch.Before.Fixed);
        Assert.Equal([17ul, 17ul], watch.After.Fixed);
        Assert.Equal((start + 10, start + 1_400), (watch.Before.First, watch.Before.Last));
        Assert.Equal((unchecked(start + 2_400), unchecked(start + 2_600)), (watch.After.First, watch.After.Last));
        Assert.True(watch is { IsPast: true, IsSoundBefore: true, IsSoundAfter: true, Hung: 0 });
    }

    [Fact]
    public void What_a_vCPU_saw_before_the_counter_was_written_is_on_no_side()
    {
        // To 2^64 even a small counter looks as if it were past the boundary.
        CrossingWatch watch = Watch(Boundary.AtPower(64));

        Look(watch, 100, 4_990, 50);
        Look(watch, 200, 5_100, 100);
        Look(watch, 300, 5_200, 150);

        Assert.Equal((null, null), (watch.Before.First, watch.After.First));
        Assert.Equal((0ul, 0ul, false), (watch.Before.FixedInAll, watch.After.FixedInAll, watch.IsPast));
    }

    [Fact]
    public void One_vCPU_below_keeps_a_boundary_from_being_crossed()
    {
        var boundary = Boundary.AtPower(31);
        CrossingWatch watch = Watch(boundary);

        watch.Add(Status(2_500, Vcpu(boundary.Count + 1, 100), Vcpu(boundary.Count - 1, 100)));

        Assert.False(watch.IsPast);
    }

    [Theory]
    [InlineData(15, false)]
    [InlineData(16, true)]
    public void A_side_is_sound_from_sixteen_faults_of_every_vCPU_on(ulong fixes, bool isSound)
    {
        var boundary = Boundary.AtPower(31);
        ulong start = boundary.Count - Distance;
        CrossingWatch watch = Watch(boundary);

        watch.Add(Status(100, Vcpu(start, 0), Vcpu(start, 0)));
        watch.Add(Status(100, Vcpu(start, 0), Vcpu(start, 0)));
        watch.Add(Status(100, Vcpu(start, 1_000), Vcpu(start, fixes)));

        Assert.Equal(isSound, watch.IsSoundBefore);
    }

    [Fact]
    public void A_hang_past_the_boundary_needs_faults_fixed_below_it()
    {
        var boundary = Boundary.AtPower(31);
        ulong start = boundary.Count - Distance;
        CrossingWatch past = Watch(boundary);
        Look(past, 100, start + 1, 0);
        Look(past, 200, start + 2, 0);
        Look(past, 300, start + 3, 100);
        Look(past, 3_000, boundary.Count + 5, 100, VcpuState.Hung);
        Assert.Equal((2, true), (past.Hung, past.IsHungAfter));

        // Invalidations carried this one past it while it hung.
        CrossingWatch below = Watch(boundary);
        Look(below, 100, start + 1, 0);
        Look(below, 200, start + 2, 0);
        Look(below, 3_000, boundary.Count + 5, 0, VcpuState.Hung);
        Assert.Equal((2, false), (below.Hung, below.IsHungAfter));
    }

    [Fact]
    public void A_counter_that_is_set_past_the_boundary_is_past_it()
    {
        var boundary = Boundary.AtPower(32);
        var watch = new CrossingWatch(boundary, boundary.Count + 1_000, Ended, 2);

        Look(watch, 100, boundary.Count + 1_010, 0);
        Look(watch, 200, boundary.Count + 1_020, 10);
        Look(watch, 300, boundary.Count + 1_030, 40);

        Assert.Equal((0ul, 60ul, true), (watch.Before.FixedInAll, watch.After.FixedInAll, watch.IsPast));
    }

    private static CrossingWatch Watch(Boundary boundary) => new(boundary, unchecked(boundary.Count - Distance), Ended, 2);

    private static void Look(CrossingWatch watch, long made, ulong seq, ulong fixes, VcpuState state = VcpuState.Running) =>
        watch.Add(Status(made, Vcpu(seq, fixes, state), Vcpu(seq, fixes, state)));

    private static LabStatus Status(long made, params LabVcpuStatus[] vcpus) =>
        new("stage", Ended + made - 64, Ended + made, 1_000, false, [.. vcpus]);

    private static LabVcpuStatus Vcpu(ulong seq, ulong fixes, VcpuState state = VcpuState.Running) => new()
    {
        State = state,
        Heartbeat = 0,
        Taken = fixes,
        Fixed = fixes,
        Recoveries = 0,
        InvalidateSeq = seq,
        Mappings = 0,
        Snapshot = 0,
    };
}
