using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Model.Tests;

/// <summary>What became of one fault attempt, by the truth table.</summary>
public enum Verdict
{
    JustifiedRetry,
    OvercautiousRetry,
    UnjustifiedRetry,
    SafeInstall,
    UnsafeInstall,
}

/// <summary>
/// One VM in one lane, stepped by hand. Each method is one step and insists that the actor is where the story believes it to be,
/// so that a test reads as the interleaving that it is about.
/// </summary>
internal sealed class Story<TKernel>
    where TKernel : struct, IKernel
{
    private readonly VcpuLanes<Pages64<Lanes32>, Lanes32>[] _vcpus;
    private readonly InvalidatorLanes<Pages64<Lanes32>, Lanes32>[] _invalidators;
    private VmLanes<Pages64<Lanes32>, Lanes32> _vm;

    /// <summary>Two vCPUs about to access the same page, and two idle invalidators.</summary>
    public Story(ulong seq = 100, int page = 0)
    {
        var parameters = new VmParameters { Vcpus = 2, Invalidators = 2, InvalidateSeqStart = seq };
        _vcpus = new VcpuLanes<Pages64<Lanes32>, Lanes32>[2];
        _invalidators = new InvalidatorLanes<Pages64<Lanes32>, Lanes32>[2];
        var start = new VmState(parameters);
        for (int v = 0; v < start.Vcpus.Length; v++)
            start.Vcpus[v] = start.Vcpus[v] with { Page = page };
        start.Write<TKernel, Pages64<Lanes32>, Lanes32>(ref _vm, _vcpus, _invalidators, 0);
    }

    public VmState State => VmState.Read<TKernel, Pages64<Lanes32>, Lanes32>(_vm, _vcpus, _invalidators, 0);

    public uint AccountingErrors => _vm.Totals.AccountingErrors[0];

    public uint StaleMappings => _vm.Totals.StaleMappings[0];

    /// <summary>The page is not mapped, or the root is obsolete: the fault is taken.</summary>
    public void Fault(int vcpu)
    {
        Assert.True(State.Vcpus[vcpu].Phase is VcpuPhase.Access or VcpuPhase.Retry);
        Step(vcpu, 0);
        Assert.False(State.Vcpus[vcpu].Phase is VcpuPhase.Access or VcpuPhase.Retry);
    }

    /// <summary>The page is mapped: the guest goes on to its next page.</summary>
    public void Progress(int vcpu, int nextPage)
    {
        AssertAt(vcpu, VcpuPhase.Access);
        uint before = _vm.Totals.GuestAccesses[0];
        Step(vcpu, nextPage);
        Assert.Equal(before + 1, _vm.Totals.GuestAccesses[0]);
    }

    /// <summary>The snapshot in a step of its own.</summary>
    public void TakeSnapshot(int vcpu)
    {
        AssertAt(vcpu, VcpuPhase.Snapshot);
        Step(vcpu, 0);
    }

    public void Resolve(int vcpu)
    {
        AssertAt(vcpu, VcpuPhase.Resolve);
        Step(vcpu, 0);
    }

    /// <summary>The check without the lock found nothing.</summary>
    public void CheckWithoutLock(int vcpu)
    {
        AssertAt(vcpu, VcpuPhase.LocklessCheck);
        Step(vcpu, 0);
        AssertAt(vcpu, VcpuPhase.Check);
    }

    /// <summary>The check found nothing, and the install comes in a step of its own.</summary>
    public void Pass(int vcpu)
    {
        AssertAt(vcpu, VcpuPhase.Check);
        Step(vcpu, 0);
        AssertAt(vcpu, VcpuPhase.Install);
    }

    /// <summary>The step that ends the attempt, whichever it is for this kernel.</summary>
    public Verdict Finish(int vcpu)
    {
        TotalsLanes<Lanes32> before = _vm.Totals;
        Step(vcpu, 0);
        Assert.True(State.Vcpus[vcpu].Phase is VcpuPhase.Access or VcpuPhase.Retry);
        bool isFixed = _vm.Totals.Fixed[0] > before.Fixed[0];
        Assert.NotEqual(isFixed, _vm.Totals.Retried[0] > before.Retried[0]);
        return isFixed
            ? _vm.Totals.UnsafeInstalls[0] > before.UnsafeInstalls[0]
                ? Verdict.UnsafeInstall
                : Verdict.SafeInstall
            : _vm.Totals.UnjustifiedRetries[0] > before.UnjustifiedRetries[0]
                ? Verdict.UnjustifiedRetry
                : _vm.Totals.OvercautiousRetries[0] > before.OvercautiousRetries[0]
                    ? Verdict.OvercautiousRetry
                    : Verdict.JustifiedRetry;
    }

    /// <summary>A whole fault with nothing else going on, for kernels that snapshot no later than they resolve.</summary>
    public Verdict FaultThrough(int vcpu)
    {
        Fault(vcpu);
        if (State.Vcpus[vcpu].Phase == VcpuPhase.Snapshot)
            TakeSnapshot(vcpu);
        Resolve(vcpu);
        if (State.Vcpus[vcpu].Phase == VcpuPhase.LocklessCheck)
            CheckWithoutLock(vcpu);
        return Finish(vcpu);
    }

    public void Begin(int invalidator, int start, int end)
    {
        Assert.Equal(InvalidatorPhase.Begin, State.Invalidators[invalidator].Phase);
        Step(invalidator, start, end);
    }

    /// <summary>The kernel is told of the begin, and another notifier refuses: the invalidation is over.</summary>
    public void Refuse(int invalidator, int start, int end)
    {
        Begin(invalidator, start, end);
        Assert.Equal(InvalidatorPhase.Begin, State.Invalidators[invalidator].Phase);
    }

    /// <summary>The zap goes on after it yielded.</summary>
    public void ZapRest(int invalidator)
    {
        Assert.Equal(InvalidatorPhase.Zap, State.Invalidators[invalidator].Phase);
        Step(invalidator, 0, 1);
    }

    /// <summary>
    /// Whether the vCPU would never be fixed if invalidations stopped now. The story goes on as if this had not been asked.
    /// </summary>
    public bool WouldNeverBeFixed(int vcpu)
    {
        VmLanes<Pages64<Lanes32>, Lanes32> vm = _vm;
        VcpuLanes<Pages64<Lanes32>, Lanes32>[] vcpus = [.. _vcpus];
        Liveness<TKernel, UpdatedMemslots, Pages64<Lanes32>, Lanes32>.EndInProgress(ref vm, vcpus, [.. _invalidators]);
        return Liveness<TKernel, UpdatedMemslots, Pages64<Lanes32>, Lanes32>.IsNeverFixed(vm, vcpus[vcpu], vcpu)[0] != 0;
    }

    /// <summary>
    /// Whether the memslot update waits for ever for a vCPU that waits for it. The story goes on as if this had not been asked.
    /// </summary>
    public bool IsDeadlocked() => WhatWaits().IsDeadlocked;

    /// <summary>
    /// Whether what waits once nothing is in progress is what waits now, and not what the copy began to wait for.
    /// </summary>
    public bool SaysWhatWaits() => WhatWaits().IsTheSameWait;

    private (bool IsDeadlocked, bool IsTheSameWait) WhatWaits()
    {
        VmLanes<Pages64<Lanes32>, Lanes32> vm = _vm;
        VcpuLanes<Pages64<Lanes32>, Lanes32>[] vcpus = [.. _vcpus];
        Liveness<TKernel, UpdatedMemslots, Pages64<Lanes32>, Lanes32>.EndInProgress(ref vm, vcpus, [.. _invalidators]);
        return (
            Liveness<TKernel, UpdatedMemslots, Pages64<Lanes32>, Lanes32>.IsDeadlocked(vm, vcpus)[0] != 0,
            Liveness<TKernel, UpdatedMemslots, Pages64<Lanes32>, Lanes32>
                .SaysWhatWaits(_vm.MemslotUpdate, vm.MemslotUpdate)[0] != 0);
    }

    public void Change(int invalidator)
    {
        Assert.Equal(InvalidatorPhase.Change, State.Invalidators[invalidator].Phase);
        Step(invalidator, 0, 1);
    }

    public void End(int invalidator)
    {
        Assert.Equal(InvalidatorPhase.End, State.Invalidators[invalidator].Phase);
        Step(invalidator, 0, 1);
    }

    /// <summary>Begin, change and end with nothing between.</summary>
    public void Invalidate(int invalidator, int start, int end)
    {
        Begin(invalidator, start, end);
        Change(invalidator);
        End(invalidator);
    }

    /// <summary>
    /// One step of a memslot update, and where it is after it; where it begins, the memslot has the first pages.
    /// </summary>
    public MemslotUpdaterPhase UpdateMemslot(int slotPages = 64)
    {
        Protocol<TKernel, UpdatedMemslots, Pages64<Lanes32>, Lanes32>.StepMemslotUpdater(
            ref _vm, _vcpus, Moves, Pages64<Lanes32>.Below(Lanes32.Broadcast((uint)slotPages)));
        return State.MemslotUpdater;
    }

    /// <summary>A memslot update begins, and its memslot is invalid at once.</summary>
    public void MarkInvalid(int slotPages)
    {
        Assert.Equal(MemslotUpdaterPhase.Idle, State.MemslotUpdater);
        Assert.Equal(MemslotUpdaterPhase.Zap, UpdateMemslot(slotPages));
    }

    public void ZapForMemslotUpdate()
    {
        Assert.Equal(MemslotUpdaterPhase.Zap, State.MemslotUpdater);
        Assert.Equal(MemslotUpdaterPhase.Swap, UpdateMemslot());
    }

    public void PutNewMemslotInPlace()
    {
        Assert.Equal(MemslotUpdaterPhase.Swap, State.MemslotUpdater);
        Assert.Equal(MemslotUpdaterPhase.End, UpdateMemslot());
    }

    private static Lanes32 Moves => Lanes32.Broadcast(uint.MaxValue);

    private void Step(int vcpu, int nextPage) =>
        Protocol<TKernel, UpdatedMemslots, Pages64<Lanes32>, Lanes32>.StepVcpu(
            ref _vm, ref _vcpus[vcpu], vcpu, Moves, Pages64<Lanes32>.Page(Lanes32.Broadcast((uint)nextPage)));

    private void Step(int invalidator, int start, int end) =>
        Protocol<TKernel, UpdatedMemslots, Pages64<Lanes32>, Lanes32>.StepInvalidator(
            ref _vm,
            _vcpus,
            _invalidators,
            invalidator,
            Moves,
            new(~Pages64<Lanes32>.Below(Lanes32.Broadcast((uint)start)), Pages64<Lanes32>.Below(Lanes32.Broadcast((uint)end))));

    private void AssertAt(int vcpu, VcpuPhase phase) => Assert.Equal(phase, State.Vcpus[vcpu].Phase);
}
