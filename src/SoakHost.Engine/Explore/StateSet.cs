namespace SoakHost.Engine.Explore;

/// <summary>
/// The states that were seen, by their 128-bit hashes, in parts by the hash's upper bits: any number of threads may ask it at
/// once, or each add to a part of its own. At most 43 bytes a state: slots of 16 bytes, between three and six eighths full.
/// </summary>
internal sealed class StateSet
{
    private const int PartBits = 4;

    private readonly Part[] _parts = [.. Enumerable.Range(0, Parts).Select(_ => new Part())];

    /// <summary>How many parts there are.</summary>
    public static int Parts => 1 << PartBits;

    /// <summary>States in all parts.</summary>
    public int Count => _parts.Sum(part => part.Count);

    /// <summary>The part that a hash belongs to.</summary>
    public static int PartOf(UInt128 hash) => (int)(hash >> (128 - PartBits));

    /// <summary>Whether it was added before.</summary>
    public bool Contains(UInt128 hash) => _parts[PartOf(hash)].Contains(hash);

    /// <summary>Adds it; returns false where it is there already.</summary>
    public bool Add(UInt128 hash) => _parts[PartOf(hash)].Add(hash);

    private sealed class Part
    {
        // Zero marks a free slot; the one hash in 2^128 that is zero counts as one.
        private UInt128[] _slots = new UInt128[1 << 10];

        public int Count { get; private set; }

        public bool Contains(UInt128 hash) => _slots[SlotOf(_slots, hash)] != default;

        public bool Add(UInt128 hash)
        {
            int slot = SlotOf(_slots, hash);
            if (_slots[slot] != default)
                return false;
            _slots[slot] = hash == default ? 1 : hash;
            Count++;
            if (Count > _slots.Length / 8 * 6)
                Grow();
            return true;
        }

        private static int SlotOf(UInt128[] slots, UInt128 hash)
        {
            if (hash == default)
                hash = 1;
            int mask = slots.Length - 1;
            int slot = (int)(uint)hash & mask;
            while (slots[slot] != default && slots[slot] != hash)
                slot = (slot + 1) & mask;
            return slot;
        }

        private void Grow()
        {
            var slots = new UInt128[_slots.Length * 2];
            foreach (UInt128 hash in _slots)
            {
                if (hash != default)
                    slots[SlotOf(slots, hash)] = hash;
            }

            _slots = slots;
        }
    }
}
