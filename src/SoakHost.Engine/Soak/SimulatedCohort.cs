using System.Collections.Immutable;
using SoakHost.Engine.Cohorts;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Soak;

/// <summary>A cohort of simulated VMs, which the fleet's workers advance.</summary>
public sealed record SimulatedCohort : Cohort
{
    /// <summary>The kernel that the VMs start with.</summary>
    public required Kernel Kernel { get; init; }

    /// <summary>What each VM is like.</summary>
    public VmParameters Vm { get; init; } = new();

    /// <summary>
    /// Where <c>mmu_invalidate_seq</c> starts: VM v starts its life l at number (v + l) of these, modulo their number. Empty, the
    /// default, is <see cref="VmParameters.InvalidateSeqStart"/> alone.
    /// </summary>
    public ImmutableArray<ulong> InvalidateSeqStarts { get; init; } = [];

    /// <summary>
    /// A VM whose counter has passed the boundary that it crossed last by so many invalidations is replaced by its next life, 0
    /// to 2^62. Default 0: never.
    /// </summary>
    public long LifeAfterBoundary { get; init; }

    /// <summary>
    /// A VM that has had a hung or deadlocked vCPU for so many ticks is replaced by its next life, 0 to 2^62. Default 0: never,
    /// so that a hang nobody expects stays to be looked at.
    /// </summary>
    public long LifeAfterHang { get; init; }

    /// <summary>
    /// Each life of a VM has from so many guest pages to <see cref="VmParameters.Pages"/>, 1 to that number. Default 0: every
    /// life has all of them.
    /// </summary>
    public int PagesMin { get; init; }

    /// <summary>
    /// The longest range of each life is from so many pages to <see cref="VmParameters.RangePages"/>, 1 to that number. Default
    /// 0: it is the same in every life. A life with fewer pages has none longer than they are.
    /// </summary>
    public int RangePagesMin { get; init; }

    /// <inheritdoc/>
    public override string Kind => "simulated";

    /// <inheritdoc/>
    public override string KernelName => Kernel.Info.Name;

    /// <inheritdoc/>
    public override int? VcpusPerVm => Vm.Vcpus;

    /// <inheritdoc/>
    public override ulong? InvalidateSeqStart => CounterOf(vm: 0, life: 0);

    /// <summary>The boundaries at which crossings are counted, lowest first; the last is 2^64.</summary>
    public static ImmutableArray<Boundary> Boundaries { get; } = [.. VmLives.Powers.ToArray().Select(Boundary.AtPower)];

    /// <summary>Every start, at least one.</summary>
    public ImmutableArray<ulong> Starts => InvalidateSeqStarts.IsEmpty ? [Vm.InvalidateSeqStart] : InvalidateSeqStarts;

    /// <summary>Where the counter of a VM's life starts.</summary>
    /// <param name="vm">The VM's number in its cohort.</param>
    /// <param name="life">The number of the life, from 0.</param>
    public ulong CounterOf(long vm, int life) => InvalidateSeqStarts.IsEmpty ? Vm.InvalidateSeqStart
        : InvalidateSeqStarts[(int)(((long)vm + life) % InvalidateSeqStarts.Length)];

    /// <summary>Whether the shape of a VM may change from life to life.</summary>
    public bool HasShapes => PagesMin > 0 || RangePagesMin > 0;

    /// <summary>The shape of one life of a VM. It depends on nothing but the cohort, the seed and the two numbers.</summary>
    /// <param name="seed">The run's seed.</param>
    /// <param name="vm">The VM's number in its cohort.</param>
    /// <param name="life">The number of the life, from 0.</param>
    public VmParameters ShapeOf(ulong seed, long vm, int life)
    {
        if (!HasShapes)
            return Vm;

        // Two words from which the life's random stream starts: it goes on by sums of all four.
        RandomState random = RandomStream.Start(seed, vm, life);
        int pages = Draw(PagesMin, Vm.Pages, random.S1);
        return Vm with { Pages = pages, RangePages = Math.Min(Draw(RangePagesMin, Vm.RangePages, random.S2), pages) };

        static int Draw(int min, int max, uint random) => min == 0 ? max : min + (int)(random % (uint)(max - min + 1));
    }

    /// <summary>Whether the VMs of another cohort have the same histories, under the same seed and stall threshold.</summary>
    public bool HasSameHistories(SimulatedCohort other) =>
        Kernel.Info.Name == other.Kernel.Info.Name
        && Vm with { InvalidateSeqStart = 0 } == other.Vm with { InvalidateSeqStart = 0 }
        && Starts.SequenceEqual(other.Starts)
        && (LifeAfterBoundary, LifeAfterHang) == (other.LifeAfterBoundary, other.LifeAfterHang)
        && (PagesMin, RangePagesMin) == (other.PagesMin, other.RangePagesMin);

    /// <inheritdoc/>
    public override CohortTotals NoTotals => default(Totals).ForCohort();
}

/// <summary>A simulated cohort's figures at one time.</summary>
public sealed record SimulatedSnapshot : CohortSnapshot
{
    /// <summary>The kernel that the VMs run now.</summary>
    public required Kernel Kernel { get; init; }

    /// <summary>Ticks of the shard that is furthest behind.</summary>
    public required long Tick { get; init; }

    /// <summary>Whether no invalidation begins in any VM until an intervention resumes them.</summary>
    public bool InvalidationsPaused { get; init; }

    /// <summary>Whether the histories of the VMs depend on interventions.</summary>
    public bool HasInterventions { get; init; }

    /// <summary>The tick at which a vCPU was last found hung or deadlocked; 0 where none ever was.</summary>
    public long LastHangTick { get; init; }

    /// <summary>
    /// The tick at which a vCPU that was hung or deadlocked was last found to have recovered; 0 where none ever was.
    /// </summary>
    public long LastRecoveryTick { get; init; }

    /// <summary>How far crossings covered what is possible, since the VMs run this kernel.</summary>
    public required CrossingCoverage Coverage { get; init; }

    /// <summary><c>mmu_invalidate_seq</c> of each VM, in runs of consecutive VMs.</summary>
    public ImmutableArray<ImmutableArray<ulong>> InvalidateSeqs { get; init; } = [];

    /// <summary>
    /// VMs of the cohort that have crossed each boundary with a fault in flight, in any of their lives, lowest boundary first.
    /// </summary>
    public ImmutableArray<BoundaryCrossings> VmsCrossed { get; init; } = [];

    /// <summary>VMs that the cohort has in all parts of the fleet.</summary>
    public required int VmsInFleet { get; init; }

    /// <inheritdoc/>
    public override string KernelName => Kernel.Info.Name;
}
