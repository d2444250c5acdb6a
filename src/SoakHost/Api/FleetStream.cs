using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Json;
using SoakHost.Configuration;
using SoakHost.Engine.Watchdogs;
using SoakHost.Reports;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>
/// Passes the watchdog's reports to the clients that follow the fleet. The first client that needs a report serialises it, for all of them;
/// without clients none is serialised, and the watchdog waits for no client. A slow client skips reports, and so does every client when the
/// watchdog reports more often than about once a second.
/// </summary>
/// <param name="options">The configuration.</param>
/// <param name="time">The clock.</param>
/// <param name="storage">Knows the run's number; null where nothing is stored.</param>
internal sealed class FleetStream(SoakOptions options, TimeProvider time, SoakStorage? storage = null)
{
    /// <summary>The most clients at once.</summary>
    public const int FollowersMax = 32;

    /// <summary>The type of its events.</summary>
    public const string EventType = "fleet";

    /// <summary>The least time between two reports to one client: a little less than the watchdog's default interval of 1 s.</summary>
    public static readonly TimeSpan IntervalMin = TimeSpan.FromMilliseconds(900);

    // How long a browser waits before it connects again.
    private static readonly TimeSpan Retry = TimeSpan.FromSeconds(1);

    private static readonly ReportJson OneLine = new(new JsonSerializerOptions(ReportJson.Default.Options) { WriteIndented = false });
    private int _followers;
    private Edition _latest = new(null);

    /// <summary>Takes the watchdog's next report.</summary>
    public void Publish(FleetReport report)
    {
        var next = new Edition(new(() => JsonSerializer.Serialize(
            FleetDocument.WithCells(report, options, storage?.RunId ?? 0), OneLine.FleetDocument)));
        Interlocked.Exchange(ref _latest, next).IsPast.SetResult();
    }

    /// <summary>A client's place, to be disposed when it leaves; null if all are taken.</summary>
    public IDisposable? TryEnter()
    {
        if (Interlocked.Increment(ref _followers) <= FollowersMax)
            return new Place(this);
        Interlocked.Decrement(ref _followers);
        return null;
    }

    /// <summary>The latest report at once, then each new one; ends without an exception at <paramref name="stop"/>.</summary>
    public async IAsyncEnumerable<SseItem<string>> FollowAsync([EnumeratorCancellation] CancellationToken stop)
    {
        bool isFirst = true;
        while (!stop.IsCancellationRequested)
        {
            // The latest report, not the next one: a slow client must not keep all reports in between alive.
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

    /// <summary>A report, serialised when a client first needs it; null before the first one.</summary>
    private sealed class Edition(Lazy<string>? text)
    {
        public Lazy<string>? Text { get; } = text;

        /// <summary>Completes when there is a later one. Clients continue on other threads than the watchdog's.</summary>
        public TaskCompletionSource IsPast { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed class Place(FleetStream stream) : IDisposable
    {
        private bool _isLeft;

        public void Dispose()
        {
            if (!Interlocked.Exchange(ref _isLeft, true))
                Interlocked.Decrement(ref stream._followers);
        }
    }
}
