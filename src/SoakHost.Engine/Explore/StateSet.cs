using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace SoakHost.Engine.Explore;

/// <summary>
/// The states that were seen, in parts by their hash's upper bits: any number of threads may ask it at once, or each add to a
/// part of its own. At most 43 bytes a state: slots of 16 bytes, between three and six eighths full.
/// </summary>
internal sealed class StateSet
{
    private const int PartBits = 4;

    private readonly Part[] _parts = [.. Enumerable.Range(0, Parts).Select(_ => new Part())];

    /// <summary>How many parts there are.</summary>
    public static int Parts => 1 << PartBits;

    /// <summary>The part that a hash belongs to.</summary>
    public static int PartOf(ulong hash) => (int)(hash >> (64 - PartBits));

    /// <summary>Brings the memory near in which a state is looked for, without waiting for it.</summary>
    public void Prefetch(ulong hash) => _parts[PartOf(hash)].Prefetch(hash);

    /// <summary>Whether it was added before.</summary>
    public bool Contains(StateKey state, ulong hash) => _parts[PartOf(hash)].Contains(state, hash);

    /// <summary>Adds it; returns false where it is there already.</summary>
    public bool Add(StateKey state, ulong hash) => _parts[PartOf(hash)].Add(state, hash);

    private sealed class Part
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
}
