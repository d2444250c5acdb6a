using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Explore;
using SoakHost.Engine.Prove;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Checks;

/// <summary>Whether one kernel was caught as what it is expected to be caught as.</summary>
/// <param name="Kernel">The kernel.</param>
/// <param name="Explored">What exploration found: <see cref="ExploreVerdict.Proven"/> is nothing.</param>
/// <param name="ExploredStates">States it took.</param>
/// <param name="ExploreTime">Time it took.</param>
/// <param name="Soaked">What a soak found.</param>
/// <param name="SoakTicks">Ticks of each VM it took, or ran when nothing was found.</param>
/// <param name="SoakTime">Time it took.</param>
public sealed record KillMatrixRow(
    KernelInfo Kernel,
    ExploreVerdict Explored,
    int ExploredStates,
    TimeSpan ExploreTime,
    Defect Soaked,
    long SoakTicks,
    TimeSpan SoakTime)
{
    /// <summary>What a proof came to; null where there was no solver.</summary>
    public ProveResult? Proved { get; init; }

    /// <summary>What exploration found, as a defect; null when it did not come to an end.</summary>
    public Defect? ExploredDefect => Explored switch
    {
        ExploreVerdict.Proven => Defect.None,
        ExploreVerdict.Hang => Defect.Hang,
        ExploreVerdict.UnsafeInstall => Defect.UnsafeInstall,
        ExploreVerdict.StaleMapping => Defect.StaleMapping,
        ExploreVerdict.Deadlock => Defect.Deadlock,
        ExploreVerdict.AccountingError => Defect.AccountingError,
        _ => null,
    };

    /// <summary>
    /// Whether exploration and soak found what is expected, no more and no less, and a proof refuted what has a defect: one that
    /// the other two cannot see too.
    /// </summary>
    public bool IsAsExpected => ExploredDefect == Kernel.Expected && Soaked == Kernel.Expected
        && (Proved is null || Proved.Verdict == ExpectedOfProof(Kernel));

    /// <summary>What a proof must come to.</summary>
    public static ProofVerdict ExpectedOfProof(KernelInfo kernel) =>
        kernel.Expected == Defect.None && !kernel.IsRefutedByProofAlone ? ProofVerdict.Proven : ProofVerdict.Refuted;
}

/// <summary>
/// Runs kernels and mutants through exploration, through the soak and, with a solver, through a proof, and compares what each is
/// caught as with what is expected: the proof that the detectors detect.
/// </summary>
public static class KillMatrix
{
    private const int SoakVms = 64;

    // Far enough below the boundary that every VM crosses it with faults under way, near enough to cross at once.
    private const ulong SoakBelow = 10_000;
    private const long SoakTicksMax = 256 * Shard.ObservationTicks;

    /// <summary>One kernel's row.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="time">Tells how long it took.</param>
    /// <param name="cancellation">Stops exploration, with a row that is not as expected.</param>
    public static KillMatrixRow Verify(Kernel kernel, TimeProvider time, CancellationToken cancellation)
    {
        KernelInfo info = kernel.Info;
        ExploreResult explored = Explorer.Explore(kernel, ExploreOptionsFor(info), time, null, cancellation);
        long started = time.GetTimestamp();
        (Defect soaked, long ticks) = Soak(kernel);
        return new KillMatrixRow(
            info, explored.Verdict, explored.States, explored.Elapsed, soaked, ticks, time.GetElapsedTime(started));
    }

    /// <summary>One kernel's row, with a proof.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="prover">Proves it.</param>
    /// <param name="time">Tells how long it took.</param>
    /// <param name="cancellation">Stops exploration, with a row that is not as expected, and ends the proof.</param>
    public static async Task<KillMatrixRow> VerifyAsync(
        Kernel kernel, Prover prover, TimeProvider time, CancellationToken cancellation) =>
        Verify(kernel, time, cancellation) with { Proved = await prover.ProveAsync(kernel, null, cancellation) };

    /// <summary>The exploration that must catch a kernel: from 2 below where its defect shows, looking for that defect.</summary>
    public static ExploreOptions ExploreOptionsFor(KernelInfo kernel) => new()
    {
        Start = unchecked(kernel.ExpectedFrom - 2),
        MemslotUpdates = kernel.NeedsMemslotUpdates || kernel.Expected == Defect.None ? 1 : 0,
        Target = kernel.Expected switch
        {
            Defect.Hang => ExploreVerdict.Hang,
            Defect.UnsafeInstall => ExploreVerdict.UnsafeInstall,
            Defect.StaleMapping => ExploreVerdict.StaleMapping,
            Defect.Deadlock => ExploreVerdict.Deadlock,
            Defect.AccountingError => ExploreVerdict.AccountingError,
            _ => null,
        },
    };

    /// <summary>The cohort that must catch a kernel.</summary>
    public static SimulatedCohort CohortFor(Kernel kernel) => new()
    {
        Name = kernel.Info.Name,
        Kernel = kernel,
        Vms = SoakVms,
        Expected = kernel.Info.Expected,
        Vm = new VmParameters
        {
            Invalidators = kernel.Info.InvalidatorsMin,
            MemslotUpdates = kernel.Info.NeedsMemslotUpdates || kernel.Info.Expected == Defect.None,
            InvalidateSeqStart = unchecked((kernel.Info.ExpectedFrom == 0 ? 1UL << 31 : kernel.Info.ExpectedFrom) - SoakBelow),
        },
    };

    private static (Defect Found, long Ticks) Soak(Kernel kernel)
    {
        Shard shard = Shard.Create(CohortFor(kernel), 0, SoakVms, new ShardOptions());
        Defect found = Defect.None;
        while (shard.Tick < SoakTicksMax && (found == Defect.None || found != kernel.Info.Expected))
        {
            shard.Advance(4 * Shard.ObservationTicks);
            List<Defect> defects = Defects(shard.TakeSnapshot());

            // Of several defects the expected one counts.
            if (defects.Count > 0)
                found = defects.Contains(kernel.Info.Expected) ? kernel.Info.Expected : defects[0];
        }

        return (found, shard.Tick);
    }

    private static List<Defect> Defects(ShardSnapshot snapshot)
    {
        List<Defect> defects = [];
        if (snapshot.Conditions.Contains(VcpuCondition.Hung))
            defects.Add(Defect.Hang);
        if (snapshot.Conditions.Contains(VcpuCondition.Deadlocked))
            defects.Add(Defect.Deadlock);
        if (snapshot.Totals.UnsafeInstalls > 0)
            defects.Add(Defect.UnsafeInstall);
        if (snapshot.Totals.StaleMappings > 0)
            defects.Add(Defect.StaleMapping);
        if (snapshot.Totals.AccountingErrors > 0)
            defects.Add(Defect.AccountingError);
        return defects;
    }
}
