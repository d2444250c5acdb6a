using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Soak;

/// <summary>The VMs of one row of lanes: what a step works on.</summary>
internal readonly ref struct VmGroup<TPages, TLanes>(
    ref VmLanes<TPages, TLanes> vm,
    Span<VcpuLanes<TPages, TLanes>> vcpus,
    Span<InvalidatorLanes<TPages, TLanes>> invalidators,
    ref RandomLanes<TLanes> random)
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    public readonly ref VmLanes<TPages, TLanes> Vm = ref vm;
    public readonly Span<VcpuLanes<TPages, TLanes>> Vcpus = vcpus;
    public readonly Span<InvalidatorLanes<TPages, TLanes>> Invalidators = invalidators;
    public readonly ref RandomLanes<TLanes> Random = ref random;

    /// <summary>Overwrites this group's state with another's of the same shape.</summary>
    public void CopyFrom(in VmGroup<TPages, TLanes> other)
    {
        Vm = other.Vm;
        other.Vcpus.CopyTo(Vcpus);
        other.Invalidators.CopyTo(Invalidators);
        Random = other.Random;
    }
}

/// <summary>What choices are drawn from, by the shape of the VM of each lane.</summary>
internal readonly struct ChoiceBounds<TPages, TLanes>
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    public ChoiceBounds(VmParameters parameters, bool mayInvalidate)
    {
        PageCount = TLanes.Broadcast((uint)parameters.Pages);
        RangePages = TLanes.Broadcast((uint)parameters.RangePages);
        AllPages = TPages.Below(PageCount);
        MayInvalidate = TLanes.Broadcast(mayInvalidate ? uint.MaxValue : 0);
    }

    private ChoiceBounds(TLanes pageCount, TLanes rangePages, TLanes mayInvalidate)
    {
        (PageCount, RangePages, MayInvalidate) = (pageCount, rangePages, mayInvalidate);
        AllPages = TPages.Below(pageCount);
    }

    /// <summary>The same but for one lane, whose VM has another shape.</summary>
    public ChoiceBounds<TPages, TLanes> With(int lane, VmParameters shape) => new(
        PageCount.With(lane, (uint)shape.Pages), RangePages.With(lane, (uint)shape.RangePages), MayInvalidate);

    /// <summary>Guest pages.</summary>
    public TLanes PageCount { get; }

    /// <summary>The longest range.</summary>
    public TLanes RangePages { get; }

    /// <summary>Every guest page.</summary>
    public TPages AllPages { get; }

    /// <summary>Mask: invalidations and memslot updates may begin; those in progress end in any case.</summary>
    public TLanes MayInvalidate { get; }
}

/// <summary>Sees each step of a run; the soak's own sees nothing and costs nothing.</summary>
internal interface IStepObserver<TPages, TLanes>
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    /// <summary>
    /// Called after each actor's step. Actors are numbered vCPUs first, then invalidators, then the memslot updater.
    /// </summary>
    void Stepped(in VmGroup<TPages, TLanes> group, int tick, int actor);
}

/// <summary>
/// How the soak drives one kernel: draws the choices of every tick from the VMs' random streams and takes the steps. Holds no
/// state, so that a cohort's kernel is patched by going on with another program.
/// </summary>
internal abstract class SoakProgram<TPages, TLanes>
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    public abstract Kernel Kernel { get; }

    /// <summary>Advances a group by some ticks: the hot loop.</summary>
    public abstract void Advance(in VmGroup<TPages, TLanes> group, in ChoiceBounds<TPages, TLanes> bounds, int ticks);

    /// <summary>The same ticks with someone watching each step.</summary>
    public abstract void AdvanceObserved<TObserver>(
        in VmGroup<TPages, TLanes> group, in ChoiceBounds<TPages, TLanes> bounds, int ticks, ref TObserver observer)
        where TObserver : struct, IStepObserver<TPages, TLanes>;

    /// <summary>
    /// Begins to update the memslot with the first half of the pages of some lanes' VMs, where no update is under way. The
    /// program must be one that knows of memslot updates; they go on with its ticks.
    /// </summary>
    public abstract void UpdateMemslots(
        in VmGroup<TPages, TLanes> group, in ChoiceBounds<TPages, TLanes> bounds, TLanes begins);

    /// <summary>Completes the zaps that yielded: only this kernel knows what is left of them.</summary>
    public abstract void CompleteZaps(in VmGroup<TPages, TLanes> group);

    /// <summary>Ends every invalidation in progress and the memslot updates that end, in a copy of a group.</summary>
    public abstract void EndInProgress(in VmGroup<TPages, TLanes> copy);

    /// <summary>Ends every invalidation in progress, in a copy of a group. Memslot updates stand still.</summary>
    public abstract void EndInvalidations(in VmGroup<TPages, TLanes> copy);

    /// <summary>Mask: what waits in the copy shows what waits in the group, as <see cref="EndInProgress"/> left it.</summary>
    public abstract TLanes SaysWhatWaits(in VmGroup<TPages, TLanes> group, in VmGroup<TPages, TLanes> quiet);

    /// <summary>Mask: the VM is deadlocked, asked of a group in which nothing is in progress that ends.</summary>
    public abstract TLanes IsDeadlocked(in VmGroup<TPages, TLanes> quiet);

    /// <summary>Mask: one vCPU would never be fixed, asked of a group in which nothing is in progress that ends.</summary>
    public abstract TLanes IsNeverFixed(in VmGroup<TPages, TLanes> quiet, int vcpu);

    public abstract VmState Read(in VmGroup<TPages, TLanes> group, int lane);

    public abstract void Write(in VmGroup<TPages, TLanes> group, int lane, VmState state);
}

/// <inheritdoc/>
internal sealed class SoakProgram<TKernel, TMemslots, TPages, TLanes> : SoakProgram<TPages, TLanes>
    where TKernel : struct, IKernel
    where TMemslots : struct, IMemslots
    where TPages : unmanaged, IPages<TPages, TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    public override Kernel Kernel { get; } = Kernel.Of<TKernel>();

    public override void Advance(in VmGroup<TPages, TLanes> group, in ChoiceBounds<TPages, TLanes> bounds, int ticks)
    {
        var observer = default(NoObserver);
        AdvanceObserved(group, bounds, ticks, ref observer);
    }

    public override void AdvanceObserved<TObserver>(
        in VmGroup<TPages, TLanes> group, in ChoiceBounds<TPages, TLanes> bounds, int ticks, ref TObserver observer)
    {
        ref VmLanes<TPages, TLanes> vm = ref group.Vm;
        Span<VcpuLanes<TPages, TLanes>> vcpus = group.Vcpus;
        Span<InvalidatorLanes<TPages, TLanes>> invalidators = group.Invalidators;
        RandomLanes<TLanes> random = group.Random;
        for (int tick = 0; tick < ticks; tick++)
        {
            for (int v = 0; v < vcpus.Length;)
            {
                TLanes bits = random.Next();
                int drawEnd = Math.Min(v + Choices<TPages, TLanes>.VcpusPerDraw, vcpus.Length);
                for (; v < drawEnd; v++)
                {
                    TLanes moves = Choices<TPages, TLanes>.Moves(ref bits);
                    TPages nextPage = TPages.Page(Choices<TPages, TLanes>.Below(ref bits, bounds.PageCount));
                    Protocol<TKernel, TMemslots, TPages, TLanes>.StepVcpu(ref vm, ref vcpus[v], v, moves, nextPage);
                    observer.Stepped(group, tick, v);
                }
            }

            for (int i = 0; i < invalidators.Length;)
            {
                TLanes bits = random.Next();
                int drawEnd = Math.Min(i + Choices<TPages, TLanes>.InvalidatorsPerDraw, invalidators.Length);
                for (; i < drawEnd; i++)
                {
                    TLanes moves = Choices<TPages, TLanes>.Moves(ref bits)
                        & (bounds.MayInvalidate | invalidators[i].AtChange | invalidators[i].AtEnd | AtZap(invalidators[i]));
                    TLanes start = Choices<TPages, TLanes>.Below(ref bits, bounds.PageCount);
                    TLanes end = start + TLanes.Broadcast(1) + Choices<TPages, TLanes>.Below(ref bits, bounds.RangePages);
                    var own = new PageRange<TPages, TLanes>(~TPages.Below(start), TPages.Below(end) & bounds.AllPages);
                    Protocol<TKernel, TMemslots, TPages, TLanes>.StepInvalidator(
                        ref vm, vcpus, invalidators, i, moves, own);
                    observer.Stepped(group, tick, vcpus.Length + i);
                }
            }

            if (TMemslots.AreUpdated)
            {
                StepMemslotUpdater(group, bounds, TMemslots.AreUpdatedUnprompted ? random.Next() : default);
                observer.Stepped(group, tick, vcpus.Length + invalidators.Length);
            }
        }

        group.Random = random;
    }

    // A method of its own: its locals would cost the loop registers, also where memslots are fixed.
    private static void StepMemslotUpdater(
        in VmGroup<TPages, TLanes> group, in ChoiceBounds<TPages, TLanes> bounds, TLanes bits)
    {
        // An update that somebody asked for goes on without a draw: the VM's choices are those of one with fixed memslots.
        TLanes moves = group.Vm.MemslotUpdate.IsUnderWay;
        var slot = default(TPages);
        if (TMemslots.AreUpdatedUnprompted)
        {
            TLanes begins = Choices<TPages, TLanes>.IsRare(ref bits) & bounds.MayInvalidate;
            moves = begins | (moves & Choices<TPages, TLanes>.Moves(ref bits));
            slot = TPages.Below(TLanes.Broadcast(1) + Choices<TPages, TLanes>.Below(ref bits, bounds.PageCount));
        }

        Protocol<TKernel, TMemslots, TPages, TLanes>.StepMemslotUpdater(ref group.Vm, group.Vcpus, moves, slot);
    }

    public override void UpdateMemslots(
        in VmGroup<TPages, TLanes> group, in ChoiceBounds<TPages, TLanes> bounds, TLanes begins)
    {
        if (!TMemslots.AreUpdated)
            throw new InvalidOperationException("this program takes every root for a current one");
        TLanes moves = TLanes.Except(begins, group.Vm.MemslotUpdate.IsUnderWay);
        TPages firstHalf = TPages.Below((bounds.PageCount + TLanes.Broadcast(1)) >>> 1);
        Protocol<TKernel, TMemslots, TPages, TLanes>.StepMemslotUpdater(ref group.Vm, group.Vcpus, moves, firstHalf);
    }

    // Nothing to load for kernels that do not yield.
    private static TLanes AtZap(in InvalidatorLanes<TPages, TLanes> invalidator) =>
        TKernel.YieldsInZap ? invalidator.AtZap : TLanes.Broadcast(0);

    public override void CompleteZaps(in VmGroup<TPages, TLanes> group)
    {
        Span<InvalidatorLanes<TPages, TLanes>> invalidators = group.Invalidators;
        for (int i = 0; TKernel.YieldsInZap && i < invalidators.Length; i++)
        {
            TLanes moves = invalidators[i].AtZap;
            Protocol<TKernel, TMemslots, TPages, TLanes>.StepInvalidator(
                ref group.Vm,
                group.Vcpus,
                invalidators,
                i,
                moves,
                default);
        }
    }

    public override void EndInProgress(in VmGroup<TPages, TLanes> copy) =>
        Liveness<TKernel, TMemslots, TPages, TLanes>.EndInProgress(ref copy.Vm, copy.Vcpus, copy.Invalidators);

    public override void EndInvalidations(in VmGroup<TPages, TLanes> copy) =>
        Liveness<TKernel, TMemslots, TPages, TLanes>.EndInvalidations(ref copy.Vm, copy.Vcpus, copy.Invalidators);

    public override TLanes SaysWhatWaits(in VmGroup<TPages, TLanes> group, in VmGroup<TPages, TLanes> quiet) =>
        Liveness<TKernel, TMemslots, TPages, TLanes>.SaysWhatWaits(in group.Vm.MemslotUpdate, in quiet.Vm.MemslotUpdate);

    public override TLanes IsDeadlocked(in VmGroup<TPages, TLanes> quiet) =>
        Liveness<TKernel, TMemslots, TPages, TLanes>.IsDeadlocked(in quiet.Vm, quiet.Vcpus);

    public override TLanes IsNeverFixed(in VmGroup<TPages, TLanes> quiet, int vcpu) =>
        Liveness<TKernel, TMemslots, TPages, TLanes>.IsNeverFixed(in quiet.Vm, in quiet.Vcpus[vcpu], vcpu);

    public override VmState Read(in VmGroup<TPages, TLanes> group, int lane) =>
        VmState.Read<TKernel, TPages, TLanes>(in group.Vm, group.Vcpus, group.Invalidators, lane);

    public override void Write(in VmGroup<TPages, TLanes> group, int lane, VmState state) =>
        state.Write<TKernel, TPages, TLanes>(ref group.Vm, group.Vcpus, group.Invalidators, lane);

    private readonly struct NoObserver : IStepObserver<TPages, TLanes>
    {
        public void Stepped(in VmGroup<TPages, TLanes> group, int tick, int actor)
        {
        }
    }
}
