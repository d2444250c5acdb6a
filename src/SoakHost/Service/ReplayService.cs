using System.Threading.RateLimiting;
using Microsoft.Extensions.Caching.Memory;
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

    /// <summary>The replay did not come to such an incident.</summary>
    NoSuchIncident,

    /// <summary>Too many others are waiting.</summary>
    Busy,

    /// <summary>It took longer than <see cref="ReplayService.TimeMax"/>.</summary>
    TookTooLong,
}

/// <summary>
/// Replays incidents for HTTP clients, beside the soak. What that may take from the soak is bounded: one replay at a time, on one
/// thread, for at most <see cref="TimeMax"/>, and only while the client waits for it. A timeline never changes, so the last ones
/// are cached.
/// </summary>
internal sealed class ReplayService(TimeProvider time) : IDisposable
{
    /// <summary>The most that wait for their turn.</summary>
    public const int WaitingMax = 8;

    /// <summary>The longest that a replay may take. For one that takes longer there is the command, which has no limit.</summary>
    public static readonly TimeSpan TimeMax = TimeSpan.FromSeconds(20);

    // Some 30 steps each; the longest that there can be have 500, which is 150 KB.
    private const int CachedStepsMax = 8192;

    private readonly MemoryCache _timelines = new(new MemoryCacheOptions { SizeLimit = CachedStepsMax });
    private readonly ConcurrencyLimiter _turns = new(new ConcurrencyLimiterOptions { PermitLimit = 1, QueueLimit = WaitingMax });

    /// <summary>Replays an incident, after those that others asked for before.</summary>
    /// <param name="input">The run that has it.</param>
    /// <param name="cohort">The input's cohort.</param>
    /// <param name="incident">The incident.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled.</exception>
    public async Task<(ReplayOutcome Outcome, Timeline? Timeline)> ReplayAsync(
        ReplayInput input, SimulatedCohort cohort, IncidentId incident, CancellationToken stop)
    {
        (long, SimulatedCohort, IncidentId) key = (input.Run, cohort, incident);
        if (_timelines.TryGetValue(key, out Timeline? cached))
            return (ReplayOutcome.Replayed, cached);
        using RateLimitLease turn = await _turns.AcquireAsync(permitCount: 1, stop);
        if (!turn.IsAcquired)
            return (ReplayOutcome.Busy, null);

        // Whoever had the turn before may have asked for the same one.
        if (_timelines.TryGetValue(key, out cached))
            return (ReplayOutcome.Replayed, cached);
        using var limit = new CancellationTokenSource(TimeMax, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, limit.Token);
        try
        {
            // A thread of its own: one of the pool would be missed by requests.
            Timeline? timeline = await Task.Factory.StartNew(
                () => Replay.Incident(cohort, input.Options, incident, input.Interventions, either.Token, input.Origin),
                either.Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            if (timeline is null)
                return (ReplayOutcome.NoSuchIncident, null);
            _timelines.Set(key, timeline, new MemoryCacheEntryOptions { Size = timeline.Steps.Length });
            return (ReplayOutcome.Replayed, timeline);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            return (ReplayOutcome.TookTooLong, null);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _turns.Dispose();
        _timelines.Dispose();
    }
}
