// The example of src/README.md, word for word between the two lines. Its namespace is that of the file that it says to add.
// --8<--
using SoakHost.Model.Lanes;

namespace SoakHost.Model.Kernels;

/// <summary>The snapshot zero-extended from 24 bits.</summary>
public readonly struct SnapshotU24 : IKernel
{
    /// <inheritdoc/>
    public static KernelInfo Info { get; } = new(
        "snapshot-u24",
        "the snapshot is kept in 24 bits, so that from 2^24 on it never matches",
        "is_page_fault_stale(..., unsigned int mmu_seq : 24)",
        Defect.Hang,
        ExpectedFrom: 1UL << 24)
    { Group = KernelGroup.Mutant, SnapshotKeptAs = "24 bits" };

    /// <inheritdoc/>
    public static Counter<T> Snapshot<T>(Counter<T> seq, Counter<T> stored, T isRetry)
        where T : unmanaged, ILanes<T> => new(seq.Low & T.Broadcast(0xffffff), T.Broadcast(0));
}
// --8<--
