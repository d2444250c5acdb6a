namespace SoakHost.Engine.Explore;

/// <summary>A state that one step led to.</summary>
/// <param name="Seen">By what it is known: with merging, that of all states which differ in who is who.</param>
/// <param name="State">The state itself.</param>
/// <param name="Hash">The hash of <paramref name="Seen"/>.</param>
/// <param name="Parent">The number of the state that it came from.</param>
/// <param name="Action">The step.</param>
internal readonly record struct Candidate(StateKey Seen, StateKey State, ulong Hash, int Parent, Action Action);

/// <summary>What came of a part of a block, by one thread.</summary>
internal sealed class Chunk(ExploreOptions options)
{
    private Candidate[] _candidates = new Candidate[256];
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
        Defects.Clear();
    }

    /// <summary>Notes a candidate, and asks for the memory that will tell whether it was seen.</summary>
    public void Add(StateSet seen, StateKey key, StateKey state, int parent, Action action)
    {
        if (_count == _candidates.Length)
            Array.Resize(ref _candidates, 2 * _count);
        ulong hash = key.Hash();
        seen.Prefetch(hash);
        _candidates[_count++] = new(key, state, hash, parent, action);
    }

    /// <summary>Drops what earlier blocks have seen.</summary>
    public void DropSeen(StateSet seen)
    {
        int kept = 0;
        foreach (ref readonly Candidate candidate in _candidates.AsSpan(0, _count))
        {
            if (!seen.Contains(candidate.Seen, candidate.Hash))
                _candidates[kept++] = candidate;
        }

        _count = kept;
        if (_isNew.Length < kept)
            _isNew = new bool[_candidates.Length];
        _isNew.AsSpan(0, kept).Clear();
    }

    /// <summary>Adds those of one part of the set, or all.</summary>
    public void AddTo(StateSet seen, int? part)
    {
        for (int i = 0; i < _count; i++)
        {
            ref readonly Candidate candidate = ref _candidates[i];
            if ((part is null || StateSet.PartOf(candidate.Hash) == part) && seen.Add(candidate.Seen, candidate.Hash))
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
