using SoakHost.Model.Kernels;
using SoakHost.Model.Lanes;

namespace SoakHost.Engine.Tests.Kernels;

/// <summary>The example of src/README.md, word for word between the two lines.</summary>
// --8<--
public readonly struct SnapshotU24 : IKernel
{
    public static KernelInfo Info { get; } = new(
        "snapshot-u24",
        "the snapshot is kept in 24 bits, so that from 2^24 on it never matches",
        "is_page_fault_stale(..., unsigned int mmu_seq : 24)",
        Defect.Hang,
        ExpectedFrom: 1UL << 24)
    { Group = KernelGroup.Mutant, SnapshotKeptAs = "24 bits" };

    public static Counter<T> Snapshot<T>(Counter<T> seq, Counter<T> stored, T isRetry)
        where T : unmanaged, ILanes<T> => new(seq.Low & T.Broadcast(0xffffff), T.Broadcast(0));
}
// --8<--
