using System.Collections.Immutable;
using System.Numerics;
using SoakHost.Model;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Soak;

/// <summary>
/// The interleavings in which a VM's counter can cross a boundary, each with a number. Three facts define one:
/// <list type="bullet">
/// <item>how many vCPUs are at each phase of a fault as the counter crosses: none, one or several;</item>
/// <item>how many invalidators, besides the one that moves the counter, are at each phase of an invalidation, likewise;</item>
/// <item>the phase, at the crossing, of the vCPU that completes the first fault attempt after it, fixed or retried. It may have
/// been in no fault.</item>
/// </list>
/// vCPUs are interchangeable, and so are invalidators: only their numbers at each phase count.
/// </summary>
public sealed class Interleavings
{
    // None, one, several.
    private const int Classes = 3;

    private readonly VcpuPhase[] _vcpuPhases;
    private readonly InvalidatorPhase[] _invalidatorPhases;
    private readonly int _vcpus;
    private readonly int _others;
    private readonly int _retryingVcpus;

    private Interleavings(Phases phases, VmParameters shape)
    {
        (_vcpuPhases, _invalidatorPhases) = (phases.OfFaults, phases.OfInvalidations);
        (_vcpus, _others) = (shape.Vcpus, shape.Invalidators - 1);
        _retryingVcpus = Enumerable.Range(0, shape.Vcpus).Count(phases.RetriesInKernel);
        Numbers = (int)BigInteger.Pow(Classes, _vcpuPhases.Length + _invalidatorPhases.Length) * (_vcpuPhases.Length + 1);
        Possible = Enumerable.Range(0, Numbers).Count(IsPossible);
        Expected = CrossingStates.FaultInFlight | CrossingStates.SnapshotJustBefore
            | (shape.Invalidators > 1 ? CrossingStates.SecondInvalidation : CrossingStates.None)
            | (shape.MemslotUpdates && phases.ZapsAllRoots ? CrossingStates.RootReplaced : CrossingStates.None);
    }

    /// <summary>They are numbered from 0 to below this.</summary>
    public int Numbers { get; }

    /// <summary>How many of the numbers are of an interleaving that can happen.</summary>
    public int Possible { get; }

    /// <summary>The named states that can happen.</summary>
    public CrossingStates Expected { get; }

    /// <summary>Words of 64 bits that hold a bit for each number.</summary>
    public int Words => (Numbers + 63) / 64;

    /// <summary>The interleavings of a kernel and a shape of VM.</summary>
    public static Interleavings Of(Kernel kernel, VmParameters shape)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        ArgumentNullException.ThrowIfNull(shape);
        return new Interleavings(kernel.Accept(new PhaseReader()), shape);
    }

    /// <summary>The number of an interleaving.</summary>
    /// <param name="vcpus">The phase of each vCPU as the counter crossed.</param>
    /// <param name="others">The phase of each other invalidator then.</param>
    /// <param name="first">The phase then of the vCPU whose attempt was over first.</param>
    /// <returns>0 to below <see cref="Numbers"/>.</returns>
    public int NumberOf(ReadOnlySpan<VcpuPhase> vcpus, ReadOnlySpan<InvalidatorPhase> others, VcpuPhase first)
    {
        // Whose attempt was over first in no fault is not among the phases, and counts as 0.
        int number = Array.IndexOf(_vcpuPhases, first) + 1;
        foreach (InvalidatorPhase phase in _invalidatorPhases)
            number = (number * Classes) + Math.Min(others.Count(phase), Classes - 1);
        foreach (VcpuPhase phase in _vcpuPhases)
            number = (number * Classes) + Math.Min(vcpus.Count(phase), Classes - 1);
        return number;
    }

    /// <summary>Whether a number is of an interleaving that can happen.</summary>
    public bool IsPossible(int number)
    {
        int rest = number, inFault = 0, inInvalidation = 0;
        bool isFirstThere = false;
        int first = number / (Numbers / (_vcpuPhases.Length + 1));
        for (int p = _vcpuPhases.Length - 1; p >= 0; p--)
        {
            (rest, int least) = Math.DivRem(rest, Classes);
            if (_vcpuPhases[p] == VcpuPhase.Retry && least > _retryingVcpus)
                return false;
            inFault += least;
            isFirstThere |= first == p + 1 && least > 0;
        }

        for (int p = _invalidatorPhases.Length - 1; p >= 0; p--)
        {
            (rest, int least) = Math.DivRem(rest, Classes);
            inInvalidation += least;
        }

        return inFault <= _vcpus && inInvalidation <= _others && (first == 0 ? inFault < _vcpus : isFirstThere);
    }

    /// <summary>The phases of a kernel's faults, and of its invalidations from begin to end.</summary>
    private sealed record Phases(
        VcpuPhase[] OfFaults, InvalidatorPhase[] OfInvalidations, Func<int, bool> RetriesInKernel, bool ZapsAllRoots);

    private sealed class PhaseReader : IKernelVisitor<Phases>
    {
        public Phases Visit<TKernel>()
            where TKernel : struct, IKernel
        {
            bool retries = Enumerable.Range(0, VmParameters.VcpusMax).Any(TKernel.RetriesInKernel);
            VcpuPhase?[] faults =
            [
                TKernel.SnapshotPoint == SnapshotPoint.FaultTaken ? null : VcpuPhase.Snapshot,
                VcpuPhase.Resolve,
                TKernel.ChecksWithoutLock ? VcpuPhase.LocklessCheck : null,
                VcpuPhase.Check,
                TKernel.InstallsUnderTheChecksLock ? null : VcpuPhase.Install,
                retries ? VcpuPhase.Retry : null,
            ];
            InvalidatorPhase[] invalidations = TKernel.YieldsInZap
                ? [InvalidatorPhase.Zap, InvalidatorPhase.Change, InvalidatorPhase.End]
                : [InvalidatorPhase.Change, InvalidatorPhase.End];
            return new Phases(
                [.. faults.OfType<VcpuPhase>()], invalidations, TKernel.RetriesInKernel, TKernel.ZapsAllRoots);
        }
    }
}

/// <summary>A VM as its counter crosses 2^<paramref name="Power"/>.</summary>
/// <param name="Power">15, 16, 31, 32, 63 or 64.</param>
/// <param name="State">The VM, with the counter on the far side.</param>
/// <param name="Invalidator">The invalidator that moved the counter.</param>
/// <param name="Attempts">Attempts that were over till then, since some time before.</param>
internal readonly record struct VmCrossing(int Power, VmState State, int Invalidator, uint Attempts)
{
    // Every boundary is a multiple of it: so are the numbers that follow a snapshot just before one, however narrow it is stored.
    private const uint BoundaryUnit = 1 << 15;

    /// <summary>The named states in which it crosses.</summary>
    public CrossingStates States
    {
        get
        {
            CrossingStates states = State.HasFaultInFlight ? CrossingStates.FaultInFlight : CrossingStates.None;
            foreach (VcpuState vcpu in State.Vcpus)
            {
                if (vcpu.Phase is VcpuPhase.Access or VcpuPhase.Retry)
                    continue;
                if (vcpu.Phase != VcpuPhase.Snapshot && unchecked((uint)vcpu.Snapshot + 1) % BoundaryUnit == 0)
                    states |= CrossingStates.SnapshotJustBefore;
                if (vcpu.Reloaded)
                    states |= CrossingStates.RootReplaced;
            }

            return Others(stackalloc InvalidatorPhase[State.Invalidators.Length]).ContainsAnyExcept(InvalidatorPhase.Begin)
                ? states | CrossingStates.SecondInvalidation : states;
        }
    }

    /// <summary>The number of its interleaving.</summary>
    /// <param name="interleavings">What numbers it.</param>
    /// <param name="first">The vCPU whose attempt was over first.</param>
    public int NumberIn(Interleavings interleavings, int first)
    {
        // Thousands of VMs cross in a second: nothing here allocates.
        Span<VcpuPhase> phases = stackalloc VcpuPhase[State.Vcpus.Length];
        for (int v = 0; v < phases.Length; v++)
            phases[v] = State.Vcpus[v].Phase;
        return interleavings.NumberOf(
            phases, Others(stackalloc InvalidatorPhase[State.Invalidators.Length]), phases[first]);
    }

    private ReadOnlySpan<InvalidatorPhase> Others(Span<InvalidatorPhase> phases)
    {
        int others = 0;
        for (int i = 0; i < State.Invalidators.Length; i++)
        {
            if (i != Invalidator)
                phases[others++] = State.Invalidators[i].Phase;
        }

        return phases[..others];
    }
}

/// <summary>What a shard's crossings covered so far. Not safe for use by several threads at once.</summary>
internal sealed class CoverageLog
{
    private readonly ulong[]?[] _bits = new ulong[VmLives.Powers.Length][];
    private readonly CrossingStates[] _reached = new CrossingStates[VmLives.Powers.Length];
    private CrossingCoverage? _latest;

    public CoverageLog(Interleavings interleavings) => Interleavings = interleavings;

    /// <summary>The interleavings that it numbers.</summary>
    public Interleavings Interleavings { get; }

    /// <summary>Takes note of an interleaving of 2^<paramref name="power"/>.</summary>
    public void Note(int power, int number)
    {
        ulong[] bits = BitsOf(power);
        ulong bit = 1UL << (number % 64);
        if ((bits[number / 64] & bit) != 0)
            return;
        bits[number / 64] |= bit;
        _latest = null;
    }

    /// <summary>Takes note of a crossing of 2^<paramref name="power"/>, and of the named states that the VM was in.</summary>
    public void Note(int power, CrossingStates states)
    {
        BitsOf(power);
        ref CrossingStates reached = ref _reached[VmLives.Powers.IndexOf(power)];
        if ((reached | states) == reached)
            return;
        reached |= states;
        _latest = null;
    }

    private ulong[] BitsOf(int power)
    {
        ref ulong[]? bits = ref _bits[VmLives.Powers.IndexOf(power)];
        if (bits is null)
            (bits, _latest) = (new ulong[Interleavings.Words], null);
        return bits;
    }

    public CrossingCoverage Read()
    {
        if (_latest is { } unchanged)
            return unchanged;
        CrossingCoverage none = CrossingCoverage.None(Interleavings);
        return _latest = none with
        {
            Boundaries = [.. none.Boundaries.Select((its, b) => its with { Bits = [.. _bits[b] ?? []], Reached = _reached[b] })],
        };
    }

    /// <summary>Overwrites what was covered.</summary>
    public void Write(CrossingCoverage coverage)
    {
        for (int b = 0; b < _bits.Length; b++)
        {
            BoundaryCoverage boundary = coverage.Boundaries[b];
            (_bits[b], _reached[b]) = (boundary.Bits.IsEmpty ? null : [.. boundary.Bits], boundary.Reached);
        }

        _latest = null;
    }
}
