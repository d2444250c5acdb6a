using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Threading.RateLimiting;
using SoakHost.Configuration;
using SoakHost.Engine.Watchdogs;
using SoakHost.Reports;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>
/// Sends each of the watchdog's reports to the clients that follow the fleet. The first follower serialises a report for all of
/// them; without followers nobody does. The watchdog waits for no follower. A slow follower skips reports, and every follower
/// gets about one a second at most.
/// </summary>
/// <param name="options">What was configured.</param>
/// <param name="time">The clock.</param>
/// <param name="storage">The storage, which knows the run's number; or null.</param>
internal sealed class FleetStream(SoakOptions options, TimeProvider time, SoakStorage? storage = null) : IDisposable
{
    /// <summary>The most followers at once.</summary>
    public const int FollowersMax = 32;

    /// <summary>The type of its events.</summary>
    public const string EventType = "fleet";

    /// <summary>
    /// The least time between two reports to one follower: a little less than the default second between two reports of the
    /// watchdog.
    /// </summary>
    public static readonly TimeSpan IntervalMin = TimeSpan.FromMilliseconds(900);

    // How long a browser waits before it connects again.
    private static readonly TimeSpan Retry = TimeSpan.FromSeconds(1);

    private static readonly ReportJson OneLine = new(
        new JsonSerializerOptions(ReportJson.Default.Options) { WriteIndented = false });
    private readonly ConcurrencyLimiter _places = new(new() { PermitLimit = FollowersMax, QueueLimit = 0 });
    private Edition _latest = new(null);

    /// <summary>Takes the watchdog's next report.</summary>
    public void Publish(FleetReport report)
    {
        var next = new Edition(new(() => JsonSerializer.Serialize(
            FleetDocument.WithCells(report, options, storage?.RunId ?? 0), OneLine.FleetDocument)));
        Interlocked.Exchange(ref _latest, next).IsPast.SetResult();
    }

    /// <summary>A follower's place, to be disposed when it leaves; null while all are taken.</summary>
    public IDisposable? TryEnter()
    {
        RateLimitLease place = _places.AttemptAcquire();
        if (place.IsAcquired)
            return place;
        place.Dispose();
        return null;
    }

    /// <inheritdoc/>
    public void Dispose() => _places.Dispose();

    /// <summary>
    /// The latest report at once, and each one after it, until <paramref name="stop"/>; then it ends without an exception.
    /// </summary>
    public async IAsyncEnumerable<SseItem<string>> FollowAsync([EnumeratorCancellation] CancellationToken stop)
    {
        bool isFirst = true;
        while (!stop.IsCancellationRequested)
        {
            // The latest report, not the next one: a slow follower must not keep all reports in between alive.
            Edition edition = Volatile.Read(ref _latest);
            Task pause = Task.CompletedTask;
            if (edition.Text is { } text)
            {
                pause = Task.Delay(IntervalMin, time, stop);
                yield return new SseItem<string>(text.Value, EventType) { ReconnectionInterval = isFirst ? Retry : null };
                isFirst = false;
            }

            await Task.WhenAll(edition.IsPast.Task, pause).WaitAsync(stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>A report, serialised when the first follower needs it; null before the first report.</summary>
    private sealed class Edition(Lazy<string>? text)
    {
        public Lazy<string>? Text { get; } = text;

        /// <summary>Completes when there is a later one. Followers do not continue on the watchdog's thread.</summary>
        public TaskCompletionSource IsPast { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
