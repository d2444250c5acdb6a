using System.Threading.RateLimiting;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Storage;

namespace SoakHost.Interventions;

/// <summary>
/// Does interventions, each in three steps: the fleet prepares it and decides its tick, storage records it, and the fleet commits
/// it. An intervention that is not recorded is abandoned and never happens; one that is recorded happens, also if the process is
/// killed before the commit. Those on one cohort take turns; those on other cohorts, and everything else about the fleet, do not
/// wait.
/// </summary>
internal sealed class InterventionRunner : IDisposable
{
    /// <summary>The most interventions that wait for their turn on one cohort.</summary>
    public const int WaitingMax = 8;

    private static readonly TimeSpan TurnTimeout = TimeSpan.FromSeconds(5);

    // Longer than storage waits for the disk to begin: after that an intervention that has not begun never will.
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(10);

    private readonly Fleet _fleet;
    private readonly SoakStorage _storage;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _stop = new();
    private readonly PartitionedRateLimiter<string> _turns = PartitionedRateLimiter.Create<string, string>(
        cohort => RateLimitPartition.GetConcurrencyLimiter(
            cohort, _ => new ConcurrencyLimiterOptions { PermitLimit = 1, QueueLimit = WaitingMax }));

    public InterventionRunner(Fleet fleet, SoakStorage storage, TimeProvider time) =>
        (_fleet, _storage, _time) = (fleet, storage, time);

    /// <summary>
    /// Does an intervention. When the task completes, it is recorded and takes effect at its tick. It takes at most 5 s for the
    /// turn and 10 s for the disk.
    /// </summary>
    /// <param name="cohort">The cohort's name.</param>
    /// <param name="intervention">The intervention. Tick 0 has the fleet choose.</param>
    /// <param name="cancellation">Gives it up, unless it is being recorded already.</param>
    /// <param name="by">Who asked for it.</param>
    /// <exception cref="InterventionException">The fleet cannot do it; nothing was done.</exception>
    /// <exception cref="StorageUnavailableException">It cannot be recorded; nothing was done.</exception>
    /// <exception cref="InterventionUndecidedException">
    /// The disk has begun to record it and does not end, or failed in the middle: it may still be applied.
    /// </exception>
    /// <exception cref="InterventionQueueException">Too many others are waiting; nothing was done.</exception>
    /// <exception cref="OperationCanceledException">
    /// <paramref name="cancellation"/> was cancelled in time; nothing was done.
    /// </exception>
    public async Task<InterventionRecord> RunAsync(
        string cohort, ShardIntervention intervention, CancellationToken cancellation, Requester? by = null)
    {
        RateLimitLease turn = await TakeTurnAsync(cohort, cancellation);
        PreparedIntervention prepared;
        try
        {
            cancellation.ThrowIfCancellationRequested();
            prepared = await PrepareAsync(cohort, intervention);
        }
        catch
        {
            turn.Dispose();
            throw;
        }

        Task<InterventionRecord> outcome = RecordAndCommitAsync(turn, prepared, cohort, by, cancellation);
        try
        {
            return await outcome.WaitAsync(AnswerTimeout, _time, _stop.Token);
        }
        catch (OperationCanceledException) when (!outcome.IsCompleted)
        {
            throw new InterventionUndecidedException(
                "the service is being stopped, and the disk has not ended to record the intervention. It may still be applied "
                    + "after a restart",
                outcome);
        }
        catch (TimeoutException)
        {
            throw new InterventionUndecidedException(
                $"the disk has begun to record the intervention and has not ended within {AnswerTimeout.TotalSeconds:0} s. It "
                    + "may still be applied, when the disk answers or after a restart",
                outcome);
        }
        catch (CommitUndecidedException exception)
        {
            throw new InterventionUndecidedException(
                $"{exception.Message}. It was not applied, and it may be after a restart, unless a checkpoint is written before",
                outcome);
        }
    }

    /// <summary>Answers whoever still waits, once storage has stopped: what is undecided now stays so.</summary>
    public void GiveUp() => _stop.Cancel();

    /// <inheritdoc/>
    public void Dispose()
    {
        _turns.Dispose();
        _stop.Dispose();
    }

    /// <summary>
    /// Has the intervention recorded, then committed. The shards and the turn are kept until the disk has decided.
    /// </summary>
    private async Task<InterventionRecord> RecordAndCommitAsync(
        RateLimitLease turn,
        PreparedIntervention prepared,
        string cohort,
        Requester? by,
        CancellationToken cancellation)
    {
        using (turn)
        using (prepared)
        {
            InterventionRecord record = await _storage.RecordAsync(cohort, prepared.Intervention, cancellation, by);
            prepared.Commit();
            return record;
        }
    }

    /// <summary>
    /// New VMs are built on a thread of their own: a million take seconds, and one of the pool would be missed.
    /// </summary>
    private Task<PreparedIntervention> PrepareAsync(string cohort, ShardIntervention intervention) =>
        intervention.Kind is InterventionKind.AddCohort or InterventionKind.ResizeCohort
            ? Task.Factory.StartNew(
                () => _fleet.Prepare(cohort, intervention),
                CancellationToken.None,
                TaskCreationOptions.LongRunning,
                TaskScheduler.Default)
            : Task.FromResult(_fleet.Prepare(cohort, intervention));

    private async Task<RateLimitLease> TakeTurnAsync(string cohort, CancellationToken cancellation)
    {
        using var timeout = new CancellationTokenSource(TurnTimeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, timeout.Token);
        try
        {
            RateLimitLease turn = await _turns.AcquireAsync(cohort, cancellationToken: either.Token);
            return turn.IsAcquired ? turn
                : throw new InterventionQueueException($"{WaitingMax} interventions on cohort \"{cohort}\" are waiting already");
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new InterventionQueueException(
                $"another intervention on cohort \"{cohort}\" has not ended within {TurnTimeout.TotalSeconds:0} s");
        }
    }
}

/// <summary>An intervention of which it is not known yet whether it is recorded.</summary>
/// <param name="message">What is known.</param>
/// <param name="outcome">Ends when the disk has decided.</param>
internal sealed class InterventionUndecidedException(string message, Task<InterventionRecord> outcome) : Exception(message)
{
    /// <summary>Ends when the disk has decided.</summary>
    public Task<InterventionRecord> Outcome => outcome;
}

/// <summary>Too many interventions are waiting, or for too long. Trying again later may help.</summary>
internal sealed class InterventionQueueException(string message) : Exception(message);
