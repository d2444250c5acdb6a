namespace SoakHost.Engine.Explore;

/// <summary>
/// The states that were seen, in parts by what their vCPUs share: any number of threads may ask it at once, or each add to a part
/// of its own. A state that has a rank is a bit (<see cref="RankedStates"/>) as long as bits take less memory than keys; the
/// others are keys (<see cref="HashedStates"/>). At most 43 bytes a state, after the first million.
/// </summary>
/// <param name="vcpus">vCPUs of a state, 1 to 4.</param>
internal sealed class StateSet(int vcpus)
{
    private const int PartBits = 4;

    private readonly Part[] _parts = [.. Enumerable.Range(0, Parts).Select(_ => new Part())];

    /// <summary>How many parts there are.</summary>
    public static int Parts => 1 << PartBits;

    /// <summary>The ranks of the states.</summary>
    public StateRanks Ranks { get; } = new(vcpus);

    /// <summary>The part that a state belongs to.</summary>
    public static int PartOf(StateKey state) => state.Shared & (Parts - 1);

    /// <summary>Brings the memory near in which a state is looked for, without waiting for it.</summary>
    public void Prefetch(StateKey state, uint rank) => _parts[PartOf(state)].Prefetch(state, rank);

    /// <summary>Whether it was added before.</summary>
    /// <param name="state">The state, its vCPUs in order.</param>
    /// <param name="rank">Its rank.</param>
    public bool Contains(StateKey state, uint rank) => _parts[PartOf(state)].Contains(state, rank);

    /// <summary>Adds it; returns false where it is there already.</summary>
    /// <param name="state">The state, its vCPUs in order.</param>
    /// <param name="rank">Its rank.</param>
    public bool Add(StateKey state, uint rank) => _parts[PartOf(state)].Add(state, rank);

    private sealed class Part
    {
        // What a key takes where its table is least full, and how many states may take more than that in bits.
        private const long KeyBytes = 43;
        private const long FewStates = 1 << (20 - PartBits);

        private readonly RankedStates _ranked = new();
        private readonly HashedStates _hashed = new();
        private long _rankedCount;
        private bool _isRankedFull;

        public void Prefetch(StateKey state, uint rank)
        {
            if (!_ranked.Prefetch(state.Shared >> PartBits, rank))
                _hashed.Prefetch(state.Hash());
        }

        public bool Contains(StateKey state, uint rank) =>
            _ranked.Find(state.Shared >> PartBits, rank) is { HasPage: true } found
                ? found.Contains : _hashed.Contains(state, state.Hash());

        public bool Add(StateKey state, uint rank)
        {
            // A rank whose page is not there when the bits are full never gets one: its states are keys from then on.
            int shared = state.Shared >> PartBits;
            if (rank != StateRanks.None && !_isRankedFull && !_ranked.HasPage(shared, rank))
            {
                _isRankedFull = _ranked.BytesWith(shared, rank) > KeyBytes * Math.Max(_rankedCount, FewStates);
                if (!_isRankedFull)
                    _ranked.AddPage(shared, rank);
            }

            if (!_ranked.HasPage(shared, rank))
                return _hashed.Add(state, state.Hash());
            bool isNew = _ranked.Add(shared, rank);
            _rankedCount += isNew ? 1 : 0;
            return isNew;
        }
    }
}
