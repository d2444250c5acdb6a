using System.Runtime.CompilerServices;
using SoakHost.Model;
using SoakHost.Model.Lanes;
using Pages = SoakHost.Model.Lanes.Pages32<SoakHost.Model.Lanes.Lanes32>;

namespace SoakHost.Engine.Explore;

/// <summary>What a step showed.</summary>
[Flags]
internal enum Shown : byte
{
    Nothing = 0,
    UnsafeInstall = 1,
    StaleMapping = 2,
    AccountingError = 4,

    /// <summary>An unjustified retry of a vCPU that is fixed later. That of a hung vCPU is part of the hang.</summary>
    UnjustifiedRetry = 8,
}

/// <summary>One step of a vCPU.</summary>
/// <param name="Shared">The shared part after it.</param>
/// <param name="Vcpu">The vCPU's part after it.</param>
/// <param name="Shown">What it showed.</param>
internal readonly record struct VcpuMove(int Shared, int Vcpu, Shown Shown);

/// <summary>All that one vCPU can do next to one shared part.</summary>
/// <param name="Vcpu">The vCPU's part.</param>
/// <param name="Moves">Its steps, in the order of the pages that it can go on with.</param>
/// <param name="IsHung">
/// No invalidation is in progress, no memslot update is under way, and its fault would never be fixed.
/// </param>
internal sealed record VcpuMoves(int Vcpu, VcpuMove[] Moves, bool IsHung);

/// <summary>One step of an invalidator.</summary>
/// <param name="Action">The step.</param>
/// <param name="Shared">The shared part after it.</param>
/// <param name="Effect">What it does to vCPUs, or null where it leaves them as they are.</param>
/// <param name="Shown">What it showed.</param>
internal readonly record struct SharedMove(Action Action, int Shared, Effect? Effect, Shown Shown);

/// <summary>What an invalidator's step does to every vCPU, whatever the VM: the pages that it changes, or that it ends.</summary>
/// <param name="example">A VM in which it is done.</param>
/// <param name="action">How.</param>
internal sealed class Effect(State example, Action action)
{
    private int[] _after = [];

    public State Example => example;

    public Action Action => action;

    /// <summary>The vCPU's part after it, or 0 where nobody has asked yet.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int After(int vcpu)
    {
        int[] after = Volatile.Read(ref _after);
        return vcpu < after.Length ? Volatile.Read(ref after[vcpu]) : 0;
    }

    public void Set(int vcpu, int after)
    {
        lock (this)
        {
            if (vcpu >= _after.Length)
            {
                int[] grown = new int[Math.Max(2 * _after.Length, vcpu + 1)];
                _after.CopyTo(grown, 0);
                Volatile.Write(ref _after, grown);
            }

            Volatile.Write(ref _after[vcpu], after);
        }
    }
}

/// <summary>One vCPU's part of states.</summary>
/// <param name="Lanes">The vCPU.</param>
/// <param name="Flags">Its fault flags, as if it were vCPU 0.</param>
/// <param name="Index">A vCPU of its kind.</param>
internal sealed record VcpuPart(VcpuLanes<Pages, Lanes32> Lanes, uint Flags, int Index);

/// <summary>What the vCPUs of states share: the VM's own variables and its invalidators.</summary>
/// <param name="state">A state without vCPUs.</param>
internal sealed class SharedPart(State state)
{
    private readonly Lock _gate = new();
    private VcpuMoves?[] _vcpuMoves = new VcpuMoves?[4];
    private int _count;
    private SharedMove[]? _moves;

    public State State => state;

    public bool IsIdle { get; } = state.IsIdle;

    /// <summary>What invalidators can do, or null where nobody has asked yet.</summary>
    public SharedMove[]? Moves
    {
        get => Volatile.Read(ref _moves);
        set => Volatile.Write(ref _moves, value);
    }

    /// <summary>What a vCPU can do, or null where nobody has asked yet.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public VcpuMoves? MovesOf(int vcpu)
    {
        VcpuMoves?[] table = Volatile.Read(ref _vcpuMoves);
        for (int slot = vcpu & (table.Length - 1); ; slot = (slot + 1) & (table.Length - 1))
        {
            VcpuMoves? moves = Volatile.Read(ref table[slot]);
            if (moves is null || moves.Vcpu == vcpu)
                return moves;
        }
    }

    public void Add(VcpuMoves moves)
    {
        lock (_gate)
        {
            if (MovesOf(moves.Vcpu) is not null)
                return;
            if (++_count > _vcpuMoves.Length / 2)
            {
                var grown = new VcpuMoves?[2 * _vcpuMoves.Length];
                foreach (VcpuMoves? old in _vcpuMoves)
                    Put(grown, old);
                Put(grown, moves);
                Volatile.Write(ref _vcpuMoves, grown);
            }
            else
            {
                Put(_vcpuMoves, moves);
            }
        }
    }

    /// <summary>Forgets what can be worked out anew. Nobody else may use it meanwhile.</summary>
    public void Forget() => (Moves, _vcpuMoves, _count) = (null, new VcpuMoves?[4], 0);

    private static void Put(VcpuMoves?[] table, VcpuMoves? moves)
    {
        if (moves is null)
            return;
        int slot = moves.Vcpu & (table.Length - 1);
        while (table[slot] is not null)
            slot = (slot + 1) & (table.Length - 1);
        Volatile.Write(ref table[slot], moves);
    }
}
