using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Tests.Prove;

/// <summary>A snapshot of 48 bits, in a kernel by somebody who never saw the prover.</summary>
public readonly struct SnapshotU48 : IKernel
{
    public static KernelInfo Info { get; } =
        new("snapshot-u48", "the snapshot has 48 bits", "here", Defect.Hang, 1UL << 48) { Group = KernelGroup.Mutant };

    public static Counter<T> Snapshot<T>(Counter<T> seq, Counter<T> stored, T isRetry)
        where T : unmanaged, ILanes<T> => new(seq.Low, seq.High & T.Broadcast(0xffff));
}

/// <summary>A counter of 32 bits that stops at its end.</summary>
public readonly struct SaturatingU32 : IKernel
{
    public static KernelInfo Info { get; } =
        new("saturating-u32", "the counter stops at 2^32 - 1", "here", Defect.UnsafeInstall, uint.MaxValue) { Group = KernelGroup.Mutant };

    public static Counter<T> Count<T>(Counter<T> seq, T counted)
        where T : unmanaged, ILanes<T> =>
        seq.PlusOneWhere(counted & T.IsZero(seq.High) & ~T.IsZero(seq.Low ^ T.Broadcast(uint.MaxValue)));
}

/// <summary>A check that leaves out the lowest 4 bits.</summary>
public readonly struct CompareShifted : IKernel
{
    public static KernelInfo Info { get; } =
        new("compare-shifted", "the check compares both counters shifted right by 4", "here", Defect.UnsafeInstall)
        { Group = KernelGroup.Mutant };

    public static T SeqMoved<T>(Counter<T> snapshot, Counter<T> seq)
        where T : unmanaged, ILanes<T> => ((snapshot.Low ^ seq.Low) >>> 4) | (snapshot.High ^ seq.High);
}

/// <summary>
/// A correct kernel that says it in another way: both halves compared one after another, and the snapshot kept complemented.
/// </summary>
public readonly struct Complemented : IKernel
{
    public static KernelInfo Info { get; } = new("complemented", "the snapshot is kept complemented", "here", Defect.None);

    public static Counter<T> Snapshot<T>(Counter<T> seq, Counter<T> stored, T isRetry)
        where T : unmanaged, ILanes<T> => new(~seq.Low, ~seq.High);

    public static T SeqMoved<T>(Counter<T> snapshot, Counter<T> seq)
        where T : unmanaged, ILanes<T> => ~T.IsZero(~snapshot.Low ^ seq.Low) | (~snapshot.High ^ seq.High);
}

/// <summary>A correct kernel that drops <c>mmu_lock</c> after the first page of a zap.</summary>
public readonly struct YieldingZap : IKernel
{
    public static KernelInfo Info { get; } = new("yielding-zap", "a zap in two steps that forgets nothing", "here", Defect.None);

    public static bool YieldsInZap => true;

    public static TPages Zapped<TPages, T>(TPages own)
        where TPages : unmanaged, IPages<TPages, T>
        where T : unmanaged, ILanes<T> => own & TPages.Page(T.Broadcast(0));
}
