using SoakHost.Engine.Explore;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Prove;

/// <summary>
/// Takes a schedule's steps in symbolic lanes: for which counters does it go wrong as it did once? What it answers is reachable
/// beyond doubt, since each schedule begins at a new VM.
/// </summary>
internal static class Breaks<TKernel, TMemslots, TPages>
    where TKernel : struct, IKernel
    where TMemslots : struct, IMemslots
    where TPages : unmanaged, IPages<TPages, SymbolicLanes>
{
    private static TermTable Table => TermTable.Current;

    /// <summary>
    /// The ways in which a schedule goes wrong with the counter at <paramref name="seq"/> in the end: how far below that it
    /// starts, and the condition.
    /// </summary>
    /// <param name="schedule">The schedule.</param>
    /// <param name="seq">The counter at the step that goes wrong, 64 bits.</param>
    /// <param name="bridge">The invalidations of the bridge, 64 bits.</param>
    public static IReadOnlyList<(int Below, Term Condition)> At(Schedule schedule, Term seq, Term bridge)
    {
        List<(int Below, Term Condition)> ways = [];

        // A counter that stops, or that counts elsewhere, is not as far from where it started as invalidations ended: try each
        // distance.
        int most = schedule.Steps.Count(step => step.Actor >= schedule.Vcpus) + 1;
        for (int below = 0; below <= most; below++)
        {
            Term start = Table.Subtract(Table.Subtract(seq, bridge), Table.Constant(64, (ulong)below));
            (Term goesWrong, Term reached) = Run(schedule, start, bridge);
            Term condition = Table.And(goesWrong, Table.Equal(reached, seq));
            if (condition != Table.False)
                ways.Add((below, condition));
        }

        return ways;
    }

    /// <summary>Runs a schedule from a counter.</summary>
    /// <returns>Whether it goes wrong in the end, and the counter then.</returns>
    public static (Term GoesWrong, Term Seq) Run(Schedule schedule, Term start, Term bridge)
    {
        var vm = new ScheduledVm<TKernel, TMemslots, TPages, SymbolicLanes>(
            schedule.Vcpus, schedule.Invalidators, Terms.Halves(start));
        for (int i = 0; i < schedule.Steps.Count; i++)
        {
            if (i == schedule.BridgeAt)
                Cross(vm, bridge);
            vm.Take(schedule.Steps[i]);
        }

        Term seq = Terms.Whole(vm.Seq);
        if (schedule.End != ScheduleEnd.DefectiveStep)
            return (IsStuck(schedule, vm), seq);
        TotalsLanes<SymbolicLanes> totals = vm.Totals;
        return ((totals.UnjustifiedRetries | totals.UnsafeInstalls | totals.StaleMappings | totals.AccountingErrors).IsTrue, seq);
    }

    /// <summary>
    /// That a bridge can be crossed: after one whole invalidation of a page another one changes the counter alone, whatever that
    /// is, so that any number of them does.
    /// </summary>
    public static Obligation Bridge(Schedule schedule)
    {
        var vm = new ScheduledVm<TKernel, TMemslots, TPages, SymbolicLanes>(
            schedule.Vcpus, schedule.Invalidators, Terms.Halves(Table.Variable("start", 64)));
        foreach (ExploreStep step in schedule.Steps.Take(schedule.BridgeAt))
            vm.Take(step);
        vm.Round(0);
        Term seq = Table.Variable("seq", 64);
        vm.Seq = Terms.Halves(seq);
        ScheduledVm<TKernel, TMemslots, TPages, SymbolicLanes> again = vm.Copy();
        again.Round(0);
        Term counts = Table.Equal(Terms.Whole(again.Seq), Table.Add(seq, Table.Constant(64, 1)));
        again.Seq = vm.Seq;
        VmLanes<TPages, SymbolicLanes> left = vm.Vm, right = again.Vm;
        left.Totals = right.Totals = default;
        Term same = Terms.Same(left, right);
        for (int v = 0; v < schedule.Vcpus; v++)
            same = Table.And(same, Terms.Same(vm.Vcpus[v], again.Vcpus[v]));
        for (int i = 0; i < schedule.Invalidators; i++)
            same = Table.And(same, Terms.Same(vm.Invalidators[i], again.Invalidators[i]));
        return new(
            "bridge", ObligationKind.Method, "Does a second invalidation of the same page change the counter alone, by one?", [],
            [new("same", "all but the counter is as it was", same), new("counts", "the counter is one higher", counts)]);
    }

    private static void Cross(ScheduledVm<TKernel, TMemslots, TPages, SymbolicLanes> vm, Term bridge)
    {
        Term from = Terms.Whole(vm.Seq);
        vm.Round(0);
        vm.Seq = Terms.Halves(Table.Add(from, bridge));
    }

    private static Term IsStuck(Schedule schedule, ScheduledVm<TKernel, TMemslots, TPages, SymbolicLanes> vm)
    {
        for (int i = 0; i < schedule.Invalidators; i++)
        {
            while (vm.IsInProgress(i))
                vm.Take(new(schedule.Vcpus + i, 0, 1));
        }

        for (int turn = 0; turn < Schedule.UpdateTurnsMax && !IsNever(vm.Vm.MemslotUpdate.IsUnderWay); turn++)
            vm.TakeUpdateTurn();
        if (schedule.End == ScheduleEnd.Deadlock)
        {
            VmLanes<TPages, SymbolicLanes> ended = vm.Vm;
            return Liveness<TKernel, TMemslots, TPages, SymbolicLanes>.IsDeadlocked(in ended, vm.Vcpus).IsTrue;
        }

        Term isDone = Table.False;
        for (int step = 0; step < Schedule.StepsAloneMax; step++)
        {
            vm.Take(new(schedule.Stuck, 0, 0));
            isDone = Table.Or(isDone, (vm.Totals.Fixed | vm.Totals.GuestAccesses).IsTrue);
        }

        return Table.Not(isDone);
    }

    private static bool IsNever(SymbolicLanes mask) => Table.ConstantOf(mask.Term) == 0;
}
