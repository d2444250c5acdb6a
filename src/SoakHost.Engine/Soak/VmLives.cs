using System.Collections.Immutable;
using System.Numerics;
using SoakHost.Engine.Cohorts;
using SoakHost.Model.Kernels;

namespace SoakHost.Engine.Soak;

/// <summary>What is remembered of a VM's present life.</summary>
internal record struct VmLife
{
    /// <summary>Its number, from 0.</summary>
    public int Number { get; set; }

    /// <summary>The tick at which it started.</summary>
    public long StartTick { get; set; }

    /// <summary>
    /// The power of two of the boundary that the counter crossed last; 0 where it crossed none since it was last set.
    /// </summary>
    public byte CrossedPower { get; set; }

    /// <summary>The tick of that crossing.</summary>
    public long CrossedTick { get; set; }

    /// <summary>Whether the VM crossed the boundary of its control, and it is not decided whether it hangs.</summary>
    public bool IsHangDue { get; set; }

    /// <summary>vCPUs that are hung or deadlocked.</summary>
    public byte HungVcpus { get; set; }

    /// <summary>Since which tick there have been any.</summary>
    public long HungTick { get; set; }
}

/// <summary>
/// The lives of a shard's VMs: when one is over, and what the next one starts with. A VM has passed a boundary far enough, or its
/// hang is certain, and the fleet replaces it by another one, as a fleet that migrates and restarts its guests does. Everything
/// here depends on the VM's own history alone, never on the VMs beside it.
/// </summary>
internal sealed class VmLives
{
    /// <summary>
    /// Lives end at multiples of so many ticks. VMs that started together then end together, nearly always, and so cross their
    /// boundaries within one interval: the observer runs it again once for all of them.
    /// </summary>
    public const int GridTicks = 8 * Shard.ObservationTicks;

    /// <summary>Of a life that lasts this long, a later state is kept from which it can be told, and renewed as often.</summary>
    public const int OriginTicks = 512 * Shard.ObservationTicks;

    /// <summary>
    /// A vCPU with so many retries in a row may be on its way to a hang. Its life does not end, and its origin is not renewed,
    /// until it is fixed or judged: a story must have its beginning.
    /// </summary>
    public const uint SuspectRetries = 16;

    // A counter from which a kernel that names none is expected to hang.
    private const int HangPower = 31;

    private readonly SimulatedCohort _cohort;
    private VmLife[] _lives;
    private VmOrigin?[] _origins;

    // A bit for each kind of crossing that was reported of the VM in any of its lives.
    private ushort[] _reported;

    public VmLives(SimulatedCohort cohort, int vms)
    {
        _cohort = cohort;
        _lives = new VmLife[vms];
        _origins = new VmOrigin?[vms];
        _reported = new ushort[vms];
    }

    /// <summary>Powers of two at which crossings are counted, lowest first. Narrow snapshots fail at the first two.</summary>
    public static ReadOnlySpan<int> Powers => [15, 16, 31, 32, 63, 64];

    /// <summary>Whether lives end at all.</summary>
    public bool HaveEnds => _cohort.LifeAfterBoundary > 0 || _cohort.LifeAfterHang > 0;

    public VmLife this[int index]
    {
        get => _lives[index];
        set => (_lives[index], _origins[index]) = (value, null);
    }

    /// <summary>From where the VM's present life can be told.</summary>
    public VmOrigin OriginOf(int index) =>
        _origins[index] ??= new VmOrigin(_lives[index].Number, _lives[index].StartTick, _lives[index].StartTick, []);

    /// <summary>Whether the origin must be renewed at a tick of the grid.</summary>
    public bool IsOriginDue(int index, long tick) =>
        tick % OriginTicks == 0 && tick - _lives[index].StartTick >= OriginTicks;

    /// <summary>Renews the origin.</summary>
    public void SetOrigin(int index, VmOrigin origin) => _origins[index] = origin;

    /// <summary>All VMs start a life of that number at a tick.</summary>
    public void StartAll(long tick)
    {
        foreach (ref VmLife life in _lives.AsSpan())
            life = life with { StartTick = tick };
        Array.Clear(_origins);
    }

    /// <summary>The VM starts its next life.</summary>
    public void StartNext(int index, long tick)
    {
        _lives[index] = new VmLife { Number = _lives[index].Number + 1, StartTick = tick };
        _origins[index] = null;
    }

    /// <summary>Whether the VM's life is over, at a tick of the grid.</summary>
    public bool IsOver(int index, ulong seq, long tick)
    {
        ref VmLife life = ref _lives[index];
        if (life.HungVcpus > 0)
            return _cohort.LifeAfterHang > 0 && tick - life.HungTick >= _cohort.LifeAfterHang;
        return _cohort.LifeAfterBoundary > 0 && life.CrossedPower != 0
            && unchecked(seq - Boundary.AtPower(life.CrossedPower).Count) >= (ulong)_cohort.LifeAfterBoundary;
    }

    /// <summary>Takes note of a crossing.</summary>
    /// <returns>Whether it is the VM's first one of this boundary, with or without a fault in flight.</returns>
    public bool NoteCrossing(int index, int power, bool inFlight, long tick, KernelInfo kernel)
    {
        ref VmLife life = ref _lives[index];
        (life.CrossedPower, life.CrossedTick) = ((byte)power, tick);
        if (_cohort.Expected == Defect.Hang && kernel.Expected == Defect.Hang && power == PowerOfHang(kernel))
            life.IsHangDue = true;
        int bit = 1 << (InFlightBit(Powers.IndexOf(power)) - (inFlight ? 0 : 1));
        bool isFirst = (_reported[index] & bit) == 0;
        _reported[index] |= (ushort)bit;
        return isFirst;
    }

    /// <summary>Takes note of a vCPU that is hung or deadlocked from a tick on.</summary>
    /// <returns>Ticks from the crossing to here, if a hang was due; else null.</returns>
    public long? NoteHang(int index, long tick)
    {
        ref VmLife life = ref _lives[index];
        if (life.HungVcpus++ == 0)
            life.HungTick = tick;
        if (!life.IsHangDue)
            return null;
        life.IsHangDue = false;
        return tick - life.CrossedTick;
    }

    /// <summary>Takes note of a vCPU that is not hung or deadlocked any more.</summary>
    public void NoteRecovery(int index) => _lives[index].HungVcpus--;

    /// <summary>
    /// The counter is set, or the kernel replaced: what was crossed before says nothing about what comes, and whether a hang was
    /// due is never decided.
    /// </summary>
    public void ForgetCrossing(int index)
    {
        ref VmLife life = ref _lives[index];
        (life.CrossedPower, life.CrossedTick, life.IsHangDue) = (0, 0, false);
    }

    /// <summary>Forgets the VMs beyond a number.</summary>
    public void Shrink(int vms)
    {
        Array.Resize(ref _lives, vms);
        Array.Resize(ref _origins, vms);
        Array.Resize(ref _reported, vms);
    }

    /// <summary>
    /// How many VMs have crossed each boundary of <see cref="Powers"/> with a fault in flight, in any of their lives.
    /// </summary>
    public ImmutableArray<int> CountCrossed()
    {
        int[] crossed = new int[Powers.Length];
        foreach (ushort reported in _reported)
        {
            for (int power = 0; power < crossed.Length; power++)
                crossed[power] += (reported >> InFlightBit(power)) & 1;
        }

        return [.. crossed];
    }

    /// <summary>The kinds of crossings that were reported of a VM, a bit each.</summary>
    public ushort ReadReported(int index) => _reported[index];

    /// <summary>Overwrites the kinds of crossings that were reported of a VM.</summary>
    public void WriteReported(int index, ushort reported) => _reported[index] = reported;

    /// <summary>The counter from which a kernel is expected to hang.</summary>
    public static ulong HangExpectedFrom(KernelInfo kernel) => kernel.ExpectedFrom == 0 ? 1UL << HangPower : kernel.ExpectedFrom;

    // Two bits for each boundary; the upper one is for a crossing with a fault in flight.
    private static int InFlightBit(int powerIndex) => (2 * powerIndex) + 1;

    private static int PowerOfHang(KernelInfo kernel) => BitOperations.Log2(HangExpectedFrom(kernel));
}
