namespace SoakHost.Storage;

/// <summary>
/// Rounds of checkpoints, in each of which every shard answers once. A large fleet's round takes long, and no other begins as long as answers come:
/// only when none has come for 10 s is the rest given up, since a shard whose worker is stuck, or that failed, may never answer. Used by one thread.
/// </summary>
internal sealed class CheckpointRounds(TimeProvider time)
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(10);
    private int _round;
    private int _outstanding;
    private long _lastAnswer;

    /// <summary>Whether the round before left answers out.</summary>
    public bool IsIncomplete => _outstanding > 0;

    /// <summary>Whether answers to the present round are still waited for.</summary>
    public bool IsUnderWay => IsIncomplete && time.GetElapsedTime(_lastAnswer) < AnswerTimeout;

    /// <summary>Begins a round; what comes to the one before does not count any more.</summary>
    /// <param name="ask">Asks every shard, in the round of this number, and returns how many answers are to come.</param>
    /// <returns>Whether there is nothing to wait for.</returns>
    public bool Begin(Func<int, int> ask)
    {
        _lastAnswer = time.GetTimestamp();
        int round = ++_round;
        _outstanding = ask(round);
        return _outstanding == 0;
    }

    /// <summary>Ends them: answers that still come complete no round.</summary>
    public void End() => (_round, _outstanding) = (_round + 1, 0);

    /// <summary>Counts an answer.</summary>
    /// <returns>Whether it was the present round's last.</returns>
    public bool Answer(int round)
    {
        if (round != _round)
            return false;
        _lastAnswer = time.GetTimestamp();
        return --_outstanding == 0;
    }
}
