using Microsoft.Extensions.Time.Testing;
using SoakHost.Engine.Cohorts;
using SoakHost.HostKernel.Kvm;
using SoakHost.HostKernel.Workloads;

namespace SoakHost.HostKernel.Tests;

/// <summary>When workloads run, rest and stop, with workloads and a guest that are scripted: none of these needs KVM.</summary>
public sealed class WorkloadRunnerTests : IDisposable
{
    private readonly ScriptedWorkload _one = new("one");
    private readonly ScriptedWorkload _two = new("two");
    private readonly FakeTimeProvider _time = new();
    private readonly WorkloadRunner _runner;
    private ulong? _fixed = 0;
    private int _crossings;

    public WorkloadRunnerTests()
    {
        var space = new WorkloadSpace(null!, 1, 0, 1, false);
        _runner = new WorkloadRunner(
            [(_one, space), (_two, space)], new RestingVcpu(), () => _fixed, () => Volatile.Read(ref _crossings),
            () => default, _time);
        _one.OnStep = _two.OnStep = () => _fixed += 3;
    }

    public void Dispose()
    {
        _runner.RequestStop();
        Assert.True(_runner.TryJoin(new Deadline(TimeProvider.System, HostKernelHere.Patience)));
        _runner.Dispose();
        Assert.True(_one.IsDisposed && _two.IsDisposed);
    }

    [Fact]
    public void In_the_first_part_of_a_run_each_has_some_events_and_rests_then_until_a_boundary_is_near()
    {
        Start();
        Until(() => _one.Steps >= 8 && _two.Steps >= 8, isNear: false);
        int steps = Settle();

        _runner.SetNearBoundary(false);
        Thread.Sleep(100);
        Assert.Equal(steps, _one.Steps + _two.Steps);
        Until(() => _one.Steps + _two.Steps > steps + 4, isNear: true);
    }

    [Fact]
    public void Events_and_faults_are_counted_before_and_after_a_crossing()
    {
        Start();
        Until(() => _two.Steps >= 8, isNear: true);
        Settle();
        WorkloadState before = _runner.States[0];
        Assert.Equal(((ulong?)(3 * before.Events), (ulong?)0), (before.FixedBefore, before.FixedAfter));

        Interlocked.Increment(ref _crossings);
        long events = before.Events;
        Until(() => _runner.States[0].Events > events, isNear: true);
        Settle();
        WorkloadState after = _runner.States[0];
        Assert.Equal((3 * (ulong)events, 3 * (ulong)(after.Events - events)), (after.FixedBefore, after.FixedAfter));
        Assert.True(_runner.InvalidationsMax >= 64 * (_one.Steps + _two.Steps));
    }

    [Fact]
    public void While_paused_none_changes_anything()
    {
        Start();
        Until(() => _one.Steps > 0, isNear: true);
        Assert.False(_runner.AreStopped);
        _runner.Pause();
        Until(() => _runner.AreStopped, isNear: true);
        int steps = _one.Steps + _two.Steps;
        Thread.Sleep(100);
        Assert.Equal(steps, _one.Steps + _two.Steps);

        _runner.Resume();
        Until(() => _one.Steps + _two.Steps > steps, isNear: true);
    }

    [Fact]
    public void What_is_not_offered_or_fails_does_not_run_and_says_why_and_the_others_go_on()
    {
        _one.WhyNot = "no such thing";
        _two.OnStep = () => throw new WorkloadException("it broke");
        Start();
        Until(() => _runner.States is [{ WhyNot: "no such thing" }, { Failure: "it broke" }], isNear: true);

        Assert.Equal((0, 1), (_one.Steps, _two.Steps));
        Until(IsFinished, isNear: true);
    }

    [Fact]
    public void A_refusal_of_the_kernel_is_a_reason_too()
    {
        _one.OnPrepare = () => throw new KvmException("could not map memory");
        Start();
        Until(() => _runner.States[0].WhyNot == "could not map memory" && _two.Steps > 0, isNear: true);
    }

    [Fact]
    public void A_run_ends_once_each_has_had_some_events_since_the_last_crossing()
    {
        Start();
        Until(() => _one.Steps > 20 && _two.Steps > 20, isNear: true);
        Settle();
        Interlocked.Increment(ref _crossings);
        Assert.False(_runner.AreFinished(_time.GetTimestamp()));
        int steps = _two.Steps;
        Until(IsFinished, isNear: false);

        Assert.InRange(_two.Steps - steps, 8, int.MaxValue);
    }

    [Fact]
    public void A_run_does_not_wait_for_ever_for_one_that_does_nothing()
    {
        _one.IsNeverReady = true;
        Start();
        Until(() => _two.Steps > 8, isNear: true);
        Assert.False(_runner.AreFinished(_time.GetTimestamp()));
        _time.Advance(TimeSpan.FromSeconds(61));

        Until(IsFinished, isNear: false);
        Assert.Equal(0, _one.Steps);
    }

    [Fact]
    public void A_stale_mapping_ends_them()
    {
        _one.OnGuest = guest => guest.NoteUnlogged(
            new WorkloadPages(new WorkloadSpace(null!, 1, 0, 1, false), MappedMemory.Anonymous(8 * 4096)), 0, 1, "a test");
        Start();
        Until(() => _runner.Stale is not null, isNear: true);
        Until(() => _runner.States[0].Events == 1, isNear: true);

        Assert.Equal(("one", 1L), (_runner.Stale!.Workload, _runner.Stale.Event));
        Assert.Equal(1, _one.Steps);
    }

    private bool IsFinished() => _runner.AreFinished(_time.GetTimestamp());

    private void Start()
    {
        _runner.SetNearBoundary(false);
        _runner.Start();
    }

    private void Until(Func<bool> isSo, bool isNear) => Assert.True(
        SpinWait.SpinUntil(
            () =>
            {
                _runner.SetNearBoundary(isNear);
                return isSo();
            },
            HostKernelHere.Patience));

    /// <summary>Waits until nothing is under way, away from every boundary.</summary>
    private int Settle()
    {
        _runner.Pause();
        Assert.True(SpinWait.SpinUntil(() => _runner.AreStopped, HostKernelHere.Patience));
        _runner.SetNearBoundary(false);
        int steps = _one.Steps + _two.Steps;
        _runner.Resume();
        return steps;
    }

    private sealed class RestingVcpu : IWorkloadVcpu
    {
        public bool ProgressDue => false;

        public string? StopReason => null;

        public void Ask(long address, int pages, long stride, ulong? value)
        {
        }

        public ulong Result(int page) => 0;
    }

    private sealed class ScriptedWorkload(string name) : Workload
    {
        private int _steps;

        public override string Name => name;

        public override bool IsReady => !IsNeverReady;

        public int Steps => Volatile.Read(ref _steps);

        public bool IsDisposed { get; private set; }

        public bool IsNeverReady { get; set; }

        public string? WhyNot { get; set; }

        public Action? OnPrepare { get; set; }

        public Action? OnStep { get; set; }

        public Action<WorkloadGuest>? OnGuest { get; set; }

        public override void Prepare(WorkloadSpace space)
        {
            OnPrepare?.Invoke();
            if (WhyNot is { } reason)
                throw new NotOfferedException(reason);
        }

        public override void Step(WorkloadGuest guest)
        {
            Interlocked.Increment(ref _steps);
            OnGuest?.Invoke(guest);
            OnStep?.Invoke();
        }

        public override void Dispose() => IsDisposed = true;
    }
}
