using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Lab;
using SoakHost.HostKernel.Lab.Machines;

namespace SoakHost.HostKernel.Tests.Lab;

/// <summary>The control and the boundaries, on kernels that are made up.</summary>
public sealed class LabAttemptTests
{
    private static readonly ImmutableArray<Boundary> Boundaries =
        [Boundary.AtPower(31), Boundary.AtPower(32), Boundary.AtPower(63), Boundary.AtPower(64)];

    [Fact]
    public async Task A_sound_kernel_passes()
    {
        LabRun run = await RunAsync(_ => true);

        Assert.Empty(LabJudgement.Of(run).Reasons);
        Assert.Equal(Verdict.Pass, LabJudgement.Of(run).Verdict);
        Assert.Equal((2, true), (run.Control!.Vcpus, run.Control.HasRecovered));
        Assert.All(run.Crossings, crossing => Assert.True(crossing is { IsCrossed: true, Before.FixedInAll: >= 32 }));

        // The counter was written, and the kernel itself counted on from there.
        Assert.InRange(run.Counter!.Last, 0ul, 1ul << 20);
        Assert.True(run.Counter.First < 1ul << 20);
    }

    [Fact]
    public async Task A_kernel_whose_snapshot_is_an_int_hangs_where_that_differs_from_the_counter()
    {
        LabRun run = await RunAsync(seq => seq == unchecked((ulong)(int)seq));

        Assert.Equal(Verdict.Violation, LabJudgement.Of(run).Verdict);
        Assert.Equal(
            [(false, true), (true, true), (true, true), (false, false)],
            run.Crossings.Select(crossing => (crossing.Before.Hang is not null, crossing.After.Hang is not null)));
        LabHang hang = run.Crossings[0].After.Hang!;
        Assert.Equal((2, 1_000ul, true), (hang.Vcpus, hang.TakenInQuiet, hang.HasRecovered));
        Assert.InRange(hang.InvalidateSeq, 0x80000000, 0x80000000 + (20 * FakeKernel.InvalidationsPerTick));
        Assert.StartsWith("2 of 2 vCPUs hung past 2^31: ", LabJudgement.Of(run).Reasons[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_kernel_whose_snapshot_has_32_bits_hangs_from_2_to_the_32_on()
    {
        LabRun run = await RunAsync(seq => seq <= uint.MaxValue);

        Assert.Equal(
            [(false, false), (false, true), (true, true), (true, false)],
            run.Crossings.Select(crossing => (crossing.Before.Hang is not null, crossing.After.Hang is not null)));
        Assert.Equal(Verdict.Pass, LabJudgement.Of(run.Crossings[0]));
    }

    [Fact]
    public async Task A_hang_that_stays_when_the_counter_is_put_back_ends_the_run()
    {
        int hangs = 0;
        LabRun run = await RunAsync(
            seq => seq < 1ul << 31 ? Volatile.Read(ref hangs) == 0 : Interlocked.Increment(ref hangs) < 0);

        Assert.Equal(Verdict.Violation, LabJudgement.Of(run).Verdict);
        Assert.False(Assert.Single(run.Crossings).After.Hang!.HasRecovered);
        Assert.Contains("2^32 was not tried.", LabJudgement.Of(run).Reasons);
    }

    [Fact]
    public async Task A_kernel_that_hangs_some_time_past_a_boundary_is_no_pass()
    {
        // Faults are fixed past 2^31 for a while, more than are asked for, and then no more.
        LabRun run = await RunAsync(
            seq => seq < (1ul << 31) + (30 * FakeKernel.InvalidationsPerTick), boundaries: [Boundary.AtPower(31)],
            stayPast: TimeSpan.FromSeconds(30));

        Assert.Equal(Verdict.Violation, LabJudgement.Of(run).Verdict);
        LabSide past = Assert.Single(run.Crossings).After;
        Assert.True(past is { Hang.HasRecovered: true, FixedInAll: >= 2 * CrossingWatch.FixedMin });
    }

    [Fact]
    public async Task A_control_that_does_not_recover_ends_the_run()
    {
        LabRun run = await RunAsync(_ => true, recovers: false);

        Assert.False(run.Control!.HasRecovered);
        Assert.Empty(run.Crossings);
        Assert.Equal(Verdict.Inconclusive, LabJudgement.Of(run).Verdict);
    }

    [Fact]
    public async Task A_control_that_does_not_hang_ends_the_run()
    {
        LabRun run = await RunAsync(_ => true, heedsInProgress: false);

        Assert.Null(run.Control);
        Assert.Empty(run.Crossings);
        Assert.Equal(Verdict.Inconclusive, LabJudgement.Of(run).Verdict);
    }

    [Fact]
    public async Task A_program_inside_that_gives_up_is_told()
    {
        EndOfStreamException error = await Assert.ThrowsAsync<EndOfStreamException>(() => RunAsync(_ => true, failsAt: "2^32"));

        Assert.Equal("The program inside the kernel gave up: KVM_RUN failed.", error.Message);
    }

    [Fact]
    public async Task Where_a_watch_looks_on_hangs_are_left_for_longer_and_a_storm_comes_before_the_boundaries()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        using var kernel = new FakeKernel(seq => seq is < 1UL << 31 or >= 1UL << 63) { Watches = true };
        await using var inside = new LabInside(kernel.Port, TimeProvider.System);
        inside.Start();
        var stub = new GdbClient(kernel.Stub.Client, TimeProvider.System, TimeSpan.FromSeconds(10));
        List<string> steps = [];
        var attempt = new LabAttempt(
            new LabRun { Path = "vmlinuz", Boundaries = [Boundary.AtPower(31)] }, new LabTimes
            {
                WatchFor = TimeSpan.FromSeconds(0.3),
                StormInvalidation = TimeSpan.FromSeconds(0.02),
                OthersWithin = TimeSpan.FromSeconds(0.1),
                StayPast = TimeSpan.FromSeconds(0.1),
            },
            TimeProvider.System, steps.Add);

        await attempt.ControlAndCrossAsync(
            inside, new KernelWords(stub, cpus: 1, TimeProvider.System), FakeKernel.Addresses, stop);

        Assert.True(attempt.Run.Control!.HasRecovered);
        Assert.True(attempt.Run.Crossings[0].After.Hang!.HasRecovered);
        string[] watched = [.. inside.Watched.Select(look => look.Stage.Split(' ')[0]).Distinct()];
        Assert.Equal(["watch", "control", "storm", "2^31"], watched.Where(stage => stage is not ("" or "reading" or "read")));
        Assert.Equal(8, steps.Count(step => step.StartsWith("a storm", StringComparison.Ordinal)));
        Assert.Contains(kernel.Held, held => held.Key.StartsWith("control", StringComparison.Ordinal) && held.Value > 10);
        Assert.Contains(kernel.Held, held => held.Key.StartsWith("storm", StringComparison.Ordinal) && held.Value > 8);
        Assert.Contains(inside.Watched, look => look.Stage.StartsWith("storm", StringComparison.Ordinal)
            && look.States["ebpf.0"] == "starved");
        Assert.Equal(0ul, kernel.Stub.Memory[FakeKernel.Addresses.InProgress]);
    }

    private static async Task<LabRun> RunAsync(
        Func<ulong, bool> canFix, bool heedsInProgress = true, bool recovers = true, string? failsAt = null,
        ImmutableArray<Boundary>? boundaries = null, TimeSpan? stayPast = null)
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        using var kernel = new FakeKernel(canFix) { HeedsInProgress = heedsInProgress, Recovers = recovers, FailsAt = failsAt };
        await using var inside = new LabInside(kernel.Port, TimeProvider.System);
        inside.Start();
        var stub = new GdbClient(kernel.Stub.Client, TimeProvider.System, TimeSpan.FromSeconds(10));
        var attempt = new LabAttempt(
            new LabRun { Path = "vmlinuz", Boundaries = boundaries ?? Boundaries }, new LabTimes
            {
                HangWithin = TimeSpan.FromSeconds(1),
                RecoverWithin = TimeSpan.FromSeconds(1),
                OthersWithin = TimeSpan.FromSeconds(0.2),
                StayPast = stayPast ?? TimeSpan.FromSeconds(0.2),
            },
            TimeProvider.System, null);
        await attempt.ControlAndCrossAsync(
            inside, new KernelWords(stub, cpus: 1, TimeProvider.System), FakeKernel.Addresses, stop);
        return attempt.Run;
    }
}
