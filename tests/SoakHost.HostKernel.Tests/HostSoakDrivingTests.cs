using Microsoft.Extensions.Time.Testing;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Boundaries;

namespace SoakHost.HostKernel.Tests;

/// <summary>How VMs are driven and stopped, with scripted ones: none of these needs a kernel.</summary>
public sealed class HostSoakDrivingTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private static readonly HostMachine Machine = new("6.18.0", "npt, tdp_mmu=Y", "a CPU");
    private static readonly HostCohortOptions Options = new() { SampleInterval = TimeSpan.FromMilliseconds(5) };

    private readonly FakeTimeProvider _time = new();

    [Fact]
    public async Task Completion_faults_with_what_driving_failed_with_after_the_last_snapshot_and_with_every_VM_stopped()
    {
        var broken = new ScriptedVm(_time) { OnStep = () => throw new InvalidOperationException("the VM broke") };
        var other = new ScriptedVm(_time);
        using HostSoak soak = Start(broken, other);

        InvalidOperationException error = await Assert.ThrowsAsync<InvalidOperationException>(() => End(soak));

        Assert.Equal("the VM broke", error.Message);
        Assert.True(soak.Snapshot.IsOver);
        Assert.Equal("the VM broke", soak.Snapshot.Missing[0]);
        Assert.All([broken, other], vm => Assert.NotNull(vm.LeftAtJoin));
    }

    [Fact]
    public async Task Completion_ends_with_the_last_snapshot_once_every_VM_is_over()
    {
        var vm = new ScriptedVm(_time) { IsOver = true };
        using HostSoak soak = Start(vm);

        HostSoakSnapshot end = await End(soak);

        Assert.True(end.IsOver);
        Assert.Same(end, soak.Snapshot);
    }

    [Fact]
    public async Task Invalidations_stop_first_then_every_vCPU_is_asked_to_then_all_are_waited_for_with_one_deadline()
    {
        List<string> calls = [];
        ScriptedVm[] vms = [.. Enumerable.Range(0, 3).Select(number => new ScriptedVm(_time)
        {
            OnStopInvalidating = () => calls.Add($"quiet {number}"),
            OnRequestStop = () => calls.Add($"stop {number}"),
            OnJoin = () => calls.Add($"join {number}"),
            JoinTakes = TimeSpan.FromSeconds(2),
        })];
        using HostSoak soak = Start(vms);
        soak.RequestStop();
        await End(soak);

        Assert.Equal(
            ["quiet 0", "quiet 1", "quiet 2", "stop 0", "stop 1", "stop 2", "join 0", "join 1", "join 2"], calls);
        Assert.Equal([4.5, 2.5, 0.5], vms.Select(vm => vm.LeftAtJoin!.Value.TotalSeconds));
    }

    [Fact]
    public async Task A_VM_whose_threads_do_not_end_is_not_disposed()
    {
        var stuck = new ScriptedVm(_time) { JoinTakes = TimeSpan.FromMinutes(1) };
        HostSoak soak = Start(stuck);
        soak.RequestStop();
        await End(soak);
        soak.Dispose();

        Assert.False(stuck.IsDisposed);
    }

    [Theory]
    [InlineData(Verdict.Pass)]
    [InlineData(Verdict.Violation)]
    [InlineData(Verdict.Inconclusive)]
    [InlineData(Verdict.Unsupported)]
    public async Task Another_boundary_is_crossed_before_the_VMs_start_and_its_result_is_told_by_its_verdict(Verdict verdict)
    {
        List<string> calls = [];
        var vm = new ScriptedVm(_time) { IsOver = true, OnStart = () => calls.Add("start") };
        HostSoakSnapshot? during = null;
        using HostSoak soak = new(
            Options with { Counters = BoundaryNames.All }, _time, Machine, [vm], device: null, tracing: null,
            (name, progress, _) =>
            {
                calls.Add(name);
                progress(new BoundaryProgress(name, "updates", 5, 20, 3));
                return new BoundaryResult(name, verdict, "Text.");
            });
        soak.Published += now => during ??= now;
        soak.Begin();

        HostSoakSnapshot end = await End(soak);

        Assert.Equal(["mmio-generation", "async-pf-token", "dirty-ring", "start"], calls);
        Assert.Equal("mmio-generation: 5 of 20 updates, 3 a second, 00:00:05 left", during!.OtherProgress!.ToString());
        Assert.Null(end.OtherProgress);
        Assert.Equal(3, end.Others.Length);
        bool[] told =
        [
            .. new[] { end.Seen, end.Violations, end.Missing, end.NotCovered }.Select(lines => lines.Any(
                line => line.StartsWith("mmio-generation: ", StringComparison.Ordinal))),
        ];
        Assert.Equal([verdict == Verdict.Pass, verdict == Verdict.Violation, verdict == Verdict.Inconclusive,
            verdict == Verdict.Unsupported], told);
        Assert.DoesNotContain(
            end.NotCovered, line => line.StartsWith("Boundaries that were not asked for", StringComparison.Ordinal));
    }

    /// <summary>A vCPU may take long for an answer; who reads must not take this thread for dead meanwhile.</summary>
    [Fact]
    public async Task A_short_run_that_waits_is_published_each_second_and_its_time_is_not_that_of_the_count()
    {
        List<DateTimeOffset> published = [];
        using HostSoak soak = new(
            Options with { Counters = BoundaryNames.All }, _time, Machine, [new ScriptedVm(_time) { IsOver = true }],
            device: null, tracing: null,
            (name, _, isStopping) =>
            {
                for (int look = 0; look < 10; look++)
                {
                    _time.Advance(TimeSpan.FromSeconds(0.5));
                    Assert.False(isStopping());
                }

                return new BoundaryResult(name, Verdict.Pass, "Text.");
            });
        soak.Published += now => published.Add(now.At);
        soak.Begin();

        HostSoakSnapshot end = await End(soak);

        Assert.InRange(published.Count, 15, 30);
        Assert.All(published.Zip(published.Skip(1)), pair => Assert.InRange(
            pair.Second - pair.First, TimeSpan.Zero, TimeSpan.FromSeconds(1)));
        Assert.InRange(end.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(9));
    }

    [Fact]
    public async Task Without_the_counter_no_VM_starts_and_the_run_is_no_pass_for_2_to_the_31()
    {
        bool hasStarted = false;
        var vm = new ScriptedVm(_time) { OnStart = () => hasStarted = true };
        using HostSoak soak = new(
            Options with { Counters = [BoundaryNames.MmioGeneration], Workloads = [] }, _time, Machine, [vm], device: null,
            tracing: null,
            (name, _, _) => new BoundaryResult(name, Verdict.Pass, "Text."));
        soak.Begin();

        HostSoakSnapshot end = await End(soak);

        Assert.False(hasStarted);
        Assert.Equal([HostEvidence.NoCounter], end.Missing);
        Assert.Equal(["mmio-generation: pass. Text."], end.Seen);
        Assert.DoesNotContain(end.NotCovered, line => line.Contains("workloads", StringComparison.Ordinal));
        Assert.Contains("Boundaries that were not asked for: async-pf-token, dirty-ring (--boundaries).", end.NotCovered);
    }

    private HostSoak Start(params ScriptedVm[] vms)
    {
        var soak = new HostSoak(Options, _time, Machine, vms, device: null);
        soak.Begin();
        return soak;
    }

    private static Task<HostSoakSnapshot> End(HostSoak soak) =>
        soak.Completion.WaitAsync(Patience, TestContext.Current.CancellationToken);

    private sealed class ScriptedVm(FakeTimeProvider time) : IHostVm
    {
        public Action? OnStep { get; init; }

        public Action? OnStart { get; init; }

        public Action? OnRequestStop { get; init; }

        public Action? OnStopInvalidating { get; init; }

        public Action? OnJoin { get; init; }

        public TimeSpan JoinTakes { get; init; }

        public TimeSpan? LeftAtJoin { get; private set; }

        public bool IsDisposed { get; private set; }

        public bool IsOver { get; init; }

        public string? Failure => null;

        public IEnumerable<string> Shortcomings => [];

        public void Start() => OnStart?.Invoke();

        public void Step() => OnStep?.Invoke();

        public HostVmSnapshot Snapshot(DateTimeOffset at) => new(0, HostVmPhase.Soaking, 0, 0, 0, null, null, null, [], 0, []);

        public void StopInvalidating() => OnStopInvalidating?.Invoke();

        public void RequestStop() => OnRequestStop?.Invoke();

        public bool TryJoin(Deadline deadline)
        {
            OnJoin?.Invoke();
            LeftAtJoin = deadline.Left;
            bool stops = JoinTakes <= deadline.Left;
            time.Advance(stops ? JoinTakes : deadline.Left);
            return stops;
        }

        public void Dispose() => IsDisposed = true;
    }
}
