namespace SoakHost.Storage;

/// <summary>
/// Rounds of checkpoints: in each, every shard answers once. A large fleet's round takes long, and the next one waits while
/// answers come. When none has come for 10 s, the rest is given up, since a shard whose worker is stuck may never answer. Used by
/// one thread.
/// </summary>
internal sealed class CheckpointRounds(TimeProvider time)
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(10);
    private int _round;
    private int _outstanding;
    private long _lastAnswer;

    /// <summary>Whether answers to the last round are missing.</summary>
    public bool IsIncomplete => _outstanding > 0;

    /// <summary>Whether answers to the last round are missing and may still come.</summary>
    public bool IsUnderWay => IsIncomplete && time.GetElapsedTime(_lastAnswer) < AnswerTimeout;

    /// <summary>Begins a round; answers to earlier ones no longer count.</summary>
    /// <param name="ask">Asks every shard, in the round of this number, and returns how many answers will come.</param>
    /// <returns>Whether the round is complete at once, without shards.</returns>
    public bool Begin(Func<int, int> ask)
    {
        _lastAnswer = time.GetTimestamp();
        int round = ++_round;
        _outstanding = ask(round);
        return _outstanding == 0;
    }

    /// <summary>Ends the rounds: answers that still come complete none.</summary>
    public void End() => (_round, _outstanding) = (_round + 1, 0);

    /// <summary>Counts an answer.</summary>
    /// <returns>Whether it was the last one of the current round.</returns>
    public bool Answer(int round)
    {
        if (round != _round)
            return false;
        _lastAnswer = time.GetTimestamp();
        return --_outstanding == 0;
    }
}
