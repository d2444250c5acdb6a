namespace SoakHost.Engine.Explore;

/// <summary>A state that one step led to.</summary>
/// <param name="State">The state itself.</param>
/// <param name="Rank">The rank of its vCPUs.</param>
/// <param name="Parent">The number of the state that it came from.</param>
/// <param name="Action">The step.</param>
internal readonly record struct Candidate(StateKey State, uint Rank, int Parent, Action Action);

/// <summary>What came of a part of a block, by one thread.</summary>
internal sealed class Chunk(ExploreOptions options)
{
    private const int RecentBits = 13;
    private readonly StateKey[] _recent = new StateKey[1 << RecentBits];
    private Candidate[] _candidates = new Candidate[256];
    private readonly int[] _partEnds = new int[StateSet.Parts];
    private int[] _byPart = [];
    private bool[] _isNew = [];
    private int _count;

    /// <summary>A state to work in.</summary>
    public State Scratch { get; } = new(options.Vcpus, options.Invalidators);

    /// <summary>Where the first of the new ones stands in the next level.</summary>
    public int NextIndex { get; set; }

    /// <summary>States that no earlier block and no earlier candidate of this one has.</summary>
    public int NewCount { get; private set; }

    /// <summary>Defects, in the order in which they were found.</summary>
    public List<(ExploreVerdict Kind, int Id, Action? Action, int? Hung)> Defects { get; } = [];

    public void Clear()
    {
        _count = 0;
        _recent.AsSpan().Clear();
        Defects.Clear();
    }

    /// <summary>Notes a candidate, and asks for the memory that will tell whether it was seen.</summary>
    public void Add(StateSet seen, StateKey state, int parent, Action action)
    {
        if (_count == _candidates.Length)
            Array.Resize(ref _candidates, 2 * _count);
        StateKey key = state.Sorted();
        uint rank = seen.Ranks.Of(key);
        ref StateKey recent = ref _recent[(int)(((key.Low ^ key.High) * 0x9e3779b97f4a7c15) >> (64 - RecentBits))];
        if (recent == key)
            return;
        recent = key;
        seen.Prefetch(key, rank);
        _candidates[_count++] = new(state, rank, parent, action);
    }

    /// <summary>Drops what earlier blocks have seen, and sorts what is left by parts of the set.</summary>
    public void DropSeen(StateSet seen)
    {
        int kept = 0;
        _partEnds.AsSpan().Clear();
        foreach (ref readonly Candidate candidate in _candidates.AsSpan(0, _count))
        {
            if (seen.Contains(candidate.State.Sorted(), candidate.Rank))
                continue;
            _partEnds[StateSet.PartOf(candidate.State)]++;
            _candidates[kept++] = candidate;
        }

        _count = kept;
        if (_isNew.Length < kept)
            (_isNew, _byPart) = (new bool[_candidates.Length], new int[_candidates.Length]);
        _isNew.AsSpan(0, kept).Clear();
        for (int part = 0, end = 0; part < StateSet.Parts; part++)
            (_partEnds[part], end) = (end, end + _partEnds[part]);
        for (int i = 0; i < kept; i++)
            _byPart[_partEnds[StateSet.PartOf(_candidates[i].State)]++] = i;
    }

    /// <summary>Adds those of one part of the set.</summary>
    public void AddTo(StateSet seen, int part)
    {
        ReadOnlySpan<int> indices = _byPart.AsSpan((part == 0 ? 0 : _partEnds[part - 1]).._partEnds[part]);
        foreach (int i in indices)
            seen.Prefetch(_candidates[i].State.Sorted(), _candidates[i].Rank);
        foreach (int i in indices)
        {
            if (seen.Add(_candidates[i].State.Sorted(), _candidates[i].Rank))
                _isNew[i] = true;
        }
    }

    /// <summary>Counts the new ones.</summary>
    public void CountNew() => NewCount = _isNew.AsSpan(0, _count).Count(true);

    /// <summary>Copies the new ones to their places.</summary>
    /// <param name="nextLevel">The next level.</param>
    /// <param name="paths">How each state was reached.</param>
    /// <param name="firstId">The number of the next level's first state.</param>
    public void CopyTo(BigList<StateKey> nextLevel, BigList<(int Parent, Action Action)> paths, int firstId)
    {
        int at = NextIndex;
        for (int i = 0; i < _count; i++)
        {
            if (!_isNew[i])
                continue;
            nextLevel[at] = _candidates[i].State;
            paths[firstId + at] = (_candidates[i].Parent, _candidates[i].Action);
            at++;
        }
    }
}
