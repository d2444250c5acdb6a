namespace SoakHost.Model.Kernels;

/// <summary>
/// Runs code with a kernel's type as an argument, so that a kernel known by name reaches a loop compiled for it.
/// </summary>
/// <typeparam name="TResult">What the code returns.</typeparam>
public interface IKernelVisitor<out TResult>
{
    /// <summary>Called once, with the kernel's type.</summary>
    TResult Visit<TKernel>()
        where TKernel : struct, IKernel;
}

/// <summary>A kernel as a value: looked up by name once, then turned into a type argument.</summary>
public abstract class Kernel
{
    private static readonly Kernel[] BuiltIn =
    [
        Of<Linux511>(), Of<Linux512I386>(), Of<Linux515>(), Of<Linux61>(), Of<Linux61Stable>(), Of<Linux63>(), Of<Linux69>(),
        Of<ApicPage414>(), Of<TdpFlush511>(), Of<TdpNx511>(), Of<MmuNotifiers511>(), Of<PpcHash513>(), Of<ZapGfn514>(),
        Of<TdpIterator515>(), Of<PaeRoot516>(), Of<Gpc518>(), Of<ZapGfn516>(), Of<Arm64Kernel62>(), Of<RiscvKernel62>(),
        Of<ApicAccess64>(), Of<Gpc519>(), Of<PrefaultReload611>(), Of<PrefaultRoot611>(), Of<Prefault617>(), Of<Tdx617>(),
        Of<AmdgpuHmmChunk>(), Of<OdpIntSeq>(),
        Of<SnapshotU32>(), Of<SnapshotI16>(), Of<SnapshotU16>(), Of<SnapshotI8>(), Of<SnapshotU8>(), Of<SnapshotOnce>(),
        Of<CompareLow32>(), Of<CompareSigned>(), Of<SaturatingSeq>(), Of<NoInProgressCheck>(), Of<NoSeqCheck>(), Of<SeqAtBegin>(),
        Of<SnapshotAfterResolve>(), Of<CheckBeforeLock>(), Of<RangeNotHulled>(), Of<RangeEndOffByOne>(), Of<RangeClearedAtEnd>(),
        Of<UnbalancedEnd>(), Of<NoRootCheck>(), Of<RootNeverReloaded>(), Of<InvalidSlotUsed>(), Of<NoSrcuWait>(),
    ];

    private Kernel(KernelInfo info) => Info = info;

    /// <summary>Every simulated kernel in the order in which lists show them: releases, historical defects, mutants.</summary>
    public static IReadOnlyList<Kernel> All => BuiltIn;

    /// <summary>Name, description, source and expectation.</summary>
    public KernelInfo Info { get; }

    /// <summary>Where in a fault it takes its snapshot.</summary>
    public SnapshotPoint SnapshotPoint { get; private init; }

    /// <summary>Whether some invalidations that begin are never ended.</summary>
    public bool LosesEnds { get; private init; }

    /// <summary>Whether a memslot update makes every root obsolete.</summary>
    public bool ZapsAllRoots { get; private init; }

    /// <summary>Whether a memslot update waits for the readers of <c>kvm->srcu</c> before it zaps.</summary>
    public bool WaitsForReaders { get; private init; }

    /// <summary>The kernel that <typeparamref name="TKernel"/> describes.</summary>
    public static Kernel Of<TKernel>()
        where TKernel : struct, IKernel => new Typed<TKernel>();

    /// <summary>The kernel of that name, or null. Names are exact.</summary>
    public static Kernel? Find(string name) => Array.Find(BuiltIn, kernel => kernel.Info.Name == name);

    /// <summary>Calls the visitor with this kernel's type.</summary>
    public abstract TResult Accept<TResult>(IKernelVisitor<TResult> visitor);

    private sealed class Typed<TKernel> : Kernel
        where TKernel : struct, IKernel
    {
        public Typed()
            : base(TKernel.Info) =>
            (SnapshotPoint, LosesEnds, ZapsAllRoots, WaitsForReaders) =
                (TKernel.SnapshotPoint, TKernel.LosesEnds, TKernel.ZapsAllRoots, TKernel.WaitsForReaders);

        public override TResult Accept<TResult>(IKernelVisitor<TResult> visitor) => visitor.Visit<TKernel>();
    }
}
