using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace SoakHost.Engine.Explore;

/// <summary>A set of states by their keys: slots of 16 bytes, between three and six eighths full.</summary>
internal sealed class HashedStates
{
    // Zero marks a free slot: no state is zero, as the number of a vCPU's part is at least 1.
    private StateKey[] _slots = new StateKey[1 << 6];
    private int _count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public unsafe void Prefetch(ulong hash)
    {
        // A hint: it does no harm where the array has moved.
        StateKey[] slots = _slots;
        if (Sse.IsSupported)
            Sse.Prefetch0(Unsafe.AsPointer(ref slots[(int)(uint)hash & (slots.Length - 1)]));
    }

    public bool Contains(StateKey state, ulong hash) => _slots[SlotOf(_slots, state, hash)] != default;

    public bool Add(StateKey state, ulong hash)
    {
        int slot = SlotOf(_slots, state, hash);
        if (_slots[slot] != default)
            return false;
        _slots[slot] = state;
        _count++;
        if (_count > _slots.Length / 8 * 6)
            Grow();
        return true;
    }

    private static int SlotOf(StateKey[] slots, StateKey state, ulong hash)
    {
        int mask = slots.Length - 1;
        int slot = (int)(uint)hash & mask;
        while (slots[slot] != default && slots[slot] != state)
            slot = (slot + 1) & mask;
        return slot;
    }

    private void Grow()
    {
        StateKey[] slots = HugePages.Allocate<StateKey>(_slots.Length * 2);
        foreach (StateKey state in _slots)
        {
            if (state != default)
                slots[SlotOf(slots, state, state.Hash())] = state;
        }

        _slots = slots;
    }
}
