using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Prove;

/// <summary>
/// What the proof remembers of a vCPU's fault beside the model: no step reads it, and so it changes nothing. It says how far the
/// counter has gone since.
/// </summary>
internal record struct Ghost
{
    /// <summary>Invalidations that ended since the fault was taken, 64 bits.</summary>
    public Term Span;

    /// <summary>Invalidations that ended since the snapshot was taken, 64 bits.</summary>
    public Term Age;

    /// <summary><c>mmu_invalidate_seq</c> as the snapshot was taken.</summary>
    public Counter<SymbolicLanes> SeqAtSnapshot;

    /// <summary>The snapshot that was there before, which a kernel may keep.</summary>
    public Counter<SymbolicLanes> HeldBefore;

    /// <summary>Truth value: the fault was a retry as the snapshot was taken.</summary>
    public Term WasRetry;

    /// <summary>Truth value: the fault's page got another translation since it was resolved.</summary>
    public Term WasChanged;
}

/// <summary>One VM in symbolic lanes, and what the proof remembers beside it.</summary>
internal sealed class SymbolicVm<TPages>
    where TPages : unmanaged, IPages<TPages, SymbolicLanes>
{
    /// <summary>The kernel's variables and the truth beside them.</summary>
    public VmLanes<TPages, SymbolicLanes> Vm;

    /// <summary>A VM of terms that are all 0.</summary>
    public SymbolicVm(int vcpus, int invalidators)
    {
        TermTable table = TermTable.Current;
        Vcpus = new VcpuLanes<TPages, SymbolicLanes>[vcpus];
        Invalidators = new InvalidatorLanes<TPages, SymbolicLanes>[invalidators];
        Ghosts = new Ghost[vcpus];
        Term zero = table.Constant(64, 0);
        Array.Fill(Ghosts, new Ghost { Span = zero, Age = zero, WasRetry = table.False, WasChanged = table.False });
    }

    /// <summary>The vCPUs.</summary>
    public VcpuLanes<TPages, SymbolicLanes>[] Vcpus { get; }

    /// <summary>The invalidators.</summary>
    public InvalidatorLanes<TPages, SymbolicLanes>[] Invalidators { get; }

    /// <summary>What the proof remembers of each vCPU's fault.</summary>
    public Ghost[] Ghosts { get; }

    /// <summary>The counter as one 64-bit term.</summary>
    public Term Seq => Terms.Whole(Vm.InvalidateSeq);

    /// <summary>A copy that shares nothing but terms.</summary>
    public SymbolicVm<TPages> Copy()
    {
        var copy = new SymbolicVm<TPages>(Vcpus.Length, Invalidators.Length) { Vm = Vm };
        Vcpus.CopyTo(copy.Vcpus, 0);
        Invalidators.CopyTo(copy.Invalidators, 0);
        Ghosts.CopyTo(copy.Ghosts, 0);
        return copy;
    }

    /// <summary>
    /// An arbitrary VM: every word is a variable. Only the phases are constrained: each actor is in one that the kernel has.
    /// </summary>
    /// <param name="vcpus">How many vCPUs.</param>
    /// <param name="invalidators">How many invalidators.</param>
    /// <param name="phases">The phases of the kernel's vCPUs.</param>
    /// <param name="invalidatorPhases">The phases of the kernel's invalidators.</param>
    /// <param name="updaterPhases">The phases of the memslot updater.</param>
    /// <param name="vcpuPhase">The phase of vCPU 0 where it is known.</param>
    /// <param name="invalidatorPhase">An invalidator and its phase where that is known.</param>
    public static (SymbolicVm<TPages> State, Term Shape) Any(
        int vcpus,
        int invalidators,
        IReadOnlyList<VcpuPhase> phases,
        IReadOnlyList<InvalidatorPhase> invalidatorPhases,
        IReadOnlyList<MemslotUpdaterPhase> updaterPhases,
        VcpuPhase? vcpuPhase = null,
        (int Index, InvalidatorPhase Phase)? invalidatorPhase = null)
    {
        TermTable table = TermTable.Current;
        var state = new SymbolicVm<TPages>(vcpus, invalidators);
        Fill("vm", ref state.Vm);
        state.Vm.Totals = default;
        Term shape = table.True;
        for (int v = 0; v < vcpus; v++)
        {
            string name = $"vcpu{v}";
            Fill(name, ref state.Vcpus[v]);
            Term phase = Phase(name, 3, v == 0 && vcpuPhase is { } known ? (int)known : null);
            shape = table.And(shape, table.Any(phases.Select(possible => Is(phase, (int)possible))));
            ref VcpuLanes<TPages, SymbolicLanes> vcpu = ref state.Vcpus[v];
            vcpu.AtSnapshot = At(phase, VcpuPhase.Snapshot);
            vcpu.AtResolve = At(phase, VcpuPhase.Resolve);
            vcpu.AtLocklessCheck = At(phase, VcpuPhase.LocklessCheck);
            vcpu.AtCheck = At(phase, VcpuPhase.Check);
            vcpu.AtInstall = At(phase, VcpuPhase.Install);
            vcpu.AtRetry = At(phase, VcpuPhase.Retry);
            state.Ghosts[v] = AnyGhost(name);
        }

        for (int i = 0; i < invalidators; i++)
        {
            string name = $"invalidator{i}";
            Fill(name, ref state.Invalidators[i]);
            Term phase = Phase(name, 2, invalidatorPhase is { } known && known.Index == i ? (int)known.Phase : null);
            shape = table.And(shape, table.Any(invalidatorPhases.Select(possible => Is(phase, (int)possible))));
            state.Invalidators[i].AtZap = SymbolicLanes.Mask(Is(phase, (int)InvalidatorPhase.Zap));
            state.Invalidators[i].AtChange = SymbolicLanes.Mask(Is(phase, (int)InvalidatorPhase.Change));
            state.Invalidators[i].AtEnd = SymbolicLanes.Mask(Is(phase, (int)InvalidatorPhase.End));
        }

        Term update = Phase("update", 3, updaterPhases.Count == 1 ? (int)updaterPhases[0] : null);
        shape = table.And(shape, table.Any(updaterPhases.Select(possible => Is(update, (int)possible))));
        ref MemslotUpdateLanes<TPages, SymbolicLanes> memslot = ref state.Vm.MemslotUpdate;
        memslot.AtInvalidate = SymbolicLanes.Mask(Is(update, (int)MemslotUpdaterPhase.Invalidate));
        memslot.AtZap = SymbolicLanes.Mask(Is(update, (int)MemslotUpdaterPhase.Zap));
        memslot.AtSwap = SymbolicLanes.Mask(Is(update, (int)MemslotUpdaterPhase.Swap));
        memslot.AtEnd = SymbolicLanes.Mask(Is(update, (int)MemslotUpdaterPhase.End));
        return (state, shape);

        static SymbolicLanes At(Term phase, VcpuPhase here) => SymbolicLanes.Mask(Is(phase, (int)here));
        static Term Is(Term phase, int value) =>
            TermTable.Current.Equal(phase, TermTable.Current.Constant(TermTable.Current.Width(phase), (ulong)value));
        static Term Phase(string name, int width, int? known) => known is { } value
            ? TermTable.Current.Constant(width, (ulong)value)
            : TermTable.Current.Variable($"{name}.Phase", width);
    }

    /// <summary>A VM at the start of its history, as the model writes it, with any counter.</summary>
    /// <param name="vcpus">How many vCPUs.</param>
    /// <param name="invalidators">How many invalidators.</param>
    /// <param name="seq">The counter, 64 bits.</param>
    public static SymbolicVm<TPages> Start<TKernel>(int vcpus, int invalidators, Term seq)
        where TKernel : struct, IKernel
    {
        var state = new SymbolicVm<TPages>(vcpus, invalidators);
        new VmState(new VmParameters { Vcpus = vcpus, Invalidators = invalidators })
            .Write<TKernel, TPages, SymbolicLanes>(ref state.Vm, state.Vcpus, state.Invalidators, 0);
        state.Vm.InvalidateSeq = Terms.Halves(seq);
        return state;
    }

    private static Ghost AnyGhost(string vcpu)
    {
        TermTable table = TermTable.Current;
        return new Ghost
        {
            Span = table.Variable($"{vcpu}.ghost.Span", 64),
            Age = table.Variable($"{vcpu}.ghost.Age", 64),
            SeqAtSnapshot = Counter("SeqAtSnapshot"),
            HeldBefore = Counter("HeldBefore"),
            WasRetry = table.Variable($"{vcpu}.ghost.WasRetry", 0),
            WasChanged = table.Variable($"{vcpu}.ghost.WasChanged", 0),
        };

        Counter<SymbolicLanes> Counter(string name) => new(
            SymbolicLanes.Of(table.Variable($"{vcpu}.ghost.{name}.Low", 32)),
            SymbolicLanes.Of(table.Variable($"{vcpu}.ghost.{name}.High", 32)));
    }

    private static void Fill<T>(string name, ref T state)
        where T : unmanaged
    {
        Span<SymbolicLanes> words = Layout<T>.Words(ref state);
        for (int i = 0; i < words.Length; i++)
            words[i] = SymbolicLanes.Of(TermTable.Current.Variable($"{name}.{Layout<T>.Names[i]}", 32));
    }
}

/// <summary>Terms of the model's compound values.</summary>
internal static class Terms
{
    /// <summary>A counter as one 64-bit term.</summary>
    public static Term Whole(Counter<SymbolicLanes> counter) => TermTable.Current.Concat(counter.High.Term, counter.Low.Term);

    /// <summary>A 64-bit term as a counter.</summary>
    public static Counter<SymbolicLanes> Halves(Term whole) => new(
        SymbolicLanes.Of(TermTable.Current.Extract(whole, 0, 32)), SymbolicLanes.Of(TermTable.Current.Extract(whole, 32, 32)));

    /// <summary>Whether two structs of lanes are the same, word by word.</summary>
    public static Term Same<T>(T left, T right)
        where T : unmanaged
    {
        Span<SymbolicLanes> words = Layout<T>.Words(ref left), others = Layout<T>.Words(ref right);
        Term same = TermTable.Current.True;
        for (int i = 0; i < words.Length; i++)
            same = TermTable.Current.And(same, TermTable.Current.Equal(words[i].Term, others[i].Term));
        return same;
    }

    /// <summary>Whether a set holds no page.</summary>
    public static Term IsEmpty<TPages>(TPages pages)
        where TPages : unmanaged, IPages<TPages, SymbolicLanes> => TermTable.Current.Not(pages.Any.IsTrue);

    /// <summary>
    /// The number of pages, by the model's own count. Of a set to which others were added on a condition it is the one number or
    /// the other, which saves a solver from finding that out bit by bit.
    /// </summary>
    public static Term Number<TPages>(TPages pages)
        where TPages : unmanaged, IPages<TPages, SymbolicLanes>
    {
        TermTable table = TermTable.Current;
        TPages with = pages, without = pages;
        Span<SymbolicLanes> withWords = Layout<TPages>.Words(ref with), withoutWords = Layout<TPages>.Words(ref without);
        Term? condition = null;
        for (int i = 0; i < withWords.Length; i++)
        {
            if (Added(withWords[i].Term) is not { } added || (condition is { } other && other != added.Condition))
                return pages.Number.Term;
            condition = added.Condition;
            (withWords[i], withoutWords[i]) = (SymbolicLanes.Of(added.With), SymbolicLanes.Of(added.Without));
        }

        return table.Choose(condition!.Value, with.Number.Term, without.Number.Term);
    }

    /// <summary>Whether a set holds exactly one page.</summary>
    public static Term IsOne<TPages>(TPages pages)
        where TPages : unmanaged, IPages<TPages, SymbolicLanes>
    {
        TermTable table = TermTable.Current;
        Term none = table.True, one = table.False;
        foreach (SymbolicLanes word in Layout<TPages>.Words(ref pages))
        {
            Term isZero = table.Not(word.IsTrue);
            Term hasOneBit = table.And(word.IsTrue, table.Not((word & (word - SymbolicLanes.Broadcast(1))).IsTrue));
            one = table.Or(table.And(one, isZero), table.And(none, hasOneBit));
            none = table.And(none, isZero);
        }

        return one;
    }

    /// <summary>A word that bits were added to on a condition: the condition, the word with them and the word without.</summary>
    private static (Term Condition, Term With, Term Without)? Added(Term word)
    {
        TermTable table = TermTable.Current;
        TermNode node = table[word];
        if (node.Kind != TermKind.BitOr)
            return null;
        foreach ((Term part, Term rest) in ((Term, Term)[])[(new(node.A), new(node.B)), (new(node.B), new(node.A))])
        {
            if (table[part] is { Kind: TermKind.Choose } choice && table.ConstantOf(new(choice.C)) == 0)
                return (new(choice.A), table.BitOr(rest, new(choice.B)), rest);
        }

        return null;
    }
}
