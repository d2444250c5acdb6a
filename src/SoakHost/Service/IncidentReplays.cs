using SoakHost.Engine.Cohorts;
using SoakHost.Engine.Replays;
using SoakHost.Engine.Soak;
using SoakHost.Engine.Timelines;
using SoakHost.Storage;

namespace SoakHost.Service;

/// <summary>What became of a replay.</summary>
internal enum ReplayOutcome
{
    /// <summary>The incident was replayed.</summary>
    Replayed,

    /// <summary>The run, run again, has no such incident.</summary>
    NoSuchIncident,

    /// <summary>Too many others waited for theirs.</summary>
    Busy,

    /// <summary>It took longer than <see cref="IncidentReplays.TimeMax"/>.</summary>
    TookTooLong,
}

/// <summary>
/// Tells incidents again for whoever asks over HTTP, beside the soak. What that can take from the soak is bounded: one thread, for at most
/// <see cref="TimeMax"/> at a time, as long as the one who asked waits for it; a few others wait for their turn, and more are sent away. A timeline
/// never changes, so that the last few are remembered and cost nothing when they are asked for again.
/// </summary>
internal sealed class IncidentReplays(TimeProvider time) : IDisposable
{
    /// <summary>The most that wait for their turn.</summary>
    public const int WaitingMax = 8;

    /// <summary>The longest that a replay may take. One of a long soak takes longer; the command has no limit.</summary>
    public static readonly TimeSpan TimeMax = TimeSpan.FromSeconds(20);

    // Some thirty steps each; the longest that there can be have 500, which is 150 KB.
    private const int RememberedMax = 64;

    private readonly Lock _gate = new();
    private readonly Dictionary<(long Run, SimulatedCohort Cohort, IncidentId Incident), Timeline> _remembered = [];
    private readonly Queue<(long Run, SimulatedCohort Cohort, IncidentId Incident)> _oldest = [];
    private readonly SemaphoreSlim _turn = new(1);
    private int _waiting;

    /// <summary>Tells an incident, after those that others asked for before.</summary>
    /// <param name="run">The run that has it.</param>
    /// <param name="cohort">The run's cohort, simulated.</param>
    /// <param name="incident">The incident.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled.</exception>
    public async Task<(ReplayOutcome Outcome, Timeline? Timeline)> ReplayAsync(
        IncidentRun run, SimulatedCohort cohort, IncidentId incident, CancellationToken stop)
    {
        (long, SimulatedCohort, IncidentId) key = (run.Run, cohort, incident);
        if (Recall(key) is { } remembered)
            return (ReplayOutcome.Replayed, remembered);
        if (!await TakeTurnAsync(stop))
            return (ReplayOutcome.Busy, null);
        using var limit = new CancellationTokenSource(TimeMax, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, limit.Token);
        try
        {
            // Whoever had the turn before may have asked for the same one.
            if (Recall(key) is { } told)
                return (ReplayOutcome.Replayed, told);

            // A thread of its own: one of the pool would be missed by requests.
            Timeline? timeline = await Task.Factory.StartNew(
                () => Replay.Incident(cohort, run.Options, incident, run.Interventions, either.Token),
                either.Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            if (timeline is null)
                return (ReplayOutcome.NoSuchIncident, null);
            Remember(key, timeline);
            return (ReplayOutcome.Replayed, timeline);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            return (ReplayOutcome.TookTooLong, null);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _turn.Dispose();

    private async Task<bool> TakeTurnAsync(CancellationToken stop)
    {
        try
        {
            if (Interlocked.Increment(ref _waiting) > WaitingMax)
                return false;
            await _turn.WaitAsync(stop);
            return true;
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    private Timeline? Recall((long, SimulatedCohort, IncidentId) key)
    {
        lock (_gate)
            return _remembered.GetValueOrDefault(key);
    }

    private void Remember((long, SimulatedCohort, IncidentId) key, Timeline timeline)
    {
        lock (_gate)
        {
            if (!_remembered.TryAdd(key, timeline))
                return;
            _oldest.Enqueue(key);
            if (_oldest.Count > RememberedMax)
                _remembered.Remove(_oldest.Dequeue());
        }
    }
}
