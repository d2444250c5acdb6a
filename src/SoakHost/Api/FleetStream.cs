using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Json;
using SoakHost.Configuration;
using SoakHost.Engine.Watchdogs;
using SoakHost.Reports;
using SoakHost.Storage;

namespace SoakHost.Api;

/// <summary>
/// Hands each of the watchdog's reports to whoever follows the fleet. A report is put into words once, by the first follower who wants
/// it, and never when nobody follows; the watchdog waits for none of them. A follower who is slow skips reports, and so does every follower of
/// a watchdog that makes more than one about each second.
/// </summary>
/// <param name="options">What was configured.</param>
/// <param name="time">The clock.</param>
/// <param name="storage">What keeps the run, and so knows its number; or null.</param>
internal sealed class FleetStream(SoakOptions options, TimeProvider time, SoakStorage? storage = null)
{
    /// <summary>The most followers at once.</summary>
    public const int FollowersMax = 32;

    /// <summary>The type of its events.</summary>
    public const string EventType = "fleet";

    /// <summary>The least time between two reports to one follower: a little less than the second between two of the watchdog's, as it is by default.</summary>
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

    /// <summary>A follower's place, to be disposed as it leaves; null when all are taken.</summary>
    public IDisposable? TryEnter()
    {
        if (Interlocked.Increment(ref _followers) <= FollowersMax)
            return new Place(this);
        Interlocked.Decrement(ref _followers);
        return null;
    }

    /// <summary>The latest report at once, and each one after it, until <paramref name="stop"/>; then it ends without an exception.</summary>
    public async IAsyncEnumerable<SseItem<string>> FollowAsync([EnumeratorCancellation] CancellationToken stop)
    {
        bool isFirst = true;
        while (!stop.IsCancellationRequested)
        {
            // Not the one after the last that was told, but the latest: whoever is slow must not keep all between alive.
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

    /// <summary>A report, put into words once somebody wants it; null before the first one.</summary>
    private sealed class Edition(Lazy<string>? text)
    {
        public Lazy<string>? Text { get; } = text;

        /// <summary>Completes when there is a later one. Followers go on elsewhere than on the watchdog's thread.</summary>
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
